#include "object.h"

#include "reader.h"
#include "text.h"

enum { MAX_CHILDREN = 256, MAX_LINE = 10000000, LOCATION_BYTES = 64 };

static int32_t min_of(int32_t a, int32_t b) { return a < b ? a : b; }
static int32_t max_of(int32_t a, int32_t b) { return a > b ? a : b; }

int32_t zs_location_from(const struct zs_layout *l)
{
	return min_of(l->Location_filename, min_of(l->Location_first_line, l->Location_last_line));
}

int32_t zs_location_size(const struct zs_layout *l)
{
	int32_t end = max_of(l->Location_filename + 8, max_of(l->Location_first_line, l->Location_last_line) + 4);
	return end - zs_location_from(l);
}

// 1 if all len bytes at addr could be read, 0 if not, negative when the target is lost.
int zs_fetch(const struct zs_source *source, uint64_t addr, void *buf, uint32_t len, struct zs_error *error)
{
	struct zs_span span = { .addr = addr, .buf = buf, .len = len };
	if (source->reader->calls >= source->last_call)
		return 0;
	int rc = zs_reader_read(source->reader, &span, 1, error);
	*source->holes += rc == 0;
	return rc;
}

static int fetch_pointer(const struct zs_source *source, uint64_t addr, int32_t offset, uint64_t *ret,
                         struct zs_error *error)
{
	int rc = zs_fetch(source, addr + (uint64_t)offset, ret, 8, error);
	if (rc <= 0 || !zs_plausible(*ret))
		*ret = 0;
	return rc;
}

// A place from the bytes of a Location. No place (file 0) where they cannot be one.
int zs_read_place(const struct zs_source *source, const unsigned char *bytes, struct zs_place *ret,
                      struct zs_error *error)
{
	const struct zs_layout *l = source->layout;
	const unsigned char *base = bytes - zs_location_from(l);
	uint32_t first = zs_load32(base + l->Location_first_line), last = zs_load32(base + l->Location_last_line);
	*ret = (struct zs_place){ 0 };
	if (first > MAX_LINE || last > MAX_LINE || (!first && !last) || source->reader->calls >= source->last_call)
		return ZS_OK;
	char path[ZS_MAX_PATH];
	uint32_t len;
	int rc = zs_read_c_string(source->reader, zs_load64(base + l->Location_filename), path, &len, error);
	if (rc < 0)
		return rc;
	if (!len || !zs_printable(path, len)) {
		*source->holes += source->reader->calls < source->last_call;
		return ZS_OK;
	}
	ret->file = zs_intern_string(source->interner, path, len);
	// An if statement's pair may be the wrong way round (its location is made of two others' until Zeek 8.0).
	ret->first_line = first && (first < last || !last) ? first : last;
	ret->last_line = first > last ? first : last;
	return ZS_OK;
}

// The place of the object at addr, by way of its location pointer.
static int place_of(const struct zs_source *source, uint64_t addr, struct zs_place *ret, struct zs_error *error)
{
	const struct zs_layout *l = source->layout;
	unsigned char bytes[LOCATION_BYTES];
	uint64_t location;
	*ret = (struct zs_place){ 0 };
	int rc = fetch_pointer(source, addr, l->Obj_location, &location, error);
	if (rc < 0 || !location || zs_location_size(l) > LOCATION_BYTES)
		return rc < 0 ? rc : ZS_OK;
	rc = zs_fetch(source, location + (uint64_t)zs_location_from(l), bytes, (uint32_t)zs_location_size(l), error);
	return rc <= 0 ? rc : zs_read_place(source, bytes, ret, error);
}

// Begin and count of the statements that a StmtList at addr holds; count 0 if it is none or holds none.
static int children_of(const struct zs_source *source, uint64_t addr, uint64_t *begin, uint32_t *count,
                       struct zs_error *error)
{
	const struct zs_layout *l = source->layout;
	uint64_t list = addr + (uint64_t)l->StmtList_stmts, ends[2];
	int rc;
	*count = 0;
	if (l->List_entries == ZS_ABSENT) { // Zeek 6.1+: a vector
		rc = zs_fetch(source, list, ends, sizeof ends, error);
		if (rc <= 0 || !zs_plausible(ends[0]) || ends[1] < ends[0] || (ends[1] - ends[0]) % 8)
			return rc;
		*begin = ends[0];
		*count = (uint32_t)zs_min64((ends[1] - ends[0]) / 8, MAX_CHILDREN);
		return ZS_OK;
	}
	if (l->sizeof_StmtList_stmts == 8) { // 4.1 to 6.0: a pointer to a List
		rc = fetch_pointer(source, list, 0, &list, error);
		if (rc <= 0 || !list)
			return rc;
	}
	int32_t n;
	rc = fetch_pointer(source, list, l->List_entries, begin, error);
	if (rc <= 0 || !*begin)
		return rc;
	rc = zs_fetch(source, list + (uint64_t)l->List_num_entries, &n, sizeof n, error);
	if (rc > 0 && n > 0)
		*count = zs_min32((uint32_t)n, MAX_CHILDREN);
	return rc;
}

// Widens a body's range by its direct children's: with local initialisers a body is wrapped in a list whose own location
// is whatever the parser had at the end of the function (before Zeek 6.2).
static int widen(const struct zs_source *source, struct zs_body *body, struct zs_error *error)
{
	const struct zs_layout *l = source->layout;
	uint64_t begin, children[MAX_CHILDREN];
	uint32_t count;
	if (l->StmtList_stmts == ZS_ABSENT || (l->List_entries != ZS_ABSENT && l->List_num_entries == ZS_ABSENT))
		return ZS_OK;
	int rc = children_of(source, body->stmt, &begin, &count, error);
	if (rc < 0 || !count)
		return rc;
	rc = zs_fetch(source, begin, children, count * 8, error);
	if (rc <= 0)
		return rc;
	for (uint32_t i = 0; i < count; i++) {
		struct zs_place place;
		if (!zs_plausible(children[i]))
			continue;
		rc = place_of(source, children[i], &place, error);
		if (rc < 0)
			return rc;
		if (!place.file || place.file != body->file)
			continue;
		body->first_line = zs_min32(body->first_line, place.first_line);
		body->last_line = body->last_line > place.last_line ? body->last_line : place.last_line;
	}
	return ZS_OK;
}

// STMT_LIST is 13 until Zeek 6.2 and 11 from 7.0 on. What else has these numbers does no harm: its children would have to
// be objects with a location in the body's own file.
static bool may_be_list(uint32_t tag) { return tag == 11 || tag == 13; }

static int make_body(const struct zs_source *source, uint64_t stmt, struct zs_body *ret, struct zs_error *error)
{
	const struct zs_layout *l = source->layout;
	struct zs_place place;
	*ret = (struct zs_body){ .tag = 0xff, .stmt = stmt };
	if (!zs_plausible(stmt))
		return ZS_OK;
	int rc = place_of(source, stmt, &place, error);
	if (rc < 0)
		return rc;
	ret->file = place.file;
	ret->first_line = place.first_line;
	ret->last_line = place.last_line;
	if (l->Stmt_tag != ZS_ABSENT) {
		unsigned char tag[4];
		rc = zs_fetch(source, stmt + (uint64_t)l->Stmt_tag, tag, (uint32_t)l->sizeof_Stmt_tag, error);
		if (rc < 0)
			return rc;
		if (rc > 0)
			ret->tag = zs_load_sized(tag, l->sizeof_Stmt_tag) & 0xff;
	}
	return place.file && may_be_list(ret->tag) ? widen(source, ret, error) : ZS_OK;
}

int zs_read_bodies(const struct zs_source *source, uint64_t begin, uint64_t end, struct zs_body *bodies, uint32_t *count,
                   struct zs_error *error)
{
	const struct zs_layout *l = source->layout;
	uint64_t size = (uint64_t)l->sizeof_Func_Body;
	*count = 0;
	if (begin == end)
		return 1;
	if (!zs_plausible(begin) || end < begin || (end - begin) % size || (end - begin) / size > ZS_MAX_BODIES)
		return 0;
	uint32_t n = (uint32_t)((end - begin) / size);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t stmt;
		int rc = fetch_pointer(source, begin + i * size, l->Func_Body_stmts, &stmt, error);
		if (rc >= 0)
			rc = make_body(source, stmt, &bodies[i], error);
		if (rc < 0)
			return rc;
	}
	*count = n;
	return 1;
}

int zs_read_name(const struct zs_source *source, uint64_t addr, const unsigned char *object, uint32_t *ret,
                     struct zs_error *error)
{
	char name[ZS_MAX_NAME];
	uint64_t chars;
	uint32_t len;
	*ret = 0;
	if (!zs_string_span(source->layout->stdlib, addr, object, &chars, &len))
		return ZS_OK;
	if (source->layout->stdlib == ZS_LIBSTDCXX_OLD) {
		uint64_t n;
		int rc = zs_fetch(source, chars - 24, &n, 8, error);
		if (rc <= 0 || n > ZS_MAX_NAME)
			return rc < 0 ? rc : ZS_OK;
		len = (uint32_t)n;
	}
	if (!len)
		return ZS_OK;
	int rc = zs_fetch(source, chars, name, len, error);
	if (rc > 0 && zs_printable(name, len))
		*ret = zs_intern_string(source->interner, name, len);
	return rc;
}

int zs_read_callee(const struct zs_source *source, uint64_t call, uint64_t *ret, struct zs_error *error)
{
	const struct zs_layout *l = source->layout;
	uint64_t name = 0, id = 0, val = 0;
	unsigned char tag[4];
	*ret = 0;
	if (l->CallExpr_func == ZS_ABSENT || l->Expr_tag == ZS_ABSENT || l->NameExpr_id == ZS_ABSENT ||
	    l->ID_val == ZS_ABSENT || l->FuncVal_func_val == ZS_ABSENT)
		return ZS_OK;
	int rc = fetch_pointer(source, call, l->CallExpr_func, &name, error);
	if (rc <= 0 || !name)
		return rc;
	rc = zs_fetch(source, name + (uint64_t)l->Expr_tag, tag, (uint32_t)l->sizeof_Expr_tag, error);
	if (rc <= 0 || zs_load_sized(tag, l->sizeof_Expr_tag) != 0) // EXPR_NAME is 0 in every version
		return rc;
	rc = fetch_pointer(source, name, l->NameExpr_id, &id, error);
	if (rc > 0 && id)
		rc = fetch_pointer(source, id, l->ID_val, &val, error);
	if (rc > 0 && val)
		rc = fetch_pointer(source, val, l->FuncVal_func_val, ret, error);
	return rc;
}
