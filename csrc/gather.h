// Many small reads in one call: spans and the buffer they land in, both of fixed size.
#ifndef ZS_GATHER_H
#define ZS_GATHER_H

#include "internal.h"

enum { ZS_GATHER_SPANS = 4096, ZS_GATHER_BYTES = 1 << 19 };

struct zs_gather {
	struct zs_span spans[ZS_GATHER_SPANS];
	uint32_t n, used, done; // done: spans that have been read
	unsigned char bytes[ZS_GATHER_BYTES];
};

static inline void zs_gather_reset(struct zs_gather *gather) { gather->n = gather->used = gather->done = 0; }

// The span's index, or -1 when the gather is full.
static inline int zs_gather_add(struct zs_gather *gather, uint64_t addr, uint32_t len)
{
	if (gather->n == ZS_GATHER_SPANS || len > ZS_GATHER_BYTES - gather->used)
		return -1;
	gather->spans[gather->n] = (struct zs_span){ .addr = addr, .buf = gather->bytes + gather->used, .len = len };
	gather->used += (len + 7) & ~7u;
	return (int)gather->n++;
}

// Reads what was added since the last time.
static inline int zs_gather_read(struct zs_gather *gather, struct zs_reader *reader, struct zs_error *error)
{
	uint32_t first = gather->done;
	gather->done = gather->n;
	return first < gather->n ? zs_reader_read(reader, gather->spans + first, gather->n - first, error) : ZS_OK;
}

// The bytes of span i where all of them could be read, else NULL.
static inline const void *zs_gathered(const struct zs_gather *gather, int i)
{
	return i >= 0 && (uint32_t)i < gather->done && gather->spans[i].got == gather->spans[i].len ? gather->spans[i].buf : NULL;
}

#endif
