// Reads Zeek's objects of one address space: places, names, bodies. Nothing is trusted: every pointer, length and count
// is bounded, and what cannot be such an object reads as nothing. Negative only when the target is lost.
#ifndef ZS_OBJECT_H
#define ZS_OBJECT_H

#include "intern.h"

enum { ZS_MAX_BODIES = 1024 };

// Reads that one walk may make for objects: more than any Zeek needs even when nothing is known yet, few enough that a
// memory full of lies costs a fraction of a second. What is left then reads as nothing.
enum { ZS_MAX_READS = 1 << 17 };

struct zs_source {
	struct zs_reader *reader;
	const struct zs_layout *layout;
	struct zs_interner *interner;
	uint64_t last_call; // the reader's count of calls at which no more are made
	uint32_t *holes;    // counts what could not be read, or was not what it should be
};

struct zs_place { // where a statement or call expression stands; file 0 if it has no location
	uint32_t file, first_line, last_line;
};

// The bytes that are read of a Location: zs_location_size of them, from offset zs_location_from.
int32_t zs_location_from(const struct zs_layout *layout);
int32_t zs_location_size(const struct zs_layout *layout);

// 1 if all len bytes at addr could be read, 0 if not.
int zs_fetch(const struct zs_source *source, uint64_t addr, void *buf, uint32_t len, struct zs_error *error);
// A place from the bytes of a Location, as above.
int zs_read_place(const struct zs_source *source, const unsigned char *bytes, struct zs_place *ret,
                  struct zs_error *error);
// The string whose std::string object lies at addr with the bytes given; 0 if it is no name.
int zs_read_name(const struct zs_source *source, uint64_t addr, const unsigned char *object, uint32_t *ret,
                 struct zs_error *error);
// The bodies of a std::vector<Func::Body>, at most ZS_MAX_BODIES. 1, or 0 if it is no such vector.
int zs_read_bodies(const struct zs_source *source, uint64_t begin, uint64_t end, struct zs_body *bodies, uint32_t *count,
                   struct zs_error *error);
// The Func that a call expression names in the syntax tree, 0 if it names a variable or anything else.
int zs_read_callee(const struct zs_source *source, uint64_t call, uint64_t *ret, struct zs_error *error);

#endif
