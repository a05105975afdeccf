#include "work.h"

#include <algorithm>
#include <ctime>

namespace standin {

uint64_t checksum = 0xcbf29ce484222325;
void (*disturb)() = nullptr;

namespace {

double loops_per_us = 0;
double loops_per_percent = 0;
double stretch = 1; // of the iteration that runs
unsigned works = 0;
bool dry = false;

int64_t now(clockid_t clock) {
	timespec t{};
	clock_gettime(clock, &t);
	return int64_t(t.tv_sec) * 1000000000 + t.tv_nsec;
}

// A chain of dependent operations: its time is proportional to n, whatever the compiler does around it. The barrier also
// makes the compiler store what others can see, such as Frame.next_stmt, before the time passes.
void spin(double loops) {
	uint64_t x = 1;
	asm volatile("" : "+r"(x) : : "memory");
	for ( auto n = uint64_t(loops); n > 0; --n )
		asm volatile("" : "+r"(x = x * 3 + 1));
}

} // namespace

int64_t thread_cpu_ns() { return now(CLOCK_THREAD_CPUTIME_ID); }
int64_t wall_ns() { return now(CLOCK_MONOTONIC); }

void calibrate(double us) {
	const double loops = 500000;
	int64_t best = INT64_MAX; // disturbances only ever add time
	for ( int i = 0; i < 30; ++i ) {
		int64_t start = thread_cpu_ns();
		spin(loops);
		best = std::min(best, thread_cpu_ns() - start);
	}
	loops_per_us = loops * 1000.0 / double(best);
	loops_per_percent = loops_per_us * us / 100.0;
}

void dry_run(bool on) { dry = on; }

void next_iteration() {
	static uint32_t random = 1;
	random = random * 1664525 + 1013904223;
	stretch = 0.5 + random / 4294967296.0;
}

void work(Work& place) {
	if ( dry ) {
		place.spent += place.share;
		return;
	}
	if ( disturb && ++works % 4 == 0 )
		disturb();
	spin(place.share * loops_per_percent * stretch);
}

void burn(double us) { spin(us * loops_per_us); }

zeek::Val* WorkExpr::Eval(zeek::detail::Frame*) const {
	work(*to_do);
	return nullptr;
}

} // namespace standin
