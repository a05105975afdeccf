// What the engines have in common, and the free-running one: a look from another CPU than the target's.
#define _GNU_SOURCE
#include "engine.h"
#include "clock.h"

enum { PLACE_NS = 1000000000 };

static const struct zs_engine_kind *const kinds[] = {
	[ZS_NONBLOCKING] = &zs_engine_nonblocking,
	[ZS_PREEMPT] = &zs_engine_preempt,
	[ZS_PTRACE] = &zs_engine_ptrace,
};

const char *zs_engine_name(int engine)
{
	return engine >= 0 && engine < (int)(sizeof kinds / sizeof *kinds) ? kinds[engine]->name : NULL;
}

int zs_engine_init(struct zs_engine *engine, int kind, struct zs_task *task, struct zs_error *error)
{
	if (!zs_engine_name(kind))
		return zs_fail(error, ZS_EINVAL, 0, 0, "engine");
	*engine = (struct zs_engine){ .kind = kinds[kind], .task = task };
	return engine->kind->open ? engine->kind->open(engine, error) : ZS_OK;
}

void zs_engine_keep_off(struct zs_engine *engine)
{
	struct zs_state state;
	struct zs_error ignored;
	uint64_t now = zs_now_ns();
	if (now < engine->place_ns)
		return;
	engine->place_ns = now + PLACE_NS;
	if (zs_task_state(engine->task, &state, &ignored) == ZS_OK)
		zs_cpus_keep_off(&engine->cpus, state.cpu);
}

int zs_engine_begin(struct zs_engine *engine, struct zs_hold *ret, struct zs_error *error)
{
	if (!engine->entered) {
		if (!engine->settled)
			zs_cpus_init(&engine->cpus);
		engine->settled = engine->entered = true;
		if (engine->kind->enter)
			engine->kind->enter(engine);
	}
	*ret = (struct zs_hold){ .running = ZS_BLOCKED };
	return engine->kind->begin(engine, ret, error);
}

void zs_engine_release(struct zs_engine *engine, struct zs_hold *hold)
{
	if (engine->kind->release)
		engine->kind->release(engine, hold);
}

bool zs_engine_exact(const struct zs_engine *engine, const struct zs_hold *hold, const struct zs_times *after)
{
	// It did not run when slices had been read, and has not been given a CPU since.
	return engine->kind->stops && hold->still && (hold->stopped || hold->before.slices == after->slices);
}

uint64_t zs_engine_rest(struct zs_engine *engine) { return engine->kind->rest ? engine->kind->rest(engine) : 0; }

int zs_engine_running(struct zs_task *task, enum zs_running *ret, struct zs_error *error)
{
	struct zs_state state;
	int rc = zs_task_state(task, &state, error);
	*ret = rc >= 0 && state.state == 'R' ? ZS_RUNNING : ZS_BLOCKED;
	return rc;
}

// The state is read before the walk, as soon as can be after the wake-up. We have a CPU now that another thread of the
// target may have had until then; the longer we have it, the likelier the main thread waits for that one.
static int begin(struct zs_engine *engine, struct zs_hold *hold, struct zs_error *error)
{
	zs_engine_keep_off(engine);
	return zs_engine_running(engine->task, &hold->running, error);
}

const struct zs_engine_kind zs_engine_nonblocking = { .name = "nonblocking", .begin = begin };
