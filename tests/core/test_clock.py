"""The schedule: absolute slots, one look at a random moment within each."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.binding import ffi, lib

RATES = st.floats(0.001, 100_000)
SEEDS = st.integers(0, (1 << 64) - 1)
STARTS = st.integers(0, 1 << 55)


class Clock:
    def __init__(self, hz: float, seed: int, now: int) -> None:
        self.clock = ffi.new("struct zs_clock *")
        self.start, self.period = now, 1e9 / hz
        lib.zs_clock_init(self.clock, hz, seed, now)

    @property
    def due(self) -> int:
        return int(self.clock.due_ns)

    def advance(self, now: int) -> int:
        lib.zs_clock_advance(self.clock, now)
        return self.due

    def slot(self, due: int) -> float:
        return (due - self.start) / self.period


@given(RATES, SEEDS, STARTS, st.lists(st.floats(0, 0.99), max_size=50))
def test_one_look_in_every_slot(hz: float, seed: int, start: int, delays: list[float]) -> None:
    """Looks that end before the next slot begins shift nothing and miss nothing."""
    clock = Clock(hz, seed, start)
    for i, delay in enumerate(delays):
        tolerance = 2 / clock.period  # a nanosecond either way
        assert i - tolerance <= clock.slot(clock.due) < i + 1 + tolerance
        end_of_slot = start + int((i + 1) * clock.period) - 1
        clock.advance(max(clock.due, min(end_of_slot, int(clock.due + delay * clock.period))))
    assert clock.clock.missed == 0


@given(RATES, SEEDS, st.lists(st.integers(0, 1000), min_size=1, max_size=30))
def test_slots_that_pass_are_missed_and_not_made_up_for(hz: float, seed: int, skipped: list[int]) -> None:
    clock = Clock(hz, seed, 1 << 40)
    missed = 0
    for looks, n in enumerate(skipped, start=1):
        now = clock.start + int((clock.clock.slot + n + 0.999) * clock.period)
        clock.advance(now)
        # n slots have begun since; the last of them can still have its look, the others are missed.
        missed += max(0, n - 1)
        assert clock.clock.missed == missed
        assert clock.clock.slot == looks + missed


@given(RATES, SEEDS)
def test_the_schedule_is_a_function_of_the_seed(hz: float, seed: int) -> None:
    def schedule(seed: int, start: int) -> list[int]:
        clock = Clock(hz, seed, start)
        return [clock.due - start] + [clock.advance(clock.due) - start for _ in range(20)]

    assert schedule(seed, 0) == schedule(seed, 0)
    assert schedule(seed, 0) != schedule(seed ^ 1, 0)


@pytest.mark.parametrize("hz", [0.5, 99, 1000, 50_000])
def test_the_mean_rate_is_the_one_asked_for_and_the_moments_are_spread(hz: float) -> None:
    clock, n = Clock(hz, 7, 12345), 20_000
    dues = [clock.due] + [clock.advance(clock.due) for _ in range(n - 1)]
    assert (dues[-1] - dues[0]) / (n - 1) == pytest.approx(1e9 / hz, rel=1e-3)
    within = [clock.slot(due) % 1 for due in dues]
    assert statistics.fmean(within) == pytest.approx(0.5, abs=0.01)
    assert statistics.pvariance(within) == pytest.approx(1 / 12, rel=0.05)
    # No moment follows from the one before.
    assert statistics.correlation(within[:-1], within[1:]) == pytest.approx(0, abs=0.04)


def test_time_never_goes_back_for_a_look_that_came_early() -> None:
    clock = Clock(100, 1, 1 << 40)
    assert clock.advance(0) > 1 << 40
    assert (clock.clock.slot, clock.clock.missed) == (1, 0)
