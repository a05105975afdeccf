// The walker on the clock, within an engine: samples in runs, counters, and what each sample cost.
#define _GNU_SOURCE
#include "sampler.h"

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

static void sample_until(void *arg);
static uint64_t rest(void *arg);

int zs_sampler_create(struct zs_walker *walker, int pid, int engine, double hz, uint64_t seed, struct zs_sampler **ret,
                      struct zs_error *error)
{
	if (!(hz >= 0.001 && hz <= 100000))
		return zs_fail(error, ZS_EINVAL, 0, 0, "hz");
	struct zs_sampler *s = calloc(1, sizeof *s);
	if (!s)
		return zs_fail(error, ZS_ENOMEM, 0, 0, "sampler");
	s->walker = walker;
	zs_thread_init(&s->thread, sample_until, rest, s);
	int rc = zs_task_init(&s->task, pid, error);
	if (rc >= 0)
		rc = zs_engine_init(&s->engine, engine, &s->task, error);
	if (rc < 0) {
		zs_sampler_destroy(s);
		return rc;
	}
	zs_clock_init(&s->clock, hz, seed, zs_now_ns());
	*ret = s;
	return ZS_OK;
}

int zs_sampler_use(struct zs_sampler *sampler, int engine, struct zs_error *error)
{
	struct zs_engine other;
	int rc = zs_engine_init(&other, engine, &sampler->task, error);
	if (rc < 0)
		return rc;
	zs_thread_wait(&sampler->thread, 1);
	zs_thread_end(&sampler->thread); // what the engine did to its thread, or holds by it, ends with that thread
	other.cpus.avoid = sampler->engine.cpus.avoid;
	sampler->engine = other;
	if (sampler->in_crew) { // its own clock has stood still
		zs_clock_restart(&sampler->clock, zs_now_ns());
		sampler->in_crew = false;
	}
	return ZS_OK;
}

void zs_sampler_avoid(struct zs_sampler *sampler, const uint32_t *cpus, size_t n)
{
	cpu_set_t *avoid = &sampler->engine.cpus.avoid;
	CPU_ZERO(avoid);
	for (size_t i = 0; i < n; i++)
		if (cpus[i] < CPU_SETSIZE)
			CPU_SET(cpus[i], avoid);
}

int zs_sampler_set_hz(struct zs_sampler *sampler, double hz, struct zs_error *error)
{
	if (!(hz >= 0.001 && hz <= 100000))
		return zs_fail(error, ZS_EINVAL, 0, 0, "hz");
	zs_thread_wait(&sampler->thread, 1);
	sampler->clock.period_ns = 1e9 / hz;
	zs_clock_restart(&sampler->clock, zs_now_ns());
	return ZS_OK;
}

void zs_sampler_destroy(struct zs_sampler *sampler)
{
	if (!sampler)
		return;
	zs_thread_wait(&sampler->thread, 1);
	zs_thread_end(&sampler->thread);
	zs_task_deinit(&sampler->task);
	zs_dispatches_deinit(&sampler->dispatches);
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
	if (!zs_grow((void **)&s->runs, &s->cruns, s->nruns, 1, ZS_MAX_RUNS, sizeof *s->runs))
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
	stats->lineless += !!(sample->flags & ZS_LINELESS);
	stats->truncated += !!(sample->flags & ZS_TRUNCATED);
	stats->stale += look->stale;
}

// A script seldom blocks, so where one seems to run in a blocked thread, its frames are compared with the stack pointer.
static void leave_out_dead(struct zs_sampler *s)
{
	struct zs_times times;
	struct zs_error ignored;
	uint64_t sp = s->asked_slices == s->slices ? 0 : zs_task_stack_pointer(&s->task);
	s->asked_slices = s->slices;
	if (!sp || zs_task_times(&s->task, &times, &ignored) < 0 || times.slices != s->slices)
		return;
	zs_walker_leave_below(s->walker, sp);
	s->unchanged = false; // it is to be walked again
}

// What the walk saw of the target it was meant for, at the moment now. known: its times, where there was no walk since they
// were read; else NULL.
static int take(struct zs_sampler *s, uint64_t now, const struct zs_hold *hold, const struct zs_look *look,
                const struct zs_times *known, struct zs_error *error)
{
	struct zs_times times = known ? *known : (struct zs_times){ 0 };
	bool running = hold->running == ZS_RUNNING;
	int rc = known ? ZS_OK : zs_task_times(&s->task, &times, error);
	uint64_t spent = rc >= 0 && times.cpu_ns > s->cpu_ns ? times.cpu_ns - s->cpu_ns : 0;
	struct zs_state state;
	if (rc >= 0 && look->flags & ZS_UNREADABLE) // another program may have taken its place
		rc = zs_task_state(&s->task, &state, error);
	if (rc < 0)
		return rc;
	s->cpu_ns = times.cpu_ns;
	bool same = times.slices && times.slices == s->slices;
	s->unchanged = s->blocked && same;
	s->blocked = !running && hold->before.slices == times.slices; // and was all the time since its state was read
	s->slices = times.slices;
	s->pending_cpu_ns += spent;
	uint64_t waited = times.waited_ns > s->waited_ns ? times.waited_ns - s->waited_ns : 0;
	s->waited_ns = times.waited_ns;
	s->batch_waited_ns += waited;
	s->stats.waited_ns += waited;
	bool moved = s->engine.kind->stops && !zs_engine_exact(&s->engine, hold, &times);
	struct zs_run sample = { .t_ns = now, .wall_ns = now - s->last_ns, .stack = look->stack, .count = 1 };
	sample.flags = look->flags | (running ? ZS_ON_CPU : 0u) | (moved ? ZS_TORN : 0u);
	s->last_ns = now;
	s->stats.cpu_ns += spent;
	s->stats.seen_ns += running ? sample.wall_ns : 0;
	if (!s->stats.samples)
		s->stats.started_ns = now;
	s->stats.last_ns = now;
	count(&s->stats, &sample, look);
	zs_dispatches_see(&s->dispatches, now, look);
	if (!running && same && look->stack) // blocked since its state was read, which was before the walk
		leave_out_dead(s);
	return add_run(s, &sample, error);
}

int zs_sampler_look(struct zs_sampler *s, struct zs_error *error)
{
	struct zs_hold hold = { .running = ZS_BLOCKED };
	uint64_t now = zs_now_ns();
	int rc = zs_task_times(&s->task, &hold.before, error);
	bool asleep = rc >= 0 && s->unchanged && hold.before.slices == s->slices; // since it was seen blocked, and walked then
	if (rc >= 0 && !asleep)
		rc = zs_engine_running(&s->task, &hold.running, error);
	if (rc >= 0 && !asleep)
		rc = zs_walk(s->walker, &s->last, error);
	if (rc >= 0)
		rc = take(s, now, &hold, &s->last, asleep ? &hold.before : NULL, error);
	if (rc >= 0)
		s->stats.cost[cost_bucket(zs_now_ns() - now)]++;
	return rc;
}

static int sample_once(struct zs_sampler *s, struct zs_error *error)
{
	struct zs_hold hold;
	struct zs_look look;
	uint64_t began = zs_now_ns();
	int rc = zs_engine_begin(&s->engine, &hold, error);
	s->stats.realtime = s->engine.realtime;
	if (rc == ZS_NOT_NOW)
		s->late++;
	if (rc != ZS_OK)
		return rc;
	uint64_t now = zs_now_ns();
	rc = zs_walk(s->walker, &look, error);
	zs_engine_release(&s->engine, &hold);
	if (rc >= 0)
		rc = take(s, now, &hold, &look, NULL, error);
	if (rc < 0)
		return rc;
	uint64_t ended = zs_now_ns();
	s->stats.cost[cost_bucket(ended - began)]++;
	if (s->engine.kind->stops && hold.running == ZS_RUNNING) {
		s->held++;
		s->batch_held_ns += ended - began;
	}
	// A target that is kept from running by looking has at least as long to run before the next look.
	s->earliest_ns = s->engine.kind->stops ? ended + (ended - now) : 0;
	return ZS_OK;
}

// The share of the wall time of samples with an empty stack, of those that found the thread on the CPU or waiting for
// one, in which it only waited, having been woken. It blocks nearly always outside of any script, so these are the samples
// that saw it wait; when it is made to wait in the middle of its work, by another thread, any sample may have.
static double waiting_share(const struct zs_sampler *s)
{
	uint64_t ready_ns = 0, blocked_ns = 0, blocked_empty_ns = 0;
	for (uint32_t i = 0; i < s->nruns; i++) {
		const struct zs_run *run = &s->runs[i];
		bool blocked = !(run->flags & ZS_ON_CPU);
		ready_ns += blocked || run->stack ? 0 : run->wall_ns;
		blocked_ns += blocked ? run->wall_ns : 0;
		blocked_empty_ns += blocked && !run->stack ? run->wall_ns : 0;
	}
	if (s->engine.kind->knows || s->batch_waited_ns <= s->batch_held_ns || !ready_ns)
		return 0;
	double outside = blocked_ns ? (double)blocked_empty_ns / (double)blocked_ns : 1;
	double share = (double)(s->batch_waited_ns - s->batch_held_ns) * zs_task_yielded(&s->task, s->held) * outside / (double)ready_ns;
	return share < 1 ? share : 1;
}

// Gives the on-CPU time of the batch to the samples that found the thread on the CPU, by the wall time they stand for. The
// kernel brings its sum up to date at ticks and switches, which is too coarse, and too much in step with what the target
// does, to give single samples what was spent since the one before.
static void share_cpu(struct zs_sampler *s)
{
	double ran = 1 - waiting_share(s), wall_ns = 0, before = 0;
	for (uint32_t i = 0; i < s->nruns; i++)
		wall_ns += s->runs[i].flags & ZS_ON_CPU ? (double)s->runs[i].wall_ns * (s->runs[i].stack ? 1 : ran) : 0;
	uint64_t cpu_ns = zs_min64(s->pending_cpu_ns, (uint64_t)wall_ns), given = 0;
	for (uint32_t i = 0; i < s->nruns; i++) {
		if (!(s->runs[i].flags & ZS_ON_CPU))
			continue;
		before += (double)s->runs[i].wall_ns * (s->runs[i].stack ? 1 : ran);
		uint64_t until = wall_ns > 0 ? zs_min64((uint64_t)((double)cpu_ns * (before / wall_ns)), cpu_ns) : 0;
		s->runs[i].cpu_ns = until - given;
		given = until;
	}
	s->pending_cpu_ns -= given;
	s->batch_waited_ns = s->batch_held_ns = 0;
}

static uint64_t rest(void *arg)
{
	struct zs_sampler *s = arg;
	return zs_engine_rest(&s->engine);
}

// Sleeps until then, attending to the engine; false if the poll is to end.
static bool sleep_until(struct zs_sampler *s, uint64_t ns)
{
	for (;;) {
		uint64_t again = zs_engine_rest(&s->engine);
		if (!again || again >= ns)
			return zs_thread_sleep(&s->thread, ns);
		if (!zs_thread_sleep(&s->thread, again))
			return false;
	}
}

// In the sampling thread.
static void sample_until(void *arg)
{
	struct zs_sampler *s = arg;
	while (s->nruns < ZS_MAX_RUNS) {
		uint64_t due = s->clock.due_ns > s->earliest_ns ? s->clock.due_ns : s->earliest_ns;
		if (!sleep_until(s, due))
			return;
		s->rc = sample_once(s, &s->error);
		if (s->rc < 0)
			return;
		zs_clock_advance(&s->clock, zs_now_ns());
	}
}

// What was between the sampler's making and its first poll, such as our giving up of privileges, is nobody's time.
static void begin_first(struct zs_sampler *s)
{
	struct zs_times times = { 0 };
	s->rc = zs_task_times(&s->task, &times, &s->error);
	s->cpu_ns = times.cpu_ns;
	s->waited_ns = times.waited_ns;
	s->last_ns = zs_now_ns();
	zs_clock_restart(&s->clock, s->last_ns);
	s->begun = true;
}

void zs_sampler_begin(struct zs_sampler *s)
{
	bool going = s->going;
	s->going = false;
	if (going)
		return;
	s->nruns = 0;
	zs_dispatches_begin(&s->dispatches);
	s->rc = ZS_OK;
	if (!s->begun)
		begin_first(s);
}

void zs_sampler_end(struct zs_sampler *s, struct zs_batch *ret)
{
	share_cpu(s);
	s->stats.missed = s->clock.missed + s->late;
	zs_walker_reads(s->walker, &s->stats.reads, &s->stats.read_bytes);
	zs_walker_definitions(s->walker, &s->seen, &ret->definitions);
	s->seen = ret->definitions;
	s->stats.overflow = s->seen.overflow;
	s->stats.undispatched = s->dispatches.overflow;
	ret->runs = s->runs;
	ret->nruns = s->nruns;
	ret->dispatches = s->dispatches.done;
	ret->ndispatches = s->dispatches.ndone;
	ret->dispatching = s->dispatches.now;
	ret->counted = s->dispatches.counted;
	s->reported = s->stats;
}

int zs_sampler_poll(struct zs_sampler *sampler, uint64_t budget_ns, struct zs_batch *ret, struct zs_error *error)
{
	struct zs_sampler *s = sampler;
	uint64_t until_ns = zs_now_ns() + budget_ns;
	bool wanted = budget_ns || s->going;
	zs_sampler_begin(s);
	int rc = s->rc < 0 || !wanted ? s->rc : zs_thread_go(&s->thread, &s->error);
	zs_thread_wait(&s->thread, until_ns);
	rc = rc < 0 ? rc : s->rc;
	if (rc < 0) {
		*error = s->error;
		zs_thread_end(&s->thread); // nothing of the target is held any longer
		s->engine.entered = false;
	}
	zs_sampler_end(s, ret);
	return rc < 0 ? rc : ZS_OK;
}

void zs_sampler_go_on(struct zs_sampler *sampler)
{
	if (sampler->rc < 0)
		return;
	zs_sampler_begin(sampler);
	sampler->going = true;
	sampler->rc = zs_thread_go(&sampler->thread, &sampler->error);
}

const struct zs_stats *zs_sampler_stats(const struct zs_sampler *sampler) { return &sampler->reported; }
