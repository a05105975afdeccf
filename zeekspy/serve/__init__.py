"""Continuous profiling over HTTP: windows of what is sampled all the time for profilers, counters for Prometheus."""
