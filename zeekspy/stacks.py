"""From the core's ids to stacks of Frames, and from a function and a line to the body that runs."""

from __future__ import annotations

from typing import NamedTuple

from zeekspy import _core
from zeekspy.profile import Body, Frame, Stack


class FoundBody(NamedTuple):
    """A body that definitions name."""

    key: Frame
    """As profile.body_key makes it of the body's frames."""
    stmt: int
    """Address of its top statement."""
    zam: bool
    """Compiled by ZAM: the statement is a ZBody."""


class StackTable:
    """The definitions the core has made so far. ``zam_tag`` is the number of STMT_ZAM in this version of Zeek."""

    def __init__(self, zam_tag: int | None = None) -> None:
        self._zam_tag = zam_tag
        self._strings: list[str] = []
        self._funcs: list[_core.FuncRow] = []
        self._bodies: list[tuple[Body, ...]] = []
        self._frames: list[Frame] = []
        self._stacks: list[Stack] = []
        self._found: list[FoundBody] = []

    def extend(self, definitions: _core.Definitions) -> None:
        """Adds what a Batch or Walker.definitions brought."""
        strings, funcs, frames, stacks = definitions
        self._strings += strings
        for func in funcs:
            self._funcs.append(func)
            self._bodies.append(tuple(self._body(b) for b in func[2]))
            self._found += self._find(func, self._bodies[-1])
        self._frames += [self._frame(*row) for row in frames]
        self._stacks += [tuple(self._frames[i] for i in ids) for ids in stacks]

    def stack(self, number: int) -> Stack:
        """The stack with this id, () for the empty one."""
        return self._stacks[number]

    def bodies(self, start: int = 0) -> list[FoundBody]:
        """Every body defined so far, from the ``start``-th on."""
        return self._found[start:]

    def _find(self, func: _core.FuncRow, bodies: tuple[Body, ...]) -> list[FoundBody]:
        name, kind, rows = self._text(func[0]), _core.KINDS[func[1]], func[2]
        return [
            FoundBody(Frame(name, kind, None, None, body, len(bodies)), row[4], row[3] == self._zam_tag)
            for body, row in zip(bodies, rows, strict=True)
        ]

    def _text(self, number: int) -> str | None:
        return self._strings[number] if number else None

    def _body(self, row: _core.BodyRow) -> Body:
        file, first, last, _, _ = row
        return Body(self._text(file), first, last)

    def _frame(self, func: int, file: int, line: int, bits: int) -> Frame:
        name, kind, rows = self._funcs[func]
        path = self._text(file)
        bodies = self._bodies[func]
        body = running_body(bodies, path, line)
        flags = {flag for flag, bit in _core.FRAME_FLAGS.items() if bits & bit}
        if body is not None and rows[bodies.index(body)][3] == self._zam_tag:
            flags.add("zam")
        return Frame(
            name=self._text(name),
            kind=_core.KINDS[kind],
            file=path,
            line=line if path is not None else None,
            body=body,
            bodies=max(1, len(bodies)),
            flags=frozenset(flags),
        )


def running_body(bodies: tuple[Body, ...], file: str | None, line: int) -> Body | None:
    """The one of ``bodies`` that is at ``file`` and ``line``; None if that cannot be told.

    A function's only body runs whatever the line says, which may be that of a function inlined into it.
    """
    if len(bodies) == 1:
        return bodies[0]
    around = [b for b in bodies if file is not None and b.file == file and b.first_line <= line <= b.last_line]
    if len(around) < 2:
        return around[0] if around else None
    smallest = min(around, key=lambda b: b.last_line - b.first_line)
    size = smallest.last_line - smallest.first_line
    return smallest if [b.last_line - b.first_line for b in around].count(size) == 1 else None
