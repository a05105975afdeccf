"""Widgets that show lines: one target, and a page of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from zeekspy.live import Neighbours, Row, View
from zeekspy.profile import Frame
from zeekspy.top import bars, table
from zeekspy.top.lines import STYLES, Line, cut

HEADS = 5
"""Lines above the rows."""
_STYLES = {name: Style.parse(style) for name, style in STYLES.items()}


class Source(Protocol):
    """What a pane shows: a watch.Watched, or a test's."""

    def subject(self) -> bars.Subject: ...
    def view(self, by: str, value: str) -> View: ...
    def neighbours(self, key: Frame, by: str, value: str) -> Neighbours: ...
    def reset(self) -> None: ...


class Lines(Widget):
    """Draws the lines it is given; only those that have changed are drawn again."""

    DEFAULT_CSS = "Lines { width: 1fr; height: 1fr; }"

    def __init__(self, make: Callable[[int, int], Sequence[Line]] | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._make = make
        self._lines: list[Line] = []

    def made(self, width: int, height: int) -> Sequence[Line]:
        """The lines for this size."""
        return self._make(width, height) if self._make else []

    def redraw(self) -> None:
        width, height = self.size
        if not width or not height:
            return
        before, self._lines = self._lines, list(self.made(width, height))[:height]
        changed = [
            Region(0, y, width, 1)
            for y in range(height)
            if (before[y] if y < len(before) else None) != (self._lines[y] if y < len(self._lines) else None)
        ]
        if changed:
            self.refresh(*changed)

    def on_resize(self) -> None:
        self._lines = []
        self.redraw()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        line = cut(self._lines[y], width) if y < len(self._lines) else cut([], width)
        return Strip([Segment(part, _STYLES[style]) for part, style in line if part], width)


class Pane(Lines):
    """One target: the lines above, and as much of the table as there is room for."""

    def __init__(self, source: Source, choice: table.Choice) -> None:
        super().__init__()
        self.source, self.choice = source, choice
        self.paused = False
        self.focused_pane = False
        self.view: View | None = None
        self.rows: list[Row] = []
        self._cursor: Frame | None = None
        self._top = 0

    def renew(self) -> None:
        """Asks for a new View, unless this one is to stay."""
        if not self.paused or self.view is None:
            self.look()

    def look(self) -> None:
        self.view = self.source.view(self.choice.by, self.choice.value)
        self.order()

    def order(self) -> None:
        """Puts the rows in order again, as after another choice."""
        if self.view is not None:
            self.rows = table.chosen(self.view, self.choice)
            self.redraw()

    def move(self, by: int) -> None:
        """The cursor up or down: it stays with its row when rows change places."""
        if self.rows:
            at = self._at()
            at = 0 if at is None and by > 0 else (at or 0) + by
            self._cursor = self.rows[min(max(0, at), len(self.rows) - 1)].frame
            self.redraw()

    def home(self) -> None:
        """The cursor away, and the first rows in view."""
        self._cursor = None
        self.order()

    @property
    def room(self) -> int:
        """Rows there is room for."""
        return max(1, self.size.height - HEADS)

    @property
    def selected(self) -> Frame | None:
        """The body under the cursor; the first one where there is none."""
        at = self._at()
        return self.rows[at or 0].frame if self.rows else None

    def _at(self) -> int | None:
        return next((i for i, r in enumerate(self.rows) if r.frame == self._cursor), None)

    def made(self, width: int, height: int) -> Sequence[Line]:
        if self.view is None:
            return [[("attached, sampling …", "dim")]]
        lines = bars.lines(self._subject(), self.view, width, self.paused)
        lines.append(table.head(self.choice, self.view.window_s, width))
        at, room = self._at(), self.room
        if at is None:
            self._top = 0
        else:
            self._top = min(max(self._top, at - room + 1), at)
        self._top = max(0, min(self._top, len(self.rows) - room))
        for i, r in enumerate(self.rows[self._top : self._top + room], start=self._top):
            lines.append(table.row(r, width, "cursor" if i == at else ""))
        if not self.rows:
            lines.append([(_why_nothing(self.view, self.choice), "dim")])
        return lines

    def _subject(self) -> bars.Subject:
        return replace(self.source.subject(), focused=self.focused_pane)


def _why_nothing(view: View, choice: table.Choice) -> str:
    if choice.search and view.rows:
        return f"Nothing has {choice.search!r} in its name or place."
    if not view.samples:
        return "No samples yet."
    return "No time on the CPU yet: the target is idle."
