// The walker on the clock: samples in runs, counters, and what each sample cost.
#define _GNU_SOURCE
#include "clock.h"
#include "task.h"

#include <sys/prctl.h>

enum { MAX_RUNS = 1 << 16 }; // a batch's; beyond that poll returns early

struct zs_sampler {
	struct zs_walker *walker;
	struct zs_task task;
	struct zs_clock clock;
	struct zs_stats stats;
	struct zs_definitions seen;
	struct zs_run *runs;
	uint32_t nruns, cruns;
	uint64_t cpu_ns;         // the thread's, when last read
	uint64_t pending_cpu_ns; // spent and not yet given to a sample
	uint64_t last_ns;
};

// Buckets of an eighth of an octave from 128 ns on: 256 of them reach beyond ten minutes.
enum { COST_BASE = 7, COST_STEPS = 8 };

uint64_t zs_cost_ns(uint32_t bucket)
{
	uint32_t octave = bucket / COST_STEPS, step = bucket % COST_STEPS;
	return bucket ? (UINT64_C(1) << (COST_BASE + octave)) / COST_STEPS * (COST_STEPS + step) : 0;
}

static uint32_t cost_bucket(uint64_t ns)
{
	if (ns < UINT64_C(1) << COST_BASE)
		return 0;
	uint32_t octave = 63u - (uint32_t)__builtin_clzll(ns);
	uint32_t step = (uint32_t)(ns >> (octave - 3)) & (COST_STEPS - 1);
	return zs_min32((octave - COST_BASE) * COST_STEPS + step, ZS_HISTOGRAM - 1);
}

int zs_sampler_create(struct zs_walker *walker, int pid, double hz, uint64_t seed, struct zs_sampler **ret,
                      struct zs_error *error)
{
	if (!(hz >= 0.001 && hz <= 100000))
		return zs_fail(error, ZS_EINVAL, 0, 0, "hz");
	struct zs_sampler *s = calloc(1, sizeof *s);
	if (!s)
		return zs_fail(error, ZS_ENOMEM, 0, 0, "sampler");
	s->walker = walker;
	int rc = zs_task_init(&s->task, pid, error);
	if (rc >= 0)
		rc = zs_task_cpu_ns(&s->task, &s->cpu_ns, error);
	if (rc < 0) {
		zs_sampler_destroy(s);
		return rc;
	}
	s->last_ns = zs_now_ns();
	zs_clock_init(&s->clock, hz, seed, s->last_ns);
	*ret = s;
	return ZS_OK;
}

void zs_sampler_destroy(struct zs_sampler *sampler)
{
	if (!sampler)
		return;
	zs_task_deinit(&sampler->task);
	free(sampler->runs);
	free(sampler);
}

// Adds the sample to the run before, if that saw the same.
static int add_run(struct zs_sampler *s, const struct zs_run *sample, struct zs_error *error)
{
	struct zs_run *last = s->nruns ? &s->runs[s->nruns - 1] : NULL;
	if (last && last->stack == sample->stack && last->flags == sample->flags) {
		last->count++;
		last->cpu_ns += sample->cpu_ns;
		last->wall_ns += sample->wall_ns;
		return ZS_OK;
	}
	if (!zs_grow((void **)&s->runs, &s->cruns, s->nruns, 1, MAX_RUNS, sizeof *s->runs))
		return zs_fail(error, ZS_ENOMEM, 0, 0, "runs");
	s->runs[s->nruns++] = *sample;
	return ZS_OK;
}

static void count(struct zs_stats *stats, const struct zs_run *sample, const struct zs_look *look)
{
	stats->samples++;
	if (sample->stack)
		stats->script++;
	else if (sample->flags & ZS_ON_CPU)
		stats->core++;
	else
		stats->idle++;
	stats->torn += !!(sample->flags & ZS_TORN);
	stats->unreadable += !!(sample->flags & ZS_UNREADABLE);
	stats->truncated += !!(sample->flags & ZS_TRUNCATED);
	stats->stale += look->stale;
}

static int sample_once(struct zs_sampler *s, struct zs_error *error)
{
	struct zs_look look;
	uint64_t cpu_ns, now = zs_now_ns();
	int rc = zs_walk(s->walker, &look, error);
	if (rc >= 0)
		rc = zs_task_cpu_ns(&s->task, &cpu_ns, error);
	if (rc < 0)
		return rc;
	uint64_t spent = cpu_ns > s->cpu_ns ? cpu_ns - s->cpu_ns : 0;
	s->cpu_ns = cpu_ns;
	s->pending_cpu_ns += spent;
	bool running = (look.stack && spent) || zs_task_running(&s->task);
	struct zs_run sample = { .t_ns = now, .wall_ns = now - s->last_ns, .stack = look.stack, .count = 1 };
	sample.flags = look.flags | (running ? ZS_ON_CPU : 0u);
	s->last_ns = now;
	s->stats.cpu_ns += spent;
	if (!s->stats.samples)
		s->stats.started_ns = now;
	s->stats.last_ns = now;
	count(&s->stats, &sample, &look);
	s->stats.cost[cost_bucket(zs_now_ns() - now)]++;
	return add_run(s, &sample, error);
}

// Gives the on-CPU time of the batch to the samples that found the thread on the CPU, by the wall time they stand for. The
// kernel brings its sum up to date at ticks and switches, which is too coarse, and too much in step with what the target
// does, to give single samples what was spent since the one before.
static void share_cpu(struct zs_sampler *s)
{
	uint64_t wall_ns = 0;
	for (uint32_t i = 0; i < s->nruns; i++)
		wall_ns += s->runs[i].flags & ZS_ON_CPU ? s->runs[i].wall_ns : 0;
	uint64_t cpu_ns = zs_min64(s->pending_cpu_ns, wall_ns), given = 0, before = 0;
	for (uint32_t i = 0; i < s->nruns; i++) {
		if (!(s->runs[i].flags & ZS_ON_CPU))
			continue;
		before += s->runs[i].wall_ns;
		uint64_t until = (uint64_t)((double)cpu_ns * ((double)before / (double)(wall_ns ? wall_ns : 1)));
		s->runs[i].cpu_ns = until - given;
		given = until;
	}
	s->pending_cpu_ns -= given;
}

int zs_sampler_poll(struct zs_sampler *sampler, uint64_t budget_ns, struct zs_batch *ret, struct zs_error *error)
{
	struct zs_sampler *s = sampler;
	uint64_t now = zs_now_ns(), until = now + budget_ns;
	int rc = ZS_OK;
	prctl(PR_SET_TIMERSLACK, 1); // of this thread; the default of 50 us would make every sample late
	s->nruns = 0;
	while (s->nruns < MAX_RUNS) {
		bool due = s->clock.due_ns <= until;
		if (zs_sleep_until(due ? s->clock.due_ns : until) != 0 || !due)
			break;
		rc = sample_once(s, error);
		if (rc < 0)
			break;
		zs_clock_advance(&s->clock, zs_now_ns());
	}
	share_cpu(s);
	s->stats.missed = s->clock.missed;
	zs_walker_reads(s->walker, &s->stats.reads, &s->stats.read_bytes);
	zs_walker_definitions(s->walker, &s->seen, &ret->definitions);
	s->seen = ret->definitions;
	s->stats.overflow = s->seen.overflow;
	ret->runs = s->runs;
	ret->nruns = s->nruns;
	return rc;
}

const struct zs_stats *zs_sampler_stats(const struct zs_sampler *sampler) { return &sampler->stats; }
