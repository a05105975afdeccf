"""How long events were being handled, for people and as JSON: the slowest dispatches, and all of them by length.

latency.py says what the numbers are worth.
"""

from __future__ import annotations

import time
from typing import Any

from zeekspy.export.bodies import printable
from zeekspy.latency import BUCKETS, PROVEN_PERIODS, Dispatch, Row, edges, rows
from zeekspy.profile import Frame, Profile, display_name, short_file

SHOWN = 10
"""Dispatches, and events, that the text shows."""
LEAST = 50
"""Columns, fewer of which are not cared for."""
_INNERMOST = 6
"""Frames of a stack that the text shows behind the outermost."""


def text(profile: Profile, width: int = 0, shown: int = SHOWN) -> str:
    """Both parts as lines of text of at most ``width`` columns (0: no bound); empty where nothing is known.

    Where there is too little room, stacks lose their ends, and the second part is left out.
    """
    latency = profile.latency
    width = max(width, LEAST) if width else 0
    if latency is None or not latency.handled:
        return ""
    lines = []
    if latency.slowest:
        lines.append("slowest dispatches (one event, all its handlers)\n")
        for dispatch in latency.slowest[:shown]:
            lines += [_cut(line, width) for line in _dispatch(dispatch)]
        lines.append("\n")
    table = _table(list(rows(profile)), profile.period_ns, shown)
    if not width or max(map(len, table)) <= width + 1:
        lines += table
    return "".join(lines)


def json(profile: Profile) -> dict[str, Any] | None:
    """``proven_s``: dispatches of that length are all among the ``long`` ones. ``slowest``: with their stacks.

    ``events`` have ``total_s`` (an unbiased estimate, with its standard error ``error_s``), ``dispatches`` (counted by
    Zeek, or null), ``long`` (how many at least two samples saw), ``short_s`` and ``short_mean_s`` of the others, and
    ``lengths`` of the long ones, ``[from_s, below_s or null, dispatches]`` each. Of a dispatch that was there when the
    recording began or ended, ``longest_s`` is null.
    """
    latency = profile.latency
    if latency is None:
        return None
    return {
        "proven_s": PROVEN_PERIODS * profile.period_ns / 1e9,
        "slowest": [
            {
                "time_s": d.begin_ns / 1e9,
                "shortest_s": d.shortest_ns / 1e9,
                "longest_s": None if d.longest_ns is None else d.longest_ns / 1e9,
                "length_s": d.length_ns / 1e9,
                "samples": d.samples,
                "labels": dict(d.labels),
                "stack": [{"name": display_name(f), "file": f.file, "line": f.line} for f in d.stack],
            }
            for d in latency.slowest
        ],
        "events": [
            {
                "name": row.name,
                "kind": row.kind,
                "total_s": row.total_ns / 1e9,
                "error_s": row.error_ns / 1e9,
                "dispatches": row.dispatches,
                "long": row.long,
                "short_s": row.short_ns / 1e9,
                "short_mean_s": None if row.short_mean_ns is None else row.short_mean_ns / 1e9,
                "lengths": [
                    [low / 1e9, None if high is None else high / 1e9, n]
                    for (low, high), n in zip(map(edges, range(BUCKETS)), row.buckets, strict=True)
                    if n
                ],
            }
            for row in rows(profile)
        ],
    }


def length(dispatch: Dispatch) -> str:
    """``301-312 ms``: at least and at most."""
    low = dispatch.shortest_ns / 1e6
    if dispatch.longest_ns is None:
        return f">{low:.0f} ms"
    high = dispatch.longest_ns / 1e6
    return f"{low:.0f}-{high:.0f} ms" if high >= 10 else f"{low:.1f}-{high:.1f} ms"


def one(dispatch: Dispatch) -> str:
    """``301-312 ms http_header [http/main.zeek:12] at 12:03:04.1``, in local time."""
    return f"{length(dispatch)} {printable(display_name(dispatch.stack[0]))} at {_clock(dispatch.begin_ns)}"


def _cut(line: str, width: int) -> str:
    """A line that ends with a newline, in that many columns; 0: as it is."""
    return line if not width or len(line) <= width + 1 else f"{line[: width - 1]}…\n"


def _dispatch(dispatch: Dispatch) -> list[str]:
    labels = dict(dispatch.labels)
    who = labels.get("node") or (f"pid {labels['pid']}" if "pid" in labels else "")
    name = printable(display_name(dispatch.stack[0]))
    head = f"{length(dispatch):>14}  {name}  at {_clock(dispatch.begin_ns)}"
    inner = dispatch.stack[1:]
    more = ["…"] if len(inner) > _INNERMOST else []
    path = " > ".join([*map(_frame, dispatch.stack[:1]), *more, *map(_frame, inner[-_INNERMOST:])])
    return [f"{head}{'  ' + printable(who) if who else ''}\n", f"{'':16}{printable(path)}\n"]


def _frame(frame: Frame) -> str:
    place = f" {short_file(frame.file, 2)}:{frame.line}" if frame.file and frame.line else ""
    return (frame.name or display_name(frame)) + place


def _clock(ns: int) -> str:
    """Local time of day, to the tenth of a second."""
    try:
        return f"{time.strftime('%H:%M:%S', time.localtime(ns // 10**9))}.{ns // 10**8 % 10}"
    except (OverflowError, OSError, ValueError):
        return "?"


def _table(found: list[Row], period_ns: int, shown: int) -> list[str]:
    used = [i for i in range(BUCKETS) if any(row.buckets[i] for row in found)]
    heads = ["total ms", "+-", "dispatches", "short ms", "mean ms", *map(_range, used)]
    cells = [
        [
            f"{row.total_ns / 1e6:.0f}",
            f"{row.error_ns / 1e6:.0f}",
            "-" if row.dispatches is None else str(row.dispatches),
            f"{row.short_ns / 1e6:.0f}",
            "-" if row.short_mean_ns is None else f"{row.short_mean_ns / 1e6:.3f}",
            *(str(row.buckets[i]) if row.buckets[i] else "." for i in used),
        ]
        for row in found[:shown]
    ]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [
        "dispatches by length: short ones were seen once at most; of those longer than "
        f"{PROVEN_PERIODS * period_ns / 1e6:.3g} ms none is missing\n"
    ]
    for row, names in zip([heads, *cells], ["event", *(printable(r.name) for r in found[:shown])], strict=True):
        lines.append("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) + f"  {names}\n")
    if len(found) > shown:
        lines.append(f"and {len(found) - shown} more\n")
    return lines


def _range(number: int) -> str:
    low, high = edges(number)
    return f"{low // 1_000_000}-{high // 1_000_000} ms" if high is not None else f">{low // 1_000_000} ms"
