"""The table that Zeek writes with ``--profile-scripts``, in its columns, so that what reads that reads this.

The columns are those of Zeek's src/ScriptProfile.cc: function, location (``file:line`` or ``<no-location>``), type,
ncall, tot_CPU (with what it called), child_CPU (what it called), both in seconds, tot_Mem, child_Mem; then one row for
each function with several bodies, and the rows all-BiFs, total and non-scripts. As in Zeek these sums add up tot_CPU,
so that what was called counts again. ``-`` stands for what a sampling profiler does not know: memory, and calls where
they were not counted. Idle time is left out: Zeek measures CPU time alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO

from zeekspy.export.calls import Known, calls_of
from zeekspy.export.text import printable
from zeekspy.profile import CORE, IDLE, Frame, Profile, display_name, own_and_total

FIELDS = ("function", "location", "type", "ncall", "tot_CPU", "child_CPU", "tot_Mem", "child_Mem")
TYPES = ("string", "string", "string", "count", "interval", "interval", "count", "count")
_NAMES = {"bif": "BiF", None: "-"}


def write(profile: Profile, out: BinaryIO) -> None:
    """A row a body, by location: those that were called too, although no sample saw them."""
    calls = calls_of(profile)
    sums = {**dict.fromkeys(calls, (0, 0)), **own_and_total(profile, "cpu_ns")}
    bodies = sorted((f for f in sums if f not in (CORE, IDLE)), key=lambda f: (_location(f), _name(f)))
    lines = ["#fields\t" + "\t".join(FIELDS), "#types\t" + "\t".join(TYPES)]
    for frame in bodies:
        own, total = sums[frame]
        ncall = calls[frame].calls if frame in calls else None
        lines.append(_row(_name(frame), _location(frame), _kind(frame), ncall, total, total - own))
    several: dict[tuple[str, str], list[Frame]] = {}
    for frame in bodies:
        if frame.bodies > 1:
            several.setdefault((_name(frame), _kind(frame)), []).append(frame)
    for (name, kind), group in several.items():
        count = max(frame.bodies for frame in group)
        lines.append(_sum(name, f"{count}-locations", kind, group, sums, calls))
    bifs = [f for f in bodies if f.kind == "bif"]
    lines.append(_sum("all-BiFs", f"{len(bifs)}-locations", "BiF", bifs, sums, calls))
    lines.append(_sum("total", f"{len(bodies)}-locations", "TOTAL", bodies, sums, calls))
    lines.append(_row("non-scripts", "<no-location>", "TOTAL", None, sums.get(CORE, (0, 0))[0], 0))
    out.write(("\n".join(lines) + "\n").encode())


def _row(name: str, location: str, kind: str, ncall: int | None, total_ns: int, child_ns: int) -> str:
    calls = "-" if ncall is None else str(ncall)
    return f"{name}\t{location}\t{kind}\t{calls}\t{total_ns / 1e9:.6f}\t{child_ns / 1e9:.6f}\t-\t-"


def _sum(
    name: str,
    location: str,
    kind: str,
    frames: Iterable[Frame],
    sums: Mapping[Frame, tuple[int, int]],
    calls: Mapping[Frame, Known],
) -> str:
    known = [calls[f].calls for f in frames if f in calls]
    return _row(name, location, kind, sum(known) if known else None, sum(sums[f][1] for f in frames), 0)


def _name(frame: Frame) -> str:
    return printable(frame.name if frame.name is not None else display_name(frame)) or "?"


def _kind(frame: Frame) -> str:
    return _NAMES.get(frame.kind, frame.kind) or "-"


def _location(frame: Frame) -> str:
    body = frame.body
    return printable(f"{body.file}:{body.first_line}") if body and body.file else "<no-location>"
