# A busy Zeek without traffic, for the benchmarks: short calls of several depths, then a long one at depth five.
redef exit_only_after_terminate = T;

module Load;

export {
	const rounds = 0 &redef; # 0: for ever
	const long = 200 &redef; # iterations at depth five
	const repeat = 1 &redef; # calls to depth five in a round
	const pause = 0sec &redef; # between two rounds
	global round: event(n: count);
}

function five(n: count): count
	{
	local i = 0;
	local sum = 0;
	while ( ++i < n )
		sum += i % 7;
	return sum;
	}

function four(n: count): count
	{
	return five(n) + 1;
	}

function three(n: count): count
	{
	return four(n) + 1;
	}

function two(n: count): count
	{
	return three(n) + 1;
	}

function text(n: count): string
	{
	return sub_bytes(sha256_hash(fmt("%d", n)), 1, 8);
	}

event round(n: count) &priority=5
	{
	local i = 0;
	while ( ++i < 20 )
		text(n + i);
	}

event round(n: count)
	{
	local i = 0;
	while ( ++i <= repeat )
		two(long);
	if ( rounds > 0 && n >= rounds )
		terminate();
	else
		schedule pause { Load::round(n + 1) };
	}

event zeek_init()
	{
	event Load::round(1);
	}
