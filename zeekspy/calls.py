"""How often every body ran, exactly: Zeek counts each execution of a statement, so nothing is sampled here.

``Stmt.access_count`` (Stmt.h; 32 bits, it wraps) of a body's top statement is incremented whenever the interpreter
executes the body, in every version. A body compiled by ZAM has ``ZBody.ncall`` instead, which counts every call from
Zeek 9.0 on. Both are read a few times a second, all bodies in a few system calls, so that little is lost when the
target exits, and no wrap is missed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zeekspy.bodies import BodyIndex, FoundBody
from zeekspy.errors import NoSuchTarget
from zeekspy.layout import Layout
from zeekspy.profile import Frame, Profile, body_key
from zeekspy.scope import GlobalScope
from zeekspy.stacks import StackTable
from zeekspy.target import Target
from zeekspy.zam import CompiledCode, InstructionCounter

if TYPE_CHECKING:
    from zeekspy._core import Memory, Walker

SHARE = 0.004
"""Of one CPU that reading may cost: what a reading took decides when the next one is due."""
LATEST_S = 5.0
"""Between two readings at most: what is lost when the target exits. No body can wrap unseen in that time."""
MAX_BODIES = 1 << 16
DEFINE_S = 0.005
"""How long functions are looked at between two polls: a few samples at 1 kHz."""
RESOLVE_S = 0.002
"""How long lines of compiled code are looked at between two polls."""
YOUNG_S = 60.0
"""Until a process is that old, bodies are looked for again: scripts are being read, or compiled."""
TAIL = 192
"""Bytes behind the members of a Func: those of a CoalescedScriptFunc end before."""
AGAIN_S = (1.0, 3.0, 10.0)
"""After the first look at a process we started, when it is looked at again: a function may get its body later."""
LOOK_S = 0.5
"""Between two looks for functions at least, while there are signs of new ones."""


@dataclass(slots=True)
class _Count:
    key: Frame
    vptr: bytes
    """Of the statement: freed memory, as at the target's end, has another one."""
    last: int
    total: int
    seen: bytes = b""
    """What was read last, for comparison."""


class CallCounter:
    """The executions of every body of one target. ``from_start``: since the target's start, else since the first look.

    The memory is this one's alone: no sampler's, whose reads are counted.
    """

    def __init__(
        self,
        target: Target,
        layout: Layout,
        memory: Memory,
        fresh: Callable[[], tuple[Walker, StackTable]],
        *,
        from_start: bool = False,
    ) -> None:
        self._target, self._fields, self._memory, self._fresh = target, layout.fields, memory, fresh
        self._scope = GlobalScope(target, layout, memory)
        self.index = BodyIndex()
        self.code = CompiledCode(layout, memory)
        self._instructions = InstructionCounter(self.code, self.index, from_start=from_start)
        self.from_start = from_start
        self.share = SHARE
        """Of one CPU that reading may cost: less where many targets are read by one process."""
        self._interpreted: dict[int, _Count] = {}
        self._compiled: dict[int, _Count] = {}
        self._uncounted: set[Frame] = set()  # compiled by a Zeek that does not count calls
        # Before Zeek 9.0, ZBody.ncall counts only under a profiling option of Zeek's.
        self._ncall = layout.fields.get("ZBody.ncall") if "ZBody.inst_cnt" in layout.fields else None
        self._access = layout.fields.get("Stmt.access_count")
        self.began = time.monotonic()
        self.until: float | None = None
        """When the last good reading was, on the monotonic clock."""
        self._gone: float | None = None
        self._next = self._next_look = 0.0
        self._size = self._size_before = 0
        self._unforeseen = False
        self._terminated = False
        self._again = list(AGAIN_S) if from_start else []
        self._grown_up = self.began + YOUNG_S - _age(target)
        self._todo: list[int] = []
        self._look()
        while self._todo:
            self._define(1.0)
        self.read()

    def poll(self) -> None:
        """Reads when it is time to: at once while Zeek is terminating, else as seldom as SHARE asks for."""
        now = time.monotonic()
        with suppress(NoSuchTarget):
            if self._todo:
                self._define(DEFINE_S)
            elif now < self._grown_up and self._has_more(now):
                self._look()
        if self._terminating():
            with suppress(NoSuchTarget):
                if not self._terminated and now < self._grown_up:  # while everything is still there
                    self._look()
                    while self._todo:
                        self._define(1.0)
            self._terminated = True
            self.read()
        elif now >= self._next:
            self.read()
        with suppress(NoSuchTarget):
            self._instructions.resolve(RESOLVE_S)

    def finish(self) -> None:
        """The last reading. If the target has exited, the one before it stays."""
        with suppress(NoSuchTarget):
            if self.from_start and self._target.alive():
                self._look()
                while self._todo:
                    self._define(1.0)
        self.read()
        with suppress(NoSuchTarget):
            self._instructions.resolve(5.0)

    def know(self, bodies: Sequence[FoundBody]) -> None:
        """Takes note of bodies that samples have shown, which may be known already."""
        for body in bodies:
            known = (self._compiled if body.zam else self._interpreted).get(body.stmt)
            if known is not None:  # a lambda runs under another name than the one its global has
                known.key = body.key
        new = self._new(bodies)
        self._unforeseen = self._unforeseen or bool(new)
        self._count(new)

    def _new(self, bodies: Sequence[FoundBody]) -> list[FoundBody]:
        return [b for b in bodies if b.stmt and b.stmt not in (self._compiled if b.zam else self._interpreted)]

    def _count(self, new: list[FoundBody]) -> None:
        """Begins to count these bodies."""
        if not new or len(self._interpreted) + len(self._compiled) + len(new) > MAX_BODIES:
            return
        try:
            vptrs = self._memory.read_many([b.stmt for b in new], 8)
        except NoSuchTarget:
            return
        for body, vptr in zip(new, vptrs, strict=True):
            known = self._compiled if body.zam else self._interpreted
            if body.zam and self._ncall is None:
                self._uncounted.add(body.key)
            elif len(vptr) == 8:
                self._instructions.watch([body])
                known[body.stmt] = _Count(_running(body.key), vptr, 0 if self.from_start else -1, 0)

    def read(self) -> bool:
        """Reads all counts. False if the target has gone."""
        began, spent = time.monotonic(), time.thread_time()
        try:
            if not self._target.alive():
                raise NoSuchTarget("the target has exited")
            if self._access is not None:
                self._read(self._interpreted, self._access, 4)
            if self._ncall is not None:
                self._instructions.read(self._read(self._compiled, self._ncall, 8))
        except NoSuchTarget:
            self._gone = self._gone or began
            return False
        self.until = began
        self._next = began + min(max((time.thread_time() - spent) / self.share, 0.05), LATEST_S)
        return True

    def counts(self) -> dict[Frame, int]:
        """Executions by body, as profile.body_key names it. Bodies that cannot be told apart are added up."""
        result: dict[Frame, int] = {}
        for known in (self._interpreted, self._compiled):
            for count in known.values():
                result[count.key] = result.get(count.key, 0) + count.total
        for stmt, count in self._compiled.items():
            bodies = self.index.merged(stmt)
            if bodies:  # each of them runs whenever the event is handled; which one did, a sample may not tell
                for key in (*bodies, replace(bodies[0], body=None)):
                    result[key] = result.get(key, 0) + count.total
        return {key: n for key, n in result.items() if key not in self._uncounted}

    def into(self, profile: Profile) -> None:
        """Puts what was counted into ``profile``: bodies that were called, and those that have samples."""
        sampled = {body_key(frame) for stack, _, _ in profile for frame in stack}
        profile.calls = {key: n for key, n in self.counts().items() if n or key in sampled}
        if self.until is not None:
            profile.calls_ns = round((self.until - self.began) * 1e9)
        profile.instructions = self._instructions.instructions()
        late = self._gone - self.until if self._gone is not None and self.until is not None else 0.0
        profile.meta["calls"] = {
            "since": "start" if self.from_start else "attach",
            "bodies": len(self._interpreted) + len(self._compiled),
            # The counts hold up to so many seconds before the target was seen to have gone.
            "before_end_s": round(late, 3),
        }

    def _read(self, known: dict[int, _Count], offset: int, size: int) -> list[int]:
        """Which of them have run since the last time, by their statements."""
        wrap = (1 << 8 * size) - 1
        ran: list[int] = []
        found = self._memory.read_many(list(known), offset + size)
        for (stmt, count), data in zip(known.items(), found, strict=True):
            if data == count.seen or len(data) < offset + size or data[:8] != count.vptr:
                continue
            count.seen = data
            now = int.from_bytes(data[offset:], "little")
            if now != count.last >= 0:
                ran.append(stmt)
            count.total += now - count.last & wrap if count.last >= 0 else 0
            count.last = now
        return ran

    def _terminating(self) -> bool:
        at = self._target.symbols.get("terminating")
        try:
            return bool(at) and self._memory.read(at or 0, 1) not in (b"", b"\0")
        except NoSuchTarget:
            return False

    def _look(self) -> None:
        self._size = self._size_before = self._scope.size()
        self._unforeseen = False
        # Made anew: what is replaced within a Func (by ZAM) does not show in what a walker has cached of it.
        self._walker, self._table = self._fresh()
        self._todo = self._scope.functions()
        self._next_look = time.monotonic() + LOOK_S

    def _has_more(self, now: float) -> bool:
        """Whether there are functions that were not there at the last look, and no more are being added just now."""
        if self._again and now >= self.began + self._again[0]:
            self._again.pop(0)
            return True
        size, before = self._scope.size(), self._size_before
        self._size_before = size
        if self._unforeseen and now >= self._next_look:
            return True
        return size == before and size not in (0, self._size)

    def _define(self, budget: float) -> None:
        until = time.monotonic() + budget
        while self._todo and time.monotonic() < until:
            addresses = self._todo[:64]
            del self._todo[:64]
            found = self._walker.define(addresses)
            before = self._table.functions()
            self._table.extend(self._walker.definitions())
            bodies = self._table.bodies(before)
            self._count(self._new(bodies))
            new = {at: self._table.bodies_of(func) for at, func in zip(addresses, found, strict=True) if func >= before}
            self._part({at: bodies[0] for at, bodies in new.items() if len(bodies) == 1 and bodies[0].zam})
            self.index.add(body for body in bodies if not self.index.merged(body.stmt))

    def _part(self, compiled: dict[int, FoundBody]) -> None:
        """Finds the bodies that compiled ones of events, by their Funcs' addresses, were made from.

        Such a Func is a CoalescedScriptFunc (script_opt/ScriptOpt.h): behind the members of a ScriptFunc it points to
        the function it stands for, which has the same name and several bodies.
        """
        events = {at: body for at, body in compiled.items() if body.key.kind == "event" and body.key.name}
        start = self._fields.get("sizeof.Func", 0)
        if not events or not start:
            return
        for (at, body), data in zip(
            events.items(), self._memory.read_many([at + start for at in events], TAIL), strict=True
        ):
            words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data) - 7, 8)]
            words = [w for w in words if w >= 0x1000 and w % 8 == 0 and w != at]
            funcs = [func for func in self._walker.define(words) if func]
            self._table.extend(self._walker.definitions())
            for func in funcs:
                bodies = self._table.bodies_of(func)
                if len(bodies) > 1 and bodies[0].key.name == body.key.name and bodies[0].key.kind == "event":
                    self.index.merge(body.stmt, bodies)
                    break


def _running(key: Frame) -> Frame:
    """The name under which it runs: the global that holds a lambda has its module before the name (Expr.cc)."""
    module, found, rest = (key.name or "").rpartition("::lambda_<")
    return replace(key, name=f"lambda_<{rest}") if found and module else key


def _age(target: Target) -> float:
    """Seconds since the process began."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - target.start_time / os.sysconf("SC_CLK_TCK")
