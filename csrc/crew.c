// Many targets, one thread: an awakening costs several times what a look does, so it is shared. All looks of a round are
// taken one after the other at one random moment, each target's at a random moment of its slot as if it were alone.
#define _GNU_SOURCE
#include "sampler.h"

enum { PLACE_NS = 1000000000 };

struct zs_crew {
	struct zs_thread thread;
	struct zs_clock clock;
	struct zs_cpus cpus;
	uint64_t place_ns; // when to look again where the targets run
	uint64_t until_ns; // of the poll
	uint64_t missed;   // by the clock, at the beginning of the poll
	struct zs_sampler *const *samplers;
	size_t n, first; // first: who begins the round
	bool settled;    // cpus.allowed has been read
};

static bool live(const struct zs_sampler *s) { return s->rc >= 0; }

// About once a second: keeps the thread off the CPUs where the targets run, and off those that any of them is to avoid.
static void keep_off(struct zs_crew *crew)
{
	uint64_t now = zs_now_ns();
	if (now < crew->place_ns)
		return;
	crew->place_ns = now + PLACE_NS;
	if (!crew->settled)
		zs_cpus_init(&crew->cpus);
	crew->settled = true;
	cpu_set_t busy;
	CPU_ZERO(&busy);
	CPU_ZERO(&crew->cpus.avoid);
	for (size_t i = 0; i < crew->n; i++) {
		struct zs_sampler *s = crew->samplers[i];
		struct zs_state state;
		struct zs_error ignored;
		CPU_OR(&crew->cpus.avoid, &crew->cpus.avoid, &s->engine.cpus.avoid);
		if (live(s) && zs_task_state(&s->task, &state, &ignored) == ZS_OK && state.cpu >= 0 && state.cpu < CPU_SETSIZE)
			CPU_SET(state.cpu, &busy);
	}
	zs_cpus_keep_off_all(&crew->cpus, &busy);
}

static bool look_at_all(struct zs_crew *crew)
{
	bool room = true;
	crew->first = crew->first + 1 < crew->n ? crew->first + 1 : 0;
	for (size_t i = 0; i < crew->n; i++) {
		struct zs_sampler *s = crew->samplers[(crew->first + i) % crew->n];
		if (live(s))
			s->rc = zs_sampler_look(s, &s->error);
		room = room && s->nruns < ZS_MAX_RUNS;
	}
	return room;
}

// In the crew's thread.
static void look_until(void *arg)
{
	struct zs_crew *crew = arg;
	for (;;) {
		uint64_t due = crew->clock.due_ns;
		if (!zs_thread_sleep(&crew->thread, zs_min64(due, crew->until_ns)) || due > crew->until_ns)
			return;
		keep_off(crew);
		bool room = look_at_all(crew);
		zs_clock_advance(&crew->clock, zs_now_ns());
		if (!room)
			return;
	}
}

static uint64_t rest(void *arg)
{
	(void)arg;
	return 0;
}

int zs_crew_create(double hz, uint64_t seed, struct zs_crew **ret, struct zs_error *error)
{
	if (!(hz >= 0.001 && hz <= 100000))
		return zs_fail(error, ZS_EINVAL, 0, 0, "hz");
	struct zs_crew *crew = calloc(1, sizeof *crew);
	if (!crew)
		return zs_fail(error, ZS_ENOMEM, 0, 0, "crew");
	zs_thread_init(&crew->thread, look_until, rest, crew);
	zs_clock_init(&crew->clock, hz, seed, zs_now_ns());
	*ret = crew;
	return ZS_OK;
}

int zs_crew_set_hz(struct zs_crew *crew, double hz, struct zs_error *error)
{
	if (!(hz >= 0.001 && hz <= 100000))
		return zs_fail(error, ZS_EINVAL, 0, 0, "hz");
	crew->clock.period_ns = 1e9 / hz;
	zs_clock_restart(&crew->clock, zs_now_ns());
	return ZS_OK;
}

int zs_crew_poll(struct zs_crew *crew, struct zs_sampler *const *samplers, size_t n, uint64_t budget_ns,
                 struct zs_error *error)
{
	for (size_t i = 0; i < n; i++)
		if (samplers[i]->engine.kind != &zs_engine_nonblocking)
			return zs_fail(error, ZS_EINVAL, 0, 0, "engine");
	for (size_t i = 0; i < n; i++) {
		zs_thread_wait(&samplers[i]->thread, 1);
		zs_sampler_begin(samplers[i]);
		samplers[i]->in_crew = true;
	}
	crew->samplers = samplers;
	crew->n = n;
	crew->until_ns = zs_now_ns() + budget_ns;
	crew->missed = crew->clock.missed;
	int rc = zs_thread_run(&crew->thread, error);
	for (size_t i = 0; i < n; i++)
		samplers[i]->clock.missed += crew->clock.missed - crew->missed;
	crew->samplers = NULL;
	crew->n = 0;
	return rc < 0 ? rc : ZS_OK;
}

int zs_sampler_batch(struct zs_sampler *sampler, struct zs_batch *ret, struct zs_error *error)
{
	zs_sampler_end(sampler, ret);
	if (sampler->rc < 0)
		*error = sampler->error;
	return sampler->rc < 0 ? sampler->rc : ZS_OK;
}

void zs_crew_destroy(struct zs_crew *crew)
{
	if (!crew)
		return;
	zs_thread_end(&crew->thread);
	free(crew);
}
