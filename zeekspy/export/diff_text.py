"""The difference of two profiles as a table: what takes more of the time than before, and what takes less."""

from __future__ import annotations

from typing import BinaryIO

from zeekspy.export.difference import FALSE_DISCOVERIES, Change, changes
from zeekspy.export.text import printable
from zeekspy.export.tree import main_value
from zeekspy.export.words import headline, why_empty
from zeekspy.profile import Profile, display_name

MOST = 25
"""Bodies in each of the two lists."""
_NUMBERS = 41
"""Columns that the numbers of a line take."""
_LEAST = 8


def write(profile: Profile, base: Profile, out: BinaryIO) -> None:
    """Both lists, as wide as they get."""
    out.write(table(profile, base).encode("utf-8", "backslashreplace"))


def table(profile: Profile, base: Profile, width: int = 0, most: int = MOST) -> str:
    """The largest gains and losses of own time, in lines of at most ``width`` columns (0: no bound, else at least 49).

    ``*`` marks what is more than chance (difference.changes).
    """
    found = changes(profile, base)
    gains = [c for c in found if c.gain > 0][:most]
    losses = [c for c in reversed(found) if c.gain < 0][:most]
    lines = [f"new   {printable(headline(profile))}", f"base  {printable(headline(base))}"]
    lines += [f"{which}: {said}" for which, p in (("new", profile), ("base", base)) if (said := why_empty(p))]
    shares = {"cpu_ns": "CPU time", "wall_ns": "wall time", "count": "samples"}[main_value(profile)]
    lines.append("")
    if gains or losses:
        lines.append(
            f"Percent of all {shares}; * is more than chance (z-test, {FALSE_DISCOVERIES:.0%} false discoveries)"
        )
    else:
        lines.append("No body takes another share than before.")
    for title, part in (("more than before", gains), ("less than before", losses)):
        if part:
            lines += ["", title, f"  {'change':>8}  {'base own':>8}  {'new own':>8}  {'total':>6}    body"]
            lines += [_line(change) for change in part]
    if width:
        lines = [_fitted(line, max(width, _NUMBERS + _LEAST)) for line in lines]
    return "\n".join(lines) + "\n"


def _line(c: Change) -> str:
    body = c.frame.body
    place = f"  {printable(body.file)}:{body.first_line}" if body and body.file else ""
    mark = "*" if c.significant else " "
    numbers = f"{100 * c.gain:+8.2f}  {100 * c.base_own:8.2f}  {100 * c.own:8.2f}  {100 * c.total:6.2f}"
    return f"{mark} {numbers}    {printable(display_name(c.frame))}{place}"


def _fitted(line: str, width: int) -> str:
    """``line`` in ``width`` columns, cut in the middle of what stands behind the numbers."""
    if len(line) <= width:
        return line
    left, right = line[:_NUMBERS], line[_NUMBERS:]
    room = width - _NUMBERS - 1
    return f"{left}{right[: room - room // 2]}…{right[len(right) - room // 2 :]}"
