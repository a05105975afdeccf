// Prints what the compiler makes of the classes: "field bytes" a line.
#include <cstddef>
#include <cstdio>

#include "shapes.h"
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
#if ERA
using namespace zeek;
using namespace zeek::detail;
#endif

#define SIZE(name, cls) printf("sizeof.%s %zu\n", name, sizeof(cls))
#define AT(name, cls, member) printf("%s.%s %zu\n", name, #member, offsetof(cls, member))
#define WIDTH(name, cls, member) AT(name, cls, member), printf("sizeof.%s.%s %zu\n", name, #member, sizeof(cls::member))

int main()
{
	SIZE("CallInfo", CallInfo), AT("CallInfo", CallInfo, call);
#if ERA < 2
	AT("CallInfo", CallInfo, func), printf("CallInfo.args 16\n"); // a reference has no offsetof
#else
	AT("CallInfo", CallInfo, frame);
#endif
	SIZE("Frame", Frame), AT("Frame", Frame, function), AT("Frame", Frame, next_stmt), AT("Frame", Frame, call);
	AT("Frame", Frame, func_args), AT("Frame", Frame, size), AT("Frame", Frame, frame);
	SIZE("Obj", Obj), AT("Obj", Obj, location), AT("Obj", Obj, ref_cnt);
	SIZE("Location", Location), AT("Location", Location, filename), AT("Location", Location, first_line);
	AT("Location", Location, last_line);
	SIZE("Func", Func), AT("Func", Func, name), WIDTH("Func", Func, kind), AT("Func", Func, bodies), AT("Func", Func, type);
	SIZE("Func.Body", Func::Body), AT("Func.Body", Func::Body, stmts), AT("Func.Body", Func::Body, priority);
	SIZE("Stmt", Stmt), WIDTH("Stmt", Stmt, tag), AT("Stmt", Stmt, access_count), AT("Stmt", Stmt, last_access);
	WIDTH("StmtList", StmtList, stmts);
#if ERA < 2
	AT("List", List<Stmt *>, entries), AT("List", List<Stmt *>, num_entries);
#endif
	SIZE("Expr", Expr), WIDTH("Expr", Expr, tag), AT("Expr", Expr, type);
	AT("CallExpr", CallExpr, func), AT("CallExpr", CallExpr, args), AT("NameExpr", NameExpr, id);
	AT("ID", ID, val), AT("ID", ID, name), AT("ID", ID, offset);
	WIDTH("FuncType", FuncType, flavor), AT("FuncType", FuncType, args);
#if ERA == 0
	printf("FuncVal.func_val %zu\n", offsetof(FuncVal, val.func_val)), AT("Val", Val, val);
	printf("DoubleVal.double_val %zu\n", offsetof(Val, val.double_val));
	SIZE("Dictionary", Dictionary), AT("Dictionary", Dictionary, tbl), AT("Dictionary", Dictionary, num_buckets);
	AT("Dictionary", Dictionary, num_entries);
	SIZE("DictEntry", DictEntry), AT("DictEntry", DictEntry, value), AT("DictEntry", DictEntry, key);
	AT("DictEntry", DictEntry, len), AT("DictEntry", DictEntry, hash);
	AT("PList", List<Stmt *>, entries), AT("PList", List<Stmt *>, num_entries);
#else
	AT("FuncVal", FuncVal, func_val);
#endif
	SIZE("Val", Val), AT("Val", Val, type), WIDTH("Type", Type, tag), AT("Type", Type, name);
	AT("EventRegistry", EventRegistry, handlers);
	SIZE("EventHandler", EventHandler), AT("EventHandler", EventHandler, name), AT("EventHandler", EventHandler, local);

	StmtList list;
	NameExpr name;
	CallExpr call;
	FuncType type;
	FuncVal val;
	ID id;
	Frame frame;
	Func func;
	EventHandler handler;
	Location location;
#if ERA == 0
	DictEntry entry;
	(void)entry;
#endif
	return call_stack.size() + list.tag + name.tag + call.tag + type.flavor + (val.type != nullptr) + id.offset + frame.size +
	       location.last_line + func.kind + (event_registry == nullptr) + (handler.local != nullptr);
}
