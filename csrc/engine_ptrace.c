// Stops the target's main thread by ptrace for the length of a walk: PTRACE_SEIZE, PTRACE_INTERRUPT, wait, PTRACE_DETACH.
//
// It is attached for each sample anew and left alone in between. So the target is not traced while we sleep: its signals
// reach it without us, job control, exec and exit are what they always are, a debugger can attach, and no thread has to
// wait for what it does. A signal that comes in during the few microseconds of a walk is passed on with the detach. If
// we die, the kernel detaches. Never PTRACE_ATTACH, which sends a SIGSTOP; PTRACE_INTERRUPT sends no signal.
//
// A blocked target is not stopped but read as it is: it changes nothing while it sleeps, and being stopped would make some
// system calls return EINTR (epoll_wait, and the others of signal(7) that are not restarted after a stop). That can
// happen only when it blocks between our reading its state and its stop, which is a matter of a microsecond. What it
// computes is stopped at the next instruction; system calls that it is in run to their end first.
#define _GNU_SOURCE
#include "clock.h"
#include "engine.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

enum {
	SPIN_NS = 100000,     // the stop takes a few microseconds, and waking up from a wait takes longer
	NAP_NS = 50000,       // then it is out of its CPU's turn, or in a system call
	PATIENCE_NS = 100000000,
	ATTEND_NS = 1000000,  // a target that still has to stop is not left alone for longer
};

static int open_engine(struct zs_engine *engine, struct zs_error *error)
{
	int tracer = zs_task_tracer(engine->task);
	return tracer ? zs_fail(error, ZS_EPERM, EBUSY, (uint64_t)tracer, "ptrace") : ZS_OK;
}

// Attaches and asks for the stop.
static int ask(struct zs_engine *engine, struct zs_error *error)
{
	int pid = engine->task->pid;
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0) {
		if (errno == ESRCH)
			return zs_fail(error, ZS_EGONE, errno, 0, "PTRACE_SEIZE");
		if (errno != EPERM)
			return zs_fail(error, ZS_ESYS, errno, 0, "PTRACE_SEIZE");
		if (engine->held || zs_task_tracer(engine->task)) // a debugger has it now
			return ZS_NOT_NOW;
		return zs_fail(error, ZS_EPERM, errno, 0, "PTRACE_SEIZE");
	}
	engine->asked = true;
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
		return zs_fail(error, errno == ESRCH ? ZS_EGONE : ZS_ESYS, errno, 0, "PTRACE_INTERRUPT");
	return ZS_OK;
}

// Whether it has stopped: 1 yes, 0 not yet. *signal is what it was about to receive. WEXITED is not asked for: if the
// target is a child of ours, its status is for whoever started it.
static int stopped(const struct zs_engine *engine, int *signal, struct zs_error *error)
{
	siginfo_t info = { 0 };
	if (waitid(P_PID, (id_t)engine->task->pid, &info, WSTOPPED | WNOHANG | __WALL) < 0)
		return errno == EINTR ? 0 : zs_fail(error, ZS_EGONE, errno, 0, "waitid");
	if (!info.si_pid)
		return 0;
	bool trap = info.si_status >> 8 == PTRACE_EVENT_STOP; // our interrupt, or a stop by job control
	*signal = trap ? 0 : info.si_status & 0x7f;
	return 1;
}

static void let_go(struct zs_engine *engine, int signal)
{
	// ESRCH: killed meanwhile. A target that job control has stopped stays stopped.
	ptrace(PTRACE_DETACH, engine->task->pid, NULL, (void *)(intptr_t)signal);
	engine->asked = false;
}

static void nap(uint64_t ns)
{
	struct timespec ts = { .tv_nsec = (long)ns };
	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

static int await(struct zs_engine *engine, int *signal, struct zs_error *error)
{
	uint64_t began = zs_now_ns(), now = began;
	for (unsigned i = 1; now - began < PATIENCE_NS; i++, now = zs_now_ns()) {
		int rc = stopped(engine, signal, error);
		if (rc)
			return rc;
		if (now - began > SPIN_NS)
			nap(NAP_NS);
		if (i % 64 == 0) { // a zombie never stops
			struct zs_state state;
			rc = zs_task_state(engine->task, &state, error);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int begin(struct zs_engine *engine, struct zs_hold *hold, struct zs_error *error)
{
	struct zs_state state;
	zs_engine_keep_off(engine);
	int rc = zs_task_times(engine->task, &hold->before, error);
	if (rc >= 0)
		rc = zs_task_state(engine->task, &state, error);
	if (rc < 0)
		return rc;
	hold->running = state.state == 'R' ? ZS_RUNNING : ZS_BLOCKED;
	if (!engine->asked && state.state != 'R') {
		hold->still = true;
		return ZS_OK;
	}
	if (!engine->asked)
		rc = ask(engine, error);
	if (rc != ZS_OK)
		return rc;
	rc = await(engine, &hold->signal, error);
	if (rc < 0)
		return rc;
	if (rc == 0)
		return ZS_NOT_NOW;
	engine->held++;
	hold->still = hold->stopped = true;
	return ZS_OK;
}

static void release(struct zs_engine *engine, struct zs_hold *hold)
{
	if (hold->stopped)
		let_go(engine, hold->signal);
}

// A target that did not stop in time does so later, and must not have to wait for the next sample.
static uint64_t rest(struct zs_engine *engine)
{
	struct zs_error ignored;
	int signal = 0;
	if (!engine->asked)
		return 0;
	int rc = stopped(engine, &signal, &ignored);
	if (rc > 0)
		let_go(engine, signal);
	return engine->asked && rc >= 0 ? zs_now_ns() + ATTEND_NS : 0;
}

const struct zs_engine_kind zs_engine_ptrace = {
	.name = "ptrace", .stops = true, .open = open_engine, .begin = begin, .release = release, .rest = rest,
};
