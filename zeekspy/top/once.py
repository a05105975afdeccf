"""One View for scripts and pipes: as text, or as JSON."""

from __future__ import annotations

from typing import Any

from zeekspy.live import Row, View
from zeekspy.top import bars, table
from zeekspy.top.lines import text


def as_text(subject: bars.Subject, view: View, choice: table.Choice, width: int, limit: int | None = None) -> str:
    """The lines above the table and its first ``limit`` rows (all), ``width`` columns wide."""
    found = table.chosen(view, choice)
    lines = bars.lines(subject, view, width)
    lines.append(table.head(choice, view.window_s, width))
    lines += [table.row(r, width) for r in found[:limit]]
    if limit is not None and len(found) > limit:
        lines.append([(f"and {len(found) - limit} more", "")])
    return "".join(text(line).rstrip() + "\n" for line in lines)


def as_json(subject: bars.Subject, view: View, choice: table.Choice) -> dict[str, Any]:
    """Shares are 0 … 1, times seconds, CPU in CPUs; null is what is not known."""
    return {
        "pid": subject.pid,
        "zeek_version": subject.version,
        "engine": subject.engine,
        "ended": subject.ended,
        "hz_asked": subject.hz,
        "hz_achieved": round(view.hz, 3),
        "window_s": round(view.window_s, 3),
        "samples": view.samples,
        "script": _share(view.script),
        "core": _share(view.core),
        "idle": _share(view.idle),
        "cpu": _share(view.cpu),
        "threads": [{"tid": t.tid, "name": t.name, "cpu": _share(t.cpu), "main": t.main} for t in view.threads],
        "network_time": view.network_time,
        "network_time_speed": None if view.speed is None else round(view.speed, 3),
        "lag_s": None if view.lag_s is None else round(view.lag_s, 3),
        "torn": _share(view.torn),
        "unreadable": _share(view.unreadable),
        "lineless": _share(view.lineless),
        "stale_per_s": round(view.stale_per_s, 3),
        "missed": _share(view.missed),
        "by": choice.by,
        "value": choice.value,
        "rows": [_row(r) for r in table.chosen(view, choice)],
    }


def _row(r: Row) -> dict[str, Any]:
    body = r.frame.body
    return {
        "name": r.name,
        "kind": r.frame.kind,
        "file": body.file if body is not None else None,
        "line": body.first_line if body is not None and body.last_line else None,
        "own": _share(r.own),
        "total": _share(r.total),
        "own_samples": r.own_samples,
        "total_samples": r.total_samples,
        "calls": r.calls,
        "calls_per_s": None if r.calls_per_s is None else round(r.calls_per_s, 3),
        "us_per_call": None if r.us_per_call is None else round(r.us_per_call, 3),
    }


def _share(value: float) -> float:
    return round(value, 6)
