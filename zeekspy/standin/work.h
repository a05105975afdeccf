// The load: time burnt at known places in known shares, and a checksum of what was interpreted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ast.h"

namespace standin {

// A place that burns time. body indexes Script::bodies; line is 0 in a BiF; share is in percent of an iteration.
struct Work {
	size_t body = 0;
	int line = 0;
	double share = 0;
	double spent = 0; // what a dry run would have burnt here
};

// Makes an iteration last us of CPU time on average. Takes some 50 ms.
void calibrate(double us);
// Draws the length of the iteration that begins, from half to one and a half of the average: all work is stretched alike,
// so the shares stay, but no period of the script can beat with a sampler's clock or the scheduler's slices.
void next_iteration();
// From now on work is added to Work::spent instead of being done.
void dry_run(bool on);
void work(Work& place);
// Burns about this much CPU time.
void burn(double us);

extern uint64_t checksum; // of the statements executed, in order

inline void step(uint64_t what) { checksum = (checksum ^ what) * 0x100000001b3; }

class WorkExpr : public zeek::detail::Expr {
public:
	WorkExpr(const zeek::detail::Location& place, Work* w) : Expr(zeek::detail::EXPR_WORK, place), to_do(w) {}
	zeek::Val* Eval(zeek::detail::Frame*) const override;
	Work* to_do;
};

extern void (*disturb)(); // if set, called now and then while work is done
void scribble();           // writes over what a profiler reads, then puts back what was there

int64_t thread_cpu_ns(); // CPU time of the calling thread
int64_t wall_ns();

} // namespace standin
