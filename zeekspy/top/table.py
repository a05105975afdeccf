"""The table: which columns fit, in which order the rows stand, and the callers and callees of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zeekspy.live import Neighbours, Row, View, idle
from zeekspy.profile import Frame, display_name
from zeekspy.top.lines import Line, cut, end, middle, padded
from zeekspy.top.numbers import percent, short


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers. ``head`` may name the length of the window: ``{w}``."""

    key: str
    head: str
    width: int
    needs: int
    """Columns the table must have for this one to be shown."""
    cell: Callable[[Row], str]
    order: Callable[[Row], float]


COLUMNS = (
    Column("own", "own {w}s", 7, 0, lambda r: percent(r.own), lambda r: r.own),
    Column("total", "total {w}s", 9, 34, lambda r: percent(r.total), lambda r: r.total),
    Column("own-since", "own", 5, 74, lambda r: percent(r.own_since), lambda r: r.own_since),
    Column("total-since", "total", 5, 74, lambda r: percent(r.total_since), lambda r: r.total_since),
    Column("calls", "calls/s", 7, 54, lambda r: short(r.calls_per_s), lambda r: r.calls_per_s or 0.0),
    Column("us", "us/call", 7, 54, lambda r: short(r.us_per_call), lambda r: r.us_per_call or 0.0),
)
"""Shares in percent."""
SORTS = tuple(c.key for c in COLUMNS)
_KIND, _KIND_NEEDS = 8, 90
_PLACE_NEEDS = 125
_ENOUGH_NAME = 40
"""Columns a body gets before its place has the rest; two thirds where there is room for more."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a View is wanted, and in which order."""

    by: str = "body"
    value: str = "cpu"
    sort: str = "own"
    search: str = ""
    idle: bool = False
    """Whether idle time has a row; it has a part of the bar anyway."""


def chosen(view: View, choice: Choice) -> list[Row]:
    """The rows to show, the greatest first. ``search`` is looked for in names and places, whatever its case."""
    order = next(c.order for c in COLUMNS if c.key == choice.sort)
    wanted = choice.search.casefold()
    rows = [
        r
        for r in view.rows
        if (choice.idle or choice.value == "wall" or not idle(r))
        and (not wanted or wanted in r.name.casefold() or wanted in r.place.casefold())
    ]
    return sorted(rows, key=lambda r: (-order(r), -r.own, -r.total, -r.own_since, -r.total_since, r.name, r.place))


def head(choice: Choice, window_s: float, width: int) -> Line:
    """The line over the columns; the one that is sorted by is marked."""
    what = {"body": "body", "line": "body:line", "file": "file"}[choice.by]
    what += ", % of all time" if choice.value == "wall" else ""
    line: Line = []
    for c in _columns(width):
        title = c.head.format(w=f"{window_s:.0f}")
        mark = "▼" if c.key == choice.sort and len(title) < c.width + bool(line) else ""
        line.append((f"{mark}{title}".rjust(c.width + bool(line)), "head"))
    if width >= _KIND_NEEDS:
        line.append(("  " + padded("kind", _KIND), "head"))
    room = width - sum(len(part) for part, _ in line) - 2
    name, place = _names(room, width)
    line.append(("  " + padded(what, name), "head"))
    if place:
        line.append(("  " + padded("file:line", place), "head"))
    return cut(line, width)


def row(r: Row, width: int, style: str = "") -> Line:
    """One line. ``style`` is that of the whole line, where it has one."""
    line: Line = []
    for c in _columns(width):
        line.append((c.cell(r).rjust(c.width + bool(line)), style or ("" if c.order(r) else "dim")))
    kind = r.frame.kind or ""
    if width >= _KIND_NEEDS:
        line.append(("  " + padded(kind, _KIND), style or kind))
    room = width - sum(len(part) for part, _ in line) - 2
    name, place = _names(room, width)
    line.append(("  " + padded(r.name, name), style or ("bold" if r.own else "")))
    if place:
        line.append(("  " + end(r.place, place), style or "dim"))
    line = cut(line, width)
    return [(part, style) for part, _ in line] if style else line


def neighbours(frame: Frame, found: Neighbours, width: int, height: int) -> list[Line]:
    """Callers above, the body, callees below: shares of the body's total in the window. ``height`` lines."""
    room = max(1, (height - 4) // 2)
    lines: list[Line] = [[("callers, with their % of its total in the window", "head")]]
    lines += _shares(found.callers, "nobody: it is the outermost", width, room)
    lines.append([(f" {_shown(frame)} ", "cursor")])
    lines.append([("itself and its callees", "head")])
    lines += _shares(found.callees, "itself", width, room)
    if not found.callers:
        lines.append([("No sample of the window has it.", "dim")])
    return [cut(line, width) for line in lines[:height]]


def _shares(found: Sequence[tuple[Frame | None, float]], nothing: str, width: int, room: int) -> list[Line]:
    lines: list[Line] = []
    for frame, share in found[:room]:
        name, style = (nothing, "dim") if frame is None else (_shown(frame), frame.kind or "")
        lines.append([(percent(share).rjust(7), ""), (f"  {middle(name, max(0, width - 9))}", style)])
    return lines


def _shown(frame: Frame) -> str:
    return Row(frame).name if frame.name is not None else display_name(frame)


def _columns(width: int) -> list[Column]:
    return [c for c in COLUMNS if width >= c.needs]


def _names(room: int, width: int) -> tuple[int, int]:
    """Columns for the name and for the place, with two between them; 0: no place."""
    room = max(0, room)
    if width < _PLACE_NEEDS:
        return room, 0
    name = min(max(_ENOUGH_NAME, 2 * room // 3), 72, room - 18)
    return name, room - name - 2
