// The least a sample from outside can cost: one process_vm_readv of 16 bytes at ADDRESS, after the wake-ups that zeekspy
// has too. Prints the median and the 90th percentile in microseconds. usage: floor PID ADDRESS HZ SECONDS
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>

enum { MOST = 2000000 };

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static uint64_t took[MOST];
	if (argc != 5)
		return 2;
	char buf[16];
	struct iovec local = { buf, sizeof buf };
	struct iovec remote = { (void *)strtoull(argv[2], NULL, 10), sizeof buf };
	pid_t pid = atoi(argv[1]);
	uint64_t period = (uint64_t)(1e9 / atof(argv[3])), began = now_ns(), n = 0;
	uint64_t until = began + (uint64_t)(1e9 * atof(argv[4]));
	for (uint64_t due = began; due < until && n < MOST; due += period) {
		struct timespec ts = { (time_t)(due / 1000000000u), (long)(due % 1000000000u) };
		if (due > now_ns())
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
		uint64_t start = now_ns();
		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) != sizeof buf)
			return 1;
		took[n++] = now_ns() - start;
	}
	qsort(took, n, sizeof *took, compare);
	printf("%.3f %.3f\n", (double)took[n / 2] / 1e3, (double)took[n * 9 / 10] / 1e3);
	return 0;
}
