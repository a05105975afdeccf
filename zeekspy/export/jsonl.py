"""One JSON object a line and process, for Splunk, Elastic and the like.

The envelope is that of zeek-jemalloc-profiling, so that what reads its heap profiles reads these: ``process`` (the
node, else zeek-PID), ``mtime`` (when the recording ended, seconds since the epoch), ``total_…``, and ``locations``, the
largest first, with ``direct_…`` (in the body itself), ``callees_…`` (in it or what it called), each with its share in
percent, and ``direct_pct_cumm`` (the shares so far). Shares are of the profile's CPU time, or of its samples where it
has none.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from zeekspy.export.calls import calls_of
from zeekspy.export.words import why_empty
from zeekspy.profile import CORE, IDLE, Labels, Profile, display_name, own_and_total


def write(profile: Profile, out: BinaryIO) -> None:
    """A line a process, in the order of their names; one with no locations where there is no sample."""
    parts: dict[Labels, Profile] = {}
    for stack, labels, values in profile:
        part = parts.get(labels)
        if part is None:
            part = parts[labels] = Profile(profile.time_ns, profile.duration_ns, profile.period_ns, meta=profile.meta)
        part.add(stack, labels, values.count, values.cpu_ns, values.wall_ns)
    for labels in sorted(parts) or [()]:
        out.write((json.dumps(_line(parts.get(labels, profile), labels, profile)) + "\n").encode())


def _line(part: Profile, labels: Labels, whole: Profile) -> dict[str, Any]:
    total, meta, found = part.total(), whole.meta, dict(labels)
    count, cpu, wall = (own_and_total(part, value) for value in ("count", "cpu_ns", "wall_ns"))
    shares, amount = (cpu, total.cpu_ns) if total.cpu_ns else (count, total.count)
    calls = calls_of(whole)
    result: dict[str, Any] = {
        "process": found.get("node") or (f"zeek-{found['pid']}" if found.get("pid") else "zeek"),
        "mtime": (whole.time_ns + whole.duration_ns) / 1e9,
        **({"pid": int(found["pid"])} if found.get("pid", "").isdecimal() and len(found["pid"]) < 10 else {}),
        **({"node": found["node"]} if found.get("node") else {}),
        "duration_s": whole.duration_ns / 1e9,
        **{key: meta[key] for key in ("zeek_version", "engine", "hz_achieved") if meta.get(key) is not None},
        "total_samples": total.count,
        "total_cpu_ms": total.cpu_ns / 1e6,
        "total_wall_ms": total.wall_ns / 1e6,
        "core_samples": count.get(CORE, (0, 0))[0],
        "idle_samples": count.get(IDLE, (0, 0))[0],
        **({"empty": why_empty(whole)} if not part.samples else {}),
    }
    locations = []
    so_far = 0
    for frame in sorted(count, key=lambda f: (-shares[f][0], -shares[f][1], display_name(f), _place(f.body))):
        body, own = frame.body, shares[frame][0]
        so_far += own
        location: dict[str, Any] = {
            "func": display_name(frame),
            "kind": frame.kind,
            "file": body.file if body else None,
            "line": body.first_line if body and body.file else None,
            "direct_samples": count[frame][0],
            "direct_cpu_ms": cpu[frame][0] / 1e6,
            "direct_wall_ms": wall[frame][0] / 1e6,
            "direct_pct": _percent(own, amount),
            "direct_pct_cumm": _percent(so_far, amount),
            "callees_samples": count[frame][1],
            "callees_cpu_ms": cpu[frame][1] / 1e6,
            "callees_wall_ms": wall[frame][1] / 1e6,
            "callees_pct": _percent(shares[frame][1], amount),
        }
        if frame.flags:
            location["flags"] = sorted(frame.flags)
        known = calls.get(frame)
        if known is not None:
            location |= {"calls": known.calls, "us_per_call": known.us_per_call}
        locations.append(location)
    return result | {"locations": locations}


def _place(body: object) -> str:
    return repr(body)


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 3) if whole else None
