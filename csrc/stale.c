// Entries that an exception in Zeek has left on the call stack: found, to be left out.
#include "walker.h"

enum { BARE_LOOKS = 3 };

// What the entry's function and frame say is of the first look: they were read along with the header, or the entry was
// still there afterwards.
static bool at_first_look(const struct zs_walker *w, uint32_t i)
{
	const struct zs_entry *e = &w->sight.entries[i];
	return zs_has_funcs(w) || i < w->sight.same || (e->copy.got && !e->late);
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
		w->nbare = same ? same : zs_min32(unmatched, ZS_MAX_FLOOR);
		memcpy(w->bare, s->entries, w->nbare * sizeof *w->bare);
	}
	return w->bare_looks >= BARE_LOOKS && same == w->nbare ? same : 0;
}

uint32_t zs_count_stale(struct zs_walker *walker, uint32_t unmatched)
{
	struct zs_walker *w = walker;
	const struct zs_sight *s = &w->sight;
	uint32_t stale = 0;
	for (uint32_t i = 1; i < s->n; i++) {
		// Events are dispatched by C++ alone and never from within a script: what lies below one is no more.
		if (zs_kind_of(w, i) == ZS_KIND_EVENT && !s->entries[i].call && at_first_look(w, i))
			stale = i;
		// Frames of live invocations lie at falling addresses of the C++ stack.
		if (!zs_has_funcs(w) && s->entries[i].frame >= s->entries[i - 1].frame)
			stale = i;
	}
	uint32_t same = 0;
	while (same < w->nfloor && same < s->n && equal(&w->floor[same], &s->entries[same], zs_has_funcs(w)))
		same++;
	if (same < w->nfloor)
		w->nfloor = 0;
	if (stale > w->nfloor && stale <= ZS_MAX_FLOOR && stale <= s->same) {
		memcpy(w->floor, s->entries, stale * sizeof *w->floor);
		w->nfloor = stale;
	}
	if (stale < w->nfloor)
		stale = w->nfloor;
	uint32_t bare = zs_has_funcs(w) ? count_bare(w, unmatched) : 0;
	return bare > stale ? bare : stale;
}

void zs_walker_leave_below(struct zs_walker *walker, uint64_t sp)
{
	const struct zs_sight *s = &walker->sight;
	uint32_t dead = 0;
	if (zs_has_funcs(walker) || s->truncated)
		return;
	while (dead < s->n && s->entries[dead].frame < sp)
		dead++;
	if (dead > walker->nfloor && dead <= ZS_MAX_FLOOR) {
		memcpy(walker->floor, s->entries, dead * sizeof *walker->floor);
		walker->nfloor = dead;
	}
}
