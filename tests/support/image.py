"""A fake address space: any script stack, written as Zeek's objects under any layout, and what a walk of it must find.

The bytes between the members are noise, so that a wrong offset reads nonsense.
"""

from __future__ import annotations

import bisect
import random
import struct
from dataclasses import dataclass, field

from tests.support.layouts import STMT_LIST_TAGS, Offsets

HEAP, STACK, DATA = 0x5555_6000_0000, 0x7FFC_9000_0000, 0x5555_5500_0000
STACK_SIZE = 1 << 23
MORE = 64
UNKNOWN_TAG = 0xFF
EXPR_CALL = 45
MAX_LINE = 10_000_000
FLAVORS = {"function": 0, "event": 1, "hook": 2, "bif": 0}


@dataclass(frozen=True)
class Place:
    """A Location. The two lines stand as they are in memory: in either order, or 0."""

    file: str
    first: int
    last: int

    def lines(self) -> tuple[int, int] | None:
        """(first, last) in order, None if this is no place."""
        known = [line for line in (self.first, self.last) if line]
        return (min(known), max(known)) if known and max(known) <= MAX_LINE and self.file else None


@dataclass(frozen=True)
class Body:
    """A body's top statement. If its tag says that it is a StmtList, it has ``children``; None: one without a place."""

    place: Place | None
    tag: int = 0
    children: tuple[Place | None, ...] = ()


@dataclass(frozen=True)
class Function:
    name: str
    kind: str
    bodies: tuple[Body, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One of the call stack. Without ``call`` C++ has called; else ``call_place`` is where the call stands."""

    function: Function
    call: bool = False
    call_place: Place | None = None
    at: Place | None = None
    """The place of Frame.next_stmt."""
    has_next: bool = True
    """Whether next_stmt points at anything."""


@dataclass(frozen=True)
class Script:
    """A stack, outermost entry first. ``stale`` entries lie below it; none of them belongs to a live invocation."""

    entries: tuple[Entry, ...]
    stale: tuple[Entry, ...] = ()
    top_level: bool = False
    """Until Zeek 8.0: a Frame without a function at the bottom of g_frame_stack, as at start-up."""
    entering: Function | None = None
    """Until Zeek 8.0: a function whose Frame is pushed already and whose entry is not."""


@dataclass(frozen=True)
class ExpectedBody:
    file: str | None
    first: int
    last: int
    tag: int


@dataclass(frozen=True)
class ExpectedFrame:
    name: str
    kind: str
    file: str | None
    line: int
    call: bool
    bodies: tuple[ExpectedBody, ...]


@dataclass
class Image:
    """What was written: sorted pieces, and what a walker has to be told."""

    offsets: Offsets
    pieces: dict[int, bytearray] = field(default_factory=dict)
    call_stack: int = 0
    g_frame_stack: int = 0
    stack: tuple[int, int] = (0, 0)
    data: tuple[int, int] = (0, 0)
    functions: dict[Function, int] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)
    """Addresses of the entries' call expressions, stale ones first; 0 for none."""
    frames: list[int] = field(default_factory=list)
    """Addresses of the entries' Frames likewise."""
    vector: int = 0
    """Address of the first entry."""
    _starts: list[int] = field(default_factory=list)

    def segments(self) -> list[tuple[int, bytes]]:
        return sorted((address, bytes(data)) for address, data in self.pieces.items())

    def add(self, address: int, data: bytearray) -> None:
        bisect.insort(self._starts, address)
        self.pieces[address] = data

    def find(self, address: int) -> tuple[bytearray, int]:
        """The piece that holds ``address``, and where in it."""
        start = self._starts[bisect.bisect_right(self._starts, address) - 1]
        assert address - start < len(self.pieces[start])
        return self.pieces[start], address - start

    def put(self, address: int, value: int, width: int = 8) -> None:
        data, at = self.find(address)
        assert at + width <= len(data)
        data[at : at + width] = value.to_bytes(width, "little")

    def put_name(self, function: int, name: str) -> None:
        """Gives the Func at that address another name, in a string object of its own."""
        Writer(self, random.Random(name), high=max(self.pieces) + (1 << 24)).string(
            function + self.offsets.fields["Func.name"], name
        )


class Writer:
    """Places objects in an image, with random gaps between them and noise in them."""

    def __init__(self, image: Image, rng: random.Random, high: int = HEAP) -> None:
        self.image, self.rng, self.offsets, self.f = image, rng, image.offsets, image.offsets.fields
        self._next = high
        self._paths: dict[str, int] = {}

    def room(self, size: int) -> int:
        """The address of that many fresh bytes, a multiple of 8."""
        address = self._next
        self.image.add(address, bytearray(self.rng.randbytes(size)))
        self._next += -(-size // 8) * 8 + self.rng.choice([0, 8, 16, 136, 4096])
        return address

    def object(self, owner: str, extra: int = 0) -> int:
        address = self.room(self.offsets.size(owner) + extra)
        if self.image.data[1]:
            low, high = self.image.data
            self.image.put(address, self.rng.randrange(low, high, 8))
        return address

    def put(self, address: int, name: str, value: int) -> None:
        """Sets the member of the object at ``address``, if the layout has it."""
        if name in self.f:
            self.image.put(address + self.f[name], value, self.offsets.width(name))

    def vector(self, address: int, begin: int, size: int) -> None:
        end = begin + size
        for i, value in enumerate((begin, end, end + 8 * self.rng.randrange(9)) if begin else (0, 0, 0)):
            self.image.put(address + 8 * i, value)

    def bytes(self, data: bytes) -> int:
        address = self.room(len(data))
        self.image.pieces[address][:] = data
        return address

    def string(self, address: int, text: str) -> None:
        """A std::string object."""
        data, n = text.encode(), len(text.encode())
        image = self.image
        if self.offsets.stdlib == "libstdc++":
            short = n < 16
            start = address + 16 if short else self.bytes(data + b"\0")
            image.put(address, start)
            image.put(address + 8, n)
            self._inline(address + 16, data + b"\0" if short else struct.pack("<Q", n))
        elif self.offsets.stdlib == "libc++":
            if n <= 22:
                self._inline(address, bytes([n << 1]) + data + b"\0")
            else:
                image.put(address, (n + 16) | 1)
                image.put(address + 8, n)
                image.put(address + 16, self.bytes(data + b"\0"))
        else:
            image.put(address, self.bytes(struct.pack("<QQq", n, n, 0) + data + b"\0") + 24)

    def _inline(self, address: int, data: bytes) -> None:
        piece, at = self.image.find(address)
        piece[at : at + len(data)] = data

    def path(self, text: str) -> int:
        if text not in self._paths:
            self._paths[text] = self.bytes(text.encode() + b"\0")
        return self._paths[text]

    def place(self, address: int, place: Place | None) -> None:
        """The location of the Obj at ``address``."""
        location = 0
        if place is not None:
            location = self.room(self.offsets.size("Location"))
            self.put(location, "Location.filename", self.path(place.file))
            self.put(location, "Location.first_line", place.first)
            self.put(location, "Location.last_line", place.last)
        self.put(address, "Obj.location", location)

    def stmt(self, place: Place | None) -> int:
        address = self.object("Stmt")
        self.place(address, place)
        self.put(address, "Stmt.tag", 0)
        return address

    def body(self, body: Body) -> int:
        if body.tag not in STMT_LIST_TAGS or "StmtList.stmts" not in self.f:
            address = self.stmt(body.place)
            self.put(address, "Stmt.tag", body.tag)
            return address
        address = self.object("StmtList", extra=8)
        self.place(address, body.place)
        self.put(address, "Stmt.tag", body.tag)
        children = [
            self.stmt(child) if child is not None else self.rng.choice([0, self.stmt(None)]) for child in body.children
        ]
        items = self.bytes(struct.pack(f"<{len(children)}Q", *children)) if children else 0
        held = address + self.f["StmtList.stmts"]
        if "List.entries" not in self.f:
            self.vector(held, items, 8 * len(children))
        else:
            if self.f["sizeof.StmtList.stmts"] == 8:
                pointer, held = held, self.room(self.offsets.size("List"))
                self.image.put(pointer, held)
            self.put(held, "List.entries", items)
            self.put(held, "List.num_entries", len(children))
        return address

    def function(self, function: Function) -> int:
        known = self.image.functions
        if function in known:
            return known[function]
        known[function] = address = self.object("Func")
        self.string(address + self.f["Func.name"], function.name)
        self.put(address, "Func.kind", function.kind == "bif")
        size = self.f["sizeof.Func.Body"]
        begin = self.room(size * len(function.bodies)) if function.bodies else 0
        for i, body in enumerate(function.bodies):
            self.image.put(begin + i * size + self.f["Func.Body.stmts"], self.body(body))
        self.vector(address + self.f["Func.bodies"], begin, size * len(function.bodies))
        type_ = self.object("FuncType")
        self.put(type_, "FuncType.flavor", FLAVORS[function.kind])
        self.put(address, "Func.type", type_)
        return address

    def call(self, function: int, place: Place | None) -> int:
        """A call expression that names its callee, as far as the layout knows of such things."""
        address = self.object("CallExpr")
        self.place(address, place)
        self.put(address, "Expr.tag", EXPR_CALL)
        if "CallExpr.func" in self.f:
            name, identifier, value = self.object("NameExpr"), self.object("ID"), self.object("FuncVal")
            self.put(address, "CallExpr.func", name)
            self.put(name, "Expr.tag", 0)
            self.put(name, "NameExpr.id", identifier)
            self.put(identifier, "ID.val", value)
            self.put(value, "FuncVal.func_val", function)
        return address

    def frame(self, function: int, next_stmt: int, address: int = 0) -> int:
        """A Frame on the heap, or at ``address`` of the C++ stack."""
        if address:
            self.image.add(address, bytearray(self.rng.randbytes(self.offsets.size("Frame"))))
        else:
            address = self.object("Frame")
        self.put(address, "Frame.function", function)
        self.put(address, "Frame.next_stmt", next_stmt)
        return address


class Quiet(random.Random):
    """Without noise: the bytes between the members are 0, as they often are."""

    def randbytes(self, n: int) -> bytes:
        return bytes(n)


def write(script: Script, offsets: Offsets, seed: int, region: int = 0, noise: bool = True) -> Image:
    """The script's stack in an address space that ``seed`` shapes.

    With the same seed and layout the stack's symbols lie at the same addresses; the objects of another ``region`` lie
    elsewhere on the heap.
    """
    rng = random.Random(seed) if noise else Quiet(seed)
    image = Image(offsets)
    if rng.random() < 0.5:
        image.data = (DATA, DATA + 0x10000)
    if rng.random() < 0.8:
        image.stack = (STACK - STACK_SIZE, STACK)
    writer = Writer(image, rng)
    image.call_stack = writer.room(24)
    image.g_frame_stack = 0 if offsets.frames_on_stack else writer.room(24)
    entries = (*script.stale, *script.entries)
    size = offsets.fields["sizeof.CallInfo"]
    writer = Writer(image, rng, high=HEAP + (1 << 20) + (region << 32))
    # Memory goes on behind a vector, as a heap does.
    image.vector = writer.room(size * (len(entries) + MORE)) if entries or rng.random() < 0.5 else 0
    heap_frames = [writer.frame(0, writer.stmt(None))] if script.top_level else []
    falling = STACK - (1 << 20 if script.stale else 1 << 12)
    if script.stale and not offsets.frames_on_stack:
        heap_frames.extend(rng.choice([0, writer.room(8) + 4, 0x1234_5678_9000]) for _ in range(rng.randrange(3)))
    for i, entry in enumerate(entries):
        function = writer.function(entry.function)
        call = writer.call(function, entry.call_place) if entry.call else 0
        next_stmt = writer.stmt(entry.at) if entry.has_next and entry.function.kind != "bif" else 0
        at = image.vector + i * size
        image.put(at + offsets.fields["CallInfo.call"], call)
        frame = 0
        if offsets.frames_on_stack:
            if i == len(script.stale) and script.stale:
                falling = STACK - (1 << 12)  # above what the stale entries point at: a dead part of the stack
            falling -= -(-offsets.size("Frame") // 8) * 8 + 8 * rng.choice([0, 1, 20, 300])
            frame = writer.frame(function, next_stmt, falling)
            image.put(at + offsets.fields["CallInfo.frame"], frame)
        else:
            image.put(at + offsets.fields["CallInfo.func"], function)
            if i >= len(script.stale) and entry.function.kind != "bif":
                frame = writer.frame(function, next_stmt)
                heap_frames.append(frame)
        image.calls.append(call)
        image.frames.append(frame)
    if script.entering is not None:
        heap_frames.append(writer.frame(writer.function(script.entering), 0))
    writer.vector(image.call_stack, image.vector, size * len(entries))
    if not offsets.frames_on_stack:
        pointers = writer.room(8 * (len(heap_frames) + MORE)) if heap_frames else 0
        for i, frame in enumerate(heap_frames):
            image.put(pointers + 8 * i, frame)
        writer.vector(image.g_frame_stack, pointers, 8 * len(heap_frames))
    return image


def _expected_body(body: Body, offsets: Offsets) -> ExpectedBody:
    tag = body.tag if "Stmt.tag" in offsets.fields else UNKNOWN_TAG
    lines = body.place.lines() if body.place else None
    if body.place is None or lines is None:
        return ExpectedBody(None, 0, 0, tag)
    first, last = lines
    if tag in STMT_LIST_TAGS and "StmtList.stmts" in offsets.fields:
        for child in body.children:
            if child is not None and child.file == body.place.file and (span := child.lines()):
                first, last = min(first, span[0]), max(last, span[1])
    return ExpectedBody(body.place.file, first, last, tag)


def expected(script: Script, offsets: Offsets) -> list[ExpectedFrame]:
    """What the walk of the script's image must find: its live entries."""
    result = []
    for i, entry in enumerate(script.entries):
        function = entry.function
        inner = script.entries[i + 1] if i + 1 < len(script.entries) else None
        calls = inner is not None and inner.call
        place = inner.call_place if inner is not None and calls else entry.at if entry.has_next else None
        if function.kind == "bif" and not calls:
            place = None
        lines = place.lines() if place else None
        bodies = () if function.kind == "bif" else tuple(_expected_body(body, offsets) for body in function.bodies)
        result.append(
            ExpectedFrame(
                function.name,
                function.kind,
                place.file if place and lines else None,
                lines[0] if lines else 0,
                bool(calls and lines),
                bodies,
            )
        )
    return result
