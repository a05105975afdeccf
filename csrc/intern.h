// Strings, functions, frames and stacks, each stored once. Ids are dense and never change; 0 is "none".
// Bounded: past the limits an id of 0 comes back and overflow counts it.
#ifndef ZS_INTERN_H
#define ZS_INTERN_H

#include "internal.h"

struct zs_table { // a hash index over one of the arrays
	struct zs_slot {
		uint32_t hash, id;
	} *slots;
	uint32_t capacity, used; // capacity is a power of two
};

struct zs_interner {
	char *bytes;
	struct zs_string *strings;
	struct zs_func *funcs;
	struct zs_body *bodies;
	struct zs_frame *frames;
	struct zs_stack *stacks;
	uint32_t *frame_ids;
	uint32_t nbytes, nstrings, nfuncs, nbodies, nframes, nstacks, nframe_ids;
	uint32_t cbytes, cstrings, cfuncs, cbodies, cframes, cstacks, cframe_ids;
	struct zs_table string_table, func_table, frame_table, stack_table;
	uint64_t overflow;
};

int zs_interner_init(struct zs_interner *interner);
void zs_interner_deinit(struct zs_interner *interner);

uint32_t zs_intern_string(struct zs_interner *interner, const char *bytes, uint32_t len);
// bodies: func->nbodies of them; func->body is ignored.
uint32_t zs_intern_func(struct zs_interner *interner, const struct zs_func *func, const struct zs_body *bodies);
uint32_t zs_intern_frame(struct zs_interner *interner, const struct zs_frame *frame);
uint32_t zs_intern_stack(struct zs_interner *interner, const uint32_t *frame_ids, uint32_t depth);

#endif
