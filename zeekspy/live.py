"""What a target does now: its last seconds and all since the start, by body, script line or file.

Nothing here reads a clock or a process: a Tick says all that was seen in an interval, a View all that can be shown.
Memory is bounded: one Tick for each interval of the window, and one number a body, line or file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from zeekspy.export.bodies import printable
from zeekspy.process import Thread, Times, cpu_between
from zeekspy.profile import IDLE, Frame, Labels, Profile, Stack, Values, display_name
from zeekspy.profile import body_key as key_of
from zeekspy.regroup import BY, regrouped

MAX_KEYS = 1 << 16
"""Bodies, or lines, or files that are told apart; what comes after is OTHERS."""
MAX_STACKS = 1 << 15
"""Stacks whose bodies are remembered, so that they need not be found again."""
OTHERS = Frame("<others>", None, None, None, None)
VALUES = ("cpu", "wall")
"""What shares are of: all CPU time, or all time."""
COUNTERS = ("samples", "script", "core", "idle", "torn", "stale", "unreadable", "lineless", "missed")
"""Of Session.counters, those that a View shows."""
NEARLY = 0.98
_TRACE_S = 3600.0
"""A network time so far away from the clock is that of a trace, not of a Zeek that lags behind."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What was seen of one target in an interval that ended ``at`` that time (seconds, monotonic)."""

    at: float
    samples: Mapping[tuple[Stack, Labels], Values]
    """Those of the interval alone."""
    counters: Mapping[str, int]
    """As they are now, since the sampler began: COUNTERS."""
    calls: Mapping[Frame, int] = field(default_factory=dict)
    """As they are now, by body; {} where they are not known."""
    calls_at: float = 0.0
    threads: Times = field(default_factory=dict)
    network_time: float | None = None
    """Seconds since the epoch."""
    clock: float = 0.0
    """The time of day then, likewise."""


@dataclass(slots=True)
class Row:
    """One body, line or file. Shares are 0 … 1 of all CPU time or, as VALUES say, of all time."""

    frame: Frame
    """As profile.body_key makes it, of what regroup.regrouped gives."""
    own: float = 0.0
    """In the window."""
    total: float = 0.0
    own_since: float = 0.0
    """Since the start, or the last reset."""
    total_since: float = 0.0
    own_samples: int = 0
    """Since then, as the next one."""
    total_samples: int = 0
    calls: int | None = None
    """Since then; None where that is not counted."""
    calls_per_s: float | None = None
    """In the window."""
    us_per_call: float | None = None
    """Microseconds of CPU time of one call and all that it calls, on average since the start."""

    @property
    def name(self) -> str:
        return _name(self.frame)

    @property
    def place(self) -> str:
        return _place(self.frame)


@dataclass(frozen=True, slots=True)
class View:
    """One target at one moment."""

    rows: tuple[Row, ...]
    """All there are, in no order."""
    window_s: float
    """What the window covers by now."""
    since_s: float
    samples: int
    """Since the start, or the last reset."""
    hz: float
    """Achieved in the window."""
    script: float
    """Shares of the window's samples, 0 … 1, as the following ones."""
    core: float
    idle: float
    torn: float
    unreadable: float
    lineless: float
    stale_per_s: float
    missed: float
    """Of the samples that were due."""
    threads: tuple[Thread, ...]
    """By their CPU in the window, the busiest first."""
    lag_s: float | None
    """Of network time behind the clock; None where it is not known, or that of a trace."""
    network_time: float | None
    speed: float | None
    """Seconds of network time in a second of the window."""

    @property
    def cpu(self) -> float:
        """Of all threads, in CPUs."""
        return sum(t.cpu for t in self.threads)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Who called a body in the window, and whom it called: shares of its own total, 0 … 1, the largest first."""

    callers: tuple[tuple[Frame | None, float], ...]
    """None: nobody, it was the outermost."""
    callees: tuple[tuple[Frame | None, float], ...]
    """None: itself, time of its own."""


class _Keys:
    """Numbers for bodies, lines and files; each stack as tuples of numbers, one tuple for each of BY."""

    def __init__(self) -> None:
        self.frames: dict[str, list[Frame]] = {by: [OTHERS] for by in BY}
        self._numbers: dict[str, dict[Frame, int]] = {by: {OTHERS: 0} for by in BY}
        self._stacks: dict[Stack, tuple[tuple[int, ...], ...]] = {}

    def of(self, stack: Stack) -> tuple[tuple[int, ...], ...]:
        found = self._stacks.get(stack)
        if found is None:
            if len(self._stacks) >= MAX_STACKS:
                self._stacks.clear()
            one = Profile(samples={(stack, ()): Values(1, 1, 1)})
            found = tuple(
                tuple(self._number(by, frame) for frame in changed) for by in BY for changed, _, _ in regrouped(one, by)
            )
            self._stacks[stack] = found
        return found

    def number(self, by: str, key: Frame) -> int | None:
        return self._numbers[by].get(key)

    def _number(self, by: str, frame: Frame) -> int:
        key, numbers = key_of(frame), self._numbers[by]
        number = numbers.get(key)
        if number is None:
            if len(numbers) >= MAX_KEYS:
                return 0
            number = numbers[key] = len(numbers)
            self.frames[by].append(key)
        return number


class _Sums:
    """Own and total of samples, CPU and wall time (ns) by number, and those of all samples together."""

    def __init__(self) -> None:
        self.values: dict[int, list[int]] = {}
        self.all = [0, 0, 0]

    def add(self, numbers: Sequence[int], values: Values) -> None:
        amounts = (values.count, values.cpu_ns, values.wall_ns)
        for i, amount in enumerate(amounts):
            self.all[i] += amount
        own = numbers[-1] if numbers else -1
        for number in set(numbers):
            sums = self.values.get(number)
            if sums is None:
                sums = self.values[number] = [0] * 6
            for i, amount in enumerate(amounts):
                sums[3 + i] += amount
                if number == own:
                    sums[i] += amount

    def add_all(self, other: _Sums) -> None:
        self.all = [a + b for a, b in zip(self.all, other.all, strict=True)]
        for number, more in other.values.items():
            sums = self.values.get(number)
            self.values[number] = list(more) if sums is None else [a + b for a, b in zip(sums, more, strict=True)]


@dataclass(frozen=True, slots=True)
class _Slice:
    tick: Tick
    stacks: tuple[tuple[tuple[tuple[int, ...], ...], Values], ...]
    sums: dict[str, _Sums]


class Live:
    """One target, process ``pid``. The window is ``seconds`` long; ``first`` is how it was before the first sample."""

    def __init__(self, pid: int, seconds: float, first: Tick) -> None:
        self.pid, self.seconds = pid, seconds
        self._keys = _Keys()
        self._slices: deque[_Slice] = deque()
        self._start = self._before = first
        self._since = {by: _Sums() for by in BY}

    def add(self, tick: Tick) -> None:
        """Takes in what the next interval has brought, and forgets what is older than the window."""
        sums = {by: _Sums() for by in BY}
        stacks = []
        for (stack, _), values in tick.samples.items():
            keys = self._keys.of(stack)
            stacks.append((keys, values))
            for by, numbers in zip(BY, keys, strict=True):
                sums[by].add(numbers, values)
        for by in BY:
            self._since[by].add_all(sums[by])
        self._slices.append(_Slice(tick, tuple(stacks), sums))
        # As long as what stays covers the window, but for what a thread on a busy machine is late by.
        while len(self._slices) > 1 and tick.at - self._slices[0].tick.at >= self.seconds * NEARLY:
            self._before = self._slices.popleft().tick

    def reset(self) -> None:
        """Begins anew, with what is still to come."""
        if self._slices:
            self._start = self._before = self._slices[-1].tick
        self._slices.clear()
        self._since = {by: _Sums() for by in BY}

    def view(self, by: str = "body", value: str = "cpu") -> View:
        """What is to be shown now, by one of BY and as shares of one of VALUES."""
        last = self._slices[-1].tick if self._slices else self._before
        seconds = last.at - self._before.at
        counted = {k: last.counters.get(k, 0) - self._before.counters.get(k, 0) for k in COUNTERS}
        n = counted["samples"]
        share = {k: c / n if n else 0.0 for k, c in counted.items()}
        lag, speed = self._time(last, seconds)
        return View(
            rows=tuple(self._rows(by, 1 + VALUES.index(value), last)),
            window_s=seconds,
            since_s=last.at - self._start.at,
            samples=last.counters.get("samples", 0) - self._start.counters.get("samples", 0),
            hz=n / seconds if seconds > 0 else 0.0,
            script=share["script"],
            core=share["core"],
            idle=share["idle"],
            torn=share["torn"],
            unreadable=share["unreadable"],
            lineless=share["lineless"],
            stale_per_s=counted["stale"] / seconds if seconds > 0 else 0.0,
            missed=counted["missed"] / (n + counted["missed"]) if n + counted["missed"] else 0.0,
            threads=cpu_between(self._before.threads, last.threads, seconds, self.pid),
            lag_s=lag,
            network_time=last.network_time,
            speed=speed,
        )

    def neighbours(self, key: Frame, by: str = "body", value: str = "cpu") -> Neighbours:
        """The callers and callees of a Row's frame in the window's stacks; recursion counts the innermost."""
        wanted, which = self._keys.number(by, key), BY.index(by)
        callers: dict[int | None, int] = {}
        callees: dict[int | None, int] = {}
        for part in self._slices:
            for keys, values in part.stacks:
                numbers = keys[which]
                if wanted is None or wanted not in numbers:
                    continue
                at = len(numbers) - 1 - numbers[::-1].index(wanted)
                amount = values.cpu_ns if value == "cpu" else values.wall_ns
                above = numbers[at - 1] if at else None
                below = numbers[at + 1] if at + 1 < len(numbers) else None
                callers[above] = callers.get(above, 0) + amount
                callees[below] = callees.get(below, 0) + amount
        return Neighbours(self._shares(by, callers), self._shares(by, callees))

    def _rows(self, by: str, value: int, last: Tick) -> Iterable[Row]:
        window = _Sums()
        for part in self._slices:
            window.add_all(part.sums[by])
        since, frames = self._since[by], self._keys.frames[by]
        in_window, in_all = window.all[value] or 1, since.all[value] or 1
        counted = by == "body" and last.calls_at > 0
        calls_s, calls_since_s = (last.calls_at - t.calls_at for t in (self._before, self._start))
        since_s = last.at - self._start.at
        nothing = [0] * 6
        for number, sums in since.values.items():
            recent = window.values.get(number, nothing)
            row = Row(
                frames[number],
                recent[value] / in_window,
                recent[3 + value] / in_window,
                sums[value] / in_all,
                sums[3 + value] / in_all,
                sums[0],
                sums[3],
            )
            calls = last.calls.get(row.frame) if counted else None
            if calls is not None:
                row.calls = max(0, calls - self._start.calls.get(row.frame, 0))
                if calls_s > 0:
                    row.calls_per_s = max(0, calls - self._before.calls.get(row.frame, 0)) / calls_s
                if row.calls and since_s > 0:  # calls were last counted a little before the last sample
                    row.us_per_call = sums[4] / 1000 / row.calls * max(0.0, calls_since_s) / since_s
            yield row

    def _shares(self, by: str, found: dict[int | None, int]) -> tuple[tuple[Frame | None, float], ...]:
        total, frames = sum(found.values()) or 1, self._keys.frames[by]
        shares = [(None if number is None else frames[number], n / total) for number, n in found.items()]
        return tuple(sorted(shares, key=lambda s: (-s[1], "" if s[0] is None else _name(s[0]))))

    def _time(self, last: Tick, seconds: float) -> tuple[float | None, float | None]:
        """How far network time lags behind, and how fast it goes."""
        if last.network_time is None:
            return None, None
        before = self._before.network_time
        speed = None if before is None or seconds <= 0 else (last.network_time - before) / seconds
        lag = last.clock - last.network_time
        return (lag if abs(lag) < _TRACE_S else None), speed


def idle(row: Row) -> bool:
    return row.frame == IDLE


@lru_cache(1 << 14)
def _name(frame: Frame) -> str:
    return printable(display_name(frame))


@lru_cache(1 << 14)
def _place(frame: Frame) -> str:
    body = frame.body
    if body is None or not body.file:
        return ""
    return printable(f"{body.file}:{body.first_line}" if body.last_line else body.file)
