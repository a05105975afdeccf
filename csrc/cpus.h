// On which CPU the sampling thread runs: away from the target's, or there and nowhere else.
#ifndef ZS_CPUS_H
#define ZS_CPUS_H

#include "internal.h"

#ifndef ZS_CFFI
#include <sched.h>
#endif

struct zs_cpus {
	cpu_set_t allowed; // where this thread was allowed to run at first
	cpu_set_t avoid;   // where others should not be disturbed
	bool known;        // allowed is: false where there are more CPUs than a cpu_set_t has
};

void zs_cpus_init(struct zs_cpus *cpus);
// Keeps the calling thread off that CPU, and off those to avoid; where that leaves none, off that CPU alone; where that
// leaves none either, anywhere it may run. Never outside what it was allowed.
void zs_cpus_keep_off(const struct zs_cpus *cpus, int cpu);
// The same for several CPUs that looks are taken at in turn.
void zs_cpus_keep_off_all(const struct zs_cpus *cpus, const cpu_set_t *busy);
// Moves the calling thread to that CPU, where it stays; false if it may not run there.
bool zs_cpus_follow(int cpu);

#endif
