"""Code that ``zeek -O ZAM`` has compiled: which line each instruction stands for, and how often it ran.

Of a ZBody (script_opt/ZAM/ZBody.h), ``insts`` are its instructions. Each has a ZAMLocInfo (Profile.h there; Zeek 7.0
and later): the function and the place of its statement and, for inlined code, a parent, which is where the function was
called. From Zeek 9.0 on ``inst_cnt`` counts every execution of every instruction, always.

In Zeek 7.0 to 9.1 no parent is ever set and the function's name stays that of what was inlined before, because
CompileCatchReturn (script_opt/ZAM/Stmt.cc) compares a reference with itself. The places are right. So a function is
named by its place (bodies.BodyIndex), and of the calls between the body and the line only the ends are known.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from zeekspy.bodies import BodyIndex, FoundBody
from zeekspy.errors import NoSuchTarget
from zeekspy.layout import Layout
from zeekspy.profile import Chain, Frame

if TYPE_CHECKING:
    from zeekspy._core import Memory

MAX_INSTRUCTIONS = 1 << 16
"""Of one body; the largest in Zeek's own scripts have some thousands."""
MAX_PARENTS = 64
TOGETHER = 300
"""ZAMLocInfos that are read in one go, or a few more: 2 ms."""
MAX_NAME = 1024
_CONTROL = bytes(range(0x20)) + b"\x7f"
_NEEDED = frozenset(
    (
        *("ZBody.insts", "ZBody.end_pc", "sizeof.ZInst", "ZInst.loc"),
        *("ZAMLocInfo.func_name", "ZAMLocInfo.loc", "ZAMLocInfo.parent"),
        *("Location.filename", "Location.first_line", "Location.last_line"),
    )
)


class Line(NamedTuple):
    """Where an instruction comes from. ``function`` has its script's module before the name, of events too."""

    function: str
    file: str
    first: int
    last: int


Lines = tuple[Line, ...]
"""Of one instruction: its parents' lines first, then its own."""


class CompiledCode:
    """The instructions of one target's compiled bodies, which stay as they are once they are made; read once."""

    def __init__(self, layout: Layout, memory: Memory) -> None:
        self._fields, self._stdlib, self._memory = layout.fields, layout.stdlib, memory
        self.known = layout.fields.keys() >= _NEEDED
        """Whether this Zeek keeps where instructions come from."""
        self.counted = self.known and "ZBody.inst_cnt" in layout.fields
        """Whether this Zeek counts instructions."""
        self._bodies: dict[int, Sequence[int]] = {}
        self._counters: dict[int, tuple[int, int]] = {}
        self._infos: dict[int, tuple[Line, int] | None] = {}
        self._files: dict[int, str] = {}

    def at(self, stmt: int, file: str, line: int) -> bool:
        """Whether the ZBody at ``stmt`` has an instruction of this line."""
        chains = self.lines(self.infos(stmt)).values()
        return any(c and c[-1].file == file and c[-1].first <= line <= c[-1].last for c in chains)

    def infos(self, stmt: int) -> Sequence[int]:
        """Of each instruction of the ZBody at ``stmt``, the address of its ZAMLocInfo. () if that is not known."""
        if not self.known:
            return ()
        if stmt not in self._bodies:
            size, loc = self._fields["sizeof.ZInst"], self._fields["ZInst.loc"]
            at = self._word(stmt + self._fields["ZBody.insts"])
            data = self._memory.read(at, size * self._length(stmt)) if at else b""
            self._bodies[stmt] = array("Q", (_word(data, i + loc) for i in range(0, len(data) - size + 1, size)))
        return self._bodies[stmt]

    def has(self, info: int) -> bool:
        """Whether this ZAMLocInfo has been read."""
        return info in self._infos

    def lines(self, infos: Iterable[int]) -> dict[int, Lines]:
        """What these ZAMLocInfos say; () of one that cannot be read. Each is read once."""
        wanted = dict.fromkeys(infos)
        with suppress(NoSuchTarget):  # then it says what it knows
            self._resolve(list(wanted))
        return {info: self._chain(info) for info in wanted}

    def counts(self, stmt: int) -> Sequence[int]:
        """How often each instruction of the ZBody has run so far; () if that is not counted."""
        if not self.counted:
            return ()
        if stmt not in self._counters:
            self._counters[stmt] = self._word(stmt + self._fields["ZBody.inst_cnt"]), 8 * self._length(stmt)
        at, size = self._counters[stmt]
        data = self._memory.read(at, size) if at else b""
        return memoryview(data[: len(data) // 8 * 8]).cast("Q")

    def _length(self, stmt: int) -> int:
        data = self._memory.read(stmt + self._fields["ZBody.end_pc"], 4)
        return min(int.from_bytes(data, "little"), MAX_INSTRUCTIONS)

    def _chain(self, info: int) -> Lines:
        chain: list[Line] = []
        for _ in range(MAX_PARENTS):
            found = self._infos.get(info)
            if found is None:
                break
            line, info = found
            # Before its first statement, inlined code has the place of its call.
            if chain and chain[-1][1:] == line[1:]:
                chain.pop()
            chain.append(line)
        return tuple(reversed(chain))

    def _resolve(self, infos: list[int]) -> None:
        """Reads ZAMLocInfos, and the parents they lead to."""
        f, level = self._fields, infos
        size = max(f["ZAMLocInfo.parent"], f["ZAMLocInfo.loc"]) + 8
        for _ in range(MAX_PARENTS):
            level = [i for i in dict.fromkeys(level) if i and i not in self._infos]
            if not level:
                break
            objects = dict(zip(level, self._memory.read_many(level, size), strict=True))
            whole = {i: o for i, o in objects.items() if len(o) == size}
            self._infos |= dict.fromkeys(objects.keys() - whole.keys())
            places = self._places([_word(o, f["ZAMLocInfo.loc"]) for o in whole.values()])
            names = self._names([i + f["ZAMLocInfo.func_name"] for i in whole])
            level = [_word(o, f["ZAMLocInfo.parent"]) for o in whole.values()]
            for info, name, place, parent in zip(whole, names, places, level, strict=True):
                self._infos[info] = (Line(name, *place), parent) if name and place else None

    def _places(self, locations: list[int]) -> list[tuple[str, int, int] | None]:
        f = self._fields
        start = min(f["Location.filename"], f["Location.first_line"])
        size = max(f["Location.last_line"], f["Location.first_line"]) + 4 - start
        size = max(size, f["Location.filename"] + 8 - start)
        result: list[tuple[str, int, int] | None] = []
        for data in self._memory.read_many([at + start for at in locations], size):
            if len(data) < size:
                result.append(None)
                continue
            first, last = (
                int.from_bytes(data[f[n] - start : f[n] - start + 4], "little")
                for n in ("Location.first_line", "Location.last_line")
            )
            file = self._file(_word(data, f["Location.filename"] - start))
            result.append((file, min(first, last) or max(first, last), max(first, last)) if file else None)
        return result

    def _file(self, at: int) -> str:
        if at not in self._files:
            self._files[at] = _text(self._memory.read(at, 4096).split(b"\0")[0]) if at else ""
        return self._files[at]

    def _names(self, strings: list[int]) -> list[str]:
        """The std::strings at these addresses."""
        size = {"libstdc++": 32, "libc++": 24, "libstdc++-old": 8}[self._stdlib]
        spans = []
        for at, data in zip(strings, self._memory.read_many(strings, size), strict=True):
            if len(data) < size:
                spans.append((0, 0))
            elif self._stdlib == "libstdc++":
                spans.append((_word(data, 0), _word(data, 8)))
            elif self._stdlib == "libc++":
                spans.append((_word(data, 16), _word(data, 8)) if data[0] & 1 else (at + 1, data[0] >> 1))
            else:
                spans.append((_word(data, 0), self._word(_word(data, 0) - 24)))
        bounded = [(at, length if length <= MAX_NAME else 0) for at, length in spans]
        longest = max((length for _, length in bounded), default=0)
        found = self._memory.read_many([at for at, _ in bounded], longest)
        return [_text(data[:length]) for data, (_, length) in zip(found, bounded, strict=True)]

    def _word(self, at: int) -> int:
        data = self._memory.read(at, 8) if 0 < at < 1 << 56 else b""
        return _word(data, 0) if len(data) == 8 else 0


class InstructionCounter:
    """Sums up the executed instructions of bodies, by line. ``from_start``: all of them, else those since ``watch``."""

    def __init__(self, code: CompiledCode, index: BodyIndex, *, from_start: bool) -> None:
        self._code, self._index, self._from_start = code, index, from_start
        self._base: dict[int, Sequence[int]] = {}
        self._last: dict[int, Sequence[int]] = {}
        self._keys: dict[int, Frame] = {}
        self._todo: dict[int, None] = {}

    def watch(self, bodies: Iterable[FoundBody]) -> None:
        """Begins to count the compiled ones of these bodies."""
        for body in bodies if self._code.counted else ():
            if body.zam and body.stmt not in self._base:
                self._keys[body.stmt] = body.key
                self._base[body.stmt] = () if self._from_start else self._code.counts(body.stmt)

    def read(self, stmts: Iterable[int]) -> None:
        """Reads the counts of these ZBodies: of those that have run since the last time."""
        for stmt in stmts:
            if stmt in self._base:
                counts = self._code.counts(stmt)
                self._code.infos(stmt)
                if len(counts) >= len(self._last.get(stmt, ())):
                    self._last[stmt] = counts
                    self._todo[stmt] = None

    def resolve(self, budget: float) -> None:
        """Reads where the instructions that ran come from, for ``budget`` seconds: it must be done while it can be."""
        until = time.monotonic() + budget
        while self._todo and time.monotonic() < until:
            infos: dict[int, None] = {}
            while self._todo and len(infos) < TOGETHER:
                stmt, _ = self._todo.popitem()
                infos |= dict.fromkeys(i for i, _ in self._ran(stmt) if not self._code.has(i))
            self._code.lines(infos)

    def instructions(self) -> dict[Chain, int]:
        """By line, without the lines that have not run."""
        result: dict[Chain, int] = {}
        for stmt in self._last:
            ran = self._ran(stmt)
            chains = {i: self._chain(stmt, lines) for i, lines in self._code.lines(i for i, _ in ran).items() if lines}
            for info, n in ran:
                if info in chains:
                    result[chains[info]] = result.get(chains[info], 0) + n
        return result

    def _ran(self, stmt: int) -> list[tuple[int, int]]:
        """(ZAMLocInfo, executions) of the instructions that have run."""
        infos, counts, base = self._code.infos(stmt), self._last[stmt], self._base[stmt]
        base = base if len(base) == len(counts) else bytes(len(counts))
        return [(i, n - b) for i, n, b in zip(infos, counts, base, strict=False) if n > b]

    def _chain(self, stmt: int, lines: Lines) -> Chain:
        key = self._keys[stmt]
        held = [self._index.holding(line.file, line.first) for line in lines]
        names = [h.name if h and h.name else line.function for h, line in zip(held, lines, strict=True)]
        chain = tuple((name, line.file, line.first) for name, line in zip(names, lines, strict=True))
        own = (*self._index.merged(stmt), key)
        if len(lines) > 1 or held[0] is None or held[0] in own or key.body is None:
            return chain
        return (key.name or "", key.body.file or "", 0), *chain


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _text(data: bytes) -> str:
    """A name, "" for what is none."""
    return "" if data.translate(None, _CONTROL) != data else data.decode("utf-8", "surrogateescape")
