"""What the conditions of a trigger are about, of one node: samples, dispatches, network time, memory, packets."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeekspy.profile import Frame, Stack, body_key, display_name
from zeekspy.rolling.grammar import Condition
from zeekspy.rolling.sources import Counted, Reading

if TYPE_CHECKING:
    from zeekspy._core import Batch

COVERED = 0.9
"""Part of a condition's time that must have been seen before it can be met."""
EPISODE_S = 10.0
"""How long before the trigger what it is about began, where nothing tells."""
STALE_S = 20.0
"""Age at which the last answer of a source of drops says nothing any more."""
TRACE_S = 3600.0
"""A network time so far away from the clock is that of a trace, not of a Zeek that lags behind."""
JUMP_S, SETTLES_S = 0.5, 10.0
"""By how much the clock must move against CLOCK_MONOTONIC to have jumped, and how long lag is unknown afterwards."""
RSS_EVERY_S = 1.0
MOST_FRAMES = 1 << 16
"""Frames of which it is remembered whether a pattern is found in them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The value of a condition now, in its unit. None: not known, ``why`` says so."""

    value: float | None
    why: str = ""
    begin_ns: int | None = None
    """When it began, where that was seen (CLOCK_MONOTONIC)."""
    stack: Stack = ()
    """What it is about, where that is one stack."""


class Clock:
    """The time of day beside CLOCK_MONOTONIC: when it has jumped."""

    def __init__(self, now_ns: int, wall_ns: int) -> None:
        self.offset_ns = wall_ns - now_ns
        """To be added to CLOCK_MONOTONIC for the time of day."""
        self.jumped_ns: int | None = None
        self.jumps = 0

    def look(self, now_ns: int, wall_ns: int) -> float:
        """Seconds by which it has jumped since the last look, 0 where it has not."""
        moved = (wall_ns - now_ns - self.offset_ns) / 1e9
        self.offset_ns = wall_ns - now_ns
        if abs(moved) <= JUMP_S:
            return 0.0
        self.jumped_ns = now_ns
        self.jumps += 1
        return moved

    def settled(self, now_ns: int) -> bool:
        """Whether Zeek's clocks and this one can be compared."""
        return self.jumped_ns is None or now_ns - self.jumped_ns > SETTLES_S * 1e9


class Share:
    """A part of a whole over the last ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._buckets: deque[tuple[int, int, int, int]] = deque()
        self._part = self._whole = self._wall_ns = 0

    def add(self, t_ns: int, part: int, whole: int, wall_ns: int) -> None:
        """What an interval of ``wall_ns`` that ended then has brought."""
        self._buckets.append((t_ns, part, whole, wall_ns))
        self._part, self._whole, self._wall_ns = self._part + part, self._whole + whole, self._wall_ns + wall_ns
        while self._buckets and t_ns - self._buckets[0][0] >= self._seconds * 1e9:
            _, part, whole, wall_ns = self._buckets.popleft()
            self._part, self._whole, self._wall_ns = self._part - part, self._whole - whole, self._wall_ns - wall_ns

    def measured(self) -> Measured:
        if self._wall_ns < COVERED * self._seconds * 1e9:
            return Measured(None, "not sampled for that long yet")
        return Measured(self._part / self._whole if self._whole else 0.0)


class Stalls:
    """The longest dispatch of one event since the last question, as long as it was seen: never longer than it was."""

    def __init__(self, period_ns: int) -> None:
        self._period_ns = period_ns
        self._longest = Measured(0.0)
        self._bottom: Frame | None = None
        self._begin_ns = self._end_ns = 0
        self.counted = False
        """Whether the target's counter tells dispatches apart; else those of one event in a row look like one."""

    def add(self, batch: Batch, stacks: Sequence[Stack], stack_of: Callable[[int], Stack]) -> None:
        self.counted = batch.dispatches is not None
        if batch.dispatches is None:
            self._add_runs(batch, stacks)
            return
        going_on = [batch.dispatching] if batch.dispatching is not None else []
        for stack, begin_ns, end_ns, _ in (*batch.dispatches, *going_on):
            self._take(begin_ns, end_ns, stack_of(stack))

    def measured(self) -> Measured:
        found, self._longest = self._longest, Measured(0.0)
        return found

    def _add_runs(self, batch: Batch, stacks: Sequence[Stack]) -> None:
        """Without the counter: as long as one event stays at the bottom of the stack."""
        for (t_ns, number, _, count, _, _), stack in zip(batch.runs, stacks, strict=True):
            bottom = body_key(stack[0]) if number and stack[0].name is not None else None
            if bottom != self._bottom:
                self._bottom, self._begin_ns = bottom, t_ns
            self._end_ns = t_ns + (count - 1) * self._period_ns
            if bottom is not None:
                self._take(self._begin_ns, self._end_ns, stack)

    def _take(self, begin_ns: int, end_ns: int, stack: Stack) -> None:
        seconds = (end_ns - begin_ns) / 1e9
        if seconds > (self._longest.value or 0.0):
            self._longest = Measured(seconds, "", begin_ns, stack)


class Growth:
    """The resident memory of a process, and by how much it has grown."""

    def __init__(self, pid: int) -> None:
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._fd = -1
        with suppress(OSError):  # it has gone
            self._fd = os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._seen: deque[tuple[int, int]] = deque()
        self.now: int | None = None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def look(self, now_ns: int, keep_s: float) -> None:
        """Reads it, once in RSS_EVERY_S."""
        if self._seen and now_ns - self._seen[-1][0] < RSS_EVERY_S * 1e9:
            return
        try:
            self.now = int(os.pread(self._fd, 256, 0).split()[1]) * self._page
        except (OSError, ValueError, IndexError):
            self.now = None  # the descriptor fails once the process has gone, before its pid is another's
            return
        self._seen.append((now_ns, self.now))
        while now_ns - self._seen[0][0] > keep_s * 1e9:
            self._seen.popleft()

    def grown(self, now_ns: int, seconds: float) -> Measured:
        """Above the least in that time."""
        if self.now is None:
            return Measured(None, "its memory cannot be read")
        least = min(((size, -t) for t, size in self._seen if now_ns - t <= seconds * 1e9), default=(self.now, -now_ns))
        return Measured(float(self.now - least[0]), "", -least[1] if self.now > least[0] else None)


class Drops:
    """Packets that the sources say a node has dropped. Counters that begin anew are a new beginning."""

    def __init__(self, node: str, names: Sequence[str], keep_s: float, alone: bool) -> None:
        self._node, self._names, self._keep_s, self._alone = node, names, keep_s, alone
        self._seen: dict[int, deque[Counted]] = {}
        self._from: int | None = None
        self.resets = 0

    def add(self, readings: Mapping[int, tuple[float, Reading]]) -> None:
        """What the sources have said last; the first that knows the node is taken for it."""
        self._from = None
        for number, (_, reading) in sorted(readings.items()):
            counted = self._of(reading)
            if counted is None:
                continue
            self._from = number if self._from is None else self._from
            seen = self._seen.setdefault(number, deque())
            if seen and seen[-1] == counted:
                continue
            last = seen[-1] if seen else counted
            if counted.dropped < last.dropped or counted.received < last.received or counted.at < last.at:
                self.resets += 1
                seen.clear()
            if not seen or counted.at > seen[-1].at:
                seen.append(counted)
            while len(seen) > 2 and seen[1].at <= counted.at - self._keep_s:
                seen.popleft()

    def measured(
        self,
        condition: Condition,
        readings: Mapping[int, tuple[float, Reading]],
        failures: Mapping[int, str],
        now_s: float,
    ) -> Measured:
        if self._from is None or now_s - readings[self._from][0] > STALE_S:
            return Measured(None, self._why(readings, failures))
        seen = self._seen[self._from]
        if len(seen) < 2:
            return Measured(None, "the counters began anew" if self.resets else "counted once so far")
        last = seen[-1]
        first = next((c for c in seen if c.at >= last.at - condition.over_s), last) if condition.over_s else seen[-2]
        if first is last:
            first = seen[-2]
        dropped, received, seconds = last.dropped - first.dropped, last.received - first.received, last.at - first.at
        if condition.unit == "/s":
            return Measured(dropped / seconds)
        return Measured(dropped / (dropped + received) if dropped + received else 0.0)

    def _of(self, reading: Reading) -> Counted | None:
        found = reading.get(self._node) or reading.get("")
        if found is None and self._alone and len(reading) == 1:
            return next(iter(reading.values()))  # the only one here, and the only one it speaks of
        return found

    def _why(self, readings: Mapping[int, tuple[float, Reading]], failures: Mapping[int, str]) -> str:
        for number, name in enumerate(self._names):
            if number in failures:
                return failures[number]
            if number not in readings:
                return f"{name} has not answered yet"
        return f"no source has spoken of {self._node} lately"


class Measures:
    """All that ``conditions`` need of one node. ``add`` what a poll brings, then ask for the ``values`` once."""

    def __init__(self, conditions: Iterable[Condition], period_ns: int, pid: int, drops: Drops | None = None) -> None:
        self._conditions = tuple(dict.fromkeys(conditions))
        kinds = {c.kind for c in self._conditions}
        self._stalls = Stalls(period_ns) if "stall" in kinds else None
        self._growth = Growth(pid) if "rss" in kinds else None
        self._keep_s = max((c.over_s for c in self._conditions if c.kind == "rss"), default=0.0) + 2 * RSS_EVERY_S
        self._drops = drops if "drops" in kinds else None
        self._cpu = {c: Share(c.over_s) for c in self._conditions if c.kind == "cpu"}
        self._frames = {c: Share(c.over_s) for c in self._conditions if c.kind == "frame"}
        self._patterns = {c: re.compile(c.pattern) for c in self._frames}
        self._found: dict[tuple[Condition, Frame], bool] = {}

    @property
    def counted(self) -> bool | None:
        """Whether stalls are told apart by the target's counter; None where nobody asks for stalls."""
        return None if self._stalls is None else self._stalls.counted

    @property
    def resets(self) -> int:
        return self._drops.resets if self._drops is not None else 0

    def close(self) -> None:
        if self._growth is not None:
            self._growth.close()

    def add(self, batch: Batch, stacks: Sequence[Stack], stack_of: Callable[[int], Stack]) -> None:
        """A Session's tap: what one poll has brought."""
        if self._stalls is not None:
            self._stalls.add(batch, stacks, stack_of)
        if not batch.runs or not (self._cpu or self._frames):
            return
        end_ns, wall_ns = batch.runs[-1][0], sum(run[5] for run in batch.runs)
        for share in self._cpu.values():
            share.add(end_ns, sum(run[4] for run in batch.runs), wall_ns, wall_ns)
        for condition, share in self._frames.items():
            part = sum(r[3] for r, stack in zip(batch.runs, stacks, strict=True) if self._in(condition, stack))
            share.add(end_ns, part, sum(run[3] for run in batch.runs), wall_ns)

    def values(
        self,
        now_ns: int,
        wall_s: float,
        *,
        network_time: float | None = None,
        settled: bool = True,
        readings: Mapping[int, tuple[float, Reading]] | None = None,
        failures: Mapping[int, str] | None = None,
        signalled: bool = False,
    ) -> dict[Condition, Measured]:
        """Every condition's value at ``now_ns``; ``wall_s`` is the time of day then, ``settled`` as Clock says."""
        if self._growth is not None:
            self._growth.look(now_ns, self._keep_s)
        if self._drops is not None:
            self._drops.add(readings or {})
        stall = self._stalls.measured() if self._stalls is not None else Measured(0.0)
        result: dict[Condition, Measured] = {}
        for c in self._conditions:
            if c.kind == "stall":
                result[c] = stall
            elif c.kind == "cpu":
                result[c] = self._cpu[c].measured()
            elif c.kind == "frame":
                result[c] = self._frames[c].measured()
            elif c.kind == "lag":
                result[c] = lag(network_time, wall_s, settled)
            elif c.kind == "rss" and self._growth is not None:
                now = self._growth.now
                size = Measured(None, "its memory cannot be read") if now is None else Measured(float(now))
                result[c] = self._growth.grown(now_ns, c.over_s) if c.growth else size
            elif c.kind == "drops" and self._drops is not None:
                result[c] = self._drops.measured(c, readings or {}, failures or {}, now_ns / 1e9)
            else:
                result[c] = Measured(float(signalled)) if c.kind == "signal" else Measured(None, "no --drops-from")
        return result

    def _in(self, condition: Condition, stack: Stack) -> bool:
        return any(self._has(condition, frame) for frame in stack)

    def _has(self, condition: Condition, frame: Frame) -> bool:
        key = condition, frame
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= MOST_FRAMES:
                self._found.clear()
            found = self._found[key] = self._patterns[condition].search(display_name(frame)) is not None
        return found


def lag(network_time: float | None, wall_s: float, settled: bool) -> Measured:
    """How far network time is behind the clock."""
    if network_time is None:
        return Measured(None, "network time is not known")
    if not settled:
        return Measured(None, "the clock has jumped")
    behind = wall_s - network_time
    if abs(behind) > TRACE_S:
        return Measured(None, "it reads a trace, or its clock is another")
    return Measured(behind)


def met(condition: Condition, measured: Measured) -> bool | None:
    """Whether the value is above the limit; None where it is not known."""
    return None if measured.value is None else measured.value > condition.limit


def began_ns(values: Iterable[tuple[Condition, Measured]], now_ns: int) -> int:
    """When what has met these conditions began, as far as they tell."""
    found = [
        m.begin_ns
        if m.begin_ns is not None
        else now_ns - round(max(c.over_s, EPISODE_S if c.kind != "stall" else 0) * 1e9)
        for c, m in values
    ]
    return min(found, default=now_ns - round(EPISODE_S * 1e9))
