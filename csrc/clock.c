#define _GNU_SOURCE
#include "clock.h"

#include <time.h>

uint64_t zs_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

// splitmix64
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void plan(struct zs_clock *clock)
{
	double within = (double)(next_random(&clock->random) >> 11) / 9007199254740992.0; // [0, 1)
	clock->due_ns = clock->start_ns + (uint64_t)(((double)clock->slot + within) * clock->period_ns);
}

void zs_clock_init(struct zs_clock *clock, double hz, uint64_t seed, uint64_t now_ns)
{
	*clock = (struct zs_clock){ .start_ns = now_ns, .period_ns = 1e9 / hz, .random = seed };
	plan(clock);
}

void zs_clock_restart(struct zs_clock *clock, uint64_t now_ns)
{
	clock->start_ns = now_ns;
	clock->slot = 0;
	plan(clock);
}

void zs_clock_advance(struct zs_clock *clock, uint64_t now_ns)
{
	uint64_t current = now_ns > clock->start_ns ? (uint64_t)((double)(now_ns - clock->start_ns) / clock->period_ns) : 0;
	clock->slot++;
	if (clock->slot < current) {
		clock->missed += current - clock->slot;
		clock->slot = current;
	}
	plan(clock);
}
