// The sampling thread sleeps on the CPU that the target's main thread ran on last. By waking up there it has taken the
// CPU from it: while it walks, the target stands still, at no more cost than a context switch.
#define _GNU_SOURCE
#include "engine.h"

#include <sched.h>

enum { FOLLOWS = 3 }; // attempts at a target that moves from CPU to CPU

static bool is_realtime(int policy)
{
	policy &= ~SCHED_RESET_ON_FORK;
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

// SCHED_FIFO 1, above all normal threads, so that the wake-up is not put off; above the target's own priority where it has
// one. Refused without CAP_SYS_NICE or a limit on RLIMIT_RTPRIO, and then the scheduler decides when. Looks take tens of
// microseconds and are spaced by what they took (sampler.c), so nothing starves.
static void enter(struct zs_engine *engine)
{
	int wanted = 1, pid = engine->task->pid;
	struct sched_param param;
	if (is_realtime(sched_getscheduler(pid)) && sched_getparam(pid, &param) == 0)
		wanted = param.sched_priority < sched_get_priority_max(SCHED_FIFO) ? param.sched_priority + 1 : param.sched_priority;
	engine->pinned = -1;
	engine->preempted = -1;
	engine->realtime = is_realtime(sched_getscheduler(0)) && sched_getparam(0, &param) == 0 && param.sched_priority >= wanted;
	if (engine->realtime)
		return;
	param.sched_priority = wanted;
	engine->realtime = sched_setscheduler(0, SCHED_FIFO, &param) == 0;
}

// Whether we took the CPU from it, or it was only ready to run: woken up, as the timer that woke us up often wakes it, or
// while an idle CPU came to itself, and had not got it yet.
static bool did_run(struct zs_engine *engine)
{
	long long before = engine->preempted;
	engine->preempted = zs_task_preempted(engine->task);
	return before < 0 || engine->preempted < 0 || engine->preempted != before;
}

static int begin(struct zs_engine *engine, struct zs_hold *hold, struct zs_error *error)
{
	for (int i = 0;; i++) {
		struct zs_state state;
		// In this order: a CPU that it is given after the state was read changes the number of slices.
		int rc = zs_task_times(engine->task, &hold->before, error);
		if (rc >= 0)
			rc = zs_task_state(engine->task, &state, error);
		if (rc < 0)
			return rc;
		hold->running = state.state == 'R' ? ZS_RUNNING : ZS_BLOCKED;
		// We run on this CPU, and nowhere else, so it does not.
		hold->still = engine->pinned == state.cpu && sched_getcpu() == state.cpu;
		if (hold->still && hold->running == ZS_RUNNING && !did_run(engine))
			hold->running = ZS_BLOCKED;
		if (hold->still || i == FOLLOWS || !zs_cpus_follow(state.cpu))
			return ZS_OK;
		engine->pinned = state.cpu;
	}
}

const struct zs_engine_kind zs_engine_preempt = { .name = "preempt", .stops = true, .knows = true, .enter = enter, .begin = begin };
