// Engines: what is done to the target, and to the thread that samples it, around each walk. All calls but zs_engine_init
// come from the sampling thread.
#ifndef ZS_ENGINE_H
#define ZS_ENGINE_H

#include "cpus.h"
#include "task.h"

enum { ZS_NOT_NOW = 1 }; // from begin: no sample this time

enum zs_running { ZS_RUNNING, ZS_BLOCKED }; // ZS_RUNNING: or ready to run

struct zs_hold { // one sample's
	struct zs_times before;
	enum zs_running running; // the target, right before the walk, and before it was stopped
	bool still;              // it does not run now
	bool stopped;            // because we stopped it by ptrace
	int signal;              // ptrace: to be passed on
};

struct zs_engine;

struct zs_engine_kind {
	const char *name;
	bool stops;                             // the target does not run during a walk
	bool knows;                             // whether it ran until then, or was only ready to
	int (*open)(struct zs_engine *engine, struct zs_error *error); // whether it can be used at all
	void (*enter)(struct zs_engine *engine); // prepares the thread
	int (*begin)(struct zs_engine *engine, struct zs_hold *ret, struct zs_error *error);
	// Lets the target go, if it was held; also where the walk failed.
	void (*release)(struct zs_engine *engine, struct zs_hold *hold);
	uint64_t (*rest)(struct zs_engine *engine); // between samples: when it wants to be called again, 0 for never
};

extern const struct zs_engine_kind zs_engine_nonblocking, zs_engine_preempt, zs_engine_ptrace;

struct zs_engine {
	const struct zs_engine_kind *kind;
	struct zs_task *task;
	struct zs_cpus cpus;
	bool entered;      // the thread has been prepared for this kind
	bool settled;      // cpus.allowed has been read
	bool realtime;     // the thread runs before all normal threads of its CPU
	int pinned;        // preempt: the CPU it is kept on, -1 for none
	bool asked;        // ptrace: attached, the stop has been asked for and not been seen yet
	long long preempted; // preempt: how often it had been at the last sample, -1 if not known
	uint64_t place_ns; // when to look again on which CPU the target runs
	uint64_t held;     // ptrace: how often the target was stopped
};

int zs_engine_init(struct zs_engine *engine, int kind, struct zs_task *task, struct zs_error *error);
int zs_engine_begin(struct zs_engine *engine, struct zs_hold *ret, struct zs_error *error);
void zs_engine_release(struct zs_engine *engine, struct zs_hold *hold);
// Whether the target did not run from begin to now, which is where after was read.
bool zs_engine_exact(const struct zs_engine *engine, const struct zs_hold *hold, const struct zs_times *after);
uint64_t zs_engine_rest(struct zs_engine *engine);
int zs_engine_running(struct zs_task *task, enum zs_running *ret, struct zs_error *error);
// About once a second: keeps the thread off the target's CPU.
void zs_engine_keep_off(struct zs_engine *engine);

#endif
