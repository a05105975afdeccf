// Functions, frames and the stacks of calls, in the shapes of both eras; see ast.h.
#pragma once

#include <map>
#include <memory>

#include "ast.h"

extern "C" char version[]; // unmangled, as Zeek's version.c has it

namespace zeek {

class Func : public Obj {
public:
	enum Kind : ZEEK_ENUM { SCRIPT_FUNC, BUILTIN_FUNC };
	struct Body {
		detail::Stmt* stmts;
#if ZEEK_ERA == 2
		void* groups = nullptr;
#endif
		int priority = 0;
		bool disabled = false;
	};

	Func(Kind k, std::string n, FuncType* t) : kind(k), type(t), name(std::move(n)) {}
	virtual Val* Invoke(Args* args, detail::Frame* parent) const = 0;

	std::vector<Body> bodies;
	void* scope = nullptr;
	Kind kind;
	FuncType* type;
	std::string name;
};

inline FuncVal::FuncVal(Func* f) : Val(f->type), func_val(f) {}

namespace detail {

class ScriptFunc : public Func {
public:
	ScriptFunc(std::string n, FuncType* t, int slots) : Func(SCRIPT_FUNC, std::move(n), t), frame_size(slots) {}
	Val* Invoke(Args* args, Frame* parent) const override;
	void AddBody(Stmt* stmts, int priority); // keeps the bodies in falling priority
	int frame_size;
};

using built_in_func = Val* (*)(Frame* f, const Args* args);

class BuiltinFunc : public Func {
public:
	BuiltinFunc(std::string n, built_in_func f, FuncType* t) : Func(BUILTIN_FUNC, std::move(n), t), func(f) {}
	Val* Invoke(Args* args, Frame* parent) const override;
	built_in_func func;
	bool is_pure = false;
};

class Frame : public Obj {
public:
	Frame(int slots, const Func* running, const Args* args);
	~Frame() override { delete[] frame; }
	int size;
	bool break_before_next_stmt = false;
	bool break_on_return = false;
	bool delayed = false;
	Val** frame;
	int current_offset = 0;
#if ZEEK_ERA == 1
	const ScriptFunc* function;
#else
	const Func* function;
#endif
	const Args* func_args;
	Stmt* next_stmt = nullptr; // set before a statement runs: it is the one that runs
	const CallExpr* call = nullptr;
};

struct CallInfo {
	const CallExpr* call; // in the caller; null if called from C++
#if ZEEK_ERA == 1
	const Func* func;
	const Args& args;
#else
	Frame* frame;
#endif
};

extern std::vector<CallInfo> call_stack;

struct InterpreterException {};

} // namespace detail

class EventHandler {
public:
	EventHandler(std::string n, detail::ScriptFunc* f) : name(std::move(n)), local(f) {}
	void Call(Args* args) { local->Invoke(args, nullptr); }
	std::string name;
	detail::ScriptFunc* local;
	bool used = true;
	bool enabled = true;
};

class EventRegistry {
public:
	std::map<std::string, std::unique_ptr<EventHandler>, std::less<>> handlers;
};

extern EventRegistry* event_registry;

#if ZEEK_ERA == 2
class EventMgr : public Obj { // a member counts the dispatches from Zeek 4.0 on
public:
	uint64_t num_events_queued = 0;
	uint64_t num_events_dispatched = 0;
};

extern EventMgr event_mgr;
#endif

void dispatch(EventHandler* handler, Args* args);

namespace run_state {
extern double network_time;
}

} // namespace zeek

#if ZEEK_ERA == 1
extern std::vector<zeek::detail::Frame*> g_frame_stack;
extern uint64_t num_events_dispatched; // until Zeek 3.2
#endif
