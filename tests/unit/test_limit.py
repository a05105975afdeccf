"""When the rate is lowered, and how far."""

from __future__ import annotations

import pytest

from zeekspy.limit import AGAIN, LOWEST, MARGIN, WINDOW, Limit


def test_a_cheap_profiler_is_left_alone() -> None:
    limit = Limit(1000, 2, at=100, cpu=7)
    for n in range(1, 50):
        assert limit.change(100 + n * WINDOW, 7 + n * WINDOW * 0.0199, n * 5000, 0) is None
    assert limit.hz == 1000


def test_a_dear_one_gets_the_rate_that_it_can_afford() -> None:
    limit = Limit(1000, 2, at=0, cpu=0)
    assert limit.change(WINDOW - 0.01, 1, 5000, 0) is None  # not yet a window
    assert limit.change(WINDOW, WINDOW * 0.04, 5000, 0) == pytest.approx(1000 * MARGIN / 2)
    assert limit.hz == pytest.approx(450)
    assert limit.change(2 * WINDOW, WINDOW * (0.04 + 0.018), 7250, 0) is None  # only what came since counts


def test_a_stop_is_not_slowness_but_falling_behind_again_and_again_is() -> None:
    limit = Limit(100, 2, at=0, cpu=0)
    assert limit.change(60, 0, 500, 5500) is None  # stopped for a minute
    assert limit.change(65, 0, 1000, 5500) is None
    assert limit.change(70, 0, 1250, 5750) is None
    assert limit.change(75, 0, 1500, 6000) == pytest.approx(100 * MARGIN / 2)


def test_never_below_the_lowest() -> None:
    limit = Limit(2, 0.001, at=0, cpu=0)
    assert limit.change(10, 10, 20, 0) == LOWEST
    assert limit.change(20, 20, 30, 0) is None


def test_a_slow_rate_asked_for_is_not_raised() -> None:
    limit = Limit(0.1, 0.001, at=0, cpu=0)
    assert limit.change(10, 10, 1, 0) is None


def test_nothing_due_is_not_behind() -> None:
    limit = Limit(0.01, 2, at=0, cpu=0)
    assert limit.change(10, 0, 0, 0) is None
    assert limit.change(20, 0, 0, 0) is None


def test_the_rate_asked_for_is_tried_again_after_a_while_and_given_up_again() -> None:
    limit = Limit(1000, 2, at=0, cpu=0, again=True)
    assert limit.change(10, 1, 10000, 0) == pytest.approx(180)
    assert limit.change(AGAIN, 1, 11000, 0) is None
    assert limit.change(AGAIN + 10, 1, 12000, 0) == 1000
    assert limit.change(AGAIN + 20, 2, 22000, 0) == pytest.approx(180)
    assert limit.change(AGAIN + 30, 2, 22000, 0) is None
