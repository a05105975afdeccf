"""One JSON object: the recording's circumstances, and what is known of every body.

``bodies`` is a list, the body with the most CPU time of its own first, of objects with: ``name`` (as Zeek has it),
``display`` (told apart from the function's other bodies), ``kind`` (event, hook, function, bif or null), ``file``,
``first_line``, ``last_line``, ``zam`` and ``inlined`` (booleans); ``own`` and ``total``, each with ``samples``,
``cpu_s``, ``share`` of all CPU time and its ``ci95`` [low, high] (export/bodies.py says how); ``calls``,
``calls_per_s``, ``own_us_per_call``, ``total_us_per_call``. What is not known is null. Bodies that ran but are in no
sample are there.

``instructions``, where ZAM runs (Zeek 9.0 and later), is a list, the most executed first, of ``count`` and ``stack``:
the line on which that many ZAM instructions ran, ``{"function", "file", "line"}`` outermost first; more than one where
the function of the line is inlined.

``latency``, null where it is not known, says how long events were being handled: export/dispatches.py.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from zeekspy.export import dispatches
from zeekspy.export.bodies import Interval, Row, rows
from zeekspy.profile import Profile, display_name

FORMAT = "zeekspy-bodies/1"


def write(profile: Profile, out: BinaryIO) -> None:
    """Writes ``profile`` as one object, without its stacks."""
    total = profile.total()
    table = {
        "format": FORMAT,
        "time_s": profile.time_ns / 1e9,
        "duration_s": profile.duration_ns / 1e9,
        "samples": total.count,
        "cpu_s": total.cpu_ns / 1e9,
        "wall_s": total.wall_ns / 1e9,
        "calls_s": profile.calls_ns / 1e9 if profile.calls else None,
        "meta": profile.meta,
        "bodies": [_body(row, total.cpu_ns) for row in rows(profile, unsampled=True)],
        "instructions": [
            {"count": n, "stack": [{"function": f, "file": file, "line": line} for f, file, line in chain]}
            for chain, n in sorted(profile.instructions.items(), key=lambda item: (-item[1], item[0]))
        ],
        "latency": dispatches.json(profile),
    }
    out.write((json.dumps(table, indent=1) + "\n").encode("ascii"))


def _body(row: Row, all_cpu_ns: int) -> dict[str, Any]:
    frame, body = row.frame, row.frame.body
    return {
        "name": frame.name,
        "display": display_name(frame),
        "kind": frame.kind,
        "file": body.file if body else None,
        "first_line": body.first_line if body and body.file else None,
        "last_line": body.last_line if body and body.file else None,
        "zam": row.zam,
        "inlined": "inlined" in frame.flags,
        "own": _spent(row.own_samples, row.own_cpu_ns, all_cpu_ns, row.own_ci95),
        "total": _spent(row.total_samples, row.total_cpu_ns, all_cpu_ns, row.total_ci95),
        "calls": row.calls,
        "calls_per_s": _rounded(row.calls_per_s),
        "own_us_per_call": _rounded(row.own_us_per_call),
        "total_us_per_call": _rounded(row.total_us_per_call),
    }


def _spent(samples: int, cpu_ns: int, all_cpu_ns: int, ci95: Interval | None) -> dict[str, Any]:
    share = round(cpu_ns / all_cpu_ns, 6) if all_cpu_ns > 0 else None
    return {"samples": samples, "cpu_s": cpu_ns / 1e9, "share": share, "ci95": ci95 and [round(x, 6) for x in ci95]}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)
