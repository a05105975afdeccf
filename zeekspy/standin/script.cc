#include "script.h"

#include <map>

using namespace zeek;
using namespace zeek::detail;

namespace standin {

namespace {

Script script;

// One pointer per file, as Zeek's scanner leaves it.
const char* const CONN = "scripts/base/protocols/conn/main.zeek";
const char* const FTP = "scripts/base/protocols/ftp/main.zeek";
const char* const HTTP = "scripts/base/protocols/http/main.zeek";
const char* const DNS = "scripts/base/protocols/dns/main.zeek";
const char* const SSL = "scripts/base/protocols/ssl/main.zeek";
const char* const HEADER_NAMES = "scripts/policy/protocols/http/header-names.zeek";
const char* const WEBAPPS = "scripts/policy/protocols/http/detect-webapps.zeek";
const char* const SITE = "scripts/site/local.zeek";

const int RECURSION = 12;

// What the BiFs burn, and the hook that Log::__write calls from C++. Set by load_script.
Work fmt_work, sha256_work, md5_work, write_work;
ScriptFunc* log_policy;

Val* fmt(Frame*, const Args*) { return work(fmt_work), nullptr; }
Val* sha256_hash(Frame*, const Args*) { return work(sha256_work), nullptr; }
Val* md5_hash(Frame*, const Args*) { return work(md5_work), nullptr; }
Val* to_addr(Frame*, const Args*) { throw InterpreterException(); }

double stall_us; // what slow_lookup burns
Val* slow_lookup(Frame*, const Args*) { return burn(stall_us), nullptr; }

Val* log_write(Frame*, const Args*) {
	work(write_work);
	Args none;
	return log_policy->Invoke(&none, nullptr); // no parent: the callee's entry has no CallExpr
}

ScriptFunc* function(const char* name, FunctionFlavor flavor = FUNC_FLAVOR_FUNCTION, int slots = 0) {
	return new ScriptFunc(name, new FuncType(flavor), slots);
}

BuiltinFunc* bif(const char* name, built_in_func func, Work* to_do, double share) {
	to_do->body = script.bodies.size();
	to_do->share = share;
	script.bodies.push_back({name, "bif", nullptr, 0, 0});
	return new BuiltinFunc(name, func, new FuncType(FUNC_FLAVOR_FUNCTION));
}

// Adds a body to a function: the statements made through it belong to that body.
class BodyMaker {
public:
	BodyMaker(ScriptFunc* f, const char* path, int first, int last) : func(f), file(path), place(at(path, first, last)) {
		static const char* const kinds[] = {"function", "event", "hook"};
		index = script.bodies.size();
		script.bodies.push_back({f->name, kinds[f->type->flavor], path, first, last});
	}

	Stmt* burns(int line, double share) {
		script.works.push_back({index, line, share, 0});
		return new ExprStmt(new WorkExpr(at(file, line), &script.works.back()));
	}

	Stmt* calls(int line, Func* callee, std::vector<Expr*> args = {}, int last_line = 0) {
		auto* id = new ID(callee->name, new FuncVal(callee));
		return calls(line, id, std::move(args), last_line);
	}

	Stmt* calls(int line, ID* callee, std::vector<Expr*> args = {}, int last_line = 0) {
		Location here = at(file, line, last_line);
		return new ExprStmt(new CallExpr(here, new NameExpr(here, callee), new ListExpr(here, std::move(args))));
	}

	Stmt* branches(int line, Expr* test, Stmt* yes) { return new IfStmt(test, yes, new NullStmt(at(file, line))); }

	void done(std::vector<Stmt*> stmts, int priority = 0) {
		if ( ! func->location )
			func->location = new Location(place);
		func->AddBody(new StmtList(place, std::move(stmts)), priority);
	}

	ScriptFunc* func;
	const char* file;
	Location place;
	size_t index;
};

void handle(ScriptFunc* f, Args args) {
	auto handler = std::make_unique<EventHandler>(f->name, f);
	script.events.push_back({handler.get(), std::move(args)});
	event_registry->handlers[f->name] = std::move(handler);
}

// 50 %: plain calls, and a hook with two bodies.
void load_conn() {
	auto* service = function("Conn::determine_service");
	BodyMaker a(service, CONN, 165, 180);
	a.done({a.burns(168, 10), a.calls(173, bif("fmt", fmt, &fmt_work, 5), {}, 175)});

	auto* set_conn = function("Conn::set_conn");
	BodyMaker b(set_conn, CONN, 196, 232);
	b.done({b.burns(199, 14), b.calls(206, service), b.burns(230, 6)});

	auto* finalize = function("Conn::finalize", FUNC_FLAVOR_HOOK);
	BodyMaker c(finalize, FTP, 210, 216);
	c.done({c.burns(212, 4)}, -5);
	BodyMaker d(finalize, CONN, 300, 306);
	d.done({d.burns(302, 6)}, 5);

	auto* remove = function("connection_state_remove", FUNC_FLAVOR_EVENT);
	BodyMaker e(remove, CONN, 274, 291);
	e.done({e.burns(276, 3), e.calls(279, set_conn), e.calls(282, finalize), e.burns(290, 2)});
	handle(remove, {});
}

// 30 %: an event with three bodies in three files; the first calls a lambda that comes as an argument, so that the
// callee is known by the frame alone, not by a global's value.
void load_http() {
	auto* lambda = function("lambda_<8271640283>");
	BodyMaker a(lambda, HTTP, 308, 311);
	a.done({a.burns(309, 4)});

	auto* header = function("http_header", FUNC_FLAVOR_EVENT, 1);
	BodyMaker b(header, WEBAPPS, 61, 75);
	b.done({b.burns(64, 2)}, -5);
	BodyMaker c(header, HTTP, 297, 340);
	c.done({c.burns(299, 7), c.burns(305, 3), c.calls(312, new ID("visit", nullptr, 0))}, 5);
	BodyMaker d(header, HEADER_NAMES, 18, 30);
	d.done({d.burns(20, 6), d.calls(24, bif("sha256_hash", sha256_hash, &sha256_work, 8))});
	handle(header, {new FuncVal(lambda)});
}

// 15 %: recursion. Every level holds 1 %.
void load_dns() {
	auto* walk = function("DNS::walk_labels", FUNC_FLAVOR_FUNCTION, 1);
	auto* left = new ID("left", nullptr, 0);
	BodyMaker a(walk, DNS, 380, 392);
	auto* again = a.calls(386, walk, {new SubExpr(at(DNS, 386), new NameExpr(at(DNS, 386), left))});
	a.done({a.burns(382, 1), a.branches(385, new NameExpr(at(DNS, 385), left), again)});

	auto* request = function("dns_request", FUNC_FLAVOR_EVENT);
	BodyMaker b(request, DNS, 401, 420);
	auto* levels = new CountVal(new Type(TYPE_COUNT), RECURSION - 1);
	b.done({b.burns(404, 3), b.calls(409, walk, {new ConstExpr(at(DNS, 409), levels)})});
	handle(request, {});
}

// 5 %: a BiF that calls back into the script from C++.
void load_ssl() {
	log_policy = function("SSL::log_policy", FUNC_FLAVOR_HOOK);
	BodyMaker a(log_policy, SSL, 80, 86);
	a.done({a.burns(82, 1.5), a.calls(84, bif("md5_hash", md5_hash, &md5_work, 1.5))});

	auto* established = function("ssl_established", FUNC_FLAVOR_EVENT);
	BodyMaker b(established, SSL, 330, 345);
	b.done({b.burns(332, 1), b.calls(340, bif("Log::__write", log_write, &write_work, 1))});
	handle(established, {});
}

} // namespace

Script& load_script() {
	load_conn();
	load_http();
	load_dns();
	load_ssl();
	script.repeated = script.events.size();
	return script;
}

void add_stale_event(Script& s) {
	static Work nothing;
	size_t bodies = s.bodies.size();
	auto* bad = function("bad_address", FUNC_FLAVOR_EVENT);
	BodyMaker a(bad, SITE, 10, 13);
	a.done({a.calls(12, bif("to_addr", to_addr, &nothing, 0))});
	handle(bad, {});
	s.bodies.resize(bodies); // it is no part of an ordinary iteration
}

void add_stalling_event(Script& s, double us) {
	static Work nothing;
	static Event reload;
	stall_us = us;
	if ( reload.handler ) {
		s.events.push_back(reload);
		return;
	}
	size_t bodies = s.bodies.size();
	auto* event = function("Site::reload", FUNC_FLAVOR_EVENT);
	BodyMaker a(event, SITE, 20, 24);
	a.done({a.calls(22, bif("slow_lookup", slow_lookup, &nothing, 0))});
	handle(event, {});
	reload = s.events.back();
	s.bodies.resize(bodies);
}

void run_script(Script& s) {
	next_iteration();
	for ( auto& event : s.events ) {
		run_state::network_time += 0.001;
		dispatch(event.handler, &event.args);
	}
	s.events.resize(s.repeated);
}

std::string describe_shares(Script& s) {
	dry_run(true);
	auto spent = [&] {
		double sum = fmt_work.spent + sha256_work.spent + md5_work.spent + write_work.spent;
		for ( auto& w : s.works )
			sum += w.spent;
		return sum;
	};
	for ( auto& event : s.events ) {
		double before = spent();
		event.handler->Call(&event.args);
		event.share = spent() - before;
	}
	dry_run(false);

	std::vector<std::map<int, double>> lines(s.bodies.size());
	for ( auto& w : s.works )
		lines[w.body][w.line] += w.spent;
	for ( auto* w : {&fmt_work, &sha256_work, &md5_work, &write_work} )
		lines[w->body][0] += w->spent;

	double total = spent();
	auto share = [&](double part) { return std::to_string(part / total); };
	std::string out = "\"events\": {";
	for ( auto& event : s.events )
		out += (&event == &s.events[0] ? "\"" : ", \"") + event.handler->name + "\": " + share(event.share);
	out += "},\n \"bodies\": [";
	for ( size_t i = 0; i < s.bodies.size(); ++i ) {
		auto& body = s.bodies[i];
		double self = 0;
		std::string by_line;
		for ( auto [line, part] : lines[i] ) {
			self += part;
			if ( line )
				by_line += (by_line.empty() ? "\"" : ", \"") + std::to_string(line) + "\": " + share(part);
		}
		out += (i ? ",\n  {" : "\n  {");
		out += "\"name\": \"" + body.name + "\", \"kind\": \"" + body.kind + "\", \"file\": ";
		out += body.file ? '"' + std::string(body.file) + '"' : "null";
		out += ", \"first_line\": " + (body.file ? std::to_string(body.first_line) : "null");
		out += ", \"last_line\": " + (body.file ? std::to_string(body.last_line) : "null");
		out += ", \"share\": " + share(self) + ", \"lines\": {" + by_line + "}}";
	}
	return out + "]";
}

} // namespace standin
