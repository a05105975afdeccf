// The stand-in target: runs the built-in script as a Zeek under load would, until told to stop.
#include <cerrno>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include "script.h"

namespace {

const char usage[] =
	"usage: standin [--duration S] [--iterations N] [--idle F] [--core F] [--micro] [--stale]\n"
	"               [--exec FILE] [--stall MS] [--forks] [--scribble] [--alone] [--steps]\n"
	"               [--measured] [--ready-fd FD] [--truth] [--version] [--help]\n"
	"\n"
	"Runs a built-in Zeek script for ever, or for S seconds, or N iterations; SIGTERM and SIGINT end it.\n"
	"  --idle F       be blocked for this fraction of the time (default 0)\n"
	"  --core F       spend this fraction of the CPU time outside any script (default 0)\n"
	"  --micro        functions of 1 to 20 us on average, as in a real Zeek, instead of 50 to 1000\n"
	"  --stale        leave a stale entry at the bottom of the call stack\n"
	"  --exec FILE    at SIGUSR1, run that program in this one's place, with --duration 1\n"
	"  --stall MS     at SIGUSR2, run an event that takes so long\n"
	"  --forks        start and collect a process that exits at once, again and again\n"
	"  --scribble     write nonsense over the call stack, frames and functions every now and then, and mend it\n"
	"  --alone        without the two threads that do a little work all the time, as log writers do\n"
	"  --steps        print iterations and a checksum of the statements executed at exit\n"
	"  --measured     print the CPU and wall time measured at exit, as JSON\n"
	"  --ready-fd FD  write \"ready\\n\" there instead of standard output after the first iteration\n"
	"  --truth        print the expected shares as JSON and exit\n";

struct Options {
	double duration = 0; // 0: for ever
	uint64_t iterations = 0;
	double idle = 0, core = 0;
	bool micro = false, stale = false, steps = false, measured = false, truth = false;
	bool forks = false, scribble = false, alone = false;
	const char* exec = nullptr;
	double stall_ms = 0;
	int ready_fd = STDOUT_FILENO;
};

struct Measured {
	uint64_t iterations = 0;
	int64_t script_ns = 0, core_ns = 0, idle_ns = 0, wall_ns = 0;
};

volatile sig_atomic_t stop = 0, exec_now = 0, stall_now = 0;

[[noreturn]] void refuse(const char* why, const char* what) {
	fprintf(stderr, "standin: %s %s\n%s", why, what, usage);
	exit(2);
}

double number(const char* option, const char* text, double below) {
	char* end = nullptr;
	double n = text ? strtod(text, &end) : -1;
	if ( ! text || end == text || *end || ! (n >= 0 && n < below) )
		refuse("not a fitting number for", option);
	return n;
}

Options parse(char** argv) {
	Options o;
	while ( const char* arg = *++argv ) {
		auto is = [&](const char* name) { return strcmp(arg, name) == 0; };
		if ( is("--duration") )
			o.duration = number(arg, *++argv, 1e9);
		else if ( is("--iterations") )
			o.iterations = uint64_t(number(arg, *++argv, 1e15));
		else if ( is("--idle") )
			o.idle = number(arg, *++argv, 1);
		else if ( is("--core") )
			o.core = number(arg, *++argv, 1);
		else if ( is("--ready-fd") )
			o.ready_fd = int(number(arg, *++argv, 1 << 20));
		else if ( is("--micro") )
			o.micro = true;
		else if ( is("--stale") )
			o.stale = true;
		else if ( is("--exec") )
			o.exec = *++argv;
		else if ( is("--stall") )
			o.stall_ms = number(arg, *++argv, 1e6);
		else if ( is("--forks") )
			o.forks = true;
		else if ( is("--scribble") )
			o.scribble = true;
		else if ( is("--alone") )
			o.alone = true;
		else if ( is("--steps") )
			o.steps = true;
		else if ( is("--measured") )
			o.measured = true;
		else if ( is("--truth") )
			o.truth = true;
		else if ( is("--version") )
			puts(version), exit(0);
		else if ( is("--help") )
			fputs(usage, stdout), exit(0);
		else
			refuse("unknown option", arg);
	}
	return o;
}

int64_t sleep_for(double ns) {
	int64_t start = standin::wall_ns();
	timespec t{time_t(ns / 1e9), long(int64_t(ns) % 1000000000)};
	nanosleep(&t, nullptr); // cut short by a signal: then we are about to stop
	return standin::wall_ns() - start;
}

// Like Zeek's log writers: threads with a little work that must not show in a profile of the scripts.
void write_logs() {
	while ( ! stop ) {
		sleep_for(20e6);
		standin::burn(100);
	}
}

void say_ready(int fd) {
	if ( write(fd, "ready\n", 6) != 6 ) {
		perror("standin: cannot say that it is ready");
		exit(1);
	}
}

// A process that lives for a moment and must not be seen by anyone but us.
void fork_once() {
	pid_t child = fork();
	if ( child == 0 )
		_exit(7);
	int status = 0;
	pid_t ended;
	do
		ended = waitpid(child, &status, 0);
	while ( ended < 0 && errno == EINTR ); // by the signal that ends us
	if ( child < 0 || ended != child || ! WIFEXITED(status) || WEXITSTATUS(status) != 7 ) {
		fprintf(stderr, "standin: a child was tampered with\n");
		_exit(1);
	}
}

// Script, core and idle in turns of a few milliseconds. What a turn got too much of any is made up for in the next.
Measured run(standin::Script& script, const Options& o) {
	Measured m;
	const int script_per_turn = o.micro ? 20 : 1;
	bool ready = false;
	int turn = 0;
	int64_t begin = standin::wall_ns(), cpu = standin::thread_cpu_ns();
	while ( ! stop ) {
		if ( stall_now ) {
			stall_now = 0;
			standin::add_stalling_event(script, o.stall_ms * 1000);
		}
		for ( int i = 0; i < script_per_turn && ! (o.iterations && m.iterations >= o.iterations); ++i, ++m.iterations )
			standin::run_script(script);
		if ( ! ready )
			say_ready(o.ready_fd);
		ready = true;
		if ( o.exec && exec_now )
			execl(o.exec, o.exec, "--duration", "1", nullptr);
		if ( o.forks && ++turn % 4 == 0 )
			fork_once();
		int64_t after_script = standin::thread_cpu_ns();
		m.script_ns += after_script - cpu;

		double core_due = double(m.script_ns) * o.core / (1 - o.core) - double(m.core_ns);
		if ( core_due > 0 )
			standin::burn(core_due / 1000);
		cpu = standin::thread_cpu_ns();
		m.core_ns += cpu - after_script;

		double idle_due = double(m.script_ns + m.core_ns) * o.idle / (1 - o.idle) - double(m.idle_ns);
		if ( idle_due > 1e6 )
			m.idle_ns += sleep_for(idle_due);
		m.wall_ns = standin::wall_ns() - begin;
		if ( (o.duration > 0 && double(m.wall_ns) >= o.duration * 1e9) || (o.iterations && m.iterations >= o.iterations) )
			break;
	}
	return m;
}

void print_truth(standin::Script& script, const Options& o, double iteration_us) {
	std::string shares = standin::describe_shares(script);
	printf("{\"version\": \"%s\", \"era\": %d, \"iteration_us\": %g,\n", version, ZEEK_ERA, iteration_us);
	printf(" \"stale\": %d, \"idle\": %g, \"core\": %g,\n %s}\n", o.stale, o.idle, o.core, shares.c_str());
}

} // namespace

int main(int, char** argv) {
	Options o = parse(argv);
	double iteration_us = o.micro ? 100 : 5000;
	standin::Script& script = standin::load_script();
	if ( o.truth ) {
		print_truth(script, o, iteration_us);
		return 0;
	}

	// Only the main thread is to be interrupted: the writers inherit a mask without these.
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, nullptr);
	standin::calibrate(iteration_us);
	std::vector<std::thread> writers;
	for ( int i = 0; i < (o.alone ? 0 : 2); ++i ) {
		writers.emplace_back(write_logs);
		pthread_setname_np(writers.back().native_handle(), i ? "zk.dns/Log::W" : "zk.http/Log::W");
	}
	struct sigaction act {};
	act.sa_handler = [](int) { stop = 1; };
	sigaction(SIGTERM, &act, nullptr);
	sigaction(SIGINT, &act, nullptr);
	act.sa_handler = [](int) { exec_now = 1; };
	sigaction(SIGUSR1, &act, nullptr);
	act.sa_handler = [](int) { stall_now = 1; };
	sigaction(SIGUSR2, &act, nullptr);
	pthread_sigmask(SIG_UNBLOCK, &ends, nullptr);

	if ( o.stale )
		standin::add_stale_event(script);
	if ( o.scribble )
		standin::disturb = standin::scribble;
	Measured m = run(script, o);
	stop = 1;
	for ( auto& writer : writers )
		writer.join();

	auto seconds = [](int64_t ns) { return double(ns) / 1e9; };
	if ( o.steps )
		printf("iterations %llu checksum %016llx\n", (unsigned long long)m.iterations, (unsigned long long)standin::checksum);
	if ( o.measured )
		printf("{\"iterations\": %llu, \"wall_s\": %.6f, \"script_s\": %.6f, \"core_s\": %.6f, \"idle_s\": %.6f}\n",
		       (unsigned long long)m.iterations, seconds(m.wall_ns), seconds(m.script_ns), seconds(m.core_ns),
		       seconds(m.idle_ns));
	return 0;
}
