"""From the core's ids to stacks of Frames, and from a function and a line to the body that runs."""

from __future__ import annotations

from dataclasses import replace

from zeekspy import _core
from zeekspy.bodies import BodyIndex, FoundBody
from zeekspy.profile import Body, Frame, Stack
from zeekspy.zam import CompiledCode


class StackTable:
    """The definitions the core has made so far. ``zam_tag`` is the number of STMT_ZAM in this version of Zeek.

    ``index`` names the functions that compiled code has inlined; without it they have no frame of their own. ``code``
    tells which of several compiled bodies a line is in.
    """

    def __init__(
        self, zam_tag: int | None = None, index: BodyIndex | None = None, code: CompiledCode | None = None
    ) -> None:
        self._zam_tag, self._code = zam_tag, code
        self._index = index or BodyIndex()
        self._strings: list[str] = []
        self._funcs: list[_core.FuncRow] = []
        self._bodies: list[tuple[Body, ...]] = []
        self._frames: list[Stack] = []
        self._stacks: list[Stack] = []
        self._found: list[tuple[FoundBody, ...]] = []

    def extend(self, definitions: _core.Definitions) -> None:
        """Adds what a Batch or Walker.definitions brought."""
        strings, funcs, frames, stacks = definitions
        self._strings += strings
        for func in funcs:
            self._funcs.append(func)
            self._bodies.append(tuple(self._body(b) for b in func[2]))
            self._found.append(self._find(func, self._bodies[-1]))
        self._frames += [self._inlined(*row) for row in frames]
        self._stacks += [tuple(f for i in ids for f in self._frames[i]) for ids in stacks]

    def stack(self, number: int) -> Stack:
        """The stack with this id, () for the empty one."""
        return self._stacks[number]

    def functions(self) -> int:
        """How many functions are defined so far; the first is none."""
        return len(self._funcs)

    def bodies(self, start: int = 0) -> list[FoundBody]:
        """The bodies of the functions defined so far, from function ``start`` on."""
        return [body for bodies in self._found[start:] for body in bodies]

    def bodies_of(self, func: int) -> tuple[FoundBody, ...]:
        """The bodies of the function with this id."""
        return self._found[func]

    def _find(self, func: _core.FuncRow, bodies: tuple[Body, ...]) -> tuple[FoundBody, ...]:
        name, kind, rows = self._text(func[0]), _core.KINDS[func[1]], func[2]
        return tuple(
            FoundBody(Frame(name, kind, None, None, body, len(bodies)), row[4], row[3] == self._zam_tag)
            for body, row in zip(bodies, rows, strict=True)
        )

    def _text(self, number: int) -> str | None:
        return self._strings[number] if number else None

    def _body(self, row: _core.BodyRow) -> Body:
        file, first, last, _, _ = row
        return Body(self._text(file), first, last)

    def _inlined(self, func: int, file: int, line: int, bits: int) -> Stack:
        """The frame and, behind it, that of the function inlined into it which the line is in."""
        frame = self._frame(func, file, line, bits)
        if "zam" not in frame.flags:
            return (frame,)
        if frame.body is None and frame.file is not None and frame.line is not None and self._code is not None:
            around = [b for b in self._found[func] if self._code.at(b.stmt, frame.file, frame.line)]
            if len(around) == 1:
                frame = replace(frame, body=around[0].key.body)
        # ZAM makes one body of all bodies of an event; which of them runs, only a line can tell.
        merged = next(
            (m for b in self._found[func] if b.key.body == frame.body and (m := self._index.merged(b.stmt))), ()
        )
        if merged:
            frame = replace(frame, body=None, bodies=len(merged))
        held = None if frame.file is None or frame.line is None else self._index.holding(frame.file, frame.line)
        if held in merged and held is not None:
            return (replace(frame, body=held.body),)
        if held is None or held.body == frame.body:
            return (frame,)
        inner = replace(held, file=frame.file, line=frame.line, flags=frame.flags | {"inlined"})
        return replace(frame, file=None, line=None, flags=frame.flags - {"call"}), inner

    def _frame(self, func: int, file: int, line: int, bits: int) -> Frame:
        name, kind, rows = self._funcs[func]
        path = self._text(file)
        bodies = self._bodies[func]
        body = running_body(bodies, path, line)
        flags = {flag for flag, bit in _core.FRAME_FLAGS.items() if bits & bit}
        if (body is not None and rows[bodies.index(body)][3] == self._zam_tag) or (
            rows and all(row[3] == self._zam_tag for row in rows)
        ):
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
