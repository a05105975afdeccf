# Holds a value of every script type in arguments and locals, prints them, and then waits to be looked at.

module Values;

export {
	type Colour: enum { RED, GREEN, BLUE };
	type Inner: record { a: count; b: string; };
	type Outer: record {
		n: count;
		s: string &optional;
		inner: Inner;
		tags: set[string] &default=set();
		ts: time &optional;
		e: Colour &default=GREEN;
		any_thing: any &optional;
	};
	type Key: record { host: addr; p: port; };
}

function callback(a: count, b: string): string
	{
	return cat(a, b);
	}

function show(name: string, v: any)
	{
	print fmt("%s=%s", name, v);
	}

function many(s: string, c: count, i: int, d: double, b: bool, a: addr, a6: addr, p: port, sn: subnet, sn6: subnet,
              t: time, iv: interval, e: Colour, pat: pattern, vs: vector of string, vc: vector of count,
              st: set[string], sa: set[addr], tab: table[string] of count, multi: table[addr, port] of string,
              keyed: table[Key] of vector of count, r: Outer, f: function(a: count, b: string): string,
              o: opaque of md5, fl: file, x: any, long_s: string, long_v: vector of count, empty_t: table[count] of count): bool
	{
	local l_string = "a local\x01 \"string\" \\ end";
	local l_count = 18446744073709551615;
	local l_int = -9223372036854775807;
	local l_double = 3.141592653589793;
	local l_bool = T;
	local l_addr = 192.168.1.42;
	local l_port = 53/udp;
	local l_subnet = 10.0.0.0/8;
	local l_time = double_to_time(1700000000.123456);
	local l_interval = 1day + 2hr + 3min + 4.5sec;
	local l_enum = BLUE;
	local l_pattern = /fo+|bar[0-9]/;
	local l_vector = vector(1.5, -2.25, 1e100);
	local l_records: vector of Inner = vector([$a=1, $b="x"], [$a=2, $b="y"]);
	local l_set: set[subnet] = { 10.1.0.0/16, [2001:db8::]/32 };
	local l_table: table[count, string] of interval = { [1, "one"] = 1sec, [2, "two"] = 90sec };
	local l_record: Inner = [$a=7, $b="seven"];
	local l_func = callback;
	local l_opaque = sha256_hash_init();
	local l_enums: set[Colour] = { RED, BLUE };
	local l_doubles: table[double] of bool = { [0.5] = T };
	local l_unset: string;
	local l_nested: table[string] of table[count] of string = { ["k"] = table([1] = "v") };
	show("s", s); show("c", c); show("i", i); show("d", d); show("b", b); show("a", a); show("a6", a6);
	show("p", p); show("sn", sn); show("sn6", sn6); show("t", t); show("iv", iv); show("e", e); show("pat", pat);
	show("vs", vs); show("vc", vc); show("st", st); show("sa", sa); show("tab", tab); show("multi", multi);
	show("keyed", keyed); show("r", r); show("fl", fl); show("x", x); show("long_s", long_s);
	show("long_v", long_v); show("empty_t", empty_t); show("o", o);
	show("l_string", l_string); show("l_count", l_count); show("l_int", l_int); show("l_double", l_double);
	show("l_bool", l_bool); show("l_addr", l_addr); show("l_port", l_port); show("l_subnet", l_subnet);
	show("l_time", l_time); show("l_interval", l_interval); show("l_enum", l_enum); show("l_pattern", l_pattern);
	show("l_vector", l_vector); show("l_records", l_records); show("l_set", l_set); show("l_table", l_table);
	show("l_record", l_record); show("l_opaque", l_opaque); show("l_enums", l_enums);
	show("l_doubles", l_doubles); show("l_nested", l_nested);
	print "ready";
	flush_all();
	piped_exec("exec sleep 7200", "");
	return l_func(1, "") == "";
	}

event zeek_init() &priority=3
	{
	local outer_local = 99;
	local r: Outer = [$n=5, $inner=[$a=1, $b="in"], $tags=set("red", "green"), $any_thing=4/tcp];
	local k: table[Key] of vector of count = table();
	k[[$host=1.2.3.4, $p=80/tcp]] = vector(1, 2);
	local long_v: vector of count;
	local i = 0;
	while ( i < 1000 )
		{
		long_v += i;
		++i;
		}
	local long_s = "";
	while ( |long_s| < 2000 )
		long_s += "0123456789";
	many("hello", 42, -7, -0.5, F, 10.0.0.1, [2001:db8::1], 443/tcp, 192.168.0.0/16, [2001:db8::]/32,
	     double_to_time(1234567890.5), 5min, RED, /ab+c/, vector("x", "y"), vector(1, 2, 3),
	     set("one"), set(1.1.1.1), table(["a"] = 1), table([1.2.3.4, 80/tcp] = "web"), k, r, callback, md5_hash_init(),
	     open("/dev/null"), "any string", long_s, long_v, table());
	}

event zeek_init() &priority=-3
	{
	local other = 1;
	print other;
	}
