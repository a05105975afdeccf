// The walker's parts: what is known of the stack under way, shared by the steps that decode it. walk.c goes through them,
// match.c says which frame and which call belong to an entry, stale.c which entries are of stacks that are no more.
#ifndef ZS_WALKER_H
#define ZS_WALKER_H

#include "look.h"
#include "resolve.h"

enum { ZS_MAX_FLOOR = 64, ZS_TOP = 2 };

struct zs_decoded { // of one entry
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
	struct zs_decoded decoded[ZS_MAX_DEPTH];
	int top_index[ZS_TOP]; // in the resolver's round: what the frames on top execute, the innermost first
	uint32_t frame_ids[ZS_MAX_DEPTH];
	// Entries at the bottom that were proven stale; nothing pops them, so they stay stale while they stay.
	struct zs_entry floor[ZS_MAX_FLOOR];
	uint32_t nfloor;
	struct zs_entry bare[ZS_MAX_FLOOR]; // entries without frames, as the last looks found them
	uint32_t nbare, bare_looks;
	uint32_t unknown_stack; // one unreadable frame
};

static inline bool zs_has_funcs(const struct zs_walker *w) { return w->layout.CallInfo_func != ZS_ABSENT; }

// The Func of entry i as far as the stack itself says.
static inline uint64_t zs_func_addr(const struct zs_walker *w, uint32_t i)
{
	const struct zs_entry *e = &w->sight.entries[i];
	return zs_has_funcs(w) ? e->func : e->copy.got ? e->copy.function : 0;
}

static inline uint32_t zs_kind_of(const struct zs_walker *w, uint32_t i)
{
	return w->decoded[i].func ? w->interner.funcs[w->decoded[i].func].kind : ZS_KIND_UNKNOWN;
}

// The entry's line is that of the statement being executed, not of a call: it is the innermost, or C++ lies between.
static inline bool zs_executes(const struct zs_walker *w, uint32_t i)
{
	return i + 1 == w->sight.n || !w->sight.entries[i + 1].call;
}

// Until Zeek 8.0: gives every script entry its frame. Returns the first entry from which on all script entries have one.
uint32_t zs_match_frames(struct zs_walker *walker);
// From Zeek 8.1 on: decides which copy of a frame, and which call, is that of the header's instant.
int zs_compare_copies(struct zs_walker *walker, struct zs_error *error);
// How many entries at the bottom belong to stacks that an exception has left behind; unmatched as zs_match_frames says.
uint32_t zs_count_stale(struct zs_walker *walker, uint32_t unmatched);

#endif
