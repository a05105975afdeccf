"""A table of bodies for the terminal, the one with the most CPU time of its own first."""

from __future__ import annotations

import shutil
from typing import BinaryIO

from zeekspy.export import dispatches
from zeekspy.export.bodies import Interval, Row, hottest, printable, rows
from zeekspy.profile import Chain, Profile, short_file

__all__ = ["Row", "hottest", "printable", "rows", "table", "write"]

WIDE, FULL = 100, 150
"""Columns a terminal needs for total time and samples to be shown, and for confidence intervals and calls."""
_MIN_PLACE = 16
_MIN_NAME = 8
_LINES = 60
"""Lines of compiled code that are shown at most."""


def write(profile: Profile, out: BinaryIO) -> None:
    """As ``report``, as wide as it gets, under a line with the totals."""
    out.write(f"{_head(profile)}\n{report(profile, 0)}".encode("utf-8", "backslashreplace"))


def report(profile: Profile, width: int) -> str:
    """The whole table; below it what ZAM executed, by line, and the slowest dispatches. ``width`` as in ``table``."""
    parts = [table(profile, width)]
    if profile.instructions:
        parts.append(instructions(profile, width))
    if slow := dispatches.text(profile, width):
        parts.append(slow)
    return "\n".join(parts)


def _head(profile: Profile) -> str:
    total, meta = profile.total(), profile.meta
    parts = [
        f"{total.count} samples",
        f"{total.cpu_ns / 1e9:.3f} s on the CPU",
        f"{total.wall_ns / 1e9:.3f} s of wall time",
    ]
    asked, achieved, missed = (meta.get(k) for k in ("hz_asked", "hz_achieved", "missed"))
    if isinstance(asked, int | float) and isinstance(achieved, int | float):
        parts.append(f"{achieved:.5g} of {asked:.5g} Hz")
    if isinstance(missed, int):
        parts.append(f"{missed} missed")
    return ", ".join(parts) + "\n"


def table(profile: Profile, width: int | None = None, limit: int | None = None) -> str:
    """The first ``limit`` bodies (default all) in lines of at most ``width`` columns.

    ``width`` None is the terminal's, 0 is no bound. What a narrow table leaves out: intervals and calls, samples and
    total time, then the beginning of paths, then paths, then the end of names; below 50 columns lines are longer than
    asked. Percentages are shares of all CPU time, with their 95 % confidence interval behind them (bodies.interval).
    Calls are exact; the time of one, ``us/call``, is that of the body and what it called.
    """
    if width is None:
        width = shutil.get_terminal_size().columns
    found = rows(profile)
    shown = found if limit is None else found[:limit]
    heads = _heads(width, bool(profile.calls))
    total = profile.total().cpu_ns
    # Other tools' profiles may know samples alone; ours without CPU time are idle, of which there are no shares.
    samples = profile.total().count if not total and profile.meta.get("sample_types") else 0
    numbers = [[_cell(r, head, total, samples) for head in heads] for r in shown]
    widths = [max(len(h), *(len(n[i]) for n in numbers)) if numbers else len(h) for i, h in enumerate(heads)]
    fixed = sum(w + 2 for w in widths) + len("function  ")
    longest_name = max([len(r.name) for r in shown] + [len("body")])
    longest_place = max([len(r.place) for r in shown] + [len("file:line")])
    name_width, place_width = _share(longest_name, longest_place, width - fixed if width else None)

    def line(cells: list[str], kind: str, name: str, place: str) -> str:
        left = "  ".join(c.rjust(w) for c, w in zip(cells, widths, strict=True))
        right = f"  {_end(place, place_width)}" if place_width else ""
        return f"{left}  {kind:8}  {_beginning(name, name_width):{name_width}}{right}".rstrip() + "\n"

    lines = [line([h.strip() for h in heads], "kind", "body", "file:line")]
    lines += [line(n, r.frame.kind or "", r.name, r.place) for r, n in zip(shown, numbers, strict=True)]
    if len(found) > len(shown):
        lines.append(f"and {len(found) - len(shown)} more\n")
    return "".join(lines)


def instructions(profile: Profile, width: int = 0, limit: int = _LINES) -> str:
    """The lines on which ZAM executed most instructions, exact; inlined code stands behind what it is inlined into."""
    found = sorted(profile.instructions.items(), key=lambda item: (-item[1], item[0]))
    total = sum(profile.instructions.values()) or 1
    lines = [f"ZAM instructions: {total} (exact)\n", "       %         count  line\n"]
    room = max(width - 24, _MIN_PLACE) if width else None
    for chain, n in found[:limit]:
        where = printable(_chain(chain))
        lines.append(f"{100 * n / total:8.1f}  {n:12}  {_end(where, room) if room else where}\n")
    if len(found) > limit:
        lines.append(f"and {len(found) - limit} more\n")
    return "".join(lines)


def _chain(chain: Chain) -> str:
    places = ((f, f"{short_file(file, 2)}:{line}" if line else "") for f, file, line in chain)
    return " > ".join(f"{function} {place}".rstrip() for function, place in places)


def _heads(width: int, calls: bool) -> list[str]:
    """The columns of numbers. ``95 %`` behind a share is its confidence interval; a blank keeps the two apart."""
    if width and width < WIDE:
        return ["own %", "total %", "own ms"]
    if width and width < FULL:
        return ["own %", "total %", "own ms", "total ms", "samples", "total"]
    heads = ["own %", "95 %", "total %", "95 % ", "own ms", "total ms", "samples", "total"]
    return heads + (["calls", "calls/s", "us/call"] if calls else [])


def _cell(row: Row, head: str, total_cpu_ns: int, samples: int) -> str:
    match head:
        case "own %" if samples:
            return _percent(row.own_samples, samples)
        case "total %" if samples:
            return _percent(row.total_samples, samples)
        case "own %":
            return _percent(row.own_cpu_ns, total_cpu_ns)
        case "95 %":
            return _interval(row.own_ci95)
        case "total %":
            return _percent(row.total_cpu_ns, total_cpu_ns)
        case "95 % ":
            return _interval(row.total_ci95)
        case "own ms":
            return f"{row.own_cpu_ns / 1e6:.1f}"
        case "total ms":
            return f"{row.total_cpu_ns / 1e6:.1f}"
        case "samples":
            return str(row.own_samples)
        case "total":
            return str(row.total_samples)
        case "calls":
            return "-" if row.calls is None else str(row.calls)
        case "calls/s":
            return "-" if row.calls_per_s is None else f"{row.calls_per_s:.1f}"
        case _:
            return "-" if row.total_us_per_call is None else f"{row.total_us_per_call:.1f}"


def _percent(ns: int, total_ns: int) -> str:
    return f"{100 * ns / total_ns:.1f}" if total_ns > 0 else "-"


def _interval(ci95: Interval | None) -> str:
    return "-" if ci95 is None else f"{100 * ci95[0]:.1f}-{100 * ci95[1]:.1f}"


def _share(name: int, place: int, room: int | None) -> tuple[int, int]:
    """Widths for the longest ``name`` and ``place`` in ``room`` columns with two between them; 0: no such column."""
    if room is None:
        return name, place
    if room - name - 2 >= min(place, _MIN_PLACE):
        return name, min(place, room - name - 2)
    return max(min(name, room), _MIN_NAME), 0


def _beginning(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _end(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
