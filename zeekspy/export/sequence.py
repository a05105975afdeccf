"""The samples of a Profile in order of time, with every sample's part of the values, for formats that know time."""

from __future__ import annotations

from collections.abc import Iterator

from zeekspy.profile import Labels, Profile, Stack

Key = tuple[Stack, Labels]


def runs(profile: Profile) -> Iterator[tuple[int | None, Key, int, int, int, float]]:
    """``(t_us, key, count, cpu_ns, wall_ns, step_us)``; first, with t_us None, what was sampled at unknown times.

    Counts, CPU and wall time of a key add up to the profile's exactly. A run has that part of its key's time that it
    has of the samples. ``step_us`` is the time between two samples of the run.
    """
    period_us = profile.period_ns / 1000
    times = profile.times
    with_time: dict[Key, int] = {}
    if times is not None:
        with_time = dict(zip(times.keys, times.samples(), strict=True))
    begun: dict[Key, int] = {}
    for key, values in profile.samples.items():
        rest = max(0, values.count - with_time.get(key, 0))
        begun[key] = rest
        if rest or not values.count:
            n = max(values.count, 1)
            part = (values.cpu_ns * rest // n, values.wall_ns * rest // n)
            yield None, key, rest, *(part if values.count else (values.cpu_ns, values.wall_ns)), period_us
    if times is None:
        return
    keys = [(key, profile.samples.get(key)) for key in times.keys]
    seen = [begun.get(key, 0) for key, _ in keys]
    for t_us, slot, count, step_us in times.gaps(period_us):
        key, found = keys[slot]
        if found is None or not found.count:
            continue
        before, after = seen[slot], min(seen[slot] + count, found.count)
        if after > before:
            seen[slot], n = after, found.count
            cpu_ns = found.cpu_ns * after // n - found.cpu_ns * before // n
            wall_ns = found.wall_ns * after // n - found.wall_ns * before // n
            yield t_us, key, after - before, cpu_ns, wall_ns, step_us


def untimed(profile: Profile) -> int:
    """How many samples have no time."""
    if profile.times is None:
        return profile.total().count
    return max(0, profile.total().count - sum(profile.times.samples()))
