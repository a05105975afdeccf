"""Holds a layout against script stacks: what only they can show, entries, Frames and the callees of calls.

The self-check (selfcheck.py) cannot see these. There are two sources of evidence. Stacks as they run: the target moves
on between two reads, so a single look that disagrees proves nothing, and a table is refused when many looks disagreed
and none agreed. And what popped stacks left behind, which an idle Zeek has too: std::vector does not clear the room
behind its end, functions and syntax trees live as long as the process, and of old Frames most bytes are still there.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from zeekspy import selfcheck
from zeekspy.errors import UnknownBuild
from zeekspy.layout import Layout
from zeekspy.objects import CALLEE, Objects
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
MISPLACED = 3
"""Old Frames whose functions lie at one other place, with none where the table says, after which it is wrong."""
MAX_LOOKS = 5000
DEPTH = 16
"""Entries looked at, from the innermost one."""
OLD = 64
"""Popped entries and Frames looked at."""
MAX_NODES = 1000
"""Of syntax trees looked at: 0.1 s."""


def everything(target: Target, layout: Layout, memory: Memory) -> list[Check]:
    """The checks of selfcheck.examine and, if they passed, those of stacks that were and that are."""
    result = list(selfcheck.examine(target, layout, memory))
    if all(c.passed for c in result):
        stacks = StackCheck(target, layout, memory)
        stacks.look_back()
        stacks.look_for_bifs()
        until = time.monotonic() + PATIENCE
        while not stacks.settled and time.monotonic() < until:
            if not stacks.look():
                time.sleep(0.0005)
        result += stacks.checks()
    return result


class StackCheck:
    """Gathers evidence, look by look. ``agreed`` and ``disagreed`` count by field; ``seen`` is what was read last."""

    def __init__(self, target: Target, layout: Layout, memory: Memory) -> None:
        self._target, self._layout = target, layout
        self._fields = layout.fields
        self._zeek = Objects(target, layout, memory)
        self._nodes: set[int] = set()
        self._last = b""
        self._misplaced: dict[int, set[tuple[int, int]]] = defaultdict(set)
        self.looks = 0
        self.agreed: Counter[str] = Counter()
        self.disagreed: Counter[str] = Counter()
        self.seen: dict[str, str] = {}

    @property
    def unproven(self) -> list[str]:
        """Fields of which no stack has shown yet that they are right."""
        f = self._fields
        second = "CallInfo.frame" if "CallInfo.frame" in f else "CallInfo.func"
        wanted = ["sizeof.CallInfo", "CallInfo.call", second, "Frame.function", "Frame.next_stmt", "Func.kind"]
        return [name for name in [*wanted, *CALLEE[:1]] if name in f and not self.agreed[name]]

    @property
    def settled(self) -> bool:
        """Whether more looks are of no use."""
        left = self.unproven
        frames = "Frame.function" not in left and "Frame.next_stmt" not in left
        return not left or self.looks >= (ENOUGH if frames else MAX_LOOKS)

    def verdict(self, enough: int = ENOUGH) -> None:
        """Raises UnknownBuild that names the field and the bytes seen, once the table has proved wrong."""
        said = self._misplacement()
        for field, times in self.disagreed.items():
            if said is None and times >= enough and self._refuted(field):
                said = f"{field}: wrong in {self._of(field)} script stacks ({self.seen[field]})"
        if said is not None:
            raise UnknownBuild(
                f"the table of offsets ({self._layout.origin}) does not fit this Zeek {self._target.version}: {said}",
                selfcheck.HINT.format(exe=self._target.exe, pid=self._target.pid),
            )

    def _refuted(self, field: str) -> bool:
        """Whether what was seen, if it was seen often enough, shows that the field is wrong."""
        good, bad = self.agreed[field], self.disagreed[field]
        # Entries of twice the size fit often; those of the right size fail only where the vector's header is torn.
        return 0 < bad >= good if field == "sizeof.CallInfo" else bad > 0 and not good

    def _of(self, field: str) -> str:
        good, bad = self.agreed[field], self.disagreed[field]
        return f"{bad} of {good + bad}" if good else f"all of {bad}"

    def checks(self) -> list[Check]:
        """What is known so far, one Check a field; those that nothing has shown are not ``proven``."""
        result = []
        misplacement = self._misplacement()
        if misplacement is not None:
            field, _, evidence = misplacement.partition(": ")
            result.append(Check(field, evidence, False))
        for field in dict.fromkeys([*self.agreed, *self.disagreed]):
            good, bad = self.agreed[field], self.disagreed[field]
            wrong = self._refuted(field) and bad >= FEW
            if (misplacement or "").startswith(field) or not (good or wrong):
                continue
            if wrong:
                evidence = f"wrong in {self._of(field)} looks at stacks ({self.seen[field]})"
            else:
                evidence = f"right in {good} looks at stacks" + (f", {bad} had moved on meanwhile" if bad else "")
            result.append(Check(field, evidence, not wrong))
        for field in self.unproven:
            if field not in {c.what for c in result}:
                bad = self.disagreed[field]
                what = f"{bad} looks saw nothing right" if bad else "no stack that shows it has run yet"
                result.append(Check(field, what, proven=False))
        return result

    def look(self) -> bool:
        """Looks at the stack as it is now. Whether there was one, and another than the last time."""
        self.looks += 1
        size = self._fields["sizeof.CallInfo"]
        begin, end, _ = self._zeek.vector("call_stack")
        if not begin < end:
            return False
        if (end - begin) % size:
            self._count("sizeof.CallInfo", False, f"{end - begin} bytes of entries")
            return False
        depth = min(DEPTH, (end - begin) // size)
        entries = self._zeek.read(end - depth * size, depth * size)
        if len(entries) < depth * size or entries == self._last:
            return False
        self._last = entries
        rows = [entries[i * size : (i + 1) * size] for i in reversed(range(depth))]
        self._size_of_entries(rows, alive=True)
        if "CallInfo.frame" in self._fields:
            self._frames_of_entries(rows)
        else:
            self._frames_beside(rows)
        return True

    def _frames_of_entries(self, rows: list[bytes]) -> None:
        """Zeek 8.1 and later: each entry points at its Frame, on the C++ stack."""
        for row in rows:
            frame = self._zeek.word(row, self._fields["CallInfo.frame"])
            function = self._zeek.pointer(frame + self._fields["Frame.function"])
            if not self._zeek.on_stack(frame):
                self._count("CallInfo.frame", False, f"entry {row.hex()}")
                continue
            self._count("CallInfo.frame", True)
            self._count("Frame.function", self._zeek.is_func(function), f"Frame {frame:#x}, function {function:#x}")
            if self._zeek.is_func(function):
                self._kind(function)
                self._statement(frame)
                self._callee(self._zeek.word(row, self._fields["CallInfo.call"]), function)

    def _frames_beside(self, rows: list[bytes]) -> None:
        """Zeek 8.0 and earlier: Frames are in a vector of their own, each of a function of the call stack."""
        functions = {self._zeek.word(row, self._fields["CallInfo.func"]) for row in rows}
        begin, end, _ = self._zeek.vector("g_frame_stack")
        depth = min(DEPTH, max(0, end - begin) // 8)
        pointers = self._zeek.read(end - depth * 8, depth * 8)
        looked = matched = 0
        for at in reversed(range(0, len(pointers) // 8 * 8, 8)):
            frame = self._zeek.word(pointers, at)
            function = self._zeek.pointer(frame + self._fields["Frame.function"])
            if not function:  # code outside of functions
                continue
            looked += 1
            if function in functions and self._zeek.is_func(function):
                matched += 1
                self._statement(frame)
        if looked:
            what = f"Frame {frame:#x}, function {function:#x}, call stack {', '.join(f'{f:#x}' for f in functions)}"
            self._count("Frame.function", bool(matched), what)
        for row in rows:
            function = self._zeek.word(row, self._fields["CallInfo.func"])
            self._count("CallInfo.func", self._zeek.is_func(function), f"entry {row.hex()}")
            if self._zeek.is_func(function):
                self._kind(function)
                self._callee(self._zeek.word(row, self._fields["CallInfo.call"]), function)

    def _size_of_entries(self, rows: list[bytes], alive: bool) -> None:
        """Two entries in a row that lead to functions show how far apart entries are."""
        right = [self._zeek.is_func(self._function(row)) for row in rows]
        if any(a and b for a, b in pairwise(right)) and (alive or not self.agreed["sizeof.CallInfo"]):
            self._agree("sizeof.CallInfo")
        elif alive and len(rows) > 1:
            self._count("sizeof.CallInfo", False, f"entries {b''.join(rows[:3]).hex()}")

    def _function(self, row: bytes) -> int:
        f = self._fields
        if "CallInfo.func" in f:
            return self._zeek.word(row, f["CallInfo.func"])
        return self._zeek.pointer(self._zeek.word(row, f["CallInfo.frame"]) + f["Frame.function"])

    def look_back(self) -> None:
        """Looks at what lies in the room of the two vectors, popped or not: only what agrees counts.

        What does not may be memory that has another use by now. But where none of the Frames has its function where
        the table says, and several have theirs at one other place, the table is that of another Zeek.
        """
        f, size = self._fields, self._fields["sizeof.CallInfo"]
        begin, _, capacity = self._zeek.vector("call_stack")
        room = self._zeek.read(begin, min(OLD, max(0, capacity - begin) // size) * size)
        rows = [room[i : i + size] for i in range(0, len(room) - size + 1, size)]
        self._size_of_entries(rows, alive=False)
        if "CallInfo.frame" in f:
            self._old_frames_of_entries(rows)
        else:
            self._old_frames_beside(rows)

    def _old_frames_of_entries(self, rows: list[bytes]) -> None:
        f = self._fields
        for row in rows:
            frame, call = self._zeek.word(row, f["CallInfo.frame"]), self._zeek.word(row, f["CallInfo.call"])
            if not self._zeek.on_stack(frame):
                continue
            function = self._zeek.pointer(frame + f["Frame.function"])
            callee = self._zeek.called(call)
            if self._zeek.is_func(function) and callee in (0, function):
                self._agree("CallInfo.frame", "Frame.function")
                self._old(frame, function, call)
            elif callee:
                self._misplace(frame, {callee})

    def _old_frames_beside(self, rows: list[bytes]) -> None:
        f = self._fields
        functions = {self._zeek.word(row, f["CallInfo.func"]): self._zeek.word(row, f["CallInfo.call"]) for row in rows}
        functions = {function: call for function, call in functions.items() if self._zeek.is_func(function)}
        for function, call in functions.items():
            self._agree("CallInfo.func")
            self._old(0, function, call)
        begin, _, capacity = self._zeek.vector("g_frame_stack")
        pointers = self._zeek.read(begin, min(OLD, max(0, capacity - begin) // 8) * 8)
        for frame in {self._zeek.word(pointers, at) for at in range(0, len(pointers) - 7, 8)}:
            if self._zeek.pointer(frame + f["Frame.function"]) in functions:
                self._agree("Frame.function")
                self._old(frame, 0, 0)
            else:
                self._misplace(frame, functions.keys())

    def look_for_bifs(self) -> None:
        """Follows the calls in the bodies of the functions seen so far until a BiF has shown its kind.

        BiFs run too short to be met by chance, but nearly every function of Zeek's own scripts leads to one.
        """
        functions = deque(self._zeek.functions)
        known = set(functions)
        while functions and len(self._nodes) < MAX_NODES and not self.agreed["Func.kind"]:
            todo = deque(self._zeek.bodies(functions.popleft()))
            while todo and len(self._nodes) < MAX_NODES and not self.agreed["Func.kind"]:
                for node in self._zeek.below(todo.popleft()):
                    if node in self._nodes:
                        continue
                    self._nodes.add(node)
                    callee = self._zeek.called(node)
                    if callee not in known and self._zeek.is_func(callee):
                        known.add(callee)
                        self._kind(callee)
                        functions.append(callee)
                    todo.append(node)

    def _old(self, frame: int, function: int, call: int) -> None:
        if function:
            self._kind(function)
        if function and self._zeek.called(call) == function:
            self._agree("CallInfo.call", CALLEE[0])
        if frame and self._zeek.is_statement(self._zeek.pointer(frame + self._fields["Frame.next_stmt"])):
            self._agree("Frame.next_stmt")

    def _misplace(self, frame: int, functions: Iterable[int]) -> None:
        """Takes note of where the Frame has a pointer to one of the functions."""
        data = self._zeek.read(frame, self._fields.get("sizeof.Frame", 0))
        for at in range(0, len(data) - 7, 8):
            if self._zeek.word(data, at) in functions:
                self._misplaced[at].add((frame, self._zeek.word(data, at)))

    def _misplacement(self) -> str | None:
        """What old Frames say against Frame.function, if they do."""
        for at, frames in self._misplaced.items():
            distinct = min(len({frame for frame, _ in frames}), len({function for _, function in frames}))
            if distinct >= MISPLACED and not self.agreed["Frame.function"]:
                said = self._fields["Frame.function"]
                bytes_seen = ", ".join(
                    f"{function.to_bytes(8, 'little').hex()} at {f:#x}+{at}" for f, function in frames
                )
                return f"Frame.function: {len(frames)} Frames have a function at {at}, none at {said} ({bytes_seen})"
        return None

    def _statement(self, frame: int) -> None:
        statement = self._zeek.pointer(frame + self._fields["Frame.next_stmt"])
        if statement:  # null while a BiF or compiled code runs
            right = self._zeek.is_statement(statement)
            self._count("Frame.next_stmt", right, f"Frame {frame:#x}, next_stmt {statement:#x}")

    def _kind(self, function: int) -> None:
        """A BiF has no body, a script's function that runs has one. Only BiFs prove the field: 0 is found anywhere."""
        f = self._fields
        kind = int.from_bytes(self._zeek.read(function + f["Func.kind"], f["sizeof.Func.kind"]), "little")
        bodies = self._zeek.read(function + f["Func.bodies"], 16)
        flavor = self._zeek.read(
            self._zeek.pointer(function + f["Func.type"]) + f["FuncType.flavor"], f["sizeof.FuncType.flavor"]
        )
        # Events and hooks that nobody handles have no bodies either.
        bif = self._zeek.word(bodies, 0) == self._zeek.word(bodies, 8) and not any(flavor)
        if bif or kind:
            self._count(
                "Func.kind", kind == bif, f"{kind} for function {function:#x}, which is {'a' if bif else 'no'} BiF"
            )

    def _callee(self, call: int, function: int) -> None:
        if call:
            self._count("CallInfo.call", self._zeek.is_object(call), f"call {call:#x}")
            if "Expr.tag" in self._fields and self._zeek.tag(call) <= selfcheck.MAX_TAG:
                self._count("Expr.tag", False, f"{self._zeek.tag(call)} for the call {call:#x}")
        found = self._zeek.called(call)
        if found:
            self._count(CALLEE[0], found == function, f"call {call:#x} of {found:#x}, not {function:#x}")

    def _agree(self, *fields: str) -> None:
        for field in fields:
            self._count(field, True)

    def _count(self, field: str, right: bool, seen: str = "") -> None:
        if right:
            self.agreed[field] += 1
        else:
            self.disagreed[field] += 1
            self.seen[field] = seen
