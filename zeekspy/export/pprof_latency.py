"""How long events were being handled, in comments of a pprof file that pprof's reports do not show.

``#latency {…}`` is a JSON object with ``at`` (Profile.time_ns: files that pprof merges keep one comment each),
``handled``, rows ``[name, kind, samples, long_samples, long_ns, {bucket: dispatches}]``, and ``slowest``, rows
``[begin_ns, shortest_ns, longest_ns or null, length_ns, samples, [[key, value], …], [frame, …]]`` with frames,
outermost first, as ``[kind, name, [file, first_line, last_line] or null, bodies, "flags", file, line]``. What they mean
stands in latency.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from zeekspy.export.pprof_comments import body_at, is_place, place_row, tables, utf8
from zeekspy.latency import BUCKETS, MAX_HANDLERS, SLOWEST, Dispatch, Handled, Latency
from zeekspy.profile import KINDS, Frame, Profile

PREFIX = "#latency "
MAX_FRAMES = 1024
FLAGS = {"unreadable", "top-level", "call", "inlined", "zam"}
_MOST = 1 << 63


def comment(profile: Profile) -> str | None:
    """The comment for ``profile``; None where nothing is known."""
    latency = profile.latency
    if latency is None or not latency.handled:
        return None
    table = {
        "at": profile.time_ns,
        "handled": [
            [utf8(name), h.kind, h.samples, h.long_samples, h.long_ns, {i: n for i, n in enumerate(h.buckets) if n}]
            for name, h in latency.handled.items()
        ],
        "slowest": [
            [
                d.begin_ns,
                d.shortest_ns,
                d.longest_ns,
                d.length_ns,
                d.samples,
                [[utf8(key), utf8(value)] for key, value in d.labels],
                list(map(_frame, d.stack)),
            ]
            for d in latency.slowest
        ],
    }
    return PREFIX + json.dumps(table, separators=(",", ":"))


def into(profile: Profile, comments: list[str]) -> None:
    """Adds to ``profile`` what the comments say; what is not well-formed says nothing."""
    for table in tables(PREFIX, comments):
        match table:
            case {"handled": list(handled), "slowest": list(slowest)}:
                part = Latency()
                part.handled.update(_handled(handled[:MAX_HANDLERS]))
                part.slowest.extend(_slowest(slowest[:SLOWEST]))
                profile.latency = part.added_to(profile.latency)


def _frame(frame: Frame) -> list[Any]:
    flags = " ".join(sorted(frame.flags))
    return [frame.kind, utf8(frame.name), place_row(frame.body), frame.bodies, flags, utf8(frame.file), frame.line]


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _handled(rows: list[Any]) -> Iterator[tuple[str, Handled]]:
    for row in rows:
        match row:
            case [str(name), None | str() as kind, samples, long_samples, long_ns, dict(buckets)] if kind in (
                None,
                *KINDS,
            ) and all(map(_number, (samples, long_samples, long_ns, *buckets.values()))):
                found = Handled(kind, samples, long_samples, long_ns)
                for key, n in buckets.items():
                    if key in _BUCKET_KEYS:
                        found.buckets[int(key)] = n
                yield name, found


_BUCKET_KEYS = {str(i) for i in range(BUCKETS)}


def _slowest(rows: list[Any]) -> Iterator[Dispatch]:
    for row in rows:
        match row:
            case [begin, shortest, longest, took, samples, list(labels), list(frames)] if (
                all(map(_number, (begin, shortest, took, samples)))
                and (longest is None or _number(longest))
                and 0 < len(frames) <= MAX_FRAMES
            ):
                stack = tuple(found for frame in frames if (found := _read_frame(frame)) is not None)
                pairs = tuple((k, v) for k, v in _pairs(labels))
                if len(stack) == len(frames):
                    yield Dispatch(begin, shortest, longest, took, samples, stack, pairs)


def _pairs(labels: list[Any]) -> Iterator[tuple[str, str]]:
    for pair in labels:
        match pair:
            case [str(key), str(value)]:
                yield key, value


def _read_frame(row: Any) -> Frame | None:
    match row:
        case [
            None | str() as kind,
            None | str() as name,
            place,
            int(bodies),
            str(flags),
            None | str() as file,
            line,
        ] if kind in (None, *KINDS) and is_place(place) and (line is None or type(line) is int):
            return Frame(name, kind, file, line, body_at(place), bodies, frozenset(flags.split()) & FLAGS)
    return None
