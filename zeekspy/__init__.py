"""zeekspy: a sampling profiler for Zeek script stacks."""
