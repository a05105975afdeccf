##! Stalls the main thread at random moments, in turns busy and blocked, and says when.

module Stalls;

export {
	## How many times; 0: never.
	const trials = 0 &redef;
	## How long to be busy.
	const long = 300msec &redef;
	## A named pipe without a reader: opening it for writing waits for one.
	const pipe = "" &redef;
	## Least time before the first stall, in milliseconds: a watch has to attach.
	const first = 10000 &redef;
	## Least time between two stalls, and what chance adds at most, in milliseconds.
	const pause = 3000 &redef;
	const chance = 2000 &redef;
}

redef exit_only_after_terminate = T;

global left = 0;

function say(what: string)
	{
	print fmt("%s %.6f", what, time_to_double(current_time()));
	flush_all();
	}

function spin(until: time)
	{
	local n = 0;
	while ( current_time() < until )
		n += |sha256_hash("zeekspy")|;
	}

function wait_for_reader(path: string)
	{
	local f = open(path);
	close(f);
	}

event Stalls::stall()
	{
	if ( left == 0 )
		{
		say("over");
		return;
		}

	--left;
	if ( left % 2 == 0 || pipe == "" )
		{
		say("busy");
		spin(current_time() + long);
		}
	else
		{
		say("blocked");
		wait_for_reader(pipe);
		}
	say("ended");
	schedule double_to_interval((pause + rand(chance)) / 1000.0) { Stalls::stall() };
	}

event Stalls::begin()
	{
	# What is scheduled before there is a network time, happens as soon as there is one.
	if ( time_to_double(network_time()) == 0.0 )
		schedule 10msec { Stalls::begin() };
	else
		schedule double_to_interval((first + rand(chance)) / 1000.0) { Stalls::stall() };
	}

event zeek_init() &priority=-1000
	{
	left = trials;
	say("ready");
	if ( trials > 0 )
		schedule 10msec { Stalls::begin() };
	}
