"""Timelines: runs in order of time within fixed memory, and what merging makes of them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from zeekspy.profile import CORE, IDLE, Labels
from zeekspy.timeline import LONGEST_US, Timeline, merged

RUNS = st.lists(st.tuples(st.integers(0, 10_000_000), st.integers(0, 3), st.integers(1, 5)))
KEYS: list[tuple[str, Labels]] = [("core", ()), ("idle", ()), ("core", (("pid", "1"),)), ("idle", (("pid", "2"),))]


def timeline(runs: list[tuple[int, int, int]], limit: int = 100) -> Timeline:
    result = Timeline(limit)
    for t_us, number, count in sorted(runs):
        name, labels = KEYS[number]
        result.add(t_us, result.slot((CORE if name == "core" else IDLE,), labels), count)
    return result


def sums(line: Timeline) -> Counter[object]:
    found: Counter[object] = Counter()
    for key, count in zip(line.keys, line.samples(), strict=True):
        found[key] += count
    return found


@given(RUNS)
def test_no_sample_is_lost_within_the_limit(runs: list[tuple[int, int, int]]) -> None:
    line = timeline(runs)
    assert sum(line.samples()) + line.dropped == sum(count for _, _, count in runs)
    assert list(line.times) == sorted(line.times)
    assert all(step >= 0 for *_, step in line.gaps(10_000))


@given(RUNS)
def test_memory_is_bounded_and_the_oldest_go_first(runs: list[tuple[int, int, int]]) -> None:
    line, full = timeline(runs, 8), timeline(runs, 1000)
    assert len(line) <= 10
    assert list(full)[len(full) - len(line) :] == list(line)
    assert sum(line.samples()) + line.dropped == sum(count for _, _, count in runs)


def test_equal_neighbours_are_one_run_of_a_second_at_most() -> None:
    line = Timeline()
    slot = line.slot((IDLE,), ())
    for i in range(250):
        line.add(i * 10_000, slot, 1)
    assert list(line) == [(0, slot, 100), (LONGEST_US, slot, 100), (2 * LONGEST_US, slot, 50)]


@given(RUNS, RUNS, st.integers(0, 5_000_000))
def test_merged_timelines_add_up(one: list[tuple[int, int, int]], two: list[tuple[int, int, int]], later: int) -> None:
    both = merged([(timeline(one), 0), (timeline(two), later)])
    assert sums(both) == sums(timeline(one)) + sums(timeline(two))
    assert list(both.times) == sorted(both.times)
    if two and not one:
        assert both.times[0] == min(t_us for t_us, *_ in two) + later


def test_samples_of_a_run_end_where_the_next_of_its_process_begins() -> None:
    line = Timeline()
    one, other, elsewhere = (line.slot(*key) for key in (((CORE,), ()), ((IDLE,), ()), ((IDLE,), (("pid", "2"),))))
    for t_us, slot, count in ((0, one, 4), (10, elsewhere, 1), (20_000, other, 2)):
        line.add(t_us, slot, count)
    assert [step for *_, step in line.gaps(10_000)] == [5_000, 10_000, 10_000]
