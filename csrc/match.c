// Which frame and which call belong to an entry of the call stack.
#include "walker.h"

// The entries from i on that are BiFs, which have no frames, called by the script entry below them: they share its fate.
static uint32_t called_from(const struct zs_walker *w, uint32_t i)
{
	while (i < w->sight.n && w->sight.entries[i].call && zs_kind_of(w, i) == ZS_KIND_BIF)
		i++;
	return i;
}

// Both stacks grow together, so they are matched from the top down by function; a frame is pushed before its entry, so there
// may be one too many on top.
uint32_t zs_match_frames(struct zs_walker *walker)
{
	struct zs_walker *w = walker;
	struct zs_sight *s = &w->sight;
	uint32_t left = s->nframes;
	bool first = true;
	for (uint32_t i = 0; i < s->n; i++)
		s->entries[i].copy.got = false;
	for (uint32_t i = s->n; i-- > 0;) {
		if (zs_kind_of(w, i) == ZS_KIND_BIF)
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

// A frame was copied before the header and after it, the entries a little later. Where these differ,
// something was called or left meanwhile. At the header's instant the entry was what two of them say: both copies, or one
// copy and the call. What a caller had called that is gone in the later copy is looked for in the earlier one first.
int zs_compare_copies(struct zs_walker *walker, struct zs_error *error)
{
	struct zs_walker *w = walker;
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
