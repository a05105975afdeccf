#include "look.h"

enum { MIN_GUESS = 8, MAX_GUESS = 64, HEADERS = 2048, HURRY = 8, HURRY_HEAP = 2 };

struct vector {
	uint64_t begin, end;
	uint32_t n;
};

void zs_looker_init(struct zs_looker *looker, struct zs_reader *reader, const struct zs_layout *layout,
                    const struct zs_target *target, struct zs_gather *gather)
{
	*looker = (struct zs_looker){ .reader = reader, .layout = layout, .target = target, .gather = gather };
	looker->guess = MIN_GUESS;
}

// A std::vector's header; false if it cannot be one.
static bool parse_vector(const void *bytes, uint32_t size, struct vector *ret)
{
	if (!bytes)
		return false;
	uint64_t begin = zs_load64(bytes), end = zs_load64((const char *)bytes + 8);
	uint64_t capacity = zs_load64((const char *)bytes + 16);
	*ret = (struct vector){ begin, end, 0 };
	if (begin == 0 && end == 0 && capacity == 0)
		return true;
	if (!zs_plausible(begin) || end < begin || capacity < end || (end - begin) % size || (end - begin) / size > 10000000)
		return false;
	ret->n = (uint32_t)((end - begin) / size);
	return true;
}

static void parse_entry(const struct zs_layout *l, const unsigned char *bytes, struct zs_entry *ret)
{
	*ret = (struct zs_entry){ .call = zs_load64(bytes + l->CallInfo_call) };
	if (l->CallInfo_func != ZS_ABSENT)
		ret->func = zs_load64(bytes + l->CallInfo_func);
	else
		ret->frame = zs_load64(bytes + l->CallInfo_frame);
}

static void parse_frame(const struct zs_layout *l, const unsigned char *bytes, struct zs_frame_copy *ret)
{
	const unsigned char *base = bytes - zs_frame_from(l);
	ret->function = zs_load64(base + l->Frame_function);
	ret->next_stmt = zs_load64(base + l->Frame_next_stmt);
	ret->call = l->Frame_call == ZS_ABSENT ? 0 : zs_load64(base + l->Frame_call);
	ret->got = true;
}

// The entries of a vector, from the gather where it lay where it had been expected, else by another read.
static int get_items(struct zs_looker *looker, const struct vector *v, uint32_t size, uint64_t expected_at, int span,
                     uint32_t skip, uint32_t n, const unsigned char **ret, struct zs_error *error)
{
	struct zs_gather *g = looker->gather;
	const unsigned char *expected = v->begin == expected_at ? zs_gathered(g, span) : NULL;
	*ret = expected && skip == 0 && n * size <= g->spans[span].len ? expected : NULL;
	if (*ret || !n)
		return ZS_OK;
	int more = zs_gather_add(g, v->begin + (uint64_t)skip * size, n * size);
	if (more < 0)
		return ZS_OK;
	int rc = zs_gather_read(g, looker->reader, error);
	*ret = zs_gathered(g, more);
	return rc < 0 ? rc : ZS_OK;
}

// Whether that address lies so near to call_stack that one copy, at one instant, sees both. (A saved image need not have
// what lies between them.)
static bool near(const struct zs_looker *looker, uint64_t addr)
{
	uint64_t calls = looker->target->call_stack, apart = addr < calls ? calls - addr : addr - calls;
	return looker->target->pid && apart <= HEADERS;
}

// The headers of both stacks and the counter of dispatched events: neighbours in the executable's data.
static void ask_headers(struct zs_looker *looker)
{
	const struct zs_target *t = looker->target;
	bool both = looker->layout->CallInfo_func != ZS_ABSENT, frames = both && near(looker, t->g_frame_stack);
	bool counter = t->dispatched && near(looker, t->dispatched);
	uint64_t low = t->call_stack, high = low + 24;
	low = frames ? zs_min64(low, t->g_frame_stack) : low;
	low = counter ? zs_min64(low, t->dispatched) : low;
	high = frames ? zs_max64(high, t->g_frame_stack + 24) : high;
	high = counter ? zs_max64(high, t->dispatched + 8) : high;
	looker->headers[0] = zs_gather_add(looker->gather, low, (uint32_t)(high - low));
	looker->headers[1] = frames || !both ? looker->headers[0] : zs_gather_add(looker->gather, t->g_frame_stack, 24);
	if (counter)
		looker->counter = looker->headers[0];
}

// The header of one of them: which is 0 for call_stack.
static const void *header(const struct zs_looker *looker, int which)
{
	int span = looker->headers[which];
	const char *bytes = zs_gathered(looker->gather, span);
	uint64_t addr = which ? looker->target->g_frame_stack : looker->target->call_stack;
	return bytes ? bytes + (addr - looker->gather->spans[span].addr) : NULL;
}

static void take_counter(const struct zs_looker *looker, struct zs_sight *sight)
{
	const char *bytes = zs_gathered(looker->gather, looker->counter);
	sight->counted = bytes != NULL;
	sight->dispatched = bytes ? zs_load64(bytes + (looker->target->dispatched - looker->gather->spans[looker->counter].addr)) : 0;
}

static int ask_window(struct zs_looker *looker)
{
	if (!looker->window_high)
		return -1;
	return zs_gather_add(looker->gather, looker->window_low, (uint32_t)(looker->window_high - looker->window_low));
}

static int ask_entries(struct zs_looker *looker)
{
	if (!looker->entries_at)
		return -1;
	return zs_gather_add(looker->gather, looker->entries_at, looker->guess * (uint32_t)looker->layout->sizeof_CallInfo);
}

// One call, whose parts the kernel copies in this order, some 0.5 us from one to the next: longer than many a function
// runs. What goes first also warms the kernel's paths for the rest; if that were the header, which a sampler that has just
// woken up would wait for, all else would be copied much later. From Zeek 8.1 on the frames are copied on both sides of
// the header: nearly every one that was alive at the header's instant is in one of the copies.
static void ask_first(struct zs_looker *looker)
{
	struct zs_gather *g = looker->gather;
	zs_gather_reset(g);
	looker->entries = looker->frames = looker->window = looker->before = looker->counter = -1;
	if (looker->target->dispatched && !near(looker, looker->target->dispatched))
		looker->counter = zs_gather_add(g, looker->target->dispatched, 8);
	if (looker->layout->CallInfo_func == ZS_ABSENT) {
		looker->before = ask_window(looker);
		ask_headers(looker);
		looker->window = ask_window(looker);
		looker->entries = ask_entries(looker);
		return;
	}
	if (looker->target->pid)
		ask_headers(looker);
	ask_headers(looker);
	looker->entries = ask_entries(looker);
	if (looker->frames_at)
		looker->frames = zs_gather_add(g, looker->frames_at, looker->guess * 8);
	looker->recent_span = (int)g->n;
	for (uint32_t i = 0; i < looker->nrecent; i++)
		zs_gather_add(g, looker->recent[i] + zs_frame_from(looker->layout), zs_frame_size(looker->layout));
}

static void take_window_frames(const struct zs_looker *looker, struct zs_sight *sight)
{
	const struct zs_layout *l = looker->layout;
	const unsigned char *window = zs_gathered(looker->gather, looker->window);
	const unsigned char *before = zs_gathered(looker->gather, looker->before);
	for (uint32_t i = 0; i < sight->n; i++) {
		struct zs_entry *e = &sight->entries[i];
		uint64_t at = e->frame + zs_frame_from(l);
		if (!zs_may_be_frame(looker, e->frame) || at < looker->window_low || at + zs_frame_size(l) > looker->window_high)
			continue;
		if (before)
			parse_frame(l, before + (at - looker->window_low), &e->before);
		if (window)
			parse_frame(l, window + (at - looker->window_low), &e->copy);
	}
}

static int take_heap_frames(struct zs_looker *looker, const struct vector *v, struct zs_sight *sight, struct zs_error *error)
{
	const struct zs_layout *l = looker->layout;
	const unsigned char *pointers;
	uint32_t skip = v->n > ZS_MAX_DEPTH + 1 ? v->n - (ZS_MAX_DEPTH + 1) : 0, n = v->n - skip;
	int rc = get_items(looker, v, 8, looker->frames_at, looker->frames, skip, n, &pointers, error);
	if (rc < 0)
		return rc;
	looker->frames_at = v->begin;
	sight->nframes = pointers ? n : 0;
	for (uint32_t i = 0; i < sight->nframes; i++) {
		struct zs_entry *frame = &sight->frames[i];
		*frame = (struct zs_entry){ .frame = zs_load64(pointers + i * 8) };
		for (uint32_t k = 0; k < looker->nrecent; k++) {
			const unsigned char *bytes = zs_gathered(looker->gather, looker->recent_span + (int)k);
			if (bytes && looker->recent[k] == frame->frame)
				parse_frame(l, bytes, &frame->copy);
		}
	}
	return ZS_OK;
}

static bool wanted(const struct zs_looker *looker, const struct zs_entry *frame)
{
	return !frame->copy.got && zs_may_be_frame(looker, frame->frame);
}

// Reads straight away the frames that lay elsewhere than expected and may not be there for long: the innermost.
static int hurry(struct zs_looker *looker, struct zs_sight *sight, struct zs_error *error)
{
	const struct zs_layout *l = looker->layout;
	struct zs_gather *g = looker->gather;
	bool on_heap = l->CallInfo_func != ZS_ABSENT;
	struct zs_entry *frames = on_heap ? sight->frames : sight->entries;
	uint32_t n = on_heap ? sight->nframes : sight->n, most = on_heap ? HURRY_HEAP : HURRY, from = n > most ? n - most : 0;
	int span = (int)g->n;
	for (uint32_t i = n; i-- > from;)
		if (wanted(looker, &frames[i]))
			zs_gather_add(g, frames[i].frame + zs_frame_from(l), zs_frame_size(l));
	int rc = zs_gather_read(g, looker->reader, error);
	if (rc < 0)
		return rc;
	for (uint32_t i = n; i-- > from;) {
		const unsigned char *bytes = wanted(looker, &frames[i]) ? zs_gathered(g, span++) : NULL;
		if (bytes)
			parse_frame(l, bytes, &frames[i].copy);
	}
	return ZS_OK;
}

int zs_look_first(struct zs_looker *looker, struct zs_sight *ret, struct zs_error *error)
{
	const struct zs_layout *l = looker->layout;
	uint32_t size = (uint32_t)l->sizeof_CallInfo;
	struct zs_gather *g = looker->gather;
	struct vector v, fv;
	const unsigned char *bytes;
	ret->n = ret->nframes = ret->same = 0;
	ret->absurd = ret->truncated = false;
	ask_first(looker);
	int rc = zs_gather_read(g, looker->reader, error);
	if (rc < 0)
		return rc;
	take_counter(looker, ret);
	if (!parse_vector(header(looker, 0), size, &v)) {
		ret->absurd = true;
		return ZS_OK;
	}
	looker->begin = v.begin;
	if (!v.n) {
		looker->entries_at = v.begin;
		return ZS_OK;
	}
	ret->truncated = v.n > ZS_MAX_DEPTH;
	looker->skipped = ret->truncated ? v.n - ZS_MAX_DEPTH : 0;
	uint32_t n = v.n - looker->skipped;
	rc = get_items(looker, &v, size, looker->entries_at, looker->entries, looker->skipped, n, &bytes, error);
	if (rc < 0)
		return rc;
	looker->entries_at = v.begin;
	if (n + 2 > looker->guess)
		looker->guess = zs_min32(n + 4, MAX_GUESS);
	if (!bytes) {
		ret->absurd = true;
		return ZS_OK;
	}
	ret->n = n;
	for (uint32_t i = 0; i < n; i++)
		parse_entry(l, bytes + i * size, &ret->entries[i]);
	if (l->CallInfo_func == ZS_ABSENT)
		take_window_frames(looker, ret);
	else if (parse_vector(header(looker, 1), 8, &fv) && fv.n)
		rc = take_heap_frames(looker, &fv, ret, error);
	return rc < 0 ? rc : hurry(looker, ret, error);
}

void zs_look_ask_second(struct zs_looker *looker, struct zs_sight *sight)
{
	const struct zs_layout *l = looker->layout;
	struct zs_gather *g = looker->gather;
	bool on_heap = l->CallInfo_func != ZS_ABSENT;
	struct zs_entry *frames = on_heap ? sight->frames : sight->entries;
	uint32_t n = on_heap ? sight->nframes : sight->n, size = (uint32_t)l->sizeof_CallInfo;
	looker->frames = (int)g->n;
	for (uint32_t i = 0; i < n; i++)
		if (wanted(looker, &frames[i]))
			zs_gather_add(g, frames[i].frame + zs_frame_from(l), zs_frame_size(l));
	looker->again = zs_gather_add(g, looker->target->call_stack, 24);
	looker->entries_again = zs_gather_add(g, looker->begin + (uint64_t)looker->skipped * size, sight->n * size);
}

// How many entries, from the outermost on, are the same in the gather's second reading.
static uint32_t count_same(const struct zs_looker *looker, const struct zs_sight *sight)
{
	const struct zs_layout *l = looker->layout;
	uint32_t size = (uint32_t)l->sizeof_CallInfo, i;
	const unsigned char *bytes = zs_gathered(looker->gather, looker->entries_again);
	struct vector v;
	if (!bytes || !parse_vector(zs_gathered(looker->gather, looker->again), size, &v) || v.begin != looker->begin)
		return 0;
	uint32_t n = v.n > looker->skipped ? zs_min32(v.n - looker->skipped, sight->n) : 0;
	for (i = 0; i < n; i++) {
		struct zs_entry now;
		parse_entry(l, bytes + i * size, &now);
		if (now.call != sight->entries[i].call || now.func != sight->entries[i].func ||
		    now.frame != sight->entries[i].frame)
			break;
	}
	return i;
}

void zs_look_second(struct zs_looker *looker, struct zs_sight *sight)
{
	const struct zs_layout *l = looker->layout;
	bool on_heap = l->CallInfo_func != ZS_ABSENT;
	struct zs_entry *frames = on_heap ? sight->frames : sight->entries;
	uint32_t n = on_heap ? sight->nframes : sight->n;
	int span = looker->frames;
	for (uint32_t i = 0; i < n; i++) {
		if (!wanted(looker, &frames[i]))
			continue;
		const unsigned char *bytes = span < looker->again ? zs_gathered(looker->gather, span) : NULL;
		span++;
		if (!bytes)
			continue;
		parse_frame(l, bytes, &frames[i].copy);
		frames[i].late = true;
	}
	sight->same = count_same(looker, sight);
	zs_look_learn(looker, sight);
}

bool zs_look_wants(const struct zs_looker *looker, const struct zs_sight *sight)
{
	bool on_heap = looker->layout->CallInfo_func != ZS_ABSENT;
	const struct zs_entry *frames = on_heap ? sight->frames : sight->entries;
	for (uint32_t i = 0, n = on_heap ? sight->nframes : sight->n; i < n; i++)
		if (wanted(looker, &frames[i]))
			return true;
	return false;
}

void zs_look_enough(struct zs_looker *looker, struct zs_sight *sight)
{
	sight->same = sight->n;
	zs_look_learn(looker, sight);
}
