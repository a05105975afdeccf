// Classes named and shaped as Zeek's interpreter has them, in three eras (-DERA=): 0 like Zeek 3.0 (global names, Val with
// a union, PDict, List inside), 1 like 5.0 (namespaces, List behind a pointer), 2 like 9.0 (small enums, std::vector).
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#if ERA == 0
#define BEGIN_ZEEK
#define BEGIN_DETAIL
#define END
#define D
#define SMALL int
#else
#define BEGIN_ZEEK namespace zeek {
#define BEGIN_DETAIL namespace zeek { namespace detail {
#define END }
#define D detail::
#endif
#if ERA == 1
#define SMALL int
#elif ERA == 2
#define SMALL uint8_t
#endif

BEGIN_DETAIL
struct Location {
#if ERA == 0
	virtual ~Location();
#endif
	const char *filename = "";
	int first_line = 0, last_line = 0;
};
class CallExpr;
class Frame;
class Stmt;
#if ERA
} // detail
#endif
#if ERA == 0
#define Obj BroObj
#define Type BroType
#endif
class Obj {
public:
	virtual ~Obj();
	D Location *location = nullptr;
	int ref_cnt = 1;
	bool notify = false; // a derived class's first member may move into the padding behind it
};
struct Modifiable {
	virtual ~Modifiable();
	uint64_t num_receivers = 0;
};
enum TypeTag : SMALL { TYPE_ANY };
class Type : public Obj {
public:
	TypeTag tag = TYPE_ANY;
	std::string name;
};
enum FunctionFlavor : SMALL { FUNC_FLAVOR_FUNCTION };
class FuncType : public Type {
public:
	~FuncType() override;
	void *args = nullptr;
	const volatile FunctionFlavor flavor = FUNC_FLAVOR_FUNCTION;
};
class Func : public Obj {
public:
	enum Kind : SMALL { SCRIPT_FUNC };
	struct Body {
		void *stmts = nullptr;
#if ERA == 2
		void *groups = nullptr;
#endif
		int priority = 0;
	};
	~Func() override;
	std::vector<Body> bodies;
	Kind kind = SCRIPT_FUNC;
	Type *type = nullptr;
	std::string name;
};
class Val : public Obj {
public:
	~Val() override;
#if ERA == 0
	union BroValUnion {
		double double_val;
		Func *func_val;
	} val;
#endif
	Type *type = nullptr;
};
#if ERA
class FuncVal : public Val {
public:
	Func *func_val = nullptr;
};
#else
typedef Val FuncVal;
#endif
#if ERA
namespace detail {
#endif
enum StmtTag : SMALL { STMT_NULL };
enum ExprTag : SMALL { EXPR_NAME };
class Stmt : public Obj {
public:
	StmtTag tag = STMT_NULL;
	int breakpoints = 0;
	double last_access = 0;
	uint32_t access_count = 0;
	~Stmt() override;
};
template <typename T> class List {
public:
	T *entries = nullptr;
	int max_entries = 0, num_entries = 0;
};
template <typename T> class PList : public List<T *> {};
class StmtList : public Stmt {
public:
	~StmtList() override;
#if ERA == 0
	typedef PList<Stmt> stmt_list;
	stmt_list stmts;
#elif ERA == 1
	PList<Stmt> *stmts = new PList<Stmt>;
#else
	std::vector<Stmt *> stmts;
#endif
};
class Expr : public Obj {
public:
	ExprTag tag = EXPR_NAME;
	Type *type = nullptr;
	~Expr() override;
};
class ID : public Obj, public Modifiable {
public:
	~ID() override;
	const char *name = "";
	Val *val = nullptr;
	int offset = 0;
};
class NameExpr : public Expr {
public:
	ID *id = nullptr;
};
class CallExpr : public Expr {
public:
	~CallExpr() override;
	Expr *func = nullptr;
	Expr *args = nullptr;
};
class Frame : public Obj {
public:
	~Frame() override;
	int size = 0;
	bool delayed = false;
	Val **frame = nullptr;
	Func *function = nullptr;
	void *func_args = nullptr;
	Stmt *next_stmt = nullptr;
	const CallExpr *call = nullptr;
};
struct CallInfo {
	const CallExpr *call = nullptr;
#if ERA < 2
	const Func *func = nullptr;
	const std::vector<Val *> &args;
#else
	Frame *frame = nullptr;
#endif
};
extern std::vector<CallInfo> call_stack;
#if ERA
} // detail
#endif
class EventHandler {
public:
#if ERA == 0
	const char *name = "";
#else
	std::string name;
#endif
	Func *local = nullptr;
};
#if ERA == 0
class DictEntry {
public:
	void *key;
	int len;
	uint64_t hash;
	void *value;
};
class Dictionary {
public:
	virtual ~Dictionary();
	List<DictEntry> **tbl = nullptr;
	int num_buckets = 0, num_entries = 0;
};
template <typename T> class PDict : public Dictionary {};
class EventRegistry {
public:
	PDict<EventHandler> handlers;
};
#else
class EventRegistry {
public:
	std::map<std::string, std::unique_ptr<EventHandler>> handlers;
};
#endif
extern EventRegistry *event_registry;
#if ERA
} // zeek
#endif
#if ERA < 2
#if ERA
extern std::vector<zeek::detail::Frame *> g_frame_stack;
#else
extern std::vector<Frame *> g_frame_stack;
#endif
#endif
extern "C" const char version[];
