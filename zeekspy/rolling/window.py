"""What one trigger has caught of one node: the samples before and after, and how they travel to the keeper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zeekspy.errors import FileError
from zeekspy.profile import CORE, IDLE, Body, Frame, Labels, Profile, Stack, display_name, own_and_total
from zeekspy.rolling.ring import Part, Run, columns
from zeekspy.timeline import Timeline

PIECE = 500
"""Frames, stacks or runs in one line of a message: none keeps the interpreter busy for long."""
MOST_FRAMES, MOST_RUNS = 1 << 21, 1 << 24
"""Frames and runs of a message."""
TOP = 10
"""Bodies that a sidecar names."""


@dataclass(frozen=True, slots=True)
class Window:
    """The samples of one node from ``begin_ns`` until ``end_ns``. Times are CLOCK_MONOTONIC, in nanoseconds."""

    part: Part
    labels: Labels
    begin_ns: int
    end_ns: int
    fired_ns: int
    """When the trigger was met."""
    since_ns: int
    """From when on it was about to be: the time before that is what was usual."""
    clock_ns: int
    """To be added to these times for nanoseconds since the epoch: taken once, when the trigger was met."""
    period_ns: int
    about: dict[str, Any]
    """JSON: trigger, values and whatever else the sidecar is to say."""

    def profile(self, begin_ns: int | None = None, end_ns: int | None = None) -> Profile:
        """A Profile of the samples that began in this part of it (all)."""
        first = self.begin_ns if begin_ns is None else begin_ns
        last = self.end_ns if end_ns is None else end_ns
        result = Profile(time_ns=first + self.clock_ns, duration_ns=max(0, last - first), period_ns=self.period_ns)
        result.times = Timeline()
        counts = {"script": 0, "core": 0, "idle": 0}
        for t_ns, slot, count, cpu_ns, wall_ns in self.part.runs:
            if first <= t_ns < last:
                stack = self.part.stacks[slot]
                result.add(stack, self.labels, count, cpu_ns, wall_ns)
                result.times.add((t_ns - first) // 1000, result.times.slot(stack, self.labels), count)
                counts["idle" if stack == (IDLE,) else "core" if stack == (CORE,) else "script"] += count
        result.meta = {**self.about.get("meta", {}), "samples": sum(counts.values()), **counts}
        return result


def top(profile: Profile) -> list[dict[str, Any]]:
    """The bodies with most samples of their own, shares 0 … 1 of all samples that were not idle."""
    sums = {frame: found for frame, found in own_and_total(profile, "count").items() if frame != IDLE}
    whole = sum(own for own, _ in sums.values()) or 1
    best = sorted(sums.items(), key=lambda item: (-item[1][0], -item[1][1], display_name(item[0])))[:TOP]
    return [
        {
            "body": display_name(frame),
            "kind": frame.kind,
            "file": frame.body.file if frame.body else None,
            "line": frame.body.first_line if frame.body else None,
            "own": round(own / whole, 4),
            "total": round(total / whole, 4),
        }
        for frame, (own, total) in best
    ]


# As lines of JSON, so that who reads them trusts nothing but numbers and text.


def lines(window: Window) -> Iterator[str]:
    """The message, a JSON array a line."""
    frames: dict[Frame, int] = {}
    stacks = [[frames.setdefault(f, len(frames)) for f in stack] for stack in window.part.stacks]
    head = {
        name: getattr(window, name)
        for name in ("labels", "begin_ns", "end_ns", "fired_ns", "since_ns", "clock_ns", "period_ns", "about")
    }
    yield _line("window", head)
    for tag, rows in (("frames", [_row(frame) for frame in frames]), ("stacks", stacks)):
        for at in range(0, len(rows), PIECE):
            yield _line(tag, rows[at : at + PIECE])
    for at in range(0, len(window.part), PIECE):
        yield _line("runs", list(window.part.slice(at, at + PIECE)))
    yield _line("end", None)


class Arriving:
    """A window of which line after line comes. FileError for what no ``lines`` has made."""

    def __init__(self, head: Any) -> None:
        self._head = head
        self._frames: list[Frame] = []
        self._stacks: list[Stack] = []
        self._runs = columns()

    def add(self, tag: str, rows: Any) -> None:
        try:
            if tag == "frames":
                self._frames += [_frame(row) for row in rows]
            elif tag == "stacks":
                self._stacks += [tuple(self._frames[_natural(i)] for i in row) for row in rows]
            elif tag == "runs":
                for row in rows:
                    for column, value in zip(self._runs, _run(row, len(self._stacks)), strict=True):
                        column.append(value)
            else:
                raise ValueError(tag)
        except (ValueError, TypeError, IndexError, OverflowError) as e:
            raise FileError(f"a capture arrived damaged ({e})") from None
        if max(len(self._frames), len(self._stacks)) > MOST_FRAMES or len(self._runs[0]) > MOST_RUNS:
            raise FileError("a capture is too large")

    def whole(self) -> Window:
        try:
            h = self._head
            times = {k: int(h[k]) for k in ("begin_ns", "end_ns", "fired_ns", "since_ns", "clock_ns", "period_ns")}
            labels = tuple((str(k), str(v)) for k, v in h["labels"])
            about = dict(h["about"])
        except (ValueError, TypeError, KeyError) as e:
            raise FileError(f"a capture arrived damaged ({e})") from None
        return Window(Part(tuple(self._stacks), self._runs), labels, about=about, **times)


def _line(tag: str, content: Any) -> str:
    return json.dumps([tag, content], separators=(",", ":"), allow_nan=False) + "\n"


def _row(f: Frame) -> list[Any]:
    body = None if f.body is None else [f.body.file, f.body.first_line, f.body.last_line]
    return [f.name, f.kind, f.file, f.line, body, f.bodies, sorted(f.flags)]


def _frame(row: Any) -> Frame:
    name, kind, file, line, body, bodies, flags = row
    made = None if body is None else Body(_text(body[0]), int(body[1]), int(body[2]))
    lines = None if line is None else int(line)
    return Frame(_text(name), _text(kind), _text(file), lines, made, int(bodies), frozenset(map(str, flags)))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _natural(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no index")
    return value


def _run(row: Any, stacks: int) -> Run:
    t_ns, slot, count, cpu_ns, wall_ns = map(_natural, row)
    if slot >= stacks:
        raise ValueError(f"there is no stack {slot}")
    return t_ns, slot, count, cpu_ns, wall_ns
