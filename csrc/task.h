// What the kernel says of the target's main thread: its on-CPU time and whether it runs. Zeek runs all script code there.
#ifndef ZS_TASK_H
#define ZS_TASK_H

#include "internal.h"

// The files are opened once. Their descriptors stand for that one process and fail with ESRCH once it has been collected
// by its parent, which is before its pid can be given to another. So a read that succeeds says that whatever was done by
// pid before it was done to this process and no other: a sample counts only if zs_task_times succeeds after its walk.
struct zs_task {
	int pid;
	int schedstat_fd; // -1 where the kernel keeps no schedstat
	int stat_fd, status_fd; // status_fd: -1 where it cannot be read
	uint64_t stack_start; // of the program that ran at first; 0 if not told
};

struct zs_times {
	uint64_t cpu_ns; // on-CPU time since the thread began
	uint64_t waited_ns; // time it was ready to run and had no CPU; 0 where the kernel does not count
	uint64_t slices; // how often it was given a CPU; 0 where the kernel does not count
};

struct zs_state {
	char state; // R running or ready to run, S or D blocked, T stopped, t traced, ...
	int cpu;    // where it runs, or ran last; -1 if not told
	int parent; // its parent's pid
};

int zs_task_init(struct zs_task *task, int pid, struct zs_error *error);
void zs_task_deinit(struct zs_task *task);
// The kernel brings cpu_ns up to date at ticks and switches, so a single difference is coarse while the total is right.
// ZS_EGONE once the thread has gone.
int zs_task_times(const struct zs_task *task, struct zs_times *ret, struct zs_error *error);
// ZS_EGONE also when it has exited, or another program has taken its place.
int zs_task_state(struct zs_task *task, struct zs_state *ret, struct zs_error *error);
// Of all times the thread gave up its CPU, the share that it did so of its own accord, by blocking; 1 if not told.
// held: how often it was us who took it.
double zs_task_yielded(const struct zs_task *task, uint64_t held);
// How often it had to give up its CPU to another thread while it ran; -1 if not told.
long long zs_task_preempted(const struct zs_task *task);
// The user stack pointer of the thread, if it is blocked; 0 if it is not or that cannot be told.
uint64_t zs_task_stack_pointer(const struct zs_task *task);
// The pid of the process that traces it, 0 if none does or that cannot be told.
int zs_task_tracer(const struct zs_task *task);

#endif
