// Where the virtual functions and the globals are.
#include "shapes.h"
extern "C" const char version[] =
#if ERA == 0
    "3.0.1";
std::vector<Frame *> g_frame_stack;
Location::~Location() {}
Dictionary::~Dictionary() {}
#elif ERA == 1
    "5.0.10";
std::vector<zeek::detail::Frame *> g_frame_stack;
#else
    "9.0.0-rc1";
#endif
#if ERA
namespace zeek {
namespace detail {
#endif
std::vector<CallInfo> call_stack;
Stmt::~Stmt() {}
StmtList::~StmtList() {}
Expr::~Expr() {}
CallExpr::~CallExpr() {}
ID::~ID() {}
Frame::~Frame() {}
#if ERA
}
#endif
EventRegistry *event_registry = new EventRegistry;
Obj::~Obj() {}
Modifiable::~Modifiable() {}
FuncType::~FuncType() {}
Func::~Func() {}
Val::~Val() {}
#if ERA
}
#endif
