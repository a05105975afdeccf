"""The samples of a Profile in order of time, with every sample's part of the values, for formats that know time."""

from __future__ import annotations

from collections.abc import Iterator

from zeekspy.profile import Profile


def runs(profile: Profile) -> Iterator[tuple[int | None, int, int, int, int, float]]:
    """``(t_us, number, count, cpu_ns, wall_ns, step_us)``; first, with t_us None, what was sampled at unknown times.

    ``number`` is that of the key among those of Profile.samples. Counts, CPU and wall time of a key add up to the
    profile's exactly: a run has that part of its key's time that it has of the samples. ``step_us`` is the time
    between two samples of the run.
    """
    period_us = profile.period_ns / 1000
    times = profile.times
    index = {key: number for number, key in enumerate(profile.samples)}
    with_time = [0] * len(index)
    numbers = [] if times is None else [index.get(key, -1) for key in times.keys]
    for number, count in zip(numbers, [] if times is None else times.samples(), strict=True):
        if number >= 0:
            with_time[number] = count
    found = list(profile.samples.values())
    seen = [0] * len(index)
    for number, values in enumerate(found):
        rest = max(0, values.count - with_time[number])
        seen[number] = rest
        if not values.count:
            yield None, number, 0, values.cpu_ns, values.wall_ns, period_us
        elif rest:
            n = values.count
            yield None, number, rest, values.cpu_ns * rest // n, values.wall_ns * rest // n, period_us
    if times is None:
        return
    for t_us, slot, count, step_us in times.gaps(period_us):
        number = numbers[slot]
        if number < 0:
            continue
        values, before = found[number], seen[number]
        n = values.count
        after = min(before + count, n)
        if after > before:
            seen[number] = after
            cpu_ns = values.cpu_ns * after // n - values.cpu_ns * before // n
            wall_ns = values.wall_ns * after // n - values.wall_ns * before // n
            yield t_us, number, after - before, cpu_ns, wall_ns, step_us


def untimed(profile: Profile) -> int:
    """How many samples have no time."""
    if profile.times is None:
        return profile.total().count
    return max(0, profile.total().count - sum(profile.times.samples()))
