"""A table of bodies for the terminal, the one with the most CPU time of its own first."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import BinaryIO

from zeekspy.profile import CORE, IDLE, Frame, Profile, display_name, own_and_total

WIDE = 100
"""Columns a terminal needs for total time and samples to be shown."""
_MIN_PLACE = 16
_MIN_NAME = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One body: what was spent in it (own), and in it or what it called (total)."""

    frame: Frame
    """As profile.body_key makes it."""
    own_cpu_ns: int
    total_cpu_ns: int
    own_samples: int
    total_samples: int

    @property
    def name(self) -> str:
        """The display name, safe for a terminal."""
        name = printable(display_name(self.frame))
        return f"{name} (inlined)" if "inlined" in self.frame.flags else name

    @property
    def place(self) -> str:
        """``file:line`` of the body's beginning, empty where there is none."""
        body = self.frame.body
        return f"{printable(body.file)}:{body.first_line}" if body is not None and body.file else ""


def rows(profile: Profile) -> list[Row]:
    """Every body of the profile, ``<zeek core>`` and ``<idle>`` too, by own CPU time, then by total."""
    cpu, count = own_and_total(profile, "cpu_ns"), own_and_total(profile, "count")
    table = [Row(frame, *cpu[frame], *count[frame]) for frame in cpu]
    return sorted(
        table, key=lambda r: (-r.own_cpu_ns, -r.total_cpu_ns, -r.own_samples, -r.total_samples, r.name, r.place)
    )


def hottest(profile: Profile, n: int = 3) -> list[tuple[str, float]]:
    """The ``n`` script bodies with the most CPU time of their own, as ``(name, share of all CPU time)``, 0 … 1."""
    total = profile.total().cpu_ns
    if total <= 0:
        return []
    hot = [r for r in rows(profile) if r.own_cpu_ns > 0 and r.frame not in (CORE, IDLE)]
    return [(r.name, r.own_cpu_ns / total) for r in hot[:n]]


def write(profile: Profile, out: BinaryIO) -> None:
    """The whole table, as wide as it gets, under a line with the totals."""
    total = profile.total()
    head = f"{total.count} samples, {total.cpu_ns / 1e9:.3f} s on the CPU, {total.wall_ns / 1e9:.3f} s of wall time\n\n"
    out.write((head + table(profile, width=0)).encode("utf-8", "backslashreplace"))


def table(profile: Profile, width: int | None = None, limit: int | None = None) -> str:
    """The first ``limit`` bodies (default all) in lines of at most ``width`` columns.

    ``width`` None is the terminal's, 0 is no bound. What a narrow table leaves out: samples and total time, then the
    beginning of paths, then paths, then the end of names; below 50 columns lines are longer than asked. Percentages
    are shares of all CPU time.
    """
    if width is None:
        width = shutil.get_terminal_size().columns
    found = rows(profile)
    shown = found if limit is None else found[:limit]
    wide = width == 0 or width >= WIDE
    total = profile.total().cpu_ns
    numbers = [_numbers(r, total, wide) for r in shown]
    heads = ["own %", "total %", "own ms", "total ms", "samples", "total"] if wide else ["own %", "total %", "own ms"]
    widths = [max(len(h), *(len(n[i]) for n in numbers)) if numbers else len(h) for i, h in enumerate(heads)]
    fixed = sum(w + 2 for w in widths) + len("function  ")
    longest_name = max([len(r.name) for r in shown] + [len("body")])
    longest_place = max([len(r.place) for r in shown] + [len("file:line")])
    name_width, place_width = _share(longest_name, longest_place, width - fixed if width else None)

    def line(cells: list[str], kind: str, name: str, place: str) -> str:
        left = "  ".join(c.rjust(w) for c, w in zip(cells, widths, strict=True))
        right = f"  {_end(place, place_width)}" if place_width else ""
        return f"{left}  {kind:8}  {_beginning(name, name_width):{name_width}}{right}".rstrip() + "\n"

    lines = [line(heads, "kind", "body", "file:line")]
    lines += [line(n, r.frame.kind or "", r.name, r.place) for r, n in zip(shown, numbers, strict=True)]
    if len(found) > len(shown):
        lines.append(f"and {len(found) - len(shown)} more\n")
    return "".join(lines)


def printable(text: str) -> str:
    """``text`` with everything that could steer a terminal escaped: names come from the target's memory."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _numbers(row: Row, total_cpu_ns: int, wide: bool) -> list[str]:
    def share(ns: int) -> str:
        return f"{100 * ns / total_cpu_ns:.1f}" if total_cpu_ns > 0 else "-"

    cells = [share(row.own_cpu_ns), share(row.total_cpu_ns), f"{row.own_cpu_ns / 1e6:.1f}"]
    if wide:
        cells += [f"{row.total_cpu_ns / 1e6:.1f}", str(row.own_samples), str(row.total_samples)]
    return cells


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
