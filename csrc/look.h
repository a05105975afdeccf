// One look at the call stack: the vector's header, its entries and the frames, as far as they can be had in the same
// instant. The header decides how deep the stack is; nothing is ever read again in the hope of a quieter moment, for
// that would favour functions that run long.
#ifndef ZS_LOOK_H
#define ZS_LOOK_H

#include "gather.h"

struct zs_frame_copy { // of a Frame, at some instant
	uint64_t function, next_stmt, call;
	bool got;
};

struct zs_entry { // of the call stack, outermost first
	uint64_t call, func, frame; // func: until Zeek 8.0; frame: its address, from 8.1 on
	struct zs_frame_copy copy;   // of the frame, as soon after the header's as could be
	struct zs_frame_copy before; // from Zeek 8.1 on: and before it
	bool late; // the copy is of the second look
};

struct zs_sight {
	struct zs_entry entries[ZS_MAX_DEPTH];
	struct zs_entry frames[ZS_MAX_DEPTH + 1]; // until Zeek 8.0: g_frame_stack, outermost first
	uint32_t n, nframes;
	uint32_t same; // entries that were still there at the second look; n if nothing had changed
	uint64_t dispatched; // the counter of events, as of the header's instant or little before
	bool counted;
	bool absurd;   // the header was none
	bool truncated;
};

enum { ZS_WINDOW_BLOCKS = 4096, ZS_RECENT = 8 };

struct zs_looker {
	struct zs_reader *reader;
	const struct zs_layout *layout;
	const struct zs_target *target;
	struct zs_gather *gather;
	// Where things were last time: read along with the header, used where they still are there.
	uint64_t entries_at, frames_at;
	uint32_t guess;
	uint64_t recent[ZS_RECENT]; // until Zeek 8.0: the frames of the last looks, the latest first
	uint32_t nrecent;
	uint64_t window_low, window_high; // from Zeek 8.1 on: the part of the C++ stack where frames lie
	uint16_t blocks[ZS_WINDOW_BLOCKS]; // how often they were seen in each block of it, counted from the top
	uint32_t nseen;
	// In the gather of the look under way:
	int headers[2], entries, frames, recent_span; // headers: spans of call_stack's and g_frame_stack's
	int counter; // span that holds the counter of dispatched events
	int before, window; // the window's, before the header and after it
	int again, entries_again;
	uint64_t begin;
	uint32_t skipped;
};

void zs_looker_init(struct zs_looker *looker, struct zs_reader *reader, const struct zs_layout *layout,
                    const struct zs_target *target, struct zs_gather *gather);
// Fills in everything but same and the frames that were not where they had been expected.
int zs_look_first(struct zs_looker *looker, struct zs_sight *ret, struct zs_error *error);
// Asks for those frames and for the header and entries once more; the gather is to be read by the caller, with whatever
// else it has asked for, and then given to zs_look_second.
void zs_look_ask_second(struct zs_looker *looker, struct zs_sight *sight);
void zs_look_second(struct zs_looker *looker, struct zs_sight *sight);
// Whether a second look could find frames that the first has not.
bool zs_look_wants(const struct zs_looker *looker, const struct zs_sight *sight);
// Instead of a second look, where nothing more is to be known.
void zs_look_enough(struct zs_looker *looker, struct zs_sight *sight);
// Remembers where the sight's frames lay, for the next look (learn.c).
void zs_look_learn(struct zs_looker *looker, const struct zs_sight *sight);

// The bytes of a Frame that are read: the fields wanted with what lies between.
static inline uint32_t zs_frame_from(const struct zs_layout *l)
{
	int32_t from = l->Frame_function < l->Frame_next_stmt ? l->Frame_function : l->Frame_next_stmt;
	return (uint32_t)(l->Frame_call != ZS_ABSENT && l->Frame_call < from ? l->Frame_call : from);
}

static inline uint32_t zs_frame_size(const struct zs_layout *l)
{
	int32_t last = l->Frame_function > l->Frame_next_stmt ? l->Frame_function : l->Frame_next_stmt;
	return (uint32_t)(l->Frame_call > last ? l->Frame_call : last) + 8 - zs_frame_from(l);
}

static inline bool zs_may_be_frame(const struct zs_looker *looker, uint64_t addr)
{
	const struct zs_target *t = looker->target;
	bool on_stack = looker->layout->CallInfo_frame != ZS_ABSENT;
	return zs_plausible(addr) && (!on_stack || !t->stack_high || (addr >= t->stack_low && addr < t->stack_high));
}

#endif
