// Shared by the core's translation units: failing, loading unaligned values, growing arrays. Nothing else.
#ifndef ZS_INTERNAL_H
#define ZS_INTERNAL_H

#include "zs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline int zs_fail(struct zs_error *error, int code, int errnum, uint64_t addr, const char *what)
{
	*error = (struct zs_error){ .code = code, .errnum = errnum, .addr = addr, .what = what };
	return code;
}

// Targets are little-endian, as every host zeekspy supports.
static inline uint64_t zs_load64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

static inline uint32_t zs_load32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

// An unsigned of 1, 2 or 4 bytes.
static inline uint32_t zs_load_sized(const void *p, int32_t size)
{
	uint32_t v = 0;
	memcpy(&v, p, (size_t)size);
	return v;
}

static inline uint32_t zs_min32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint64_t zs_min64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t zs_max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

// What a pointer of the target to an object can be at all: user space, aligned.
static inline bool zs_plausible(uint64_t addr) { return addr >= 4096 && addr < (UINT64_C(1) << 56) && addr % 8 == 0; }

// Makes room for n more elements; false when memory or the limit (in elements) is exhausted.
static inline bool zs_grow(void **array, uint32_t *capacity, uint32_t used, uint32_t n, uint32_t limit, size_t size)
{
	if (n > limit || used > limit - n)
		return false;
	if (used + n <= *capacity)
		return true;
	uint32_t wanted = *capacity ? *capacity * 2 : 64;
	while (wanted < used + n)
		wanted *= 2;
	void *grown = realloc(*array, wanted * size);
	if (!grown)
		return false;
	*array = grown;
	*capacity = wanted;
	return true;
}

#endif
