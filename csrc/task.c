#define _GNU_SOURCE
#include "task.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { STATUS = 4096 }; // more bytes than a status file has

// Fields of /proc/PID/stat (proc(5)) as counted there.
enum { STATE = 3, PARENT = 4, USER_TICKS = 14, SYSTEM_TICKS = 15, STACK_START = 28, CPU = 39 };

static const char stat_name[] = "/proc/PID/task/PID/stat";

static int open_task_file(int pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int zs_task_init(struct zs_task *task, int pid, struct zs_error *error)
{
	*task = (struct zs_task){ .pid = pid };
	task->schedstat_fd = open_task_file(pid, "schedstat");
	task->status_fd = open_task_file(pid, "status");
	task->stat_fd = open_task_file(pid, "stat"); // the last, for its errno
	if (task->stat_fd >= 0) {
		struct zs_state state;
		return zs_task_state(task, &state, error);
	}
	int errnum = errno;
	zs_task_deinit(task);
	if (errnum == ENOENT || errnum == ESRCH)
		return zs_fail(error, ZS_EGONE, errnum, 0, stat_name);
	return zs_fail(error, errnum == EACCES || errnum == EPERM ? ZS_EPERM : ZS_ESYS, errnum, 0, stat_name);
}

void zs_task_deinit(struct zs_task *task)
{
	int fds[] = { task->schedstat_fd, task->status_fd, task->stat_fd };
	for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	task->schedstat_fd = task->status_fd = task->stat_fd = -1;
}

// The file's first bytes as a string; its length, or -1 once the thread has gone.
static ssize_t read_start(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

// Goes on from field number *at, where text is, to the field wanted; NULL if there is none.
static const char *field(const char *text, int *at, int wanted)
{
	for (; text && *at < wanted; ++*at) {
		text = strchr(text, ' ');
		text += !!text;
	}
	return text;
}

// From the state on: the field before it, the command's name, may itself hold blanks and parentheses.
static const char *read_stat(const struct zs_task *task, char *buf, size_t size, struct zs_error *error)
{
	if (read_start(task->stat_fd, buf, size) <= 0) {
		zs_fail(error, ZS_EGONE, ESRCH, 0, stat_name);
		return NULL;
	}
	const char *end = strrchr(buf, ')');
	if (!end || end[1] != ' ')
		zs_fail(error, ZS_ESYS, EINVAL, 0, stat_name);
	return end && end[1] == ' ' ? end + 2 : NULL;
}

int zs_task_times(const struct zs_task *task, struct zs_times *ret, struct zs_error *error)
{
	char buf[1024], *end;
	if (task->schedstat_fd >= 0) {
		if (read_start(task->schedstat_fd, buf, sizeof buf) <= 0)
			return zs_fail(error, ZS_EGONE, ESRCH, 0, "/proc/PID/task/PID/schedstat");
		ret->cpu_ns = strtoull(buf, &end, 10);
		ret->waited_ns = strtoull(end, &end, 10);
		ret->slices = strtoull(end, NULL, 10);
		return ZS_OK;
	}
	int at = STATE;
	const char *user = read_stat(task, buf, sizeof buf, error);
	if (!user)
		return error->code;
	user = field(user, &at, USER_TICKS);
	const char *system = field(user, &at, SYSTEM_TICKS);
	if (!system)
		return zs_fail(error, ZS_ESYS, EINVAL, 0, stat_name);
	uint64_t ticks = strtoull(user, NULL, 10) + strtoull(system, NULL, 10);
	*ret = (struct zs_times){ .cpu_ns = ticks * (1000000000u / (unsigned long)sysconf(_SC_CLK_TCK)) };
	return ZS_OK;
}

int zs_task_state(struct zs_task *task, struct zs_state *ret, struct zs_error *error)
{
	char buf[1024];
	int at = STATE;
	const char *p = read_stat(task, buf, sizeof buf, error);
	if (!p)
		return error->code;
	ret->state = *p;
	if (*p == 'Z' || *p == 'X')
		return zs_fail(error, ZS_EGONE, ESRCH, 0, "exit");
	p = field(p, &at, PARENT);
	ret->parent = p ? atoi(p) : 0;
	p = field(p, &at, STACK_START);
	uint64_t start = p ? strtoull(p, NULL, 10) : 0; // 0 also where we may not know
	if (task->stack_start && start && start != task->stack_start)
		return zs_fail(error, ZS_EGONE, 0, 0, "exec");
	if (!task->stack_start)
		task->stack_start = start;
	p = field(p, &at, CPU);
	ret->cpu = p ? atoi(p) : -1;
	return ZS_OK;
}

// The number behind a name in the status file; -1 if it is not there.
static long long status_number(const char *status, const char *name)
{
	const char *line = strstr(status, name);
	return line ? strtoll(line + strlen(name), NULL, 10) : -1;
}

double zs_task_yielded(const struct zs_task *task, uint64_t held)
{
	char buf[STATUS];
	read_start(task->status_fd, buf, sizeof buf);
	long long yes = status_number(buf, "\nvoluntary_ctxt_switches:"), no = status_number(buf, "\nnonvoluntary_ctxt_switches:");
	no -= (long long)zs_min64(held, no > 0 ? (uint64_t)no : 0);
	return yes >= 0 && no >= 0 && yes + no > 0 ? (double)yes / (double)(yes + no) : 1;
}

long long zs_task_preempted(const struct zs_task *task)
{
	char buf[STATUS];
	read_start(task->status_fd, buf, sizeof buf);
	return status_number(buf, "\nnonvoluntary_ctxt_switches:");
}

int zs_task_tracer(const struct zs_task *task)
{
	char buf[STATUS];
	read_start(task->status_fd, buf, sizeof buf);
	long long pid = status_number(buf, "\nTracerPid:");
	return pid > 0 ? (int)pid : 0;
}

uint64_t zs_task_stack_pointer(const struct zs_task *task)
{
	char buf[512];
	int fd = open_task_file(task->pid, "syscall");
	ssize_t n = fd >= 0 ? read_start(fd, buf, sizeof buf) : -1;
	if (fd >= 0)
		close(fd);
	// The last two of its numbers are the stack pointer and the program counter (proc(5)); "running" has none.
	char *pc = n > 0 ? strrchr(buf, ' ') : NULL;
	if (!pc)
		return 0;
	*pc = '\0';
	const char *sp = strrchr(buf, ' ');
	return sp ? strtoull(sp, NULL, 16) : 0;
}
