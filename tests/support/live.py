"""A Live filled with fixed ticks, and a source of it for the app: nothing moves unless a test says so."""

from __future__ import annotations

from tests.support.profiles import HTTP, small_profile
from zeekspy.live import COUNTERS, Live, Neighbours, Tick, View
from zeekspy.profile import Frame, Labels, Stack, Values, body_key
from zeekspy.top.bars import Subject

PID = 4711
DAY = 1_700_000_000.0
"""The time of day of the first tick."""


def counters(**found: int) -> dict[str, int]:
    return {**dict.fromkeys(COUNTERS, 0), **found}


def tick(
    at: float,
    seen: dict[tuple[Stack, Labels], Values] | None = None,
    calls: dict[Frame, int] | None = None,
    lag: float = 0.25,
    **counted: int,
) -> Tick:
    """``counted`` are cumulative, as calls are."""
    threads = {
        PID: ("zeek", int(at * 0.95e9)),
        PID + 1: ("zk.conn/Log::WR", int(at * 0.031e9)),
        PID + 2: ("caf.multiplexer", int(at * 0.004e9)),
        PID + 3: ("zk.http/Log::WR", 0),
    }
    return Tick(at, seen or {}, counters(**counted), calls or {}, at, threads, DAY + at - lag, DAY + at)


def live() -> Live:
    """Ten seconds of small_profile, a second each, of which the last five are in the window."""
    result = Live(PID, 5.0, tick(0.0))
    seen = small_profile().samples
    for n in range(1, 11):
        result.add(
            tick(
                float(n),
                seen,
                {body_key(HTTP): 900 * n},
                samples=55 * n,
                script=39 * n,
                core=7 * n,
                idle=9 * n,
                torn=n,
                missed=2 * n,
            )
        )
    return result


class Still:
    """A source of one Live."""

    def __init__(self, shown: Live | None = None, number: tuple[int, int] = (1, 1), ended: str | None = None) -> None:
        self.live = shown or live()
        self.number, self.ended = number, ended
        self.views = 0

    def subject(self) -> Subject:
        return Subject(PID + self.number[0] - 1, "9.1.0-dev", "nonblocking", 100.0, self.ended, self.number)

    def view(self, by: str, value: str) -> View:
        self.views += 1
        return self.live.view(by, value)

    def neighbours(self, key: Frame, by: str, value: str) -> Neighbours:
        return self.live.neighbours(key, by, value)

    def reset(self) -> None:
        self.live.reset()
