"""The ring: what is in a window is what was added in its time, and memory has an end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zeekspy.profile import CORE, IDLE, Frame
from zeekspy.rolling import ring
from zeekspy.rolling.ring import Ring

STACKS = [(IDLE,), (CORE,), *((Frame(f"f{i}", "event", "a.zeek", i, None),) for i in range(8))]
runs = st.lists(
    st.tuples(
        st.integers(0, 1000), st.sampled_from(STACKS), st.integers(1, 50), st.integers(0, 10**9), st.integers(0, 10**9)
    ),
    max_size=120,
)


@given(runs, st.integers(0, 20_000), st.integers(0, 20_000), st.integers(16, 60))
def test_a_window_is_what_was_added_in_its_time(
    added: list[tuple[int, tuple[Frame, ...], int, int, int]], a: int, b: int, limit: int
) -> None:
    kept, t, all_of_them = Ring(limit), 0, []
    for step, stack, count, cpu, wall in added:
        t += step
        kept.add(t, stack, count, cpu, wall)
        all_of_them.append((t, stack, count, cpu, wall))
    assert min(limit, len(added)) <= len(kept) <= limit * (1 + ring.SPARE) + 1
    begin, end = min(a, b), max(a, b)
    there = all_of_them[len(all_of_them) - len(kept) :]
    part = kept.part(begin, end)
    assert [(t, part.stacks[slot], *rest) for t, slot, *rest in part.runs] == [
        run for run in there if begin <= run[0] < end
    ]


@given(runs, st.lists(st.integers(0, 20_000), min_size=1, max_size=6))
def test_windows_side_by_side_add_up(
    added: list[tuple[int, tuple[Frame, ...], int, int, int]], cuts: list[int]
) -> None:
    kept, t = Ring(1000), 0
    for step, stack, count, cpu, wall in added:
        t += step
        kept.add(t, stack, count, cpu, wall)
    edges = [0, *sorted(cuts), 10**9]
    parts = [kept.part(a, b) for a, b in pairwise(edges)]
    assert sum(run[2] for part in parts for run in part.runs) == sum(count for _, _, count, _, _ in added)


def test_stacks_that_are_in_no_run_are_forgotten() -> None:
    kept = Ring(64)
    for i in range(20_000):
        kept.add(i, (Frame(f"f{i}", "event", "a.zeek", i, None),), 1, 0, 0)
        assert kept.stacks <= ring.STACKS
    part = kept.part(0, 10**9)
    assert [part.stacks[run[1]][0].name for run in part.runs] == [f"f{run[0]}" for run in part.runs]


def test_a_time_that_goes_back_does_no_harm() -> None:
    kept = Ring(64)
    for t in (100, 50, 120):
        kept.add(t, (IDLE,), 1, 0, 0)
    assert [run[0] for run in kept.part(0, 1000).runs] == [100, 100, 120]


def test_what_a_ring_takes() -> None:
    assert ring.size(120, 100) < 512 * 1024
    assert ring.size(3600, 1000) > 100_000_000
