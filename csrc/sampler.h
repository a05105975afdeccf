// A sampler's inside, for those that have it look: its own thread (sampler.c), or one it shares (crew.c).
#ifndef ZS_SAMPLER_H
#define ZS_SAMPLER_H

#include "clock.h"
#include "dispatch.h"
#include "engine.h"
#include "thread.h"

enum { ZS_MAX_RUNS = 1 << 16 }; // a batch's; beyond that poll returns early

struct zs_sampler {
	struct zs_walker *walker;
	struct zs_task task;
	struct zs_engine engine;
	struct zs_thread thread;
	struct zs_clock clock;
	struct zs_look last; // what the last walk saw
	uint64_t slices;     // of the CPU that the thread had been given at the last look
	bool blocked;        // the thread was, once that had been read
	bool unchanged;      // and already before the walk that saw last: while slices stays, so does what it saw
	uint64_t asked_slices; // slices when the stack pointer was last asked for
	bool in_crew; // looks when its crew does, not by its own clock
	struct zs_stats stats, reported; // as they are, and as they were at the end of the last poll
	struct zs_dispatches dispatches;
	struct zs_definitions seen;
	struct zs_run *runs;
	uint32_t nruns, cruns;
	uint64_t cpu_ns;         // the thread's, when last read
	uint64_t pending_cpu_ns; // spent and not yet given to a sample
	uint64_t waited_ns, batch_waited_ns; // for a CPU: when last read, and in the batch
	uint64_t held, batch_held_ns;        // how often we have taken its CPU from it, and for how long in the batch
	uint64_t last_ns;
	uint64_t earliest_ns; // of the next sample
	uint64_t late;        // looks that the engine put off
	bool begun;           // there was a poll
	bool going;           // the thread has gone on after the last poll; what it brings belongs to the next one
	int rc;               // of the poll, with its error
	struct zs_error error;
};

void zs_sampler_begin(struct zs_sampler *sampler); // of a poll
// One look now, from the calling thread, without an engine.
int zs_sampler_look(struct zs_sampler *sampler, struct zs_error *error);
// Of a poll: what it has brought.
void zs_sampler_end(struct zs_sampler *sampler, struct zs_batch *ret);

#endif
