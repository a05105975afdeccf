#include "intern.h"

// Limits that keep the profiler small whatever it meets; a real Zeek with every script loaded uses a few per cent.
enum {
	MAX_BYTES = 8 << 20,
	MAX_STRINGS = 1 << 17,
	MAX_FUNCS = 1 << 16,
	MAX_BODIES = 1 << 17,
	MAX_FRAMES = 1 << 19,
	MAX_STACKS = 1 << 19,
	MAX_FRAME_IDS = 1 << 22,
};

static uint32_t hash_bytes(uint32_t seed, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t h = UINT64_C(1469598103934665603) ^ seed;
	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(1099511628211);
	return (uint32_t)(h ^ (h >> 32));
}

static bool table_grow(struct zs_table *table)
{
	uint32_t capacity = table->capacity ? table->capacity * 2 : 256;
	struct zs_slot *slots = calloc(capacity, sizeof *slots);
	if (!slots)
		return false;
	for (uint32_t i = 0; i < table->capacity; i++) {
		if (!table->slots[i].id)
			continue;
		uint32_t at = table->slots[i].hash & (capacity - 1);
		while (slots[at].id)
			at = (at + 1) & (capacity - 1);
		slots[at] = table->slots[i];
	}
	free(table->slots);
	table->slots = slots;
	table->capacity = capacity;
	return true;
}

typedef bool equals(const struct zs_interner *interner, uint32_t id, const void *key, const void *more);

// The id of the equal element, or 0 and *ret the free slot to put it into; *ret NULL when memory is exhausted.
static uint32_t find(struct zs_interner *interner, struct zs_table *table, uint32_t hash, equals *same, const void *key,
                     const void *more, struct zs_slot **ret)
{
	*ret = NULL;
	if (table->used * 4 >= table->capacity * 3 && !table_grow(table))
		return 0;
	uint32_t at = hash & (table->capacity - 1);
	for (; table->slots[at].id; at = (at + 1) & (table->capacity - 1))
		if (table->slots[at].hash == hash && same(interner, table->slots[at].id, key, more))
			return table->slots[at].id;
	*ret = &table->slots[at];
	return 0;
}

static uint32_t put(struct zs_table *table, struct zs_slot *slot, uint32_t hash, uint32_t id)
{
	*slot = (struct zs_slot){ hash, id };
	table->used++;
	return id;
}

static uint32_t full(struct zs_interner *interner)
{
	interner->overflow++;
	return 0;
}

#define ROOM(array, capacity, used, n, limit) \
	zs_grow((void **)&interner->array, &interner->capacity, interner->used, n, limit, sizeof *interner->array)

int zs_interner_init(struct zs_interner *interner)
{
	*interner = (struct zs_interner){ 0 };
	bool ok = ROOM(strings, cstrings, nstrings, 1, MAX_STRINGS) && ROOM(funcs, cfuncs, nfuncs, 1, MAX_FUNCS) &&
	          ROOM(frames, cframes, nframes, 1, MAX_FRAMES) && ROOM(stacks, cstacks, nstacks, 1, MAX_STACKS) &&
	          ROOM(bytes, cbytes, nbytes, 1, MAX_BYTES) && ROOM(bodies, cbodies, nbodies, 1, MAX_BODIES) &&
	          ROOM(frame_ids, cframe_ids, nframe_ids, 1, MAX_FRAME_IDS);
	if (!ok) {
		zs_interner_deinit(interner);
		return ZS_ENOMEM;
	}
	interner->strings[interner->nstrings++] = (struct zs_string){ 0 };
	interner->funcs[interner->nfuncs++] = (struct zs_func){ 0 };
	interner->frames[interner->nframes++] = (struct zs_frame){ 0 };
	interner->stacks[interner->nstacks++] = (struct zs_stack){ 0 };
	return ZS_OK;
}

void zs_interner_deinit(struct zs_interner *interner)
{
	free(interner->bytes);
	free(interner->strings);
	free(interner->funcs);
	free(interner->bodies);
	free(interner->frames);
	free(interner->stacks);
	free(interner->frame_ids);
	free(interner->string_table.slots);
	free(interner->func_table.slots);
	free(interner->frame_table.slots);
	free(interner->stack_table.slots);
	*interner = (struct zs_interner){ 0 };
}

static bool same_string(const struct zs_interner *interner, uint32_t id, const void *key, const void *more)
{
	struct zs_string s = interner->strings[id];
	uint32_t len;
	memcpy(&len, more, sizeof len);
	return s.len == len && memcmp(interner->bytes + s.start, key, len) == 0;
}

uint32_t zs_intern_string(struct zs_interner *interner, const char *bytes, uint32_t len)
{
	struct zs_slot *slot;
	uint32_t hash = hash_bytes(len, bytes, len);
	uint32_t id = find(interner, &interner->string_table, hash, same_string, bytes, &len, &slot);
	if (id)
		return id;
	if (!slot || !ROOM(bytes, cbytes, nbytes, len, MAX_BYTES) || !ROOM(strings, cstrings, nstrings, 1, MAX_STRINGS))
		return full(interner);
	memcpy(interner->bytes + interner->nbytes, bytes, len);
	interner->strings[interner->nstrings] = (struct zs_string){ interner->nbytes, len };
	interner->nbytes += len;
	return put(&interner->string_table, slot, hash, interner->nstrings++);
}

static bool same_func(const struct zs_interner *interner, uint32_t id, const void *key, const void *more)
{
	const struct zs_func *a = &interner->funcs[id], *b = key;
	return a->name == b->name && a->kind == b->kind && a->nbodies == b->nbodies &&
	       memcmp(&interner->bodies[a->body], more, b->nbodies * sizeof(struct zs_body)) == 0;
}

uint32_t zs_intern_func(struct zs_interner *interner, const struct zs_func *func, const struct zs_body *bodies)
{
	struct zs_slot *slot;
	uint32_t hash = hash_bytes(func->name * 8 + func->kind, bodies, func->nbodies * sizeof *bodies);
	uint32_t id = find(interner, &interner->func_table, hash, same_func, func, bodies, &slot);
	if (id)
		return id;
	if (!slot || !ROOM(bodies, cbodies, nbodies, func->nbodies, MAX_BODIES) ||
	    !ROOM(funcs, cfuncs, nfuncs, 1, MAX_FUNCS))
		return full(interner);
	struct zs_func copy = *func;
	copy.body = interner->nbodies;
	if (func->nbodies)
		memcpy(&interner->bodies[interner->nbodies], bodies, func->nbodies * sizeof *bodies);
	interner->nbodies += func->nbodies;
	interner->funcs[interner->nfuncs] = copy;
	return put(&interner->func_table, slot, hash, interner->nfuncs++);
}

static bool same_frame(const struct zs_interner *interner, uint32_t id, const void *key, const void *more)
{
	(void)more;
	return memcmp(&interner->frames[id], key, sizeof(struct zs_frame)) == 0;
}

uint32_t zs_intern_frame(struct zs_interner *interner, const struct zs_frame *frame)
{
	struct zs_slot *slot;
	uint32_t hash = hash_bytes(1, frame, sizeof *frame);
	uint32_t id = find(interner, &interner->frame_table, hash, same_frame, frame, NULL, &slot);
	if (id)
		return id;
	if (!slot || !ROOM(frames, cframes, nframes, 1, MAX_FRAMES))
		return full(interner);
	interner->frames[interner->nframes] = *frame;
	return put(&interner->frame_table, slot, hash, interner->nframes++);
}

static bool same_stack(const struct zs_interner *interner, uint32_t id, const void *key, const void *more)
{
	struct zs_stack s = interner->stacks[id];
	uint32_t depth;
	memcpy(&depth, more, sizeof depth);
	return s.depth == depth && memcmp(&interner->frame_ids[s.start], key, depth * sizeof(uint32_t)) == 0;
}

uint32_t zs_intern_stack(struct zs_interner *interner, const uint32_t *frame_ids, uint32_t depth)
{
	struct zs_slot *slot;
	if (!depth)
		return 0;
	uint32_t hash = hash_bytes(depth, frame_ids, depth * sizeof *frame_ids);
	uint32_t id = find(interner, &interner->stack_table, hash, same_stack, frame_ids, &depth, &slot);
	if (id)
		return id;
	if (!slot || !ROOM(frame_ids, cframe_ids, nframe_ids, depth, MAX_FRAME_IDS) ||
	    !ROOM(stacks, cstacks, nstacks, 1, MAX_STACKS))
		return full(interner);
	memcpy(&interner->frame_ids[interner->nframe_ids], frame_ids, depth * sizeof *frame_ids);
	interner->stacks[interner->nstacks] = (struct zs_stack){ interner->nframe_ids, depth };
	interner->nframe_ids += depth;
	return put(&interner->stack_table, slot, hash, interner->nstacks++);
}
