// One stack: look, resolve what the entries refer to, leave out what is stale, intern the frames.
#include "clock.h"
#include "reader.h"
#include "walker.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

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
#ifdef __GLIBC__
	// A walker has megabytes that most targets never touch. calloc leaves them so as long as it gets them from the kernel,
	// which glibc gives up, if it is not told to go on, once the first walker has been freed.
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
#endif
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

// Asks for the functions, calls and statements of the entries that are known by now and were not asked for.
static void ask(struct zs_walker *w)
{
	struct zs_resolver *r = &w->resolver;
	// Until Zeek 8.0 it takes the functions to tell whose frame is whose, but the line wanted is that of one on top.
	for (uint32_t k = 0, n = w->sight.nframes; k < ZS_TOP && k < n; k++)
		if (w->top_index[k] < 0 && w->sight.frames[n - 1 - k].copy.got)
			w->top_index[k] = zs_ask_node(r, &w->gather, w->sight.frames[n - 1 - k].copy.next_stmt);
	for (uint32_t i = 0; i < w->sight.n; i++) {
		struct zs_decoded *d = &w->decoded[i];
		const struct zs_entry *e = &w->sight.entries[i];
		if (d->call_index < 0)
			d->call_index = zs_ask_node(r, &w->gather, e->call);
		if (d->func_index < 0)
			d->func_index = zs_ask_func(r, &w->gather, zs_func_addr(w, i));
		if (d->stmt_index < 0 && e->copy.got && zs_executes(w, i))
			d->stmt_index = zs_ask_node(r, &w->gather, e->copy.next_stmt);
	}
}

// Decides what of an entry's frame is that of the first look. From Zeek 8.1 on the function, too, is known from the frame
// alone; where that has gone, the call expression names the function, and the line is lost.
static int settle(struct zs_walker *w, uint32_t i, struct zs_error *error)
{
	const struct zs_entry *e = &w->sight.entries[i];
	struct zs_decoded *d = &w->decoded[i];
	uint64_t callee = 0;
	d->exact = e->copy.got && (i < w->sight.same || !e->late);
	if (zs_has_funcs(w) || (d->func && (d->agreed || (d->exact && i < w->sight.same))))
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

// Whether an entry's function can have made the call of the entry that follows it. The entries may be copied while one
// replaces another: then call and caller do not belong together. (Code that ZAM has inlined calls from elsewhere, too.)
static bool calls_from_within(const struct zs_walker *w, uint32_t i)
{
	const struct zs_place *place = &w->decoded[i + 1].call;
	return !w->decoded[i].func || !place->file || within(w, w->decoded[i].func, place);
}

static uint32_t make_frame(struct zs_walker *w, uint32_t i, uint32_t *flags)
{
	const struct zs_entry *e = &w->sight.entries[i];
	const struct zs_decoded *d = &w->decoded[i];
	struct zs_frame frame = { .func = d->func };
	// Dead frames may hold a null too, so this one must have been there at both looks.
	bool top_level = !d->func && !zs_has_funcs(w) && e->copy.got && !e->copy.function && !e->call && i < w->sight.same;
	if (!d->func)
		frame.flags = top_level ? ZS_FRAME_TOP_LEVEL : ZS_FRAME_UNREADABLE;
	struct zs_place place = { 0 };
	bool bif = zs_kind_of(w, i) == ZS_KIND_BIF;
	if (!zs_executes(w, i)) {
		place = w->decoded[i + 1].call;
		if (w->sight.same < w->sight.n && !calls_from_within(w, i)) {
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
	if (i >= w->sight.same && (*flags & (ZS_UNREADABLE | ZS_LINELESS) || (!zs_has_funcs(w) && !d->agreed)))
		*flags |= ZS_TORN;
	return zs_intern_frame(&w->interner, &frame);
}

static int take(struct zs_walker *w, struct zs_error *error)
{
	struct zs_place unused;
	for (uint32_t k = 0; k < ZS_TOP; k++) { // so that they are known the next time
		int rc = zs_take_node(&w->resolver, &w->gather, w->top_index[k], &unused, error);
		if (rc < 0)
			return rc;
	}
	for (uint32_t i = 0; i < w->sight.n; i++) {
		struct zs_decoded *d = &w->decoded[i];
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

// Whether the first look is enough: all that the entries refer to is known and needs not be compared again, and their
// parts, which were copied one after the other, belong together.
static int is_enough(struct zs_walker *w, bool *ret, struct zs_error *error)
{
	*ret = false;
	if (w->gather.n || w->sight.truncated || zs_look_wants(&w->looker, &w->sight))
		return ZS_OK;
	int rc = take(w, error);
	if (rc < 0 || (zs_has_funcs(w) && zs_match_frames(w) > 0))
		return rc < 0 ? rc : ZS_OK;
	ask(w);
	if (w->gather.n)
		return ZS_OK;
	for (uint32_t i = 0; i < w->sight.n; i++)
		if (!w->decoded[i].func || !(zs_has_funcs(w) || w->decoded[i].agreed))
			return ZS_OK;
	rc = take(w, error);
	for (uint32_t i = 0; rc >= 0 && i < w->sight.n; i++)
		if (!zs_executes(w, i) && !calls_from_within(w, i))
			return ZS_OK;
	*ret = rc >= 0;
	return rc;
}

// Everything the sight's entries refer to; *unmatched as zs_match_frames says.
static int resolve(struct zs_walker *w, uint32_t *unmatched, struct zs_error *error)
{
	struct zs_sight *s = &w->sight;
	for (uint32_t i = 0; i < s->n; i++)
		w->decoded[i] = (struct zs_decoded){ .func_index = -1, .call_index = -1, .stmt_index = -1 };
	for (uint32_t k = 0; k < ZS_TOP; k++)
		w->top_index[k] = -1;
	zs_gather_reset(&w->gather);
	zs_resolver_begin(&w->resolver, w->target.pid ? zs_now_ns() : 0);
	int rc = zs_has_funcs(w) ? ZS_OK : zs_compare_copies(w, error);
	if (rc < 0)
		return rc;
	ask(w);
	*unmatched = 0;
	bool enough;
	rc = is_enough(w, &enough, error);
	if (rc < 0 || enough) {
		zs_look_enough(&w->looker, s);
		return rc < 0 ? rc : ZS_OK;
	}
	zs_look_ask_second(&w->looker, s);
	rc = zs_gather_read(&w->gather, w->reader, error);
	if (rc < 0)
		return rc;
	zs_look_second(&w->looker, s);
	if (zs_has_funcs(w)) {
		rc = take(w, error);
		if (rc < 0)
			return rc;
		*unmatched = zs_match_frames(w);
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
	ret->counted = s->counted;
	ret->dispatched = s->dispatched;
	if (s->absurd) {
		ret->stack = w->unknown_stack;
		ret->flags = ZS_UNREADABLE;
		ret->depth = 1;
		return ZS_OK;
	}
	if (!s->n)
		return ZS_OK;
	rc = resolve(w, &unmatched, error);
	if (rc < 0)
		return rc;
	ret->stale = zs_count_stale(w, unmatched);
	ret->depth = s->n - ret->stale;
	for (uint32_t i = ret->stale; i < s->n; i++) {
		rc = settle(w, i, error);
		if (rc < 0)
			return rc;
		w->frame_ids[i - ret->stale] = make_frame(w, i, &flags);
	}
	ret->stack = ret->depth ? zs_intern_stack(&w->interner, w->frame_ids, ret->depth) : 0;
	ret->bottom = ret->depth && !s->truncated ? w->interner.frames[w->frame_ids[0]].func : 0;
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
