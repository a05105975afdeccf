// When to look: an absolute schedule of equal slots, one look at a random moment within each, so that neither the work
// done in between nor a beat with the target's own timers shifts it.
#ifndef ZS_CLOCK_H
#define ZS_CLOCK_H

#include "internal.h"

struct zs_clock {
	uint64_t start_ns;
	double period_ns;
	uint64_t slot;   // the next one
	uint64_t due_ns; // the moment within it
	uint64_t missed; // slots that had passed before their look
	uint64_t random;
};

uint64_t zs_now_ns(void);
void zs_clock_init(struct zs_clock *clock, double hz, uint64_t seed, uint64_t now_ns);
// Begins anew at now_ns, with the period, the random state and the misses that it has.
void zs_clock_restart(struct zs_clock *clock, uint64_t now_ns);
// Moves on to the next slot that is not over at now_ns; slots skipped count as missed.
void zs_clock_advance(struct zs_clock *clock, uint64_t now_ns);

#endif
