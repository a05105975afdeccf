"""What conditions measure: stalls with the counter and without, shares of a time, lag and the clock, memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy.profile import CORE, IDLE, Body, Frame, Stack
from zeekspy.rolling import measures
from zeekspy.rolling.grammar import Condition, parse
from zeekspy.rolling.measures import Clock, Growth, Measured, Measures, Share, Stalls, began_ns, lag

MS = 1_000_000
BUSY: Stack = (Frame("busy", "event", "a.zeek", 3, Body("a.zeek", 1, 9)), Frame("spin", "function", "a.zeek", 20, None))
LATER: Stack = (Frame("busy", "event", "a.zeek", 5, Body("a.zeek", 1, 9)),)
OTHER: Stack = (Frame("other", "event", "a.zeek", 30, Body("a.zeek", 28, 39)),)
STACKS: dict[int, Stack] = {1: BUSY, 2: LATER, 3: OTHER}


def batch(
    runs: Sequence[tuple[int, int, int]] = (), dispatches: list[Any] | None = None, dispatching: Any = None
) -> Any:
    """``runs`` are (ms, stack id, samples), each sample of 10 ms, on the CPU where there is a stack."""
    made = [(t * MS, number, 0, n, n * 10 * MS if number else 0, n * 10 * MS) for t, number, n in runs]
    return SimpleNamespace(runs=made, dispatches=dispatches, dispatching=dispatching)


def add(to: Stalls | Measures, b: Any) -> None:
    to.add(b, [STACKS.get(number, (IDLE,)) for _, number, *_ in b.runs], STACKS.__getitem__)


def test_a_dispatch_that_is_over_and_one_that_goes_on() -> None:
    stalls = Stalls(10 * MS)
    add(stalls, batch([], [(3, 0, 50 * MS, 6), (1, 100 * MS, 420 * MS, 33)], (3, 430 * MS, 440 * MS, 2)))
    assert stalls.counted
    assert stalls.measured() == Measured(0.32, "", 100 * MS, BUSY)
    assert stalls.measured() == Measured(0.0)
    add(stalls, batch([], [], (3, 430 * MS, 700 * MS, 28)))
    assert stalls.measured() == Measured(0.27, "", 430 * MS, OTHER)


def test_without_a_counter_the_bottom_of_the_stack_tells() -> None:
    stalls = Stalls(10 * MS)
    add(stalls, batch([(0, 0, 5), (50, 1, 5)]))
    assert stalls.measured() == Measured(0.04, "", 50 * MS, BUSY)
    add(stalls, batch([(100, 2, 10)]))  # another line, the same body
    assert stalls.measured() == Measured(0.14, "", 50 * MS, LATER)
    add(stalls, batch([(200, 3, 2), (220, 1, 3)]))
    assert stalls.measured().value == pytest.approx(0.02)
    add(stalls, batch([(250, 0, 50)]))
    assert stalls.measured() == Measured(0.0)
    assert not stalls.counted


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(5, 20), st.integers(10, 400)), min_size=1, max_size=60))
def test_a_share_is_that_of_the_last_seconds(steps: list[tuple[int, int, int]]) -> None:
    share, t, added = Share(1.0), 0, []
    for part, whole, ms in steps:
        t += ms * MS
        share.add(t, part, whole, ms * MS)
        added.append((t, part, whole, ms * MS))
        there = [row for row in added if t - row[0] < 1e9]
        found = share.measured()
        if sum(row[3] for row in there) < measures.COVERED * 1e9:
            assert found.value is None
        else:
            assert found.value == pytest.approx(sum(r[1] for r in there) / sum(r[2] for r in there))


def test_cpu_and_frames_of_samples() -> None:
    cpu, frame, idle = parse("cpu>50%/1s"), parse("frame~^spin$>10%/1s"), parse("frame~<idle>>10%/1s")
    of = Measures([cpu, frame, idle], 10 * MS, os.getpid())  # type: ignore[list-item]
    assert of.values(0, 0.0)[cpu] == Measured(None, "not sampled for that long yet")  # type: ignore[index]
    for i in range(10):
        add(of, batch([(i * 100, 1, 2), (i * 100 + 20, 3, 4), (i * 100 + 60, 0, 4)]))
    values = of.values(0, 0.0)
    assert values[cpu].value == pytest.approx(0.6)  # type: ignore[index]
    assert values[frame].value == pytest.approx(0.2)  # type: ignore[index]
    assert values[idle].value == pytest.approx(0.4)  # type: ignore[index]


def test_lag() -> None:
    assert lag(1000.0, 1002.5, True) == Measured(2.5)
    assert lag(None, 1002.5, True).value is None
    assert lag(1000.0, 1e9, True).value is None  # a trace
    assert lag(1000.0, 1002.5, False).value is None


def test_the_clock_jumps() -> None:
    clock = Clock(0, 10**18)
    assert clock.look(10**9, 10**18 + 10**9 + 20 * MS) == 0.0  # it is slewed
    assert clock.settled(10**9)
    moved = clock.look(2 * 10**9, 10**18 + 3602 * 10**9)
    assert moved == pytest.approx(3600, abs=1)
    assert not clock.settled(3 * 10**9)
    assert clock.settled(60 * 10**9)
    assert clock.look(3 * 10**9, 10**18 + 3 * 10**9) == pytest.approx(-3600, abs=1)
    assert clock.jumps == 2


def test_memory_that_grows() -> None:
    growth = Growth(os.getpid())
    growth.look(0, 60.0)
    before = growth.now
    assert before is not None
    assert before > 1 << 20
    held = bytearray(os.urandom(1 << 20) * 64)
    growth.look(100 * MS, 60.0)
    assert growth.now == before  # it is looked at once a second
    growth.look(2 * 10**9, 60.0)
    found = growth.grown(2 * 10**9, 60.0)
    assert found.value is not None
    assert 0.8 * len(held) < found.value < 3 * len(held)
    assert found.begin_ns == 0
    growth.look(80 * 10**9, 60.0)
    assert growth.grown(80 * 10**9, 60.0).value == 0.0  # that was long ago
    growth.close()
    growth.look(90 * 10**9, 60.0)
    assert growth.grown(90 * 10**9, 60.0).value is None


def test_a_process_that_is_not_there() -> None:
    growth = Growth(1 << 22)
    growth.look(0, 60.0)
    assert growth.grown(0, 60.0).value is None


def test_when_it_began() -> None:
    stall, cpu = Condition("stall", 0.2, "s"), Condition("cpu", 0.9, "%", 30.0)
    now = 100 * 10**9
    assert began_ns([(stall, Measured(0.3, "", 99 * 10**9))], now) == 99 * 10**9
    assert began_ns([(stall, Measured(0.3, "", 99 * 10**9)), (cpu, Measured(0.95))], now) == 70 * 10**9
    assert began_ns([], now) == now - measures.EPISODE_S * 10**9


def test_a_sound_stack_of_core_is_no_stall() -> None:
    stalls = Stalls(10 * MS)
    b = batch([(0, 0, 100)])
    stalls.add(b, [(CORE,)], STACKS.__getitem__)
    assert stalls.measured() == Measured(0.0)
