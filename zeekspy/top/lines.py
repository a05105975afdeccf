"""Lines of styled text, cut to a number of columns. A style is a name; the app knows what it looks like."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, chop_cells, set_cell_size

Span = tuple[str, str]
"""Text and the name of its style."""
Line = list[Span]

STYLES = {
    "": "default",
    "bold": "bold",
    "dim": "dim",
    "head": "reverse",
    "cursor": "reverse bold",
    "script": "green",
    "core": "blue",
    "idle": "dim",
    "warning": "yellow",
    "bad": "red",
    "event": "green",
    "hook": "magenta",
    "function": "cyan",
    "bif": "yellow",
}
"""Names to Rich's styles: the terminal's own colours, which every background has been chosen to go with."""


def text(line: Line) -> str:
    return "".join(part for part, _ in line)


def cut(line: Line, width: int) -> Line:
    """``line`` in ``width`` columns: filled up with blanks, or cut with an ellipsis at its end."""
    room, result = width, []
    for part, style in line:
        size = cell_len(part)
        if size > room:
            result.append((beginning(part, room), style))
            room = 0
            break
        result.append((part, style))
        room -= size
    if room > 0:
        result.append((" " * room, ""))
    return result


def fitting(parts: Iterable[Line], width: int, between: str = "  ") -> Line:
    """As many of ``parts`` as there is room for, the first ones first; the very first is cut where it must be."""
    result: Line = []
    used = 0
    for part in parts:
        size = cell_len(text(part)) + (len(between) if result else 0)
        if result and used + size > width:
            continue
        if result:
            result.append((between, ""))
        result += part
        used += size
    return cut(result, width)


def beginning(what: str, width: int) -> str:
    """``what`` in at most ``width`` columns, its end left out."""
    if cell_len(what) <= width:
        return what
    return set_cell_size(what, width - 1) + "…" if width > 0 else ""


def end(what: str, width: int) -> str:
    """``what`` in at most ``width`` columns, its beginning left out: of a path, the file."""
    if cell_len(what) <= width:
        return what
    if width <= 1:
        return "…"[:width]
    return "…" + chop_cells(what[::-1], width - 1)[0][::-1]


def middle(what: str, width: int) -> str:
    """``what`` in at most ``width`` columns: of a name with its place, the beginning and the end say most."""
    if cell_len(what) <= width or width < 12:
        return beginning(what, width)
    return beginning(what, width // 2) + end(what, width - width // 2)[1:]


def padded(what: str, width: int) -> str:
    """``what`` in exactly ``width`` columns."""
    what = middle(what, width)
    return what + " " * (width - cell_len(what))
