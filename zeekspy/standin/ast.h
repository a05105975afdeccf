// The shapes of Zeek's script interpreter, as far as a profiler looks at them: the same namespaces, class and member
// names, in declarations of our own. Offsets differ from any Zeek's; they come from this program's DWARF, as Zeek's do.
// This file: objects, values and the syntax tree. func.h: functions, frames and the call stack.
//
// ZEEK_ERA 1 is the shape of Zeek <= 8.0: CallInfo holds the function, frames are on the heap and in g_frame_stack, BiFs
// have none, enums are ints. ZEEK_ERA 2 is that of Zeek >= 8.1: CallInfo holds the frame, frames lie on the C++ stack,
// BiFs have one, enums are bytes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#if ZEEK_ERA == 1
#define ZEEK_ENUM int
#elif ZEEK_ERA == 2
#define ZEEK_ENUM uint8_t
#else
#error "define ZEEK_ERA as 1 or 2"
#endif

namespace zeek {

class Val;
class Func;
using Args = std::vector<Val*>;

namespace detail {

class Frame;

// filename is one pointer per file, shared by all its objects; the Location itself is private to its Obj.
struct Location {
	const char* filename = nullptr;
	int first_line = 0;
	int last_line = 0;
#if ZEEK_ERA == 1
	int first_column = 0;
	int last_column = 0;
#endif
};

// A place in the script, as the parser of Zeek would hand it over.
inline Location at(const char* filename, int first_line, int last_line = 0) {
	Location place;
	place.filename = filename;
	place.first_line = first_line;
	place.last_line = last_line > first_line ? last_line : first_line;
	return place;
}

} // namespace detail

class Obj {
public:
	Obj() = default;
	explicit Obj(const detail::Location& place) : location(new detail::Location(place)) {}
	virtual ~Obj() { delete location; }
	Obj(const Obj&) = delete;
	Obj& operator=(const Obj&) = delete;

	detail::Location* location = nullptr; // null for what is made at run time
	int ref_cnt = 1;
	bool notify_plugins = false;
};

enum TypeTag : ZEEK_ENUM { TYPE_COUNT = 3, TYPE_FUNC = 17 };
enum FunctionFlavor : ZEEK_ENUM { FUNC_FLAVOR_FUNCTION, FUNC_FLAVOR_EVENT, FUNC_FLAVOR_HOOK };

class Type : public Obj {
public:
	explicit Type(TypeTag t) : tag(t) {}
	TypeTag tag;
	std::string name;
};

class FuncType : public Type {
public:
	explicit FuncType(FunctionFlavor f) : Type(TYPE_FUNC), flavor(f) {}
	Type* yield = nullptr;
	FunctionFlavor flavor;
};

class Val : public Obj {
public:
	explicit Val(Type* t) : type(t) {}
	Type* type;
};

class CountVal : public Val {
public:
	CountVal(Type* t, uint64_t n) : Val(t), uint_val(n) {}
	uint64_t uint_val;
};

class FuncVal : public Val {
public:
	explicit FuncVal(Func* f);
	Func* func_val;
};

namespace detail {

enum StmtTag : ZEEK_ENUM { STMT_EXPR = 3, STMT_IF = 4, STMT_LIST = 11, STMT_NULL = 14 };
enum ExprTag : ZEEK_ENUM { EXPR_NAME = 0, EXPR_CONST = 1, EXPR_SUB = 12, EXPR_LIST = 41, EXPR_CALL = 45, EXPR_WORK = 60 };
enum StmtFlowType { FLOW_NEXT, FLOW_BREAK };

class ID : public Obj {
public:
	ID(std::string full_name, Val* v, int slot = -1) : name(std::move(full_name)), val(v), offset(slot) {}
	std::string name;
	Val* val;   // of a global; null for a local
	int offset; // of a local in its frame
};

class Expr : public Obj {
public:
	Expr(ExprTag t, const Location& place) : Obj(place), tag(t) {}
	virtual Val* Eval(Frame* f) const = 0;
	ExprTag tag;
	Type* type = nullptr;
};

class NameExpr : public Expr {
public:
	NameExpr(const Location& place, ID* i) : Expr(EXPR_NAME, place), id(i) {}
	Val* Eval(Frame* f) const override;
	ID* id;
};

class ConstExpr : public Expr {
public:
	ConstExpr(const Location& place, Val* v) : Expr(EXPR_CONST, place), val(v) {}
	Val* Eval(Frame*) const override { return val; }
	Val* val;
};

class SubExpr : public Expr { // op1 - 1, enough for a recursion to end
public:
	SubExpr(const Location& place, Expr* e) : Expr(EXPR_SUB, place), op1(e) {}
	Val* Eval(Frame* f) const override;
	Expr* op1;
};

class ListExpr : public Expr {
public:
	ListExpr(const Location& place, std::vector<Expr*> es) : Expr(EXPR_LIST, place), exprs(std::move(es)) {}
	Val* Eval(Frame*) const override { return nullptr; }
	std::vector<Expr*> exprs;
};

class CallExpr : public Expr {
public:
	CallExpr(const Location& place, Expr* callee, ListExpr* a) : Expr(EXPR_CALL, place), func(callee), args(a) {}
	Val* Eval(Frame* f) const override;
	Expr* func;
	ListExpr* args;
};

class Stmt : public Obj {
public:
	Stmt(StmtTag t, const Location& place) : Obj(place), tag(t) {}
	virtual void Exec(Frame* f, StmtFlowType& flow) = 0;
	StmtTag tag;
	int breakpoint_count = 0;
	double last_access = 0;
	uint32_t access_count = 0;

protected:
	void RegisterAccess();
};

class StmtList : public Stmt {
public:
	StmtList(const Location& place, std::vector<Stmt*> children) : Stmt(STMT_LIST, place), stmts(std::move(children)) {}
	void Exec(Frame* f, StmtFlowType& flow) override;
	std::vector<Stmt*> stmts;
};

class ExprStmt : public Stmt { // takes its place from its expression
public:
	explicit ExprStmt(Expr* expr, StmtTag t = STMT_EXPR) : Stmt(t, *expr->location), e(expr) {}
	void Exec(Frame* f, StmtFlowType& flow) override;
	Expr* e;
};

class IfStmt : public ExprStmt {
public:
	IfStmt(Expr* test, Stmt* yes, Stmt* no) : ExprStmt(test, STMT_IF), s1(yes), s2(no) {}
	void Exec(Frame* f, StmtFlowType& flow) override;
	Stmt* s1;
	Stmt* s2;
};

class NullStmt : public Stmt {
public:
	explicit NullStmt(const Location& place) : Stmt(STMT_NULL, place) {}
	void Exec(Frame*, StmtFlowType&) override { RegisterAccess(); }
};

} // namespace detail

} // namespace zeek
