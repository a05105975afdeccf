// Preloaded: clocks that go wrong. FAST: how many times as fast CLOCK_MONOTONIC runs. JUMP: by how many seconds the time of
// day jumps to and fro.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double fast = 1, jump;
static struct timespec origin;

static void real(clockid_t clock, struct timespec *ts) { syscall(SYS_clock_gettime, clock, ts); }

__attribute__((constructor)) static void begin(void)
{
	if (getenv("FAST"))
		fast = atof(getenv("FAST"));
	if (getenv("JUMP"))
		jump = atof(getenv("JUMP"));
	real(CLOCK_MONOTONIC, &origin);
}

static double since_origin(const struct timespec *ts)
{
	return (double)(ts->tv_sec - origin.tv_sec) + 1e-9 * (double)(ts->tv_nsec - origin.tv_nsec);
}

static void set(struct timespec *ts, double since)
{
	double ns = (double)origin.tv_nsec + since * 1e9;
	long long whole = (long long)ns;
	ts->tv_sec = origin.tv_sec + (time_t)(whole / 1000000000);
	ts->tv_nsec = (long)(whole % 1000000000);
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	long rc = syscall(SYS_clock_gettime, clock, ts);
	if (rc == 0 && clock == CLOCK_MONOTONIC)
		set(ts, fast * since_origin(ts));
	if (rc == 0 && clock == CLOCK_REALTIME && jump != 0) {
		struct timespec now;
		real(CLOCK_MONOTONIC, &now);
		ts->tv_sec += (time_t)((int)(since_origin(&now) * 5) % 2 ? jump : -jump);
	}
	return (int)rc;
}

// The waits of the C core: absolute, on CLOCK_MONOTONIC.
long syscall(long nr, ...)
{
	static long (*next)(long, ...);
	va_list args;
	long a[6];
	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	const struct timespec *asked = (const struct timespec *)a[3];
	struct timespec until;
	if (nr == SYS_futex && asked && fast != 1) {
		set(&until, since_origin(asked) / fast);
		a[3] = (long)&until;
	}
	return next(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}
