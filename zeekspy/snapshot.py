"""One script stack with the values in its frames: what a dump shows.

Looks again until a stack stood still while it was read. A profile may never do so, it would favour what stands still.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from zeekspy import zeek_types
from zeekspy._core import SAMPLE_FLAGS, Memory, Walker
from zeekspy.errors import LayoutError
from zeekspy.layout import STDLIBS, Layout
from zeekspy.profile import Stack
from zeekspy.stacks import StackTable
from zeekspy.target import Target
from zeekspy.values.value import Limits, Variable
from zeekspy.values.variables import Entry, Variables, unchanged

TRIES = 100
"""Looks taken in search of one during which the stack stood still."""
PATIENCE = 2.0
"""Seconds after which no other look is begun."""
_MOVING = SAMPLE_FLAGS["torn"] | SAMPLE_FLAGS["unreadable"]
Group = tuple[Variable, ...] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the frames' variables is to be read."""

    arguments: bool = False
    locals: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stack, outermost frame first, and by frame the variables that were asked for."""

    stack: Stack
    stale: int
    """Entries that exceptions have left on Zeek's stack: below this one, or all there is."""
    entries: tuple[Entry, ...]
    """Of the frames, as they are in memory. () if they could not be read."""
    arguments: tuple[Group, ...]
    """None for a frame whose arguments cannot be told."""
    locals: tuple[Group, ...]
    moved: bool = False
    """Whether the stack changed while it was read."""
    dispatched: int | None = None
    """How many events Zeek had begun to handle; None if unknown."""


class Looker:
    """Takes snapshots of one target."""

    def __init__(self, target: Target, layout: Layout, memory: Memory, sp: Callable[[], int | None]) -> None:
        """``sp``: where the main thread's stack ends now; None while that is not known, as while it runs."""
        self._layout, self._sp = layout, sp
        self._target, self._memory = target, memory
        self._walker = Walker(
            memory,
            layout.fields,
            STDLIBS.index(layout.stdlib),
            pid=target.pid if memory.method != "image" else 0,
            call_stack=target.symbols["call_stack"],
            g_frame_stack=target.symbols.get("g_frame_stack", 0),
            stack=target.stack,
            data=target.data,
        )
        self._table = StackTable(zeek_types.zam_tag(target.version))

    def look(self, wanted: Wanted) -> Snapshot:
        """The stack now. LayoutError where values are wanted that this layout says nothing of."""
        if (wanted.arguments or wanted.locals) and not Variables.available(self._layout):
            raise LayoutError(
                f"values are not available with this table of offsets ({self._layout.origin}): it lacks their fields",
                f"Make a new one: zeekspy offsets generate {self._target.exe} -o FILE; give it with --offsets FILE.",
            )
        until = time.monotonic() + PATIENCE
        found = self._once(wanted)
        # Whether a script runs is for the first look to say: no stack stands so still as an empty one.
        for _ in range(TRIES if found.stack else 0):
            if not found.moved or time.monotonic() > until:
                break
            again = self._once(wanted)
            found = again if again.stack else found
        return found

    def _once(self, wanted: Wanted) -> Snapshot:
        t = self._target
        # A new one each time: it remembers types by their addresses, and its reads are bounded.
        variables = Variables(self._memory, self._layout, t.version, t.symbols, t.data, wanted.limits)
        sp, dispatched = self._sp(), variables.dispatched()
        number, flags, _, stale = self._walker.walk()
        self._table.extend(self._walker.definitions())
        stack = self._table.stack(number) if number else ()
        every = variables.entries()
        entries = tuple(every[len(every) - len(stack) :]) if every is not None and len(every) >= len(stack) else ()
        steady = not flags & _MOVING and every is not None and len(every) - stale == len(stack)
        dead = 0
        if sp is not None and steady and sp == self._sp():
            dead = _dead(entries, sp) if "CallInfo.frame" in self._layout.fields else 0
        stack, entries, stale = stack[dead:], entries[dead:], stale + dead
        arguments, own = self._read(variables, stack, entries, wanted)
        # The next call of the same functions may look the same: it lies where this one did.
        moved = not steady
        if wanted.arguments or wanted.locals:
            moved = moved or unchanged(every, variables.entries()) < len(every or ())
            moved = moved or variables.dispatched() != dispatched
        return Snapshot(stack, stale, entries, arguments, own, moved, dispatched)

    @staticmethod
    def _read(
        variables: Variables, stack: Stack, entries: tuple[Entry, ...], wanted: Wanted
    ) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
        if len(entries) != len(stack):
            return (None,) * len(stack), (None,) * len(stack)
        arguments = tuple(variables.arguments(e) if wanted.arguments else None for e in entries)
        own = tuple(
            # What ZAM has compiled keeps its variables elsewhere, out of sight.
            variables.locals(entry, frame.body, frame.bodies)
            if wanted.locals and frame.kind != "bif" and "zam" not in frame.flags
            else None
            for frame, entry in zip(stack, entries, strict=True)
        )
        return arguments, own


def bare(stack: Stack, stale: int) -> Snapshot:
    """A stack without variables, as captures hold it."""
    return Snapshot(stack, stale, (), (None,) * len(stack), (None,) * len(stack))


def _dead(entries: tuple[Entry, ...], sp: int) -> int:
    """How many of the outermost entries have Frames in a part of the C++ stack that is no more in use.

    From 8.1 on Frames lie there. An exception can leave an entry behind; on an idle worker nothing lies above it.
    """
    dead = 0
    while dead < len(entries) and entries[dead].frame < sp:
        dead += 1
    return dead


def stack_pointer(pid: int) -> int | None:
    """Of the main thread, from /proc/PID/syscall; None while it runs, or where the kernel does not say."""
    try:
        words = Path(f"/proc/{pid}/syscall").read_text().split()
        return int(words[-2], 16) if len(words) > 2 else None
    except (OSError, ValueError):
        return None
