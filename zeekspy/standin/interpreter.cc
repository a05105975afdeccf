// How the tree is executed. The order in which the stacks are pushed, set and popped is Zeek's, exceptions included.
#include <algorithm>

#include "func.h"
#include "work.h"

#if ZEEK_ERA == 1
char version[] = "0.8.0-standin";
std::vector<zeek::detail::Frame*> g_frame_stack;
uint64_t num_events_dispatched = 0;
#else
char version[] = "0.9.0-standin";
#endif

namespace zeek {

namespace run_state {
double network_time = 0;
}

static EventRegistry the_registry;
EventRegistry* event_registry = &the_registry;

#if ZEEK_ERA == 2
EventMgr event_mgr;
#endif

// An event counts once its handlers have returned, as in EventMgr::Drain.
void dispatch(EventHandler* handler, Args* args) {
	handler->Call(args);
#if ZEEK_ERA == 1
	++num_events_dispatched;
#else
	++event_mgr.num_events_dispatched;
#endif
}

namespace detail {

std::vector<CallInfo> call_stack;

Frame::Frame(int slots, const Func* running, const Args* args)
	: size(slots), frame(slots ? new Val*[size_t(slots)]() : nullptr),
#if ZEEK_ERA == 1
	  function(static_cast<const ScriptFunc*>(running)),
#else
	  function(running),
#endif
	  func_args(args) {
	for ( size_t i = 0; i < args->size() && i < size_t(slots); ++i )
		frame[i] = (*args)[i];
}

static Val* count(uint64_t n) { // small numbers are made once and shared
	static Type count_type(TYPE_COUNT);
	static std::vector<CountVal*> made;
	while ( made.size() <= n )
		made.push_back(new CountVal(&count_type, made.size()));
	return made[n];
}

Val* NameExpr::Eval(Frame* f) const { return id->offset < 0 ? id->val : f->frame[id->offset]; }

Val* SubExpr::Eval(Frame* f) const { return count(static_cast<CountVal*>(op1->Eval(f))->uint_val - 1); }

Val* CallExpr::Eval(Frame* f) const {
	auto* callee = static_cast<FuncVal*>(func->Eval(f));
	Args vals;
	for ( auto* arg : args->exprs )
		vals.push_back(arg->Eval(f)); // calls among the arguments are over before this one is noted
	f->call = this; // and not restored afterwards, as in Zeek 5.0 and later
	return callee->func_val->Invoke(&vals, f);
}

void Stmt::RegisterAccess() {
	last_access = run_state::network_time;
	++access_count;
	standin::step(uint64_t(location->first_line));
}

void StmtList::Exec(Frame* f, StmtFlowType& flow) {
	RegisterAccess();
	for ( auto* stmt : stmts ) {
		f->next_stmt = stmt;
		stmt->Exec(f, flow);
		if ( flow != FLOW_NEXT )
			break;
	}
}

void ExprStmt::Exec(Frame* f, StmtFlowType&) {
	RegisterAccess();
	e->Eval(f);
}

void IfStmt::Exec(Frame* f, StmtFlowType& flow) {
	RegisterAccess();
	Stmt* branch = static_cast<CountVal*>(e->Eval(f))->uint_val ? s1 : s2;
	f->next_stmt = branch;
	branch->Exec(f, flow);
}

void ScriptFunc::AddBody(Stmt* stmts, int priority) {
	Body body{};
	body.stmts = stmts;
	body.priority = priority;
	auto behind = std::find_if(bodies.begin(), bodies.end(), [&](const Body& b) { return b.priority < priority; });
	bodies.insert(behind, body);
}

// Runs the bodies in one entry. False if the function was left by an exception, which then goes on.
static bool run_bodies(const ScriptFunc* func, Frame* f) {
	for ( const auto& body : func->bodies ) {
		StmtFlowType flow = FLOW_NEXT;
		try {
			body.stmts->Exec(f, flow);
		} catch ( InterpreterException& ) {
			if ( func->type->flavor == FUNC_FLAVOR_FUNCTION )
				return false;
			continue; // events and hooks go on with the next body
		}
		if ( func->type->flavor == FUNC_FLAVOR_HOOK && flow == FLOW_BREAK )
			break;
	}
	return true;
}

#if ZEEK_ERA == 1

Val* ScriptFunc::Invoke(Args* args, Frame* parent) const {
	auto f = std::make_unique<Frame>(frame_size, this, args);
	g_frame_stack.push_back(f.get());
	call_stack.push_back(CallInfo{parent ? parent->call : nullptr, this, *args});
	bool done = run_bodies(this, f.get());
	call_stack.pop_back();
	g_frame_stack.pop_back();
	if ( ! done )
		throw InterpreterException();
	return nullptr;
}

Val* BuiltinFunc::Invoke(Args* args, Frame* parent) const {
	call_stack.push_back(CallInfo{parent ? parent->call : nullptr, this, *args});
	Val* result = func(parent, args); // an exception leaves the entry behind: the caller then pops it for its own
	call_stack.pop_back();
	return result;
}

#else

Val* ScriptFunc::Invoke(Args* args, Frame* parent) const {
	Frame f(frame_size, this, args);
	call_stack.push_back(CallInfo{parent ? parent->call : nullptr, &f});
	bool done = run_bodies(this, &f);
	call_stack.pop_back();
	if ( ! done )
		throw InterpreterException();
	return nullptr;
}

Val* BuiltinFunc::Invoke(Args* args, Frame* parent) const {
	Frame f(0, this, args);
	call_stack.push_back(CallInfo{parent ? parent->call : nullptr, &f});
	Val* result = func(parent, args); // an exception leaves the entry behind: the caller then pops it for its own
	call_stack.pop_back();
	return result;
}

#endif

} // namespace detail
} // namespace zeek
