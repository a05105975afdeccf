// What the kernel says of the target's main thread: its on-CPU time and whether it runs. Zeek runs all script code there.
#ifndef ZS_TASK_H
#define ZS_TASK_H

#include "internal.h"

struct zs_task {
	int schedstat_fd; // -1 where the kernel keeps no schedstat
	int stat_fd;
};

int zs_task_init(struct zs_task *task, int pid, struct zs_error *error);
void zs_task_deinit(struct zs_task *task);
// On-CPU nanoseconds since the thread began. The kernel brings the sum up to date at ticks and switches, so a single
// difference is coarse while the total is right. ZS_EGONE once the thread has gone.
int zs_task_cpu_ns(struct zs_task *task, uint64_t *ret, struct zs_error *error);
// Whether it is running or ready to run; true where that cannot be told.
bool zs_task_running(struct zs_task *task);

#endif
