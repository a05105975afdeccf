# Keeps a Zeek busy without traffic: work of known shape for zeekspy demo.
redef exit_only_after_terminate = T;

module Demo;

export {
	type Item: record {
		name: string;
		weight: count;
	};
	global seen: table[string] of count &default=0;
	global visit: hook(item: Item);
	global work: event(n: count);
}

function fib(n: count): count
	{
	if ( n < 2 )
		return n;
	return fib(n - 1) + fib(n - 2);
	}

function digest(n: count): string
	{
	local s = fmt("%d", n);
	local i = 0;
	while ( ++i < 20 )
		s = sha256_hash(s);
	return s;
	}

hook visit(item: Item) &priority=5
	{
	local n = 0;
	while ( ++n < item$weight )
		seen[item$name] = n;
	}

hook visit(item: Item)
	{
	if ( |seen| > 1000 )
		seen = table();
	}

event work(n: count) &priority=5
	{
	hook Demo::visit([$name=digest(n), $weight=100]);
	}

event work(n: count)
	{
	fib(8 + n % 4);
	schedule 0sec { Demo::work(n + 1) };
	}

event zeek_init()
	{
	event Demo::work(0);
	}
