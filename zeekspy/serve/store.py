"""All that was sampled since the start: its sum, and the ticks of the last minutes, of which any window is made.

A tick is what one look of ``feed.py`` at all sessions has brought, half a second or so. Windows are made of whole
ticks, so that windows one after the other add up to the sum of all, exactly, and any number of them may be open at a
time: what is kept does not depend on who asks. Nothing here reads a clock or a process.

Memory is bounded. A stack is kept once, under a number; a tick is an array of numbers. When there are MAX_STACKS
stacks, those of nodes that have gone lose the node's name (GONE), and then the rarest become ``<others>``: the sum
of all stays exact. When ticks hold MAX_ROWS rows, the oldest go.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from zeekspy.profile import Frame, Labels, Profile, Stack, Values

MAX_STACKS = 1 << 16
MAX_ROWS = 1 << 20
"""Of all ticks together: 32 bytes each."""
OTHERS = Frame("<others>", None, None, None, None)
GONE = "gone"
"""Stands for the names of nodes that have ended when room is needed."""
_ROW = 4  # number, samples, CPU and wall time (ns)

Sample = tuple[Stack, Labels, Values]


class WindowGone(LookupError):
    """The window begins before the oldest tick that is kept. ``seconds`` is how far back windows may begin."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"only the last {seconds:.0f} s are kept")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Tick:
    """What was sampled between ``since`` and ``at``: seconds of the monotonic clock. ``…_ns`` are since the epoch."""

    number: int
    since: float
    at: float
    began_ns: int
    ended_ns: int
    rows: array[int]


class Store:
    """Filled by one thread, read by any."""

    def __init__(
        self, at: float, time_ns: int, *, keep_s: float, max_stacks: int = MAX_STACKS, max_rows: int = MAX_ROWS
    ) -> None:
        """``at`` and ``time_ns`` are the beginning on both clocks; ticks are kept for ``keep_s`` seconds."""
        self._keep_s, self._max_stacks, self._max_rows = keep_s, max_stacks, max_rows
        self._began = self._last = Tick(0, at, at, time_ns, time_ns, array("q"))
        self._ticks: deque[Tick] = deque()
        self._rows = 0
        self._keys: list[tuple[Stack, Labels]] = []
        self._numbers: dict[tuple[Stack, Labels], int] = {}
        self._sums = [array("q") for _ in range(_ROW - 1)]
        self._lock = threading.Lock()
        self.folded = 0
        """Stacks that have become others' for want of room."""

    @property
    def last(self) -> Tick:
        """The one that ended last; number 0 before the first."""
        return self._last

    @property
    def stacks(self) -> int:
        return len(self._keys)

    def add(self, at: float, time_ns: int, samples: Iterable[Sample], here: Collection[str] = ()) -> None:
        """The next tick, which ends at that time. ``here`` are the nodes that are there now."""
        if len(self._keys) >= self._max_stacks:
            self._make_room(here)
        rows: dict[int, list[int]] = {}
        with self._lock:
            for stack, labels, values in samples:
                row = rows.setdefault(self._number(stack, labels), [0, 0, 0])
                for i, n in enumerate((values.count, values.cpu_ns, values.wall_ns)):
                    row[i] += n
            flat = array("q")
            for number, row in rows.items():
                flat.append(number)
                flat.extend(row)
                for total, n in zip(self._sums, row, strict=True):
                    total[number] += n
            tick = Tick(self._last.number + 1, self._last.at, at, self._last.ended_ns, time_ns, flat)
            self._ticks.append(tick)
            self._rows += len(rows)
            while self._ticks[0] is not tick and (self._ticks[0].at < at - self._keep_s or self._rows > self._max_rows):
                self._rows -= len(self._ticks.popleft().rows) // _ROW
            self._last = tick

    def window(self, after: int, until: int, node: str | None = None) -> Profile:
        """What ticks number ``after`` + 1 to ``until`` have brought, of all nodes or of one.

        Raises WindowGone where the first of them is not kept any more.
        """
        with self._lock:
            ticks, keys = [t for t in self._ticks if after < t.number <= until], self._keys
            oldest = self._ticks[0].number if self._ticks else self._last.number + 1
            if after + 1 < oldest and after < until:
                raise WindowGone(self._last.at - self._ticks[0].at if self._ticks else 0.0)
        sums: dict[int, list[int]] = {}
        for tick in ticks:
            rows = tick.rows
            for at in range(0, len(rows), _ROW):
                row = sums.setdefault(rows[at], [0, 0, 0])
                for i in range(3):
                    row[i] += rows[at + 1 + i]
        if not ticks:
            return _profile(self._last.ended_ns, 0.0, keys, (), node)
        return _profile(ticks[0].began_ns, ticks[-1].at - ticks[0].since, keys, sums.items(), node)

    def total(self, node: str | None = None) -> tuple[int, Profile]:
        """The number of the last tick, and the sum of all up to it."""
        with self._lock:
            last, keys, sums = self._last, self._keys[:], [s[:] for s in self._sums]
        rows = ((number, [s[number] for s in sums]) for number in range(len(keys)))
        return last.number, _profile(self._began.began_ns, last.at - self._began.at, keys, rows, node)

    def end_of(self, number: int) -> float:
        """When that tick ended (monotonic); for one that is not kept any more, when the oldest one that is did."""
        with self._lock:
            if not self._ticks or number >= self._last.number:
                return self._last.at
            return self._ticks[max(0, number - self._ticks[0].number)].at

    def since(self, seconds: float) -> int:
        """The tick after which the last ``seconds`` begin, or as many of them as are kept."""
        with self._lock:
            ticks = list(self._ticks)
        if not ticks:
            return self._last.number
        at = bisect_right([t.at for t in ticks], self._last.at - seconds)
        return ticks[0].number - 1 if at == 0 else ticks[at - 1].number

    def _number(self, stack: Stack, labels: Labels) -> int:
        key = stack, labels
        number = self._numbers.get(key)
        if number is None:
            if len(self._keys) >= self._max_stacks and stack != (OTHERS,):
                self.folded += 1
                return self._number((OTHERS,), labels)
            number = self._numbers[key] = len(self._keys)
            self._keys.append(key)
            for total in self._sums:
                total.append(0)
        return number

    def _make_room(self, here: Collection[str]) -> None:
        """Gives stacks new numbers, fewer of them; what they add up to stays."""
        known = set(here)
        keys = [
            (stack, labels if dict(labels).get("node") in known else (("node", GONE),)) for stack, labels in self._keys
        ]
        if len(set(keys)) > self._max_stacks // 2:
            rare = sorted(range(len(keys)), key=lambda number: self._sums[0][number])
            for number in rare[: len(keys) - self._max_stacks // 4]:
                if keys[number][0] != (OTHERS,):
                    keys[number] = (OTHERS,), keys[number][1]
                    self.folded += 1
        numbers: dict[tuple[Stack, Labels], int] = {}
        moved = [numbers.setdefault(key, len(numbers)) for key in keys]
        sums = [array("q", bytes(8 * len(numbers))) for _ in self._sums]
        for new, old in zip(sums, self._sums, strict=True):
            for number, n in enumerate(old):
                new[moved[number]] += n
        ticks = deque(_renumbered(tick, moved) for tick in self._ticks)
        with self._lock:
            self._keys, self._numbers, self._sums, self._ticks = list(numbers), numbers, sums, ticks
            self._last = ticks[-1] if ticks else self._last


def _renumbered(tick: Tick, moved: Sequence[int]) -> Tick:
    rows = tick.rows[:]
    for at in range(0, len(rows), _ROW):
        rows[at] = moved[rows[at]]
    return Tick(tick.number, tick.since, tick.at, tick.began_ns, tick.ended_ns, rows)


def _profile(
    began_ns: int,
    seconds: float,
    keys: Sequence[tuple[Stack, Labels]],
    rows: Iterable[tuple[int, Sequence[int]]],
    node: str | None,
) -> Profile:
    profile = Profile(time_ns=began_ns, duration_ns=round(1e9 * seconds))
    for number, (count, cpu_ns, wall_ns) in rows:
        stack, labels = keys[number]
        if node is None or dict(labels).get("node") == node:
            profile.add(stack, labels, count, cpu_ns, wall_ns)
    return profile
