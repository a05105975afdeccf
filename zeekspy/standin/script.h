// The built-in script: four events that between them show what real script stacks look like, in known shares. In percent
// of an iteration's CPU time, callees' own in brackets:
//
//   connection_state_remove  50 = 5 + Conn::set_conn (20 + Conn::determine_service (10 + fmt 5)) + Conn::finalize (6 + 4)
//   http_header              30 = 10 + lambda 4, 6 + sha256_hash 8, 2: three bodies in three files
//   dns_request              15 = 3 + DNS::walk_labels twelve times (1), one in the other
//   ssl_established           5 = 1 + Log::__write (1 + SSL::log_policy, called from C++ (1.5 + md5_hash 1.5))
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "func.h"
#include "work.h"

namespace standin {

struct BodyInfo {
	std::string name;
	const char* kind; // event, hook, function or bif
	const char* file; // null for a BiF
	int first_line, last_line;
};

struct Event {
	zeek::EventHandler* handler = nullptr;
	zeek::Args args;
	double share = 0; // callees included, as a dry run found it
};

struct Script {
	std::vector<BodyInfo> bodies;
	std::deque<Work> works; // addresses stay
	std::vector<Event> events; // one iteration runs each once, in this order
	size_t repeated = 0;       // those behind so many run in the first iteration only
};

// Builds the tree and registers the event handlers. Once per process.
Script& load_script();
// One iteration.
void run_script(Script& script);
// The first iteration is to end with an event whose BiF throws: its entry stays at the bottom of the call stack for good.
void add_stale_event(Script& script);
// The next iteration is to end with an event that takes so long, in a BiF.
void add_stalling_event(Script& script, double us);
// One dry iteration, then for every body its share of an iteration's script time and that of each of its lines, as JSON
// members "bodies" and "events".
std::string describe_shares(Script& script);

} // namespace standin
