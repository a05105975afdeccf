"""The Store: windows add up to the sum of all, whatever is asked and however little room there is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeekspy.profile import Frame, Profile, Stack, Values
from zeekspy.serve.store import GONE, OTHERS, Sample, Store, WindowGone

STACKS: list[Stack] = [(Frame(f"f{i}", "function", None, None, None),) for i in range(40)]
NODES = ["worker-1", "worker-2", "manager"]


def sample(stack: int, node: int, count: int, cpu: int = 0, wall: int = 0) -> Sample:
    return STACKS[stack], (("node", NODES[node]),), Values(count, cpu, wall)


samples = st.builds(
    sample,
    st.integers(0, len(STACKS) - 1),
    st.integers(0, len(NODES) - 1),
    st.integers(1, 1000),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
)
ticks = st.lists(st.lists(samples, max_size=12), max_size=30)


def filled(found: list[list[Sample]], **limits: int) -> Store:
    store = Store(0.0, 0, keep_s=1e9, **limits)
    for number, those in enumerate(found, start=1):
        store.add(number / 2, number * 500_000_000, those, NODES[:2])
    return store


def sums(*profiles: Profile) -> dict[object, tuple[int, int, int]]:
    result: dict[object, tuple[int, int, int]] = {}
    for profile in profiles:
        for stack, labels, v in profile:
            before = result.get((stack, labels), (0, 0, 0))
            result[stack, labels] = before[0] + v.count, before[1] + v.cpu_ns, before[2] + v.wall_ns
    return {key: n for key, n in result.items() if any(n)}


def total(*profiles: Profile) -> tuple[int, int, int]:
    found = sums(*profiles).values()
    return sum(n[0] for n in found), sum(n[1] for n in found), sum(n[2] for n in found)


@settings(max_examples=40)
@given(ticks, st.lists(st.integers(0, 30), max_size=6))
def test_windows_one_after_the_other_add_up_to_all(found: list[list[Sample]], cuts: list[int]) -> None:
    store = filled(found)
    last, whole = store.total()
    assert last == len(found)
    edges = sorted({0, last, *(c for c in cuts if c <= last)})
    windows = [store.window(a, b) for a, b in pairwise(edges)]
    assert sums(*windows) == sums(whole)
    assert total(whole)[0] == sum(v.count for those in found for _, _, v in those)
    by_node = [store.total(node)[1] for node in NODES]
    assert sums(*by_node) == sums(whole)
    assert all(dict(labels)["node"] == node for node, p in zip(NODES, by_node, strict=True) for _, labels, _ in p)


@settings(max_examples=40)
@given(ticks)
def test_the_sum_is_exact_where_there_is_no_room(found: list[list[Sample]]) -> None:
    store = filled(found, max_stacks=16)
    assert total(store.total()[1]) == total(filled(found).total()[1])
    assert total(store.window(0, len(found))) == total(filled(found).total()[1])
    assert store.stacks <= 16 + len(NODES) + 1


def test_nodes_that_have_gone_make_room_first() -> None:
    store = filled([[sample(i, 2, 1) for i in range(8)], [sample(i, 0, 1) for i in range(8)], [sample(9, 0, 5)]])
    assert store.stacks == 17
    small = filled(
        [[sample(i, 2, 1) for i in range(8)], [sample(i, 0, 1) for i in range(8)], [sample(9, 0, 5)]], max_stacks=16
    )
    assert {dict(labels)["node"] for _, labels, _ in small.total()[1]} == {GONE, "worker-1"}


def test_the_rarest_become_others() -> None:
    store = filled([[sample(i, 0, 100 + i) for i in range(16)], [sample(20, 0, 1)]], max_stacks=16)
    left = {stack for stack, _, _ in store.total()[1]}
    assert (OTHERS,) in left
    assert STACKS[15] in left
    assert STACKS[0] not in left
    assert store.folded >= 8


def test_old_ticks_go_and_a_window_that_needs_them_is_refused() -> None:
    store = Store(0.0, 0, keep_s=10.0)
    for second in range(1, 31):
        store.add(float(second), second * 10**9, [sample(0, 0, 1)])
    assert total(store.window(20, 30))[0] == 10
    with pytest.raises(WindowGone) as e:
        store.window(5, 30)
    assert 9 <= e.value.seconds <= 11
    assert total(store.total()[1])[0] == 30
    assert store.since(3.0) == 27
    assert store.since(1000.0) == 19
    assert store.end_of(25) == 25.0
    assert store.end_of(1) == 20.0


def test_rows_are_bounded() -> None:
    store = Store(0.0, 0, keep_s=1e9, max_rows=100)
    for second in range(1, 101):
        store.add(float(second), second, [sample(i, 0, 1) for i in range(10)])
    assert total(store.window(90, 100))[0] == 100
    with pytest.raises(WindowGone):
        store.window(89, 100)


def test_a_window_says_when_it_was() -> None:
    store = filled([[sample(0, 0, 1)]] * 4)
    window = store.window(1, 3)
    assert (window.time_ns, window.duration_ns) == (500_000_000, 1_000_000_000)
    assert store.total()[1].duration_ns == 2_000_000_000
    empty = store.window(4, 4)
    assert (empty.time_ns, empty.duration_ns, empty.samples) == (2_000_000_000, 0, {})


def test_a_clock_that_jumps_changes_no_duration() -> None:
    store = Store(0.0, 10**18, keep_s=100)
    for second, now in enumerate((10**18 + 10**9, 10**17, 2 * 10**18), start=1):
        store.add(float(second), now, [sample(0, 0, 1)])
    assert store.window(0, 3).duration_ns == store.total()[1].duration_ns == 3_000_000_000
    assert store.window(2, 3).time_ns == 10**17
