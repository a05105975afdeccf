// From addresses of Zeek's objects to what they are: functions (with their bodies) and places in scripts. Results are
// cached by address; before a cached result is used, the bytes it was made from are compared again, for functions of
// lambdas come and go by the thousand. The syntax tree and functions that globals name change so rarely that they are
// compared once in 20 ms, and a function's bodies, which ZAM replaces when it compiles them, once in a second.
#ifndef ZS_RESOLVE_H
#define ZS_RESOLVE_H

#include "gather.h"
#include "object.h"

struct zs_func_entry {
	uint64_t addr;
	uint32_t func;       // id; 0: not a function
	uint32_t round;      // in which it was last asked for
	uint32_t tries;      // at bodies that have no place
	int span;            // of its bytes in that round's gather
	int bodies_span;     // of its bodies, where they are compared in that round
	uint64_t bodies_begin, compared_ns; // where they are, and when they were compared last
	uint64_t checked_ns; // when its own bytes were compared last; 0 if they have to be again
	bool lasting;        // it has the name of a global, and so stays where it is
	unsigned char check[96]; // the bytes of kind, bodies, type and name that it was made from
};

struct zs_node_entry {
	uint64_t addr, location;
	struct zs_place place;
	uint32_t round;
	uint64_t compared_ns;
	int obj_span, location_span;
	bool callee_known;   // callee has been looked for
	uint64_t callee;     // of a call expression: the Func its name stands for, 0 if that cannot be told
	unsigned char check[24]; // filename, first_line, last_line
};

struct zs_address_map {
	uint64_t *keys;
	uint32_t *values; // index + 1 into the entries
	uint32_t capacity;
};

struct zs_resolver {
	struct zs_source source;
	uint32_t holes; // the source's
	const struct zs_target *target;
	struct zs_func_entry *funcs;
	struct zs_node_entry *nodes;
	uint32_t nfuncs, cfuncs, nnodes, cnodes;
	struct zs_address_map func_map, node_map;
	uint32_t round;
	uint64_t now_ns; // 0: nodes are always compared, as those of an image must be
	struct zs_body *bodies; // of the function being made
	uint32_t func_size; // bytes read of a Func, from its beginning
	uint64_t location_from;
	uint32_t location_size;
};

int zs_resolver_init(struct zs_resolver *resolver, struct zs_reader *reader, const struct zs_layout *layout,
                     const struct zs_target *target, struct zs_interner *interner);
void zs_resolver_deinit(struct zs_resolver *resolver);

// A round: ask for everything the stack refers to, read the gather, then take the answers. Entries of earlier rounds
// are dropped when there are too many of them, so indices hold for one round only.
void zs_resolver_begin(struct zs_resolver *resolver, uint64_t now_ns);
int zs_ask_func(struct zs_resolver *resolver, struct zs_gather *gather, uint64_t addr); // index, or -1
int zs_ask_node(struct zs_resolver *resolver, struct zs_gather *gather, uint64_t addr);
// ret: the function's id, 0 if there is none at that address.
int zs_take_func(struct zs_resolver *resolver, const struct zs_gather *gather, int index, uint32_t *ret,
                 struct zs_error *error);
int zs_take_node(struct zs_resolver *resolver, const struct zs_gather *gather, int index, struct zs_place *ret,
                 struct zs_error *error);
// zs_read_callee of a call expression that was asked for at some time, kept with it; 0 for any other address.
int zs_callee(struct zs_resolver *resolver, uint64_t call, uint64_t *ret, struct zs_error *error);

// Whether a function was found at addr before. Reads nothing.
bool zs_known_func(const struct zs_resolver *resolver, uint64_t addr);

#endif
