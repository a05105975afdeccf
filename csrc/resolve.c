#include "resolve.h"

#include "reader.h"
#include "text.h"

enum { KEEP_FUNCS = 1 << 14, KEEP_NODES = 1 << 16, TRIES = 3, COMPARE_NS = 20000000, COMPARE_BODIES_NS = 1000000000, NO_NEED = -2 };

static bool map_init(struct zs_address_map *map, uint32_t capacity)
{
	map->capacity = capacity;
	map->keys = calloc(capacity, sizeof *map->keys);
	map->values = calloc(capacity, sizeof *map->values);
	return map->keys && map->values;
}

// The place of addr's value; capacity is twice what is ever kept, so that there is always a free one.
static uint32_t *map_at(struct zs_address_map *map, uint64_t addr)
{
	uint32_t at = (uint32_t)((addr * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (map->capacity - 1);
	while (map->keys[at] && map->keys[at] != addr)
		at = (at + 1) & (map->capacity - 1);
	map->keys[at] = addr;
	return &map->values[at];
}

// What is known of addr, without making a place for it; 0 if nothing.
static uint32_t map_get(const struct zs_address_map *map, uint64_t addr)
{
	uint32_t at = (uint32_t)((addr * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (map->capacity - 1);
	while (map->keys[at] && map->keys[at] != addr)
		at = (at + 1) & (map->capacity - 1);
	return map->keys[at] ? map->values[at] : 0;
}

static void map_clear(struct zs_address_map *map)
{
	memset(map->keys, 0, map->capacity * sizeof *map->keys);
	memset(map->values, 0, map->capacity * sizeof *map->values);
}

static void map_deinit(struct zs_address_map *map)
{
	free(map->keys);
	free(map->values);
}

static int32_t max_of(int32_t a, int32_t b) { return a > b ? a : b; }

int zs_resolver_init(struct zs_resolver *resolver, struct zs_reader *reader, const struct zs_layout *layout,
                     const struct zs_target *target, struct zs_interner *interner)
{
	*resolver = (struct zs_resolver){ .source = { reader, layout, interner, 0, &resolver->holes }, .target = target };
	int32_t end = max_of(layout->Func_kind + layout->sizeof_Func_kind, layout->Func_bodies + 16);
	end = max_of(end, layout->Func_type + 8);
	resolver->func_size = (uint32_t)max_of(end, layout->Func_name + (int32_t)zs_string_size(layout->stdlib));
	resolver->location_from = (uint64_t)zs_location_from(layout);
	resolver->location_size = (uint32_t)zs_location_size(layout);
	resolver->bodies = calloc(ZS_MAX_BODIES, sizeof *resolver->bodies);
	if (!resolver->bodies || !map_init(&resolver->func_map, KEEP_FUNCS * 2) ||
	    !map_init(&resolver->node_map, KEEP_NODES * 2)) {
		zs_resolver_deinit(resolver);
		return ZS_ENOMEM;
	}
	return ZS_OK;
}

void zs_resolver_deinit(struct zs_resolver *resolver)
{
	free(resolver->funcs);
	free(resolver->nodes);
	free(resolver->bodies);
	map_deinit(&resolver->func_map);
	map_deinit(&resolver->node_map);
}

void zs_resolver_begin(struct zs_resolver *resolver, uint64_t now_ns)
{
	resolver->round++;
	resolver->now_ns = now_ns;
	resolver->source.last_call = resolver->source.reader->calls + ZS_MAX_READS;
	if (resolver->nfuncs > KEEP_FUNCS - ZS_MAX_DEPTH * 2) {
		map_clear(&resolver->func_map);
		resolver->nfuncs = 0;
	}
	if (resolver->nnodes > KEEP_NODES - ZS_MAX_DEPTH * 4) {
		map_clear(&resolver->node_map);
		resolver->nnodes = 0;
	}
}

static uint32_t body_size(const struct zs_resolver *resolver) { return (uint32_t)resolver->source.layout->sizeof_Func_Body; }

int zs_ask_func(struct zs_resolver *resolver, struct zs_gather *gather, uint64_t addr)
{
	if (!zs_plausible(addr))
		return -1;
	uint32_t *value = map_at(&resolver->func_map, addr);
	if (!*value) {
		if (!zs_grow((void **)&resolver->funcs, &resolver->cfuncs, resolver->nfuncs, 1, KEEP_FUNCS,
		             sizeof *resolver->funcs))
			return -1;
		resolver->funcs[resolver->nfuncs] = (struct zs_func_entry){ .addr = addr };
		*value = ++resolver->nfuncs;
	}
	struct zs_func_entry *entry = &resolver->funcs[*value - 1];
	if (entry->round != resolver->round) {
		entry->round = resolver->round;
		uint32_t nbodies = entry->func ? resolver->source.interner->funcs[entry->func].nbodies : 0;
		bool due = !resolver->now_ns || resolver->now_ns - entry->compared_ns > COMPARE_BODIES_NS;
		bool fresh = entry->func && entry->lasting && entry->checked_ns && resolver->now_ns - entry->checked_ns < COMPARE_NS;
		entry->bodies_span = -1;
		if (fresh && !(nbodies && due)) {
			entry->span = NO_NEED;
			return (int)*value - 1;
		}
		entry->span = zs_gather_add(gather, addr, resolver->func_size);
		entry->bodies_span = nbodies && due ? zs_gather_add(gather, entry->bodies_begin, nbodies * body_size(resolver)) : -1;
	}
	return (int)*value - 1;
}

int zs_ask_node(struct zs_resolver *resolver, struct zs_gather *gather, uint64_t addr)
{
	if (!zs_plausible(addr))
		return -1;
	uint32_t *value = map_at(&resolver->node_map, addr);
	if (!*value) {
		if (!zs_grow((void **)&resolver->nodes, &resolver->cnodes, resolver->nnodes, 1, KEEP_NODES,
		             sizeof *resolver->nodes))
			return -1;
		resolver->nodes[resolver->nnodes] = (struct zs_node_entry){ .addr = addr };
		*value = ++resolver->nnodes;
	}
	struct zs_node_entry *entry = &resolver->nodes[*value - 1];
	if (entry->round != resolver->round) {
		entry->round = resolver->round;
		if (entry->compared_ns && resolver->now_ns - entry->compared_ns < COMPARE_NS) {
			entry->obj_span = NO_NEED;
			return (int)*value - 1;
		}
		entry->obj_span = zs_gather_add(gather, addr + (uint64_t)resolver->source.layout->Obj_location, 8);
		entry->location_span = entry->location ? zs_gather_add(gather, entry->location + resolver->location_from,
		                                                       resolver->location_size)
		                                       : -1;
	}
	return (int)*value - 1;
}

static void make_check(const struct zs_resolver *resolver, const unsigned char *object, unsigned char *ret)
{
	const struct zs_layout *l = resolver->source.layout;
	memcpy(ret, object + l->Func_bodies, 16);
	memcpy(ret + 16, object + l->Func_type, 8);
	memcpy(ret + 24, object + l->Func_kind, (size_t)l->sizeof_Func_kind);
	memcpy(ret + 32, object + l->Func_name, zs_string_size(l->stdlib));
}

// Whether a name is one that a script can give. Lambdas have others, with a < or a blank or a -.
static bool is_global(const struct zs_interner *interner, uint32_t name)
{
	const struct zs_string *s = &interner->strings[name];
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:";
	for (uint32_t i = 0; i < s->len; i++)
		if (!memchr(letters, interner->bytes[s->start + i], sizeof letters - 1))
			return false;
	return s->len > 0;
}

// Sets entry->func from the object's bytes; 0 if they cannot be a Func. Negative when the target is lost.
static int make_func(struct zs_resolver *resolver, struct zs_func_entry *entry, const unsigned char *object,
                     struct zs_error *error)
{
	const struct zs_layout *l = resolver->source.layout;
	const struct zs_target *t = resolver->target;
	struct zs_func func = { 0 };
	unsigned char flavor_bytes[4];
	uint64_t vptr = zs_load64(object), type = zs_load64(object + l->Func_type);
	uint32_t kind = zs_load_sized(object + l->Func_kind, l->sizeof_Func_kind);
	uint32_t holes = resolver->holes;
	entry->func = 0;
	if (kind > 1 || (t->data_high && (vptr < t->data_low || vptr >= t->data_high)))
		return ZS_OK;
	int rc = zs_read_name(&resolver->source, entry->addr + (uint64_t)l->Func_name, object + l->Func_name, &func.name, error);
	if (rc < 0 || !func.name)
		return rc < 0 ? rc : ZS_OK;
	if (kind == 1) {
		func.kind = ZS_KIND_BIF;
	} else {
		if (!zs_plausible(type))
			return ZS_OK;
		rc = zs_fetch(&resolver->source, type + (uint64_t)l->FuncType_flavor, flavor_bytes, (uint32_t)l->sizeof_FuncType_flavor,
		           error);
		if (rc <= 0)
			return rc;
		static const uint32_t kinds[] = { ZS_KIND_FUNCTION, ZS_KIND_EVENT, ZS_KIND_HOOK };
		uint32_t flavor = zs_load_sized(flavor_bytes, l->sizeof_FuncType_flavor);
		if (flavor > 2)
			return ZS_OK;
		func.kind = kinds[flavor];
		rc = zs_read_bodies(&resolver->source, zs_load64(object + l->Func_bodies), zs_load64(object + l->Func_bodies + 8),
		                 resolver->bodies, &func.nbodies, error);
		if (rc <= 0)
			return rc;
	}
	entry->func = zs_intern_func(resolver->source.interner, &func, resolver->bodies);
	entry->bodies_begin = zs_load64(object + l->Func_bodies);
	entry->compared_ns = resolver->now_ns;
	entry->lasting = is_global(resolver->source.interner, func.name);
	make_check(resolver, object, entry->check);
	// What could not be read now may be readable at the next look.
	if (resolver->holes != holes && entry->tries < TRIES) {
		entry->tries++;
		memset(entry->check, 0xff, sizeof entry->check);
		entry->lasting = false;
	}
	return ZS_OK;
}

// Whether the function still has the bodies it was made with.
static bool same_bodies(struct zs_resolver *resolver, struct zs_func_entry *entry, const struct zs_gather *gather)
{
	const unsigned char *bytes = entry->func ? zs_gathered(gather, entry->bodies_span) : NULL;
	if (!bytes)
		return true;
	const struct zs_interner *in = resolver->source.interner;
	const struct zs_func *func = &in->funcs[entry->func];
	entry->compared_ns = resolver->now_ns;
	for (uint32_t i = 0; i < func->nbodies; i++) {
		uint64_t stmt = zs_load64(bytes + i * body_size(resolver) + resolver->source.layout->Func_Body_stmts);
		uint64_t known = in->bodies[func->body + i].stmt;
		if (zs_plausible(stmt) && known && stmt != known)
			return false;
	}
	return true;
}

int zs_take_func(struct zs_resolver *resolver, const struct zs_gather *gather, int index, uint32_t *ret,
                 struct zs_error *error)
{
	*ret = 0;
	if (index < 0)
		return ZS_OK;
	struct zs_func_entry *entry = &resolver->funcs[index];
	const unsigned char *object = zs_gathered(gather, entry->span);
	if (entry->span == NO_NEED)
		*ret = entry->func;
	if (!object)
		return ZS_OK;
	unsigned char check[sizeof entry->check] = { 0 };
	make_check(resolver, object, check);
	entry->checked_ns = resolver->now_ns;
	if (!entry->func || memcmp(check, entry->check, sizeof check) != 0 || !same_bodies(resolver, entry, gather)) {
		int rc = make_func(resolver, entry, object, error);
		if (rc < 0)
			return rc;
	}
	*ret = entry->func;
	return ZS_OK;
}

int zs_take_node(struct zs_resolver *resolver, const struct zs_gather *gather, int index, struct zs_place *ret,
                 struct zs_error *error)
{
	*ret = (struct zs_place){ 0 };
	if (index < 0)
		return ZS_OK;
	struct zs_node_entry *entry = &resolver->nodes[index];
	const unsigned char *pointer = zs_gathered(gather, entry->obj_span);
	if (entry->obj_span == NO_NEED)
		*ret = entry->place;
	if (!pointer)
		return ZS_OK;
	uint64_t location = zs_load64(pointer);
	const unsigned char *known = zs_gathered(gather, entry->location_span);
	uint32_t size = resolver->location_size;
	if (location != entry->location || !known || memcmp(known, entry->check, size) != 0) {
		entry->location = 0;
		entry->place = (struct zs_place){ 0 };
		entry->callee_known = false;
		entry->callee = 0;
		entry->compared_ns = location ? 0 : resolver->now_ns; // some have no place in a script
		if (!zs_plausible(location) || size > sizeof entry->check)
			return ZS_OK;
		uint32_t holes = resolver->holes;
		int rc = zs_fetch(&resolver->source, location + resolver->location_from, entry->check, size, error);
		if (rc <= 0)
			return rc;
		rc = zs_read_place(&resolver->source, entry->check, &entry->place, error);
		if (rc < 0)
			return rc;
		entry->location = resolver->holes == holes ? location : 0; // else it is looked at anew
	}
	entry->compared_ns = entry->location ? resolver->now_ns : 0;
	*ret = entry->place;
	return ZS_OK;
}

int zs_callee(struct zs_resolver *resolver, uint64_t call, uint64_t *ret, struct zs_error *error)
{
	*ret = 0;
	uint32_t value = zs_plausible(call) ? map_get(&resolver->node_map, call) : 0;
	if (!value)
		return ZS_OK;
	struct zs_node_entry *entry = &resolver->nodes[value - 1];
	if (!entry->callee_known) {
		int rc = zs_read_callee(&resolver->source, call, &entry->callee, error);
		if (rc < 0)
			return rc;
		entry->callee_known = true;
	}
	*ret = entry->callee;
	return ZS_OK;
}

bool zs_known_func(const struct zs_resolver *resolver, uint64_t addr)
{
	uint32_t value = zs_plausible(addr) ? map_get(&resolver->func_map, addr) : 0;
	return value && resolver->funcs[value - 1].func;
}
