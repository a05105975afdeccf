"""Holds a layout against script stacks as they run: what only they can show, Frames and the callees of calls.

The self-check (selfcheck.py) cannot see these while no script runs. The target moves on between two reads, so a single
look that disagrees proves nothing: a table is refused when many looks disagreed and none agreed.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from zeekspy import selfcheck
from zeekspy.errors import UnknownBuild
from zeekspy.layout import Layout
from zeekspy.selfcheck import Check
from zeekspy.target import Target

if TYPE_CHECKING:
    from zeekspy._core import Memory

PATIENCE = 0.5
"""Seconds that ``everything`` waits for running stacks to agree."""
ENOUGH = 200
"""Looks that disagree, with none that agrees, after which the table is wrong: one right look in ten would be seen."""
FEW = 20
"""The same for a recording that ends."""
MAX_LOOKS = 5000
DEPTH = 16
"""Entries looked at, from the innermost one."""
EXPR_NAME = 0


def everything(target: Target, layout: Layout, memory: Memory) -> list[Check]:
    """The checks of selfcheck.examine and, if they passed, those of running stacks."""
    result = list(selfcheck.examine(target, layout, memory))
    if all(c.passed for c in result):
        stacks = StackCheck(target, layout, memory)
        until = time.monotonic() + PATIENCE
        while not stacks.settled and time.monotonic() < until:
            if not stacks.look():
                time.sleep(0.0005)
        result += stacks.checks()
    return result


class StackCheck:
    """Gathers evidence, look by look. ``agreed`` and ``disagreed`` count by field; ``seen`` is what was read last."""

    def __init__(self, target: Target, layout: Layout, memory: Memory) -> None:
        self._target, self._layout, self._memory = target, layout, memory
        self._fields = layout.fields
        self._last = b""
        self.looks = 0
        self.agreed: Counter[str] = Counter()
        self.disagreed: Counter[str] = Counter()
        self.seen: dict[str, str] = {}

    @property
    def settled(self) -> bool:
        """Whether more looks are of no use."""
        both = self.agreed["Frame.function"] and self.agreed["Frame.next_stmt"]
        return self.looks >= MAX_LOOKS or bool(both and (self.agreed["CallExpr.func"] or self.looks >= ENOUGH))

    def verdict(self, enough: int = ENOUGH) -> None:
        """Raises UnknownBuild that names the field and the bytes seen, once the table has proved wrong."""
        for field, times in self.disagreed.items():
            if times >= enough and not self.agreed[field]:
                raise UnknownBuild(
                    f"the table of offsets ({self._layout.origin}) does not fit this Zeek {self._target.version}: "
                    f"{field}: wrong in all of {times} script stacks ({self.seen[field]})",
                    selfcheck.HINT.format(exe=self._target.exe, pid=self._target.pid),
                )

    def checks(self) -> list[Check]:
        """What is known so far, one Check a field."""
        fields = dict.fromkeys([*self.agreed, *self.disagreed])
        if not fields:
            return [Check("script stack", "none seen: no script ran")]
        result = []
        for field in fields:
            good, bad = self.agreed[field], self.disagreed[field]
            passed = bool(good) or bad < FEW
            moved = (
                f", {bad} had moved on meanwhile" if good and bad else f", {bad} looks saw nothing right" if bad else ""
            )
            evidence = f"right in {good} looks at running stacks{moved}"
            result.append(Check(field, evidence if passed else f"{evidence} ({self.seen[field]})", passed))
        return result

    def look(self) -> bool:
        """Looks at the stack as it is now. Whether there was one, and another than the last time."""
        self.looks += 1
        size = self._fields["sizeof.CallInfo"]
        vector = self._read(self._target.symbols["call_stack"], 16)
        begin, end = self._word(vector, 0), self._word(vector, 8)
        if not begin < end or (end - begin) % size:
            return False
        depth = min(DEPTH, (end - begin) // size)
        entries = self._read(end - depth * size, depth * size)
        if len(entries) < depth * size or entries == self._last:
            return False
        self._last = entries
        rows = [entries[i * size : (i + 1) * size] for i in reversed(range(depth))]
        if "CallInfo.frame" in self._fields:
            self._frames_of_entries(rows)
        else:
            self._frames_beside(rows)
        return True

    # ---- the two eras

    def _frames_of_entries(self, rows: list[bytes]) -> None:
        """Zeek 8.1 and later: each entry points at its Frame, on the C++ stack."""
        for row in rows:
            frame = self._word(row, self._fields["CallInfo.frame"])
            low, high = self._target.stack
            function = self._pointer(frame + self._fields["Frame.function"])
            if (high and not low <= frame < high) or not self._is_func(function):
                self._count("Frame.function", False, f"Frame {frame:#x}, function {function:#x}")
                continue
            self._count("Frame.function", True)
            self._statement(frame)
            self._callee(self._word(row, self._fields["CallInfo.call"]), function)

    def _frames_beside(self, rows: list[bytes]) -> None:
        """Zeek 8.0 and earlier: Frames are in a vector of their own, each of a function of the call stack."""
        functions = {self._word(row, self._fields["CallInfo.func"]) for row in rows}
        vector = self._read(self._target.symbols.get("g_frame_stack", 0), 16)
        begin, end = self._word(vector, 0), self._word(vector, 8)
        depth = min(DEPTH, max(0, end - begin) // 8)
        pointers = self._read(end - depth * 8, depth * 8)
        looked = matched = 0
        for at in reversed(range(0, len(pointers) // 8 * 8, 8)):
            frame = self._word(pointers, at)
            function = self._pointer(frame + self._fields["Frame.function"])
            if not function:  # code outside of functions
                continue
            looked += 1
            if function in functions and self._is_func(function):
                matched += 1
                self._statement(frame)
        if looked:
            what = f"Frame {frame:#x}, function {function:#x}, call stack {', '.join(f'{f:#x}' for f in functions)}"
            self._count("Frame.function", bool(matched), what)
        for row in rows:
            self._callee(self._word(row, self._fields["CallInfo.call"]), self._word(row, self._fields["CallInfo.func"]))

    # ---- what an entry leads to

    def _statement(self, frame: int) -> None:
        statement = self._pointer(frame + self._fields["Frame.next_stmt"])
        if statement:  # null while a BiF or compiled code runs
            self._count("Frame.next_stmt", self._has_place(statement), f"Frame {frame:#x}, next_stmt {statement:#x}")

    def _callee(self, call: int, function: int) -> None:
        f = self._fields
        if not call or not {"CallExpr.func", "Expr.tag", "NameExpr.id", "ID.val", "FuncVal.func_val"} <= f.keys():
            return
        name = self._pointer(call + f["CallExpr.func"])
        tag = self._read(name + f["Expr.tag"], f["sizeof.Expr.tag"])
        if self._is_object(name) and any(tag) != EXPR_NAME:  # what is called is not a name
            return
        value = self._pointer(self._pointer(name + f["NameExpr.id"]) + f["ID.val"])
        found = self._pointer(value + f["FuncVal.func_val"])
        self._count("CallExpr.func", found == function, f"call {call:#x} of {found:#x}, not {function:#x}")

    def _is_object(self, at: int) -> bool:
        low, high = self._target.data
        vptr = self._pointer(at)
        return low <= vptr < high if high else vptr != 0

    def _is_func(self, at: int) -> bool:
        if not self._is_object(at):
            return False
        kind = self._read(at + self._fields["Func.kind"], self._fields["sizeof.Func.kind"])
        return bool(kind) and int.from_bytes(kind, "little") <= 1

    def _has_place(self, at: int) -> bool:
        if not self._is_object(at):
            return False
        location = self._pointer(at + self._fields["Obj.location"])
        lines = [
            int.from_bytes(self._read(location + self._fields[f], 4), "little")
            for f in ("Location.first_line", "Location.last_line")
        ]
        return bool(location) and any(lines) and max(lines) <= selfcheck.MAX_LINE

    def _count(self, field: str, right: bool, seen: str = "") -> None:
        if right:
            self.agreed[field] += 1
        else:
            self.disagreed[field] += 1
            self.seen[field] = seen

    def _read(self, at: int, length: int) -> bytes:
        return self._memory.read(at, length) if 0 < at < 1 << 56 and length else b""

    @staticmethod
    def _word(data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + 8], "little")

    def _pointer(self, at: int) -> int:
        """The 8 bytes there; 0 where nothing can be read."""
        data = self._read(at, 8)
        return self._word(data, 0) if len(data) == 8 else 0
