"""Holds a layout against a live target before the first sample: a wrong table must never give a wrong answer.

Works while no script runs: the event registry leads to handlers, functions, bodies and locations whatever Zeek does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from zeekspy import zeek_types
from zeekspy._core import Memory
from zeekspy.errors import NoSuchTarget, UnknownBuild
from zeekspy.layout import Layout
from zeekspy.target import Target

MAX_HANDLERS = 4096
ENOUGH, ENOUGH_BODIES = 64, 16
"""Functions and bodies looked at, if there are that many: a wrong offset shows at the first."""
MAX_LINE = 10_000_000
MAX_TAG = 31
"""Of statements (StmtEnums.h); the tag of a call expression is at least 40 in every version."""
MANY_LISTS = 8
AGAIN, AGAIN_S = 2, 0.02
"""How often, and after how long, is looked again: a target changes while it is read, a wrong table stays wrong."""
MAX_NAME = 1024
STRING_SIZE = {"libstdc++": 32, "libc++": 24, "libstdc++-old": 8}

HINT = (
    "Make a table from this very build: zeekspy offsets generate {exe} -o FILE, and give it with --offsets FILE. "
    "If that fails too, zeekspy capture --pid {pid} -o FILE has what a bug report needs."
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: ``what`` in words, ``evidence`` as seen."""

    what: str
    evidence: str
    passed: bool = True
    proven: bool = True
    """False where nothing was seen that shows whether a field is right: nothing speaks against it either."""

    @property
    def verdict(self) -> str:
        return "FAILED" if not self.passed else "ok" if self.proven else "unproven"


class _Failed(Exception):
    pass


def check(target: Target, layout: Layout, memory: Memory) -> list[Check]:
    """What was checked. Raises UnknownBuild that names the field that failed and the bytes seen."""
    for left in range(AGAIN if memory.method != "image" else 0, -1, -1):
        try:
            return list(_Walk(target, layout, memory).checks())
        except _Failed as e:
            failed = e
        if not target.alive():  # what it read was the memory of a process that was going
            raise NoSuchTarget(f"process {target.pid} has gone")
        if left:
            time.sleep(AGAIN_S)
    raise UnknownBuild(
        f"the table of offsets ({layout.origin}) does not fit this Zeek {target.version}: {failed}",
        HINT.format(exe=target.exe, pid=target.pid),
    )


def examine(target: Target, layout: Layout, memory: Memory) -> Iterator[Check]:
    """Every check by itself, field by field, the failed one last. Raises nothing but NoSuchTarget."""
    walk = _Walk(target, layout, memory)
    failed = None
    try:
        yield from walk.checks()
    except _Failed as e:
        failed = str(e)
    for field, (times, example) in walk.seen.items():
        if failed is None or not failed.startswith(field):
            yield Check(field, f"right {times} times, last {example}")
    if failed is not None:
        if not target.alive():
            raise NoSuchTarget(f"process {target.pid} has gone")
        field, _, evidence = failed.partition(": ")
        yield Check(field, evidence, False)


def text(memory: Memory, stdlib: str, address: int) -> str | None:
    """The printable std::string at ``address``; None where there is none."""
    raw = memory.read(address, STRING_SIZE[stdlib])
    if len(raw) < STRING_SIZE[stdlib]:
        return None
    at, length, why = _characters(memory, stdlib, address, raw)
    data = memory.read(at, length) if not why and 0 < length <= MAX_NAME and 0 < at < 1 << 56 else b""
    return data.decode("utf-8", "replace") if data and len(data) == length and _is_printable(data) else None


def _characters(memory: Memory, stdlib: str, address: int, raw: bytes) -> tuple[int, int, str]:
    """Where the characters of the std::string ``raw`` lie, how many, and what shows that it is none."""
    word = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8)]
    if stdlib == "libstdc++":
        at, length = word[0], word[1]
        foreign = length < 16 and at != address + 16
        return at, length, "no std::string, a short one would point at itself" if foreign else ""
    if stdlib == "libc++":
        return (word[2], word[1], "") if raw[0] & 1 else (address + 1, raw[0] >> 1, "")
    return word[0], int.from_bytes(memory.read(word[0] - 24, 8) if 24 < word[0] < 1 << 56 else b"", "little"), ""


def _is_printable(data: bytes) -> bool:
    return all(b >= 0x20 and b != 0x7F for b in data)


class _Walk:
    def __init__(self, target: Target, layout: Layout, memory: Memory) -> None:
        self.target, self.fields, self.stdlib, self.memory = target, layout.fields, layout.stdlib, memory
        self.located = self.ordered = 0  # bodies with a location, and those of them whose lines make a range
        self.lists = self.filled = 0  # statements that may be lists by their tag, and those that hold statements
        self.tags: set[int] = set()  # of bodies and of what they hold
        self.children = 0
        self.seen: dict[str, tuple[int, str]] = {}

    def right(self, field: str, example: object) -> None:
        """Takes note of a value that can be right."""
        self.seen[field] = (self.seen.get(field, (0, ""))[0] + 1, str(example))

    def read(self, address: int, length: int, field: str) -> bytes:
        data = self.memory.read(address, length)
        if len(data) < length:
            if not self.target.alive():
                raise NoSuchTarget(f"process {self.target.pid} has gone")
            raise _Failed(f"{field}: nothing can be read at {address:#x}")
        return data

    def number(self, address: int, size: int, field: str) -> int:
        return int.from_bytes(self.read(address, size, field), "little")

    def pointer(self, address: int, field: str) -> int:
        return self.number(address + self.fields[field], 8, field)

    def string(self, address: int, field: str) -> str:
        """A std::string that must hold a printable name."""
        raw = self.read(address, STRING_SIZE[self.stdlib], field)
        at, length, why = _characters(self.memory, self.stdlib, address, raw)
        if why or not 0 < length <= MAX_NAME:
            raise _Failed(f"{field}: {why or f'a name of {length} characters'} (bytes {raw.hex()})")
        name = self.printable(self.read(at, length, field), field)
        self.right(field, name)
        return name

    @staticmethod
    def printable(data: bytes, field: str) -> str:
        if not _is_printable(data):
            raise _Failed(f"{field}: no name (bytes {data[:32].hex()})")
        return data.decode("utf-8", "replace")

    def checks(self) -> Iterator[Check]:
        yield self.stacks()
        if "event_registry" not in self.target.symbols or "EventRegistry.handlers" not in self.fields:
            yield Check("event registry", "not looked at: this table does not describe it")
            return
        registry = self.number(self.target.symbols["event_registry"], 8, "event_registry")
        if not registry:
            yield Check("event registry", "not there yet: Zeek is starting")
            return
        handlers = functions = bodies = 0
        for handler in self.handlers(registry):
            handlers += 1
            function = self.pointer(handler, "EventHandler.local")
            if not function:
                continue
            functions += 1
            bodies += self.function(function)
            if functions >= ENOUGH and bodies >= ENOUGH_BODIES:
                break
        if not handlers:
            raise _Failed("EventRegistry.handlers: no event handlers are there")
        if self.ordered * 4 < self.located:  # some bodies of a real Zeek have a range that is none
            raise _Failed(
                f"Location.first_line, Location.last_line: in order in only {self.ordered} of {self.located} bodies"
            )
        if self.lists >= MANY_LISTS and not self.filled:
            raise _Failed(f"StmtList.stmts: none of {self.lists} lists holds a statement")
        if self.children >= MANY_LISTS and len(self.tags) == 1:
            raise _Failed(f"Stmt.tag: {self.tags.pop()} for every body and for all that {self.children} of them hold")
        yield Check("event registry", f"{handlers} handlers, {functions} functions and {bodies} bodies look right")

    def stacks(self) -> Check:
        seen = []
        for name, size in (("call_stack", self.fields["sizeof.CallInfo"]), ("g_frame_stack", 8)):
            if name not in self.target.symbols:
                if name == "g_frame_stack" and "CallInfo.func" in self.fields:
                    raise _Failed("CallInfo.func: this Zeek has no g_frame_stack, as versions with that field have")
                continue
            if name == "g_frame_stack" and "CallInfo.frame" in self.fields:
                raise _Failed("CallInfo.frame: this Zeek has a g_frame_stack, as no version with that field has")
            if self.target.sizes[name] not in (0, 24):
                raise _Failed(f"{name}: {self.target.sizes[name]} bytes, a std::vector has 24")
            raw = self.read(self.target.symbols[name], 24, name)
            begin, end, capacity = (int.from_bytes(raw[i : i + 8], "little") for i in (0, 8, 16))
            # capacity does not change while the stack grows and shrinks within it
            if not begin <= end <= capacity or (capacity - begin) % size:
                field = "sizeof.CallInfo" if name == "call_stack" else name
                raise _Failed(f"{field}: {name} is no vector of elements of {size} bytes (bytes {raw.hex()})")
            seen.append(f"{name} {(end - begin) // size} deep")
        return Check("stacks", ", ".join(seen))

    def function(self, at: int) -> int:
        """Checks a Func; how many of its bodies have a location."""
        low, high = self.target.data
        vptr = self.number(at, 8, "Func")
        if high and not low <= vptr < high:
            raise _Failed(f"EventHandler.local: {at:#x} is no Func, its vptr {vptr:#x} is outside the vtables")
        kind = self.number(at + self.fields["Func.kind"], self.fields["sizeof.Func.kind"], "Func.kind")
        if kind > 1:
            raise _Failed(f"Func.kind: {kind}")
        self.right("EventHandler.local", f"vptr {vptr:#x} in {low:#x}-{high:#x}")
        self.right("Func.kind", kind)
        self.string(at + self.fields["Func.name"], "Func.name")
        type_at = self.pointer(at, "Func.type")
        flavor = self.number(
            type_at + self.fields["FuncType.flavor"], self.fields["sizeof.FuncType.flavor"], "FuncType.flavor"
        )
        if flavor != 1:
            raise _Failed(f"FuncType.flavor: {flavor} for an event, which has 1")
        self.right("FuncType.flavor", flavor)
        begin, end = (self.number(at + self.fields["Func.bodies"] + i, 8, "Func.bodies") for i in (0, 8))
        size = self.fields["sizeof.Func.Body"]
        if end < begin or (end - begin) % size or (end - begin) // size > MAX_HANDLERS:
            raise _Failed(f"sizeof.Func.Body: bodies from {begin:#x} to {end:#x} are no multiple of {size}")
        self.right("Func.bodies", f"{(end - begin) // size} of {size} bytes")
        return sum(self.body(begin + i * size) for i in range(min((end - begin) // size, 16)))

    def body(self, at: int) -> bool:
        stmts = self.pointer(at, "Func.Body.stmts")
        low, high = self.target.data
        if not stmts:
            raise _Failed(f"Func.Body.stmts: no statement at {at:#x}")
        vptr = self.number(stmts, 8, "Stmt")
        if high and not low <= vptr < high:
            raise _Failed(f"Func.Body.stmts: {stmts:#x} is no Stmt, its vptr {vptr:#x} is outside the vtables")
        self.right("Func.Body.stmts", f"vptr {vptr:#x}")
        self.list(stmts)
        location = self.pointer(stmts, "Obj.location")
        if not location:
            return False
        first, last = (
            self.number(location + self.fields[f], 4, f) for f in ("Location.first_line", "Location.last_line")
        )
        if first > MAX_LINE or last > MAX_LINE:
            raise _Failed(f"Location.first_line: {first} to {last}")
        self.located += 1
        self.ordered += 1 <= first <= last
        name = self.memory.read(self.pointer(location, "Location.filename"), 4096).split(b"\0")[0]
        if not name:
            raise _Failed("Location.filename: no name")
        self.right("Location", f"{self.printable(name, 'Location.filename')}:{first}-{last}")
        return True

    def list(self, at: int) -> None:
        """If the statement's tag says that it is a StmtList, it must hold statements, or none."""
        f = self.fields
        tag = self.number(at + f["Stmt.tag"], f["sizeof.Stmt.tag"], "Stmt.tag")
        if tag > MAX_TAG:
            raise _Failed(f"Stmt.tag: {tag}")
        self.tags.add(tag)
        self.held_by(at)
        # "List" tags of one version are other statements' of another: see zeek_types.list_tag.
        if tag != zeek_types.list_tag(self.target.version):
            return
        begin, count = self.items(at)
        if count > MAX_LINE:
            raise _Failed(f"StmtList.stmts: a list of {count} statements at {at:#x}")
        low, high = self.target.data
        for i in range(min(count, 8)):
            vptr = self.number(self.number(begin + 8 * i, 8, "StmtList.stmts"), 8, "StmtList.stmts")
            if high and not low <= vptr < high:
                raise _Failed(f"StmtList.stmts: statement {i} of {at:#x} is none, its vptr is {vptr:#x}")
        self.lists += 1
        self.filled += count > 0
        if count:
            self.right("StmtList.stmts", f"{count} statements")

    def items(self, at: int) -> tuple[int, int]:
        """Where the statements of the StmtList at that address are pointed to from, and how many there are."""
        f, held = self.fields, at + self.fields["StmtList.stmts"]
        if "List.entries" not in f:
            begin, end = (self.number(held + i, 8, "StmtList.stmts") for i in (0, 8))
            if end < begin or (end - begin) % 8:
                raise _Failed(f"StmtList.stmts: no vector from {begin:#x} to {end:#x}")
            return begin, (end - begin) // 8
        if f["sizeof.StmtList.stmts"] == 8:
            held = self.number(held, 8, "StmtList.stmts")
        return self.pointer(held, "List.entries"), self.number(held + f["List.num_entries"], 4, "List.num_entries")

    def held_by(self, at: int) -> None:
        """Takes note of the tags of what a statement holds if it should be a list, whatever its own tag says."""
        f, (low, high) = self.fields, self.target.data
        try:
            begin, count = self.items(at)
            for i in range(min(count, 4)):
                child = self.number(begin + 8 * i, 8, "StmtList.stmts")
                if low <= self.number(child, 8, "StmtList.stmts") < high:
                    self.tags.add(self.number(child + f["Stmt.tag"], f["sizeof.Stmt.tag"], "Stmt.tag"))
                    self.children += 1
        except _Failed:
            return

    def handlers(self, registry: int) -> Iterator[int]:
        """Addresses of EventHandlers: of a std::map from Zeek 3.1 on, of a Dictionary before."""
        at = registry + self.fields["EventRegistry.handlers"]
        if "Dictionary.tbl" in self.fields and self.has_vptr(at):
            yield from self.dictionary(at)
        else:
            yield from self.tree(at)

    def has_vptr(self, at: int) -> bool:
        """Whether an object with virtual functions lies there: a Dictionary is one until 3.0, a std::map is not."""
        low, high = self.target.data
        return low <= self.number(at, 8, "EventRegistry.handlers") < high

    def tree(self, at: int) -> Iterator[int]:
        old = self.stdlib != "libc++"
        root = self.number(at + (16 if old else 8), 8, "EventRegistry.handlers")
        left, right = (16, 24) if old else (0, 8)
        value = 32 + STRING_SIZE[self.stdlib]
        todo, seen = [root] if root else [], 0
        while todo and seen < MAX_HANDLERS:
            node = todo.pop()
            seen += 1
            self.string(node + 32, "EventRegistry.handlers")
            yield self.number(node + value, 8, "EventRegistry.handlers")
            todo += [n for n in (self.number(node + side, 8, "EventRegistry.handlers") for side in (left, right)) if n]

    def dictionary(self, at: int) -> Iterator[int]:
        buckets = self.number(at + self.fields["Dictionary.num_buckets"], 4, "Dictionary.num_buckets")
        table = self.pointer(at, "Dictionary.tbl")
        for i in range(min(buckets, MAX_HANDLERS)):
            chain = self.number(table + 8 * i, 8, "Dictionary.tbl")
            if not chain:
                continue
            count = self.number(chain + self.fields["List.num_entries"], 4, "List.num_entries")
            entries = self.pointer(chain, "List.entries")
            for k in range(min(count, 64)):
                entry = self.number(entries + 8 * k, 8, "List.entries")
                yield self.pointer(entry, "DictEntry.value")
