#define _GNU_SOURCE
#include "cpus.h"

void zs_cpus_init(struct zs_cpus *cpus)
{
	cpus->known = sched_getaffinity(0, sizeof cpus->allowed, &cpus->allowed) == 0;
}

void zs_cpus_keep_off(const struct zs_cpus *cpus, int cpu)
{
	cpu_set_t busy;
	CPU_ZERO(&busy);
	if (cpu >= 0 && cpu < CPU_SETSIZE)
		CPU_SET(cpu, &busy);
	zs_cpus_keep_off_all(cpus, &busy);
}

void zs_cpus_keep_off_all(const struct zs_cpus *cpus, const cpu_set_t *busy)
{
	if (!cpus->known)
		return;
	cpu_set_t away = cpus->allowed, wanted;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, busy))
			CPU_CLR(i, &away);
	wanted = away;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &cpus->avoid))
			CPU_CLR(i, &wanted);
	if (CPU_COUNT(&wanted) == 0)
		wanted = CPU_COUNT(&away) ? away : cpus->allowed;
	// A CPU may have gone offline: then the kernel knows better.
	sched_setaffinity(0, sizeof wanted, &wanted);
}

bool zs_cpus_follow(int cpu)
{
	cpu_set_t one;
	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof one, &one) == 0;
}
