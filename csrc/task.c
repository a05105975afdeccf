#define _GNU_SOURCE
#include "task.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int open_task_file(int pid, const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int zs_task_init(struct zs_task *task, int pid, struct zs_error *error)
{
	task->schedstat_fd = open_task_file(pid, "schedstat");
	task->stat_fd = open_task_file(pid, "stat");
	if (task->stat_fd >= 0)
		return ZS_OK;
	int errnum = errno;
	zs_task_deinit(task);
	if (errnum == ENOENT || errnum == ESRCH)
		return zs_fail(error, ZS_EGONE, errnum, 0, "/proc/PID/task/PID/stat");
	return zs_fail(error, errnum == EACCES || errnum == EPERM ? ZS_EPERM : ZS_ESYS, errnum, 0,
	               "/proc/PID/task/PID/stat");
}

void zs_task_deinit(struct zs_task *task)
{
	if (task->schedstat_fd >= 0)
		close(task->schedstat_fd);
	if (task->stat_fd >= 0)
		close(task->stat_fd);
	task->schedstat_fd = task->stat_fd = -1;
}

// The file's first bytes as a string; its length, or -1 once the thread has gone.
static ssize_t read_start(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

// The fields of stat behind the command's name, which may itself hold blanks and parentheses.
static const char *behind_name(const char *stat)
{
	const char *end = strrchr(stat, ')');
	return end && end[1] == ' ' ? end + 2 : NULL;
}

int zs_task_cpu_ns(struct zs_task *task, uint64_t *ret, struct zs_error *error)
{
	char buf[512];
	if (task->schedstat_fd >= 0) {
		if (read_start(task->schedstat_fd, buf, sizeof buf) <= 0)
			return zs_fail(error, ZS_EGONE, ESRCH, 0, "/proc/PID/task/PID/schedstat");
		*ret = strtoull(buf, NULL, 10);
		return ZS_OK;
	}
	if (read_start(task->stat_fd, buf, sizeof buf) <= 0)
		return zs_fail(error, ZS_EGONE, ESRCH, 0, "/proc/PID/task/PID/stat");
	const char *p = behind_name(buf);
	unsigned long long user, system;
	if (!p || sscanf(p, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
		return zs_fail(error, ZS_ESYS, EINVAL, 0, "/proc/PID/task/PID/stat");
	*ret = (user + system) * (1000000000u / (unsigned long)sysconf(_SC_CLK_TCK));
	return ZS_OK;
}

bool zs_task_running(struct zs_task *task)
{
	char buf[512];
	const char *p = read_start(task->stat_fd, buf, sizeof buf) > 0 ? behind_name(buf) : NULL;
	return !p || *p == 'R';
}
