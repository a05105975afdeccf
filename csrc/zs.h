// zs: samples Zeek script stacks from outside the process. libc only; the one public header of the C core.
//
// Conventions: fallible functions return 0 (or a count) or a negative zs_code and fill a caller-supplied struct zs_error;
// results leave through the last parameter; _create/_destroy pair up and _destroy(NULL) is fine. Addresses are those of
// the target. All times are CLOCK_MONOTONIC nanoseconds. Nothing here ever writes to the target.
#ifndef ZS_H
#define ZS_H

#ifndef ZS_CFFI // cffi reads this header preprocessed; it knows these types itself
#include <stddef.h>
#include <stdint.h>
#endif

enum zs_code {
	ZS_OK = 0,
	ZS_EGONE = -1,   // the target has exited, or replaced itself by exec
	ZS_EPERM = -2,   // the kernel refuses to let us read the target
	ZS_ELAYOUT = -3, // the layout is not usable; what names the field
	ZS_ENOMEM = -4,
	ZS_EINVAL = -5, // an argument is out of range; what names it
	ZS_ESYS = -6,   // another system call failed; what names it, errnum says why
};

struct zs_error {
	int code;         // enum zs_code
	int errnum;       // errno of the failed system call, or 0; with ZS_ELAYOUT: ENOENT missing, ERANGE absurd, EEXIST overlapping
	uint64_t addr;    // the address concerned, or 0
	const char *what; // static: the system call, argument or layout field
};

const char *zs_code_name(int code); // "EGONE"; "?" for an unknown code

// Layout: where Zeek keeps things, for one version and ABI.

// Every field the walker uses: X(member, name, owner, shape).
// Names are dotted like the C++ they stand for (design: versions are data). Sources, in Zeek's src/: CallInfo in Func.h;
// Frame in Frame.h; Obj and Location in Obj.h; Func in Func.h; FuncType in Type.h; Stmt and StmtList in Stmt.h (6.0+
// StmtBase.h); Expr, CallExpr and NameExpr in Expr.h; ID in ID.h; FuncVal in Val.h; List in List.h.
// shape: S a size; P a pointer; I a 4-byte int; V a std::vector; N a std::string; E an enum as wide as its sizeof field;
// A a std::vector, an inline List or a pointer to one, as wide as its sizeof field.
#define ZS_LAYOUT_FIELDS(X)                                                                                            \
	X(sizeof_CallInfo, "sizeof.CallInfo", CallInfo, S)                                                             \
	X(CallInfo_call, "CallInfo.call", CallInfo, P)                                                                 \
	X(CallInfo_func, "CallInfo.func", CallInfo, P)                                                                 \
	X(CallInfo_frame, "CallInfo.frame", CallInfo, P)                                                               \
	X(sizeof_Frame, "sizeof.Frame", Frame, S)                                                                      \
	X(Frame_function, "Frame.function", Frame, P)                                                                  \
	X(Frame_next_stmt, "Frame.next_stmt", Frame, P)                                                                \
	X(Frame_call, "Frame.call", Frame, P)                                                                          \
	X(Frame_func_args, "Frame.func_args", Frame, P)                                                                \
	X(Obj_location, "Obj.location", Obj, P)                                                                        \
	X(Location_filename, "Location.filename", Location, P)                                                         \
	X(Location_first_line, "Location.first_line", Location, I)                                                     \
	X(Location_last_line, "Location.last_line", Location, I)                                                       \
	X(Func_name, "Func.name", Func, N)                                                                             \
	X(sizeof_Func_kind, "sizeof.Func.kind", Func, S)                                                               \
	X(Func_kind, "Func.kind", Func, E)                                                                             \
	X(Func_bodies, "Func.bodies", Func, V)                                                                         \
	X(Func_type, "Func.type", Func, P)                                                                             \
	X(sizeof_Func_Body, "sizeof.Func.Body", Func_Body, S)                                                          \
	X(Func_Body_stmts, "Func.Body.stmts", Func_Body, P)                                                            \
	X(sizeof_Stmt_tag, "sizeof.Stmt.tag", Stmt, S)                                                                 \
	X(Stmt_tag, "Stmt.tag", Stmt, E)                                                                               \
	X(Stmt_access_count, "Stmt.access_count", Stmt, I)                                                             \
	X(sizeof_FuncType_flavor, "sizeof.FuncType.flavor", FuncType, S)                                               \
	X(FuncType_flavor, "FuncType.flavor", FuncType, E)                                                             \
	X(sizeof_StmtList_stmts, "sizeof.StmtList.stmts", StmtList, S)                                                 \
	X(StmtList_stmts, "StmtList.stmts", StmtList, A)                                                               \
	X(List_entries, "List.entries", List, P)                                                                       \
	X(List_num_entries, "List.num_entries", List, I)                                                               \
	X(sizeof_Expr_tag, "sizeof.Expr.tag", Expr, S)                                                                 \
	X(Expr_tag, "Expr.tag", Expr, E)                                                                               \
	X(CallExpr_func, "CallExpr.func", CallExpr, P)                                                                 \
	X(NameExpr_id, "NameExpr.id", NameExpr, P)                                                                     \
	X(ID_val, "ID.val", ID, P)                                                                                     \
	X(FuncVal_func_val, "FuncVal.func_val", FuncVal, P)

#define ZS_ABSENT (-1)

// How the target's C++ library lays out std::string; std::vector is {begin, end, capacity} in all three.
enum zs_stdlib {
	ZS_LIBSTDCXX = 0,     // {char *p; size_t n; union {size_t cap; char buf[16];}}
	ZS_LIBCXX = 1,        // bit 0 of the first byte: long {cap, n, p}, else n << 1 and the characters from byte 1
	ZS_LIBSTDCXX_OLD = 2, // {char *p}, the length at p - 24 (_GLIBCXX_USE_CXX11_ABI=0)
};

struct zs_layout {
#define X(member, name, owner, shape) int32_t member;
	ZS_LAYOUT_FIELDS(X)
#undef X
	int32_t stdlib; // enum zs_stdlib
};

void zs_layout_init(struct zs_layout *ret);                                       // every field absent, libstdc++
const char *zs_layout_field(size_t i);                                            // the i-th name, NULL past the last
int zs_layout_set(struct zs_layout *layout, const char *name, int64_t value);     // 1 set, 0 name unknown, ZS_ELAYOUT
int zs_layout_validate(const struct zs_layout *layout, struct zs_error *error);   // once; afterwards the walker trusts it

// Reader: an address space, live or saved.

struct zs_span {
	uint64_t addr;
	void *buf;
	uint32_t len;
	uint32_t got; // out: bytes of the beginning that could be read; the rest of buf is undefined
};

struct zs_segment {
	uint64_t addr;
	const void *bytes; // borrowed: must outlive the reader
	uint64_t len;
};

enum zs_reader_flags {
	ZS_NO_VM_READV = 1, // read /proc/PID/mem even where process_vm_readv works
};

struct zs_reader;

// A live process. Tries process_vm_readv, then /proc/PID/mem. ZS_EPERM or ZS_EGONE if neither may be used.
int zs_reader_open_process(int pid, int flags, struct zs_reader **ret, struct zs_error *error);
// A saved image. Segments sorted by address and not overlapping, else ZS_EINVAL.
int zs_reader_open_image(const struct zs_segment *segments, size_t n, struct zs_reader **ret, struct zs_error *error);
// Reads the spans in order. Returns how many were read whole; unreadable memory is not an error (got says), loss of the
// target is ZS_EGONE. As few system calls as the memory's holes allow.
int zs_reader_read(struct zs_reader *reader, struct zs_span *spans, size_t n, struct zs_error *error);
// From now on every byte read is remembered, up to limit bytes; 0 forgets and stops.
int zs_reader_remember(struct zs_reader *reader, size_t limit);
// The i-th remembered read; NULL past the last.
const struct zs_segment *zs_reader_remembered(const struct zs_reader *reader, size_t i);
const char *zs_reader_method(const struct zs_reader *reader); // "process_vm_readv", "/proc/PID/mem" or "image"
void zs_reader_destroy(struct zs_reader *reader);

// Definitions: strings, functions, frames and stacks, each stored once and known by a dense id.

// Id 0 is "none" in every table: no string, no function, the empty stack.
struct zs_string {
	uint32_t start, len; // in the definitions' bytes
};

enum zs_kind {
	ZS_KIND_UNKNOWN = 0,
	ZS_KIND_FUNCTION = 1,
	ZS_KIND_EVENT = 2,
	ZS_KIND_HOOK = 3,
	ZS_KIND_BIF = 4,
};

struct zs_func {
	uint32_t name; // string id
	uint32_t kind; // enum zs_kind
	uint32_t body, nbodies; // in the definitions' bodies
};

struct zs_body {
	uint32_t file;                    // string id; 0 if the body has no location
	uint32_t first_line, last_line;   // first <= last; 0 if unknown
	uint32_t tag;                     // Stmt.tag: how Zeek represents the body; 0xff if unknown
	uint64_t stmt;                    // address of its top statement
};

enum zs_frame_flags {
	ZS_FRAME_UNREADABLE = 1, // had gone when it was looked at
	ZS_FRAME_TOP_LEVEL = 2,  // statements outside any function, at start-up (Frame.function is null there)
	ZS_FRAME_CALL = 4,       // the line is that of the call in progress, else of the statement being executed
};

struct zs_frame {
	uint32_t func; // func id
	uint32_t file; // string id; 0 if the line is not known
	uint32_t line;
	uint32_t flags; // enum zs_frame_flags
};

struct zs_stack {
	uint32_t start, depth; // in the definitions' frame ids, outermost first
};

struct zs_definitions { // what an interner holds from some point on; see zs_intern_since
	uint32_t first_string, nstrings, first_func, nfuncs, first_frame, nframes, first_stack, nstacks;
	const struct zs_string *strings;
	const struct zs_func *funcs;
	const struct zs_frame *frames;
	const struct zs_stack *stacks;
	const char *bytes;            // all of them: strings[i].start is absolute
	const struct zs_body *bodies; // all of them
	const uint32_t *frame_ids;    // all of them
	uint64_t overflow;            // definitions that found no room, since the beginning
};

// Walker: one stack of one address space through one layout.

struct zs_target {
	int pid;                           // 0 for an image
	uint64_t call_stack;               // address of the std::vector<CallInfo>
	uint64_t g_frame_stack;            // address of the std::vector<Frame*>; 0 from Zeek 8.1 on
	uint64_t stack_low, stack_high;    // the main thread's C++ stack, where frames of Zeek 8.1+ lie; 0, 0 if unknown
	uint64_t data_low, data_high;      // the executable's read-only data, where vtables lie; 0, 0 if unknown
	uint64_t dispatched;               // address of the event manager's u64 counter of dispatched events; 0 if unknown
};

enum zs_sample_flags {
	ZS_TORN = 1,       // the stack changed, or under ZS_PREEMPT could have, while it was read: the first look was kept
	ZS_UNREADABLE = 2, // at least one frame could not be decoded
	ZS_STALE = 4,      // entries of stacks that are no more were left out
	ZS_TRUNCATED = 8,  // deeper than ZS_MAX_DEPTH: the outermost frames were left out
	ZS_ON_CPU = 16,    // the main thread was running or ready to run
	ZS_LINELESS = 32,  // at least one frame's function is known and its line is not: it had gone
};

#define ZS_MAX_DEPTH 1024

struct zs_look {
	uint32_t stack; // stack id, 0 if empty
	uint32_t flags; // enum zs_sample_flags
	uint32_t depth; // frames in the stack
	uint32_t stale; // entries left out
	uint32_t bottom;     // func id of the outermost frame, 0 if there is none or it is not known
	uint32_t counted;    // 1 if dispatched was read
	uint64_t dispatched; // events that Zeek had dispatched, at the look's instant
};

struct zs_walker;

// The reader is borrowed. The layout is validated here.
int zs_walker_create(struct zs_reader *reader, const struct zs_layout *layout, const struct zs_target *target,
                     struct zs_walker **ret, struct zs_error *error);
int zs_walk(struct zs_walker *walker, struct zs_look *ret, struct zs_error *error);
// Says that the thread has been blocked since before the last walk, with its stack pointer at sp: from Zeek 8.1 on, entries
// whose frames lie below are of stacks that are no more. From the next walk on they are left out.
void zs_walker_leave_below(struct zs_walker *walker, uint64_t sp);
// Defines the Func at addr, as a walk that meets it would. ret: its func id, 0 if there is none.
int zs_walker_define(struct zs_walker *walker, uint64_t addr, uint32_t *ret, struct zs_error *error);
// System calls made and bytes asked for so far.
void zs_walker_reads(const struct zs_walker *walker, uint64_t *calls, uint64_t *bytes);
// Definitions made since the ids given (a zs_definitions from the last call, or zeros); valid until the next walk.
void zs_walker_definitions(const struct zs_walker *walker, const struct zs_definitions *since, struct zs_definitions *ret);
void zs_walker_destroy(struct zs_walker *walker);

// Sampler: a walker on a clock.

enum zs_engine_id { // what is done to the target for a look
	ZS_NONBLOCKING = 0, // nothing: from another CPU, while it runs
	ZS_PREEMPT = 1,     // its CPU is taken from it
	ZS_PTRACE = 2,      // it is stopped by ptrace, and continued
};

const char *zs_engine_name(int engine); // "nonblocking"; NULL for an unknown number

struct zs_run { // consecutive samples that saw the same
	uint64_t t_ns;  // time of the first
	uint64_t cpu_ns, wall_ns; // on-CPU and wall time they stand for
	uint32_t stack; // stack id, 0 if empty
	uint32_t flags; // enum zs_sample_flags
	uint32_t count;
};

// One event's dispatch, as long as looks saw it: it began after after_ns and not later than begin_ns, and ended not before
// end_ns and before before_ns.
struct zs_dispatch {
	uint64_t after_ns;           // the look before it; 0 if there was none
	uint64_t begin_ns, end_ns;   // the first and the last look that saw it
	uint64_t before_ns;          // the look that saw it no longer; 0 while it goes on
	uint32_t stack;              // stack id that most of these looks saw, if there was one such
	uint32_t samples;            // looks that saw it; 0: there is none
};

#define ZS_HISTOGRAM 256

struct zs_stats {
	uint64_t samples, script, core, idle; // samples = script + core + idle
	uint64_t torn, unreadable, lineless, truncated; // samples so flagged
	uint64_t stale;                       // entries left out, summed over the samples
	uint64_t missed;                      // slots of the schedule that passed without a sample
	uint32_t realtime;                    // preempt: 1 if the kernel lets the thread run before all normal ones (SCHED_FIFO)
	uint64_t reads, read_bytes;           // of the target's memory
	uint64_t overflow;                    // stacks not kept because the definitions were full
	uint64_t cpu_ns;                      // on-CPU time of the target's main thread while sampling
	uint64_t seen_ns;                     // wall time of the samples that found it on the CPU, or waiting for one
	uint64_t waited_ns;                   // time it was ready to run and had no CPU
	uint64_t started_ns, last_ns;         // first and last sample
	uint64_t undispatched;                // dispatches seen at least twice that found no room in their batch
	uint32_t cost[ZS_HISTOGRAM];          // how long the samples took: bucket i holds zs_cost_ns(i) and up
};

uint64_t zs_cost_ns(uint32_t bucket);

struct zs_batch {
	struct zs_definitions definitions; // new since the last batch; valid until the next zs_sampler_poll or zs_sampler_go_on
	const struct zs_run *runs;
	size_t nruns;
	const struct zs_dispatch *dispatches; // those of two samples and more that were over; valid until the next poll
	size_t ndispatches;
	struct zs_dispatch dispatching; // the one that the last look saw
	uint32_t counted;               // 1 if dispatches can be told apart: the target's counter is known and was read
};

struct zs_sampler;

// engine: enum zs_engine_id; ZS_EPERM with errno EBUSY and the pid as addr if another process traces the target.
// hz: 0.001 to 100000. seed: of the jitter; the schedule is a function of it, and begins with the first poll.
int zs_sampler_create(struct zs_walker *walker, int pid, int engine, double hz, uint64_t seed, struct zs_sampler **ret,
                      struct zs_error *error);
// Goes on with another engine. Not during a poll.
int zs_sampler_use(struct zs_sampler *sampler, int engine, struct zs_error *error);
// CPUs on which no look is to be taken while there are others; before the first poll. The target's is always avoided,
// except by ZS_PREEMPT.
void zs_sampler_avoid(struct zs_sampler *sampler, const uint32_t *cpus, size_t n);
// Samples for budget_ns, or until a signal arrives, in a thread of the sampler's own. What was sampled before an error is
// in the batch all the same.
int zs_sampler_poll(struct zs_sampler *sampler, uint64_t budget_ns, struct zs_batch *ret, struct zs_error *error);
// After a poll, once its batch has been copied: samples on until the next poll, whose batch has that too. So no moment is
// missed while the caller is busy with the batch. What else uses the walker, or its reader, has to wait for the next poll.
void zs_sampler_go_on(struct zs_sampler *sampler);
// From now on at another rate; between polls.
int zs_sampler_set_hz(struct zs_sampler *sampler, double hz, struct zs_error *error);
// As they were at the end of the last poll.
const struct zs_stats *zs_sampler_stats(const struct zs_sampler *sampler);
void zs_sampler_destroy(struct zs_sampler *sampler);

// Crew: samplers that share a thread and a clock, so that one awakening serves them all.

struct zs_crew;

// hz and seed as for zs_sampler_create. The samplers' own rates count for nothing while they are in a crew.
int zs_crew_create(double hz, uint64_t seed, struct zs_crew **ret, struct zs_error *error);
int zs_crew_set_hz(struct zs_crew *crew, double hz, struct zs_error *error); // between polls
// Has n samplers of ZS_NONBLOCKING look at every due moment, for budget_ns or until a signal arrives; others are
// ZS_EINVAL. Who is in it may differ from poll to poll. An error of one sampler is that one's, and zs_sampler_batch has it.
int zs_crew_poll(struct zs_crew *crew, struct zs_sampler *const *samplers, size_t n, uint64_t budget_ns,
                 struct zs_error *error);
// What the last poll has brought, as from zs_sampler_poll; once after each.
int zs_sampler_batch(struct zs_sampler *sampler, struct zs_batch *ret, struct zs_error *error);
void zs_crew_destroy(struct zs_crew *crew);

// Confinement: what this process gives up once it has attached.

enum zs_confine_flags {
	ZS_ALLOW_STOPS = 1,   // ptrace: to stop, look at and continue a thread, never to change or kill it
	ZS_ALLOW_PUBLISH = 2, // link, rename and unlink: to give a finished file its name
	ZS_ALLOW_SERVE = 4,   // accept connections at sockets that are bound already, and answer them; never to connect
};

// For good, for all threads of this process as to system calls, for this thread and those it starts as to capabilities:
// no way left to write another process, to reach the network, to open a file for writing, to start a program or a process,
// to signal any but itself and child (a pid, or 0). Refused calls fail with EPERM. Of the capabilities only those in the
// mask (1 << CAP_SYS_PTRACE, ...) stay. ZS_ESYS if the kernel cannot filter: the capabilities are dropped all the same.
int zs_confine(int flags, int child, uint64_t capabilities, struct zs_error *error);
// The capabilities alone, with the way to new ones through a program: for a process that has to write files and to connect.
int zs_drop(uint64_t capabilities, struct zs_error *error);

#endif
