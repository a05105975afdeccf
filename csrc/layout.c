// The layout and its validator, both from ZS_LAYOUT_FIELDS. A table is untrusted input: it is checked here once, and the
// walker then uses the offsets without further checks.
#include "internal.h"

// No member zeekspy reads lies deeper in its object; a table that says so is wrong.
enum { MAX_OFFSET = 4096, MAX_LOCATION = 24 };

enum owner {
	CallInfo,
	Frame,
	Obj,
	Location,
	Func,
	Func_Body,
	Stmt,
	FuncType,
	StmtList,
	List,
	Expr,
	CallExpr,
	NameExpr,
	ID,
	FuncVal,
};

static const struct field {
	const char *name;
	size_t member; // offset in struct zs_layout
	enum owner owner;
	char shape;
} fields[] = {
#define X(member, name, owner, shape) { name, offsetof(struct zs_layout, member), owner, #shape[0] },
	ZS_LAYOUT_FIELDS(X)
#undef X
};

enum { NFIELDS = sizeof fields / sizeof fields[0] };

static int32_t value(const struct zs_layout *layout, size_t i)
{
	int32_t v;
	memcpy(&v, (const char *)layout + fields[i].member, sizeof v);
	return v;
}

void zs_layout_init(struct zs_layout *ret)
{
	int32_t absent = ZS_ABSENT;
	for (size_t i = 0; i < NFIELDS; i++)
		memcpy((char *)ret + fields[i].member, &absent, sizeof absent);
	ret->stdlib = ZS_LIBSTDCXX;
}

const char *zs_layout_field(size_t i) { return i < NFIELDS ? fields[i].name : NULL; }

int zs_layout_set(struct zs_layout *layout, const char *name, int64_t v)
{
	if (v < 0 || v > MAX_OFFSET)
		return ZS_ELAYOUT;
	for (size_t i = 0; i < NFIELDS; i++) {
		if (strcmp(fields[i].name, name) == 0) {
			int32_t v32 = (int32_t)v;
			memcpy((char *)layout + fields[i].member, &v32, sizeof v32);
			return 1;
		}
	}
	return 0;
}

static int32_t enum_width(const struct zs_layout *layout, size_t i)
{
	if (fields[i].member == offsetof(struct zs_layout, Func_kind))
		return layout->sizeof_Func_kind;
	if (fields[i].member == offsetof(struct zs_layout, Stmt_tag))
		return layout->sizeof_Stmt_tag;
	if (fields[i].member == offsetof(struct zs_layout, Expr_tag))
		return layout->sizeof_Expr_tag;
	return layout->sizeof_FuncType_flavor;
}

static int32_t width(const struct zs_layout *layout, size_t i)
{
	static const int32_t string_width[] = { [ZS_LIBSTDCXX] = 32, [ZS_LIBCXX] = 24, [ZS_LIBSTDCXX_OLD] = 8 };
	switch (fields[i].shape) {
	case 'P': return 8;
	case 'I': return 4;
	case 'V': return 24;
	case 'N': return string_width[layout->stdlib];
	case 'A': return layout->sizeof_StmtList_stmts;
	default: return enum_width(layout, i);
	}
}

static int32_t size_of(const struct zs_layout *layout, enum owner owner)
{
	switch (owner) {
	case CallInfo: return layout->sizeof_CallInfo;
	case Frame: return layout->sizeof_Frame;
	case Func_Body: return layout->sizeof_Func_Body;
	default: return ZS_ABSENT;
	}
}

// Deriving from Obj: a vptr first, then Obj's own members.
static bool is_obj(enum owner owner)
{
	return owner != CallInfo && owner != Location && owner != Func_Body && owner != List && owner != Obj;
}

static bool is_base_of(enum owner base, enum owner owner)
{
	return base == owner || (base == Obj && is_obj(owner)) || (base == Stmt && owner == StmtList) ||
	       (base == Expr && (owner == CallExpr || owner == NameExpr));
}

static bool size_is_absurd(const struct field *f, int32_t v)
{
	if (f->owner == CallInfo || f->member == offsetof(struct zs_layout, sizeof_Func_Body))
		return v < 8 || v > 128 || v % 8;
	if (f->member == offsetof(struct zs_layout, sizeof_Frame))
		return v < 16 || v % 8;
	if (f->owner == StmtList)
		return v < 8 || v > 64 || v % 8;
	return v != 1 && v != 2 && v != 4;
}

static int check_size(const struct zs_layout *layout, size_t i, struct zs_error *error)
{
	int32_t v = value(layout, i);
	if (fields[i].shape != 'S' || v == ZS_ABSENT || !size_is_absurd(&fields[i], v))
		return ZS_OK;
	return zs_fail(error, ZS_ELAYOUT, ERANGE, (uint64_t)v, fields[i].name);
}

static int check_offset(const struct zs_layout *layout, size_t i, struct zs_error *error)
{
	const struct field *f = &fields[i];
	int32_t v = value(layout, i);
	if (f->shape == 'S' || v == ZS_ABSENT)
		return ZS_OK;
	int32_t w = width(layout, i), size = size_of(layout, f->owner);
	if (w <= 0)
		return zs_fail(error, ZS_ELAYOUT, ENOENT, 0, f->name); // an enum whose size is not given
	int32_t align = w > 8 ? 8 : w;
	if (v < 0 || v > MAX_OFFSET - w || v % align || (size != ZS_ABSENT && v + w > size) || (is_obj(f->owner) && v < 8))
		return zs_fail(error, ZS_ELAYOUT, ERANGE, (uint64_t)v, f->name);
	return ZS_OK;
}

static int check_overlap(const struct zs_layout *layout, size_t i, struct zs_error *error)
{
	const struct field *f = &fields[i];
	int32_t v = value(layout, i), w = width(layout, i);
	if (f->shape == 'S' || v == ZS_ABSENT)
		return ZS_OK;
	for (size_t j = 0; j < NFIELDS; j++) {
		int32_t u = value(layout, j);
		if (j == i || u == ZS_ABSENT || fields[j].shape == 'S' || !is_base_of(fields[j].owner, f->owner))
			continue;
		if (u < v + w && v < u + width(layout, j))
			return zs_fail(error, ZS_ELAYOUT, EEXIST, (uint64_t)v, f->name);
	}
	return ZS_OK;
}

// A Location is read, and kept for comparison, in one piece of at most MAX_LOCATION bytes.
static int check_location(const struct zs_layout *layout, struct zs_error *error)
{
	int32_t file = layout->Location_filename, first = layout->Location_first_line, last = layout->Location_last_line;
	int32_t from = file < first ? file : first, end = file + 8 > first + 4 ? file + 8 : first + 4;
	from = last < from ? last : from;
	end = last + 4 > end ? last + 4 : end;
	return end - from > MAX_LOCATION ? zs_fail(error, ZS_ELAYOUT, ERANGE, (uint64_t)last, "Location.last_line") : ZS_OK;
}

int zs_layout_validate(const struct zs_layout *layout, struct zs_error *error)
{
	static const size_t required[] = {
#define R(member) offsetof(struct zs_layout, member)
		R(sizeof_CallInfo), R(CallInfo_call), R(Frame_function), R(Frame_next_stmt), R(Obj_location),
		R(Location_filename), R(Location_first_line), R(Location_last_line), R(Func_name), R(sizeof_Func_kind),
		R(Func_kind), R(Func_bodies), R(Func_type), R(sizeof_Func_Body), R(Func_Body_stmts),
		R(sizeof_FuncType_flavor), R(FuncType_flavor),
#undef R
	};
	if (layout->stdlib < ZS_LIBSTDCXX || layout->stdlib > ZS_LIBSTDCXX_OLD)
		return zs_fail(error, ZS_ELAYOUT, ERANGE, (uint64_t)layout->stdlib, "stdlib");
	for (size_t i = 0; i < NFIELDS; i++)
		for (size_t k = 0; k < sizeof required / sizeof required[0]; k++)
			if (fields[i].member == required[k] && value(layout, i) == ZS_ABSENT)
				return zs_fail(error, ZS_ELAYOUT, ENOENT, 0, fields[i].name);
	// An era has either functions (Zeek <= 8.0) or frames (8.1+) in the call stack.
	if (layout->CallInfo_func == ZS_ABSENT && layout->CallInfo_frame == ZS_ABSENT)
		return zs_fail(error, ZS_ELAYOUT, ENOENT, 0, "CallInfo.frame");
	if (layout->CallInfo_func != ZS_ABSENT && layout->CallInfo_frame != ZS_ABSENT)
		return zs_fail(error, ZS_ELAYOUT, EEXIST, 0, "CallInfo.frame");
	// Sizes first: the rest depends on them, and the field named is to be the one that is wrong.
	static int (*const checks[])(const struct zs_layout *, size_t, struct zs_error *) = { check_size, check_offset,
		                                                                              check_overlap };
	for (size_t k = 0; k < sizeof checks / sizeof checks[0]; k++)
		for (size_t i = 0; i < NFIELDS; i++)
			if (checks[k](layout, i, error) < 0)
				return ZS_ELAYOUT;
	return check_location(layout, error);
}
