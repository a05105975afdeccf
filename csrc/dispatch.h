// Dispatches: events that Zeek handled for longer than it takes to look twice, found by its counter of dispatched events.
#ifndef ZS_DISPATCH_H
#define ZS_DISPATCH_H

#include "internal.h"

enum { ZS_MAX_DISPATCHES = 1 << 12 }; // finished ones that a batch holds

struct zs_dispatches {
	struct zs_dispatch now; // samples is 0 where no script ran at the last look
	uint64_t counter;       // as it was during now
	uint32_t bottom;        // now's outermost function, 0 while it is not known
	uint32_t votes;         // for now.stack, beyond those against it
	uint64_t last_ns;       // of the last look
	bool counted;           // the last look knew the counter
	struct zs_dispatch *done; // the batch's
	uint32_t ndone, cdone;
	uint64_t overflow;
};

// Of a batch: those of the last are forgotten.
void zs_dispatches_begin(struct zs_dispatches *dispatches);
// What a look at t_ns has seen; looks come in order.
void zs_dispatches_see(struct zs_dispatches *dispatches, uint64_t t_ns, const struct zs_look *look);
void zs_dispatches_deinit(struct zs_dispatches *dispatches);

#endif
