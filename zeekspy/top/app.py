"""The live table: panes, keys and pages over them. It asks its sources for views and knows nothing of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Key, Resize
from textual.screen import Screen
from textual.widgets import Input

from zeekspy.live import VALUES
from zeekspy.regroup import BY
from zeekspy.top import table
from zeekspy.top.lines import Line, cut, fitting
from zeekspy.top.pane import Lines, Pane, Source

SIDE_BY_SIDE = 60
"""Columns a target needs beside another one; with fewer, one is shown at a time."""

KEYS = (
    ("q", "quit"),
    ("/", "search"),
    ("s", "sort"),
    ("b l f", "body line file"),
    ("p", "pause"),
    ("r", "reset"),
    ("enter", "callers"),
    ("?", "help"),
)

HELP = """\
zeekspy top

own 5s, total 5s   shares of all CPU time in the last seconds:
                   in the body itself; and in what it calls
own, total         the same since the start, or the last reset
calls/s            exact, counted by Zeek; in the last seconds
us/call            CPU time of one call and all it calls,
                   on average since the start

↑ ↓ pgup pgdn      move        home   no row
enter              callers and callees
s S                sort by the next or previous column
/                  search names and places; esc ends it
b l f              bodies, lines, files
c                  shares of CPU time or of all time
i                  a row for idle time
p                  pause the picture; sampling goes on
r                  reset
tab                the next target
q                  quit

script █  core ▓ (analyzers, I/O, logging)  idle ░"""


class Page(Screen[None]):
    """Lines over the whole screen until a key is pressed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark", "leave", "back", show=False),
    ]

    def __init__(self, make: Callable[[int, int], Sequence[Line]]) -> None:
        super().__init__()
        self._make = make

    def compose(self) -> ComposeResult:
        yield Lines(self._make)

    def redraw(self) -> None:
        self.query_one(Lines).redraw()

    def action_leave(self) -> None:
        self.app.pop_screen()


class TopApp(App[None]):
    """``done`` says when there is no more to come: the app ends then. ``interval`` is in seconds."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    AUTO_FOCUS = None
    CSS = """
    Screen { background: ansi_default; color: ansi_default; layout: vertical; }
    #panes { height: 1fr; width: 1fr; }
    #keys { height: 1; }
    #search { height: 1; width: 1fr; display: none; border: none; padding: 0; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c,ctrl+q", "quit", "quit", priority=False),
        Binding("ctrl+z", "suspend_process", "suspend"),
        Binding("slash", "search", "search"),
        Binding("s", "sort(1)", "sort"),
        Binding("S,shift+s", "sort(-1)", "sort back"),
        *(Binding(by[0], f"by('{by}')", by) for by in BY),
        Binding("c", "value", "CPU or wall time"),
        Binding("i", "idle", "idle"),
        Binding("p,space", "pause", "pause"),
        Binding("r", "reset", "reset"),
        Binding("enter", "neighbours", "callers and callees"),
        Binding("up,k", "move(-1)", "up"),
        Binding("down,j", "move(1)", "down"),
        Binding("pageup", "page(-1)", "page up"),
        Binding("pagedown", "page(1)", "page down"),
        Binding("home,escape", "home", "home"),
        Binding("tab", "next(1)", "next target", priority=True),
        Binding("shift+tab", "next(-1)", "previous target", priority=True),
        Binding("question_mark,h", "help", "help"),
    ]

    def __init__(
        self, sources: Sequence[Source], done: Callable[[], bool], interval: float = 1.0, by: str = "body"
    ) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self._panes = [Pane(source, table.Choice(by=by)) for source in sources]
        self._done, self._interval = done, interval
        self._focus, self._first, self._width = 0, 0, SIDE_BY_SIDE
        self.stopping = False
        """A signal came before the app could be ended: it ends as soon as it runs."""

    def compose(self) -> ComposeResult:
        with Horizontal(id="panes"):
            yield from self._panes
        yield Lines(self._keys, id="keys")
        yield Input(id="search", placeholder="search", compact=True)

    def on_mount(self) -> None:
        self._show()
        self.set_interval(self._interval, self._tick)
        self.call_after_refresh(self._tick)

    def on_resize(self, event: Resize) -> None:
        self._width = event.size.width
        self._show()

    @property
    def pane(self) -> Pane:
        return self._panes[self._focus]

    def stop(self) -> None:
        """Ends the app, also before it has begun. Call it in the app's own thread."""
        self.stopping = True
        self.exit()

    def _tick(self) -> None:
        if self.stopping or self._done():
            self.exit()
            return
        for pane in self._panes:
            if pane.display:
                pane.renew()
        if isinstance(self.screen, Page):
            self.screen.redraw()

    def _show(self) -> None:
        """As many panes as there is room for, the focused one among them."""
        n = max(1, min(len(self._panes), self._width // SIDE_BY_SIDE))
        self._first = min(max(self._first, self._focus - n + 1), self._focus)
        self._first = max(0, min(self._first, len(self._panes) - n))
        for i, pane in enumerate(self._panes):
            hidden = not pane.display
            pane.display = self._first <= i < self._first + n
            pane.focused_pane = i == self._focus
            if hidden and pane.display:
                pane.renew()
            pane.redraw()

    def _keys(self, width: int, height: int) -> list[Line]:
        if self.pane.choice.search:
            said: Line = [("/", "bold"), (self.pane.choice.search, "bold"), ("  esc: all again", "dim")]
            return [cut(said, width)]
        return [fitting(([(key, "bold"), (f" {what}", "dim")] for key, what in KEYS), width)]

    def _choose(self, **changes: object) -> None:
        self.pane.choice = replace(self.pane.choice, **changes)  # type: ignore[arg-type]

    def action_sort(self, by: int) -> None:
        at = table.SORTS.index(self.pane.choice.sort)
        self._choose(sort=table.SORTS[(at + by) % len(table.SORTS)])
        self.pane.order()

    def action_by(self, by: str) -> None:
        self._choose(by=by)
        self.pane.look()

    def action_value(self) -> None:
        self._choose(value=VALUES[(VALUES.index(self.pane.choice.value) + 1) % len(VALUES)])
        self.pane.look()

    def action_idle(self) -> None:
        self._choose(idle=not self.pane.choice.idle)
        self.pane.order()

    def action_pause(self) -> None:
        self.pane.paused = not self.pane.paused
        self.pane.renew()
        self.pane.redraw()

    def action_reset(self) -> None:
        self.pane.source.reset()
        self.pane.look()

    def action_move(self, by: int) -> None:
        self.pane.move(by)

    def action_page(self, by: int) -> None:
        self.pane.move(by * self.pane.room)

    def action_home(self) -> None:
        self._choose(search="")
        self.pane.home()
        self._redraw_keys()

    def action_next(self, by: int) -> None:
        self._focus = (self._focus + by) % len(self._panes)
        self._show()
        self._redraw_keys()

    def action_help(self) -> None:
        lines: list[Line] = [[(line, "")] for line in HELP.splitlines()]
        self.push_screen(Page(lambda width, height: [cut(line, width) for line in lines]))

    def action_neighbours(self) -> None:
        pane = self.pane
        frame = pane.selected
        if frame is None:
            return
        by, value = pane.choice.by, pane.choice.value

        def make(width: int, height: int) -> list[Line]:
            return table.neighbours(frame, pane.source.neighbours(frame, by, value), width, height)

        self.push_screen(Page(make))

    def action_search(self) -> None:
        self._search(True)

    def on_input_changed(self, event: Input.Changed) -> None:
        self._choose(search=event.value)
        self.pane.order()

    def on_input_submitted(self) -> None:
        self._search(False)

    def on_key(self, event: Key) -> None:
        if event.key == "escape" and self.query_one("#search", Input).display:
            self._choose(search="")
            self.pane.order()
            self._search(False)

    def _search(self, on: bool) -> None:
        field, keys = self.query_one("#search", Input), self.query_one("#keys", Lines)
        field.display, keys.display = on, not on
        if on:
            field.value = self.pane.choice.search
            field.focus()
        else:
            self.set_focus(None)
            keys.redraw()

    def _redraw_keys(self) -> None:
        self.query_one("#keys", Lines).redraw()
