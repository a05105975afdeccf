// One stack: look, resolve what the entries refer to, leave out what is stale, intern the frames.
#include "clock.h"
#include "look.h"
#include "reader.h"
#include "resolve.h"

enum { MAX_FLOOR = 64, BARE_LOOKS = 3 };

struct decoded { // of one entry
	int func_index, call_index, stmt_index; // in the resolver's round
	uint32_t func;
	struct zs_place call, stmt;
	bool agreed; // from Zeek 8.1 on: its frame's copies, or one of them and the call, name the same function
	bool exact;  // its frame is known to be that of the first look
};

struct zs_walker {
	struct zs_reader *reader;
	struct zs_layout layout;
	struct zs_target target;
	struct zs_interner interner;
	struct zs_resolver resolver;
	struct zs_looker looker;
	struct zs_gather gather;
	struct zs_sight sight;
	struct decoded decoded[ZS_MAX_DEPTH];
	uint32_t frame_ids[ZS_MAX_DEPTH];
	// Entries at the bottom that were proven stale; nothing pops them, so they stay stale while they stay.
	struct zs_entry floor[MAX_FLOOR];
	uint32_t nfloor;
	struct zs_entry bare[MAX_FLOOR]; // entries without frames, as the last looks found them
	uint32_t nbare, bare_looks;
	uint32_t unknown_stack; // one unreadable frame
};

int zs_walker_create(struct zs_reader *reader, const struct zs_layout *layout, const struct zs_target *target,
                     struct zs_walker **ret, struct zs_error *error)
{
	int rc = zs_layout_validate(layout, error);
	if (rc < 0)
		return rc;
	if (!target->call_stack)
		return zs_fail(error, ZS_EINVAL, 0, 0, "call_stack");
	if (layout->CallInfo_func != ZS_ABSENT && !target->g_frame_stack)
		return zs_fail(error, ZS_EINVAL, 0, 0, "g_frame_stack");
	struct zs_walker *w = calloc(1, sizeof *w);
	if (!w)
		return zs_fail(error, ZS_ENOMEM, 0, 0, "walker");
	w->reader = reader;
	w->layout = *layout;
	w->target = *target;
	zs_looker_init(&w->looker, reader, &w->layout, &w->target, &w->gather);
	if (zs_interner_init(&w->interner) < 0 ||
	    zs_resolver_init(&w->resolver, reader, &w->layout, &w->target, &w->interner) < 0) {
		zs_walker_destroy(w);
		return zs_fail(error, ZS_ENOMEM, 0, 0, "walker");
	}
	struct zs_frame frame = { .flags = ZS_FRAME_UNREADABLE };
	uint32_t id = zs_intern_frame(&w->interner, &frame);
	w->unknown_stack = zs_intern_stack(&w->interner, &id, 1);
	*ret = w;
	return ZS_OK;
}

void zs_walker_destroy(struct zs_walker *walker)
{
	if (!walker)
		return;
	zs_resolver_deinit(&walker->resolver);
	zs_interner_deinit(&walker->interner);
	free(walker);
}

static bool has_funcs(const struct zs_walker *w) { return w->layout.CallInfo_func != ZS_ABSENT; }

// The Func of entry i as far as the stack itself says.
static uint64_t func_addr(const struct zs_walker *w, uint32_t i)
{
	const struct zs_entry *e = &w->sight.entries[i];
	return has_funcs(w) ? e->func : e->copy.got ? e->copy.function : 0;
}

static uint32_t kind_of(const struct zs_walker *w, uint32_t i)
{
	return w->decoded[i].func ? w->interner.funcs[w->decoded[i].func].kind : ZS_KIND_UNKNOWN;
}

// The entry's line is that of the statement being executed, not of a call: it is the innermost, or C++ lies between.
static bool executes(const struct zs_walker *w, uint32_t i) { return i + 1 == w->sight.n || !w->sight.entries[i + 1].call; }

// Asks for the functions, calls and statements of the entries that are known by now and were not asked for.
static void ask(struct zs_walker *w)
{
	struct zs_resolver *r = &w->resolver;
	// Until Zeek 8.0 it takes the functions to tell whose frame is whose, but the line wanted is that of one on top.
	for (uint32_t k = 0, n = w->sight.nframes; k < 2 && k < n; k++)
		if (w->sight.frames[n - 1 - k].copy.got)
			zs_ask_node(r, &w->gather, w->sight.frames[n - 1 - k].copy.next_stmt);
	for (uint32_t i = 0; i < w->sight.n; i++) {
		struct decoded *d = &w->decoded[i];
		const struct zs_entry *e = &w->sight.entries[i];
		if (d->call_index < 0)
			d->call_index = zs_ask_node(r, &w->gather, e->call);
		if (d->func_index < 0)
			d->func_index = zs_ask_func(r, &w->gather, func_addr(w, i));
		if (d->stmt_index < 0 && e->copy.got && executes(w, i))
			d->stmt_index = zs_ask_node(r, &w->gather, e->copy.next_stmt);
	}
}

// The entries from i on that are BiFs, which have no frames, called by the script entry below them: they share its fate.
static uint32_t called_from(const struct zs_walker *w, uint32_t i)
{
	while (i < w->sight.n && w->sight.entries[i].call && kind_of(w, i) == ZS_KIND_BIF)
		i++;
	return i;
}

// Until Zeek 8.0: gives every script entry its frame. Both stacks grow together, so they are matched from the top down by
// function; a frame is pushed before its entry, so there may be one too many on top. Returns the first entry from which
// on all script entries have frames.
static uint32_t match_frames(struct zs_walker *w)
{
	struct zs_sight *s = &w->sight;
	uint32_t left = s->nframes;
	bool first = true;
	for (uint32_t i = s->n; i-- > 0;) {
		if (kind_of(w, i) == ZS_KIND_BIF)
			continue;
		while (left && s->frames[left - 1].copy.got && !s->frames[left - 1].copy.function)
			left--; // statements outside any function, at start-up
		bool extra = first && left > 1 && s->frames[left - 1].copy.function != s->entries[i].func &&
		             s->frames[left - 2].copy.function == s->entries[i].func;
		left -= extra;
		first = false;
		if (!left || !s->frames[left - 1].copy.got || s->frames[left - 1].copy.function != s->entries[i].func)
			return called_from(w, i + 1);
		const struct zs_entry *frame = &s->frames[--left];
		s->entries[i].frame = frame->frame;
		s->entries[i].copy = frame->copy;
		s->entries[i].late = frame->late;
	}
	return 0;
}

// What the entry's function and frame say is of the first look: they were read along with the header, or the entry was
// still there afterwards.
static bool at_first_look(const struct zs_walker *w, uint32_t i)
{
	const struct zs_entry *e = &w->sight.entries[i];
	return has_funcs(w) || i < w->sight.same || (e->copy.got && !e->late);
}

static bool equal(const struct zs_entry *a, const struct zs_entry *b, bool funcs)
{
	return a->call == b->call && (funcs ? a->func == b->func : a->frame == b->frame);
}

// Until Zeek 8.0: how many of the outermost entries are stale because they have no frames. In a live target the two stacks
// are not read at quite the same time, so entries count only when several looks in a row found them so.
static uint32_t count_bare(struct zs_walker *w, uint32_t unmatched)
{
	const struct zs_sight *s = &w->sight;
	uint32_t same = 0;
	if (!w->target.pid)
		return unmatched;
	if (s->nframes && s->frames[0].copy.got && s->frames[0].copy.function == s->entries[0].func)
		unmatched = 0; // the outermost frame, which moves least, does fit
	while (same < w->nbare && same < s->n && equal(&w->bare[same], &s->entries[same], true))
		same++;
	if (s->same == s->n) { // a stack that moved meanwhile tells nothing
		same = zs_min32(same, unmatched);
		w->bare_looks = same && same == w->nbare ? w->bare_looks + 1 : 0;
		w->nbare = same ? same : zs_min32(unmatched, MAX_FLOOR);
		memcpy(w->bare, s->entries, w->nbare * sizeof *w->bare);
	}
	return w->bare_looks >= BARE_LOOKS && same == w->nbare ? same : 0;
}

// How many entries at the bottom belong to stacks that an exception has left behind.
static uint32_t count_stale(struct zs_walker *w, uint32_t unmatched)
{
	const struct zs_sight *s = &w->sight;
	uint32_t stale = 0;
	for (uint32_t i = 1; i < s->n; i++) {
		// Events are dispatched by C++ alone and never from within a script: what lies below one is no more.
		if (kind_of(w, i) == ZS_KIND_EVENT && !s->entries[i].call && at_first_look(w, i))
			stale = i;
		// Frames of live invocations lie at falling addresses of the C++ stack.
		if (!has_funcs(w) && s->entries[i].frame >= s->entries[i - 1].frame)
			stale = i;
	}
	uint32_t same = 0;
	while (same < w->nfloor && same < s->n && equal(&w->floor[same], &s->entries[same], has_funcs(w)))
		same++;
	if (same < w->nfloor)
		w->nfloor = 0;
	if (stale > w->nfloor && stale <= MAX_FLOOR && stale <= s->same) {
		memcpy(w->floor, s->entries, stale * sizeof *w->floor);
		w->nfloor = stale;
	}
	if (stale < w->nfloor)
		stale = w->nfloor;
	uint32_t bare = has_funcs(w) ? count_bare(w, unmatched) : 0;
	return bare > stale ? bare : stale;
}

// From Zeek 8.1 on: whether the function is the callee of the call as the entry has it, or else as the caller's frame had
// it; that call is then made the entry's.
static int agree(struct zs_walker *w, uint32_t i, uint64_t function, bool *ret, struct zs_error *error)
{
	struct zs_entry *e = &w->sight.entries[i];
	const struct zs_entry *caller = i ? e - 1 : NULL;
	uint64_t calls[] = { e->call, caller ? caller->copy.call : 0, caller ? caller->before.call : 0 };
	*ret = false;
	for (uint32_t k = 0; k < 3 && e->call && function && !*ret; k++) {
		uint64_t callee = 0;
		int rc = calls[k] ? zs_callee(&w->resolver, calls[k], &callee, error) : ZS_OK;
		if (rc < 0)
			return rc;
		*ret = callee == function;
		if (*ret && calls[k] != e->call) {
			e->call = calls[k];
			w->decoded[i].call_index = -1;
		}
	}
	return ZS_OK;
}

// From Zeek 8.1 on, a frame was copied before the header and after it, the entries a little later. Where these differ,
// something was called or left meanwhile. At the header's instant the entry was what two of them say: both copies, or one
// copy and the call. What a caller had called that is gone in the later copy is looked for in the earlier one first.
static int compare_copies(struct zs_walker *w, struct zs_error *error)
{
	bool earlier = false;
	uint64_t steady = 0; // what the caller's frame had called in both copies: nothing else can have been called between
	for (uint32_t i = 0; i < w->sight.n; i++) {
		struct zs_entry *e = &w->sight.entries[i];
		e->call = steady && e->call ? steady : e->call;
		const struct zs_frame_copy *order[] = { earlier ? &e->before : &e->copy, earlier ? &e->copy : &e->before };
		bool *agreed = &w->decoded[i].agreed;
		if (e->call)
			w->decoded[i].call_index = zs_ask_node(&w->resolver, &w->gather, e->call);
		steady = 0;
		if (!e->before.got || !e->copy.got)
			continue;
		bool same = e->copy.function == e->before.function && zs_known_func(&w->resolver, e->copy.function), before = false;
		for (uint32_t k = 0; k < 2 && !*agreed; k++) {
			int rc = agree(w, i, order[k]->function, agreed, error);
			if (rc < 0)
				return rc;
			before = *agreed && order[k] == &e->before;
		}
		if (!*agreed && !same && !e->call)
			before = zs_known_func(&w->resolver, e->before.function);
		*agreed |= same;
		if (same && e->before.call == e->copy.call && zs_plausible(e->copy.call))
			steady = e->copy.call;
		earlier |= before && !same;
		if (before)
			e->copy = e->before;
	}
	return ZS_OK;
}

// Decides what of an entry's frame is that of the first look. From Zeek 8.1 on the function, too, is known from the frame
// alone; where that has gone, the call expression names the function, and the line is lost.
static int settle(struct zs_walker *w, uint32_t i, struct zs_error *error)
{
	const struct zs_entry *e = &w->sight.entries[i];
	struct decoded *d = &w->decoded[i];
	uint64_t callee = 0;
	d->exact = e->copy.got && (i < w->sight.same || !e->late);
	if (has_funcs(w) || (d->func && (d->agreed || (d->exact && i < w->sight.same))))
		return ZS_OK;
	int rc = e->call ? zs_callee(&w->resolver, e->call, &callee, error) : ZS_OK;
	if (rc < 0)
		return rc;
	if (!callee) {
		d->func = d->exact ? d->func : 0;
		return ZS_OK;
	}
	if (e->copy.got && e->copy.function == callee && d->func)
		return ZS_OK;
	d->exact = false;
	int index = zs_ask_func(&w->resolver, &w->gather, callee);
	rc = zs_gather_read(&w->gather, w->reader, error);
	return rc < 0 ? rc : zs_take_func(&w->resolver, &w->gather, index, &d->func, error);
}

// Whether a statement can be one of the function's. In a live target a frame may be replaced between two of its fields.
static bool within(const struct zs_walker *w, uint32_t func, const struct zs_place *place)
{
	const struct zs_func *f = &w->interner.funcs[func];
	const struct zs_body *body = &w->interner.bodies[f->body];
	bool known = false;
	for (uint32_t i = 0; i < f->nbodies; i++) {
		known |= body[i].file != 0;
		if (body[i].file == place->file && place->first_line >= body[i].first_line &&
		    place->first_line <= body[i].last_line)
			return true;
	}
	return !known || !w->target.pid;
}

static uint32_t make_frame(struct zs_walker *w, uint32_t i, uint32_t *flags)
{
	const struct zs_entry *e = &w->sight.entries[i];
	const struct decoded *d = &w->decoded[i];
	struct zs_frame frame = { .func = d->func };
	// Dead frames may hold a null too, so this one must have been there at both looks.
	bool top_level = !d->func && !has_funcs(w) && e->copy.got && !e->copy.function && !e->call && i < w->sight.same;
	if (!d->func)
		frame.flags = top_level ? ZS_FRAME_TOP_LEVEL : ZS_FRAME_UNREADABLE;
	struct zs_place place = { 0 };
	bool bif = kind_of(w, i) == ZS_KIND_BIF;
	if (!executes(w, i)) {
		place = w->decoded[i + 1].call;
		// The entries may be copied while one replaces another: then call and caller do not belong together.
		if (d->func && place.file && w->sight.same < w->sight.n && !within(w, d->func, &place)) {
			place = (struct zs_place){ 0 };
			*flags |= ZS_LINELESS;
		}
		frame.flags |= place.file ? ZS_FRAME_CALL : 0;
	} else if (!bif && d->exact) {
		bool own = !d->func || !d->stmt.file || within(w, d->func, &d->stmt);
		place = own ? d->stmt : (struct zs_place){ 0 };
		*flags |= own ? 0 : ZS_LINELESS;
	} else if (!bif && d->func) {
		*flags |= ZS_LINELESS;
	}
	frame.file = place.file;
	frame.line = place.first_line;
	*flags |= frame.flags & ZS_FRAME_UNREADABLE ? ZS_UNREADABLE : 0;
	if (i >= w->sight.same && (*flags & (ZS_UNREADABLE | ZS_LINELESS) || (!has_funcs(w) && !d->agreed)))
		*flags |= ZS_TORN;
	return zs_intern_frame(&w->interner, &frame);
}

static int take(struct zs_walker *w, struct zs_error *error)
{
	for (uint32_t i = 0; i < w->sight.n; i++) {
		struct decoded *d = &w->decoded[i];
		int rc = zs_take_func(&w->resolver, &w->gather, d->func_index, &d->func, error);
		if (rc >= 0)
			rc = zs_take_node(&w->resolver, &w->gather, d->call_index, &d->call, error);
		if (rc >= 0)
			rc = zs_take_node(&w->resolver, &w->gather, d->stmt_index, &d->stmt, error);
		if (rc < 0)
			return rc;
	}
	return ZS_OK;
}

// Everything the sight's entries refer to; *unmatched as match_frames says.
static int resolve(struct zs_walker *w, uint32_t *unmatched, struct zs_error *error)
{
	struct zs_sight *s = &w->sight;
	for (uint32_t i = 0; i < s->n; i++)
		w->decoded[i] = (struct decoded){ .func_index = -1, .call_index = -1, .stmt_index = -1 };
	zs_gather_reset(&w->gather);
	zs_resolver_begin(&w->resolver, w->target.pid ? zs_now_ns() : 0);
	int rc = has_funcs(w) ? ZS_OK : compare_copies(w, error);
	if (rc < 0)
		return rc;
	ask(w);
	zs_look_ask_second(&w->looker, s);
	rc = zs_gather_read(&w->gather, w->reader, error);
	if (rc < 0)
		return rc;
	zs_look_second(&w->looker, s);
	*unmatched = 0;
	if (has_funcs(w)) {
		rc = take(w, error);
		if (rc < 0)
			return rc;
		*unmatched = match_frames(w);
	}
	ask(w);
	rc = zs_gather_read(&w->gather, w->reader, error);
	return rc < 0 ? rc : take(w, error);
}

int zs_walk(struct zs_walker *walker, struct zs_look *ret, struct zs_error *error)
{
	struct zs_walker *w = walker;
	struct zs_sight *s = &w->sight;
	uint32_t unmatched;
	uint32_t flags = 0;
	*ret = (struct zs_look){ 0 };
	int rc = zs_look_first(&w->looker, s, error);
	if (rc < 0)
		return rc;
	if (s->absurd) {
		*ret = (struct zs_look){ .stack = w->unknown_stack, .flags = ZS_UNREADABLE, .depth = 1 };
		return ZS_OK;
	}
	if (!s->n)
		return ZS_OK;
	rc = resolve(w, &unmatched, error);
	if (rc < 0)
		return rc;
	ret->stale = count_stale(w, unmatched);
	ret->depth = s->n - ret->stale;
	for (uint32_t i = ret->stale; i < s->n; i++) {
		rc = settle(w, i, error);
		if (rc < 0)
			return rc;
		w->frame_ids[i - ret->stale] = make_frame(w, i, &flags);
	}
	ret->stack = ret->depth ? zs_intern_stack(&w->interner, w->frame_ids, ret->depth) : 0;
	if (ret->depth && !ret->stack) // the interner is full; its overflow says so
		ret->stack = w->unknown_stack;
	ret->flags = flags | (ret->stale ? ZS_STALE : 0u) | (s->truncated ? ZS_TRUNCATED : 0u);
	return ZS_OK;
}

int zs_walker_define(struct zs_walker *walker, uint64_t addr, uint32_t *ret, struct zs_error *error)
{
	struct zs_resolver *r = &walker->resolver;
	*ret = 0;
	zs_gather_reset(&walker->gather);
	zs_resolver_begin(r, 0);
	int index = zs_ask_func(r, &walker->gather, addr);
	int rc = zs_gather_read(&walker->gather, walker->reader, error);
	return rc < 0 ? rc : zs_take_func(r, &walker->gather, index, ret, error);
}

void zs_walker_definitions(const struct zs_walker *walker, const struct zs_definitions *since, struct zs_definitions *ret)
{
	const struct zs_interner *in = &walker->interner;
	uint32_t string = since->first_string + since->nstrings, func = since->first_func + since->nfuncs;
	uint32_t frame = since->first_frame + since->nframes, stack = since->first_stack + since->nstacks;
	*ret = (struct zs_definitions){
		.first_string = string, .nstrings = in->nstrings - string, .strings = in->strings + string,
		.first_func = func, .nfuncs = in->nfuncs - func, .funcs = in->funcs + func,
		.first_frame = frame, .nframes = in->nframes - frame, .frames = in->frames + frame,
		.first_stack = stack, .nstacks = in->nstacks - stack, .stacks = in->stacks + stack,
		.bytes = in->bytes, .bodies = in->bodies, .frame_ids = in->frame_ids, .overflow = in->overflow,
	};
}

void zs_walker_reads(const struct zs_walker *walker, uint64_t *calls, uint64_t *bytes)
{
	*calls = walker->reader->calls;
	*bytes = walker->reader->bytes;
}
