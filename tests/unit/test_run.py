"""session.run: what one target's end or a limit does to the others."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from zeekspy import limit, session, several
from zeekspy.errors import UnknownBuild, ZeekspyError


class Fake:
    """A session that ends, or fails, after some polls."""

    def __init__(self, ends: int, error: ZeekspyError | None = None) -> None:
        self.hz = 1000.0
        self.ended: str | None = None
        self.error: ZeekspyError | None = None
        self.rates: list[float] = []
        self.taken = 0
        self._ends, self._fails = ends, error

    def take(self, batch: Any) -> None:
        self.taken += 1
        if self.taken == self._ends:
            if self._fails is not None:
                raise self._fails
            self.ended = "over"

    shares = False

    def poll(self, budget: int) -> list[None]:
        return []

    def progress(self) -> tuple[int, int]:
        return 100 * self.taken, 0

    def change_hz(self, hz: float) -> None:
        self.rates.append(hz)


def run(*fakes: Fake, **more: Any) -> list[float]:
    return list(session.run(list(fakes), **more))  # type: ignore[arg-type]


def test_one_that_fails_does_not_end_the_others() -> None:
    wrong, right = Fake(2, UnknownBuild("no")), Fake(5)
    run(wrong, right)
    assert isinstance(wrong.error, UnknownBuild)
    assert wrong.ended == "no"
    assert (wrong.taken, right.taken) == (2, 5)
    assert right.error is None


def test_the_only_one_that_fails_raises() -> None:
    with pytest.raises(UnknownBuild):
        run(Fake(2, UnknownBuild("no")))


def test_all_are_slowed_down_when_they_cost_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, cpu = itertools.count(0, 10), itertools.count(0, 1)  # a tenth of a core
    monkeypatch.setattr(several.time, "monotonic", lambda: float(next(seconds)))
    monkeypatch.setattr(several, "own_cpu", lambda: float(next(cpu)))
    one, two = Fake(2), Fake(2)
    run(one, two, max_cpu=2)
    assert one.rates == two.rates
    assert one.rates
    assert all(limit.LOWEST <= hz < 1000 for hz in one.rates)
    assert one.rates == sorted(one.rates, reverse=True)


def test_the_rate_asked_for_is_tried_again_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for again in (False, True):
        seconds = itertools.count(0, limit.AGAIN)
        cpu = itertools.chain([0.0, limit.AGAIN], itertools.repeat(limit.AGAIN))  # a whole core, and then nothing
        monkeypatch.setattr(several.time, "monotonic", lambda seconds=seconds: float(next(seconds)))
        monkeypatch.setattr(several, "own_cpu", lambda cpu=cpu: float(next(cpu)))
        one = Fake(4)
        run(one, max_cpu=2, again=again)
        assert one.rates[0] < 1000.0
        assert one.rates[1:] == ([1000.0] if again else [])


def test_without_a_limit_nobody_is() -> None:
    one = Fake(3)
    run(one)
    assert one.rates == []
