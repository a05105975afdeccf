"""Arguments and local variables of the frames of one script stack.

Arguments are what the caller passed. Local variables lie in the slots of the function's Frame; their names are those of
the function's scope, which knows those of one body alone: the last that was parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeekspy import profile, zeek_types
from zeekspy.layout import Layout, dispatch_counter, version_key
from zeekspy.values.reader import ValueReader
from zeekspy.values.reads import Reads, Unreadable
from zeekspy.values.types import Field, Types
from zeekspy.values.value import UNSET, Limits, Value, Variable

if TYPE_CHECKING:
    from zeekspy._core import Memory

NEEDED = ("Val.type", "PatternVal.re_val", "EnumType.names", "TableType.indices", "TypeList.types", "FuncType.args")
"""Without these fields a table of offsets is from before values were read."""
MAX_ENTRIES = 1 << 16
MAX_SLOTS = 1024
"""Of a Frame."""
MAX_READS = 100_000
"""For the names and types of one frame's variables."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the call stack, as it is in memory. Addresses, 0 for none."""

    call: int
    func: int
    args: int
    """Of what the caller passed."""
    frame: int
    """From 8.1 on every entry has one; before, those of script functions, once ``Variables`` has found it."""

    def same(self, other: Entry) -> bool:
        return (self.call, self.func, self.args, self.frame) == (other.call, other.func, other.args, other.frame)


class Variables:
    """Reads the variables of one target's frames."""

    def __init__(
        self,
        memory: Memory,
        layout: Layout,
        version: str,
        symbols: Mapping[str, int],
        vtables: tuple[int, int] = (0, 0),
        limits: Limits | None = None,
    ) -> None:
        self._reads = Reads(memory, layout.fields, layout.stdlib, vtables)
        self._types = Types(self._reads, version)
        self._values = ValueReader(self._reads, self._types, version, limits or Limits())
        self._how = zeek_types.containers(version)
        self._symbols = symbols
        self._fields = layout.fields
        self._chained = version_key(version) < (3, 1)

    @staticmethod
    def available(layout: Layout) -> bool:
        """Whether ``layout`` says where values lie."""
        return all(name in layout.fields for name in NEEDED)

    def entries(self) -> list[Entry] | None:
        """Every entry of the call stack now, outermost first, stale ones too; None if it cannot be read."""
        r, f = self._reads, self._fields
        r.allow(MAX_READS)
        size = f["sizeof.CallInfo"]
        try:
            begin, count = r.vector(self._symbols["call_stack"], size)
            raw = r.read(begin, size * count) if 0 < count <= min(MAX_ENTRIES, (1 << 20) // size) else b""
            rows = [raw[i : i + size] for i in range(0, len(raw), size)]
            calls = [_word(row, f["CallInfo.call"]) for row in rows]
            if "CallInfo.frame" in f:
                frames = [_word(row, f["CallInfo.frame"]) for row in rows]
                return [self._of_frame(call, frame) for call, frame in zip(calls, frames, strict=True)]
            functions = [_word(row, f["CallInfo.func"]) for row in rows]
            args = [_word(row, f["CallInfo.args"]) if "CallInfo.args" in f else 0 for row in rows]
            return self._with_frames([Entry(*row, 0) for row in zip(calls, functions, args, strict=True)])
        except Unreadable:
            return None

    def _of_frame(self, call: int, frame: int) -> Entry:
        try:
            r = self._reads
            return Entry(call, r.field(frame, "Frame.function"), r.field(frame, "Frame.func_args"), frame)
        except Unreadable:
            return Entry(call, 0, 0, frame)

    def _with_frames(self, entries: list[Entry]) -> list[Entry]:
        """Until 8.0: the Frames of a stack of their own, matched to script functions from the top down."""
        r = self._reads
        begin, count = r.vector(self._symbols["g_frame_stack"], 8)
        left = list(r.pointers(begin, min(count, MAX_ENTRIES)))
        found = []
        for i, entry in enumerate(reversed(entries)):
            frame = 0
            # A frame is pushed before its entry, so there may be one too many on top.
            for at in range(len(left) - 1, max(-1, len(left) - (3 if not i else 2)), -1):
                if self._function_of(left[at]) == entry.func:
                    frame = left[at]
                    del left[at:]
                    break
            found.append(Entry(entry.call, entry.func, entry.args, frame))
        return found[::-1]

    def _function_of(self, frame: int) -> int:
        try:
            return self._reads.field(frame, "Frame.function")
        except Unreadable:
            return -1

    def dispatched(self) -> int | None:
        """How many events Zeek has handled (EventMgr in Event.h); None if that is not known."""
        self._reads.allow(MAX_READS)
        try:
            at = dispatch_counter(self._fields, self._symbols)
            return self._reads.number(at) if at else None
        except Unreadable:
            return None

    def arguments(self, entry: Entry) -> tuple[Variable, ...] | None:
        """What the entry's function was called with; None if that cannot be told."""
        self._reads.allow(MAX_READS)
        try:
            declared, passed = self._parameters(entry.func), self._passed(entry.args)
        except Unreadable:
            return None
        found = []
        for i, pointer in enumerate(passed):
            name = declared[i].name if i < len(declared) else f"vararg{i - len(declared)}"
            type_ = self._type(declared[i].type) if i < len(declared) else None
            found.append(Variable(name, type_, self._value(pointer)))
        return tuple(found)

    def locals(self, entry: Entry, body: profile.Body | None, bodies: int) -> tuple[Variable, ...] | None:
        """The local variables of a script function: those with names, else ``<slot 3>``; None if they cannot be told.

        ``body`` is the one that runs, of ``bodies``. A parameter that has been assigned to is among them.
        """
        self._reads.allow(MAX_READS)
        if not entry.frame:
            return None
        try:
            slots = self._slots(entry.frame)
            passed = self._passed(entry.args)
            names = self._names(entry.func, body, bodies)
            captured = self._captured(entry.frame)
            parameters = {field.name: i for i, field in enumerate(self._parameters(entry.func))}
        except Unreadable:
            return None
        found = []
        for name, (slot, type_) in names.items():
            if name in captured or not slot < len(slots):
                continue
            i = parameters.get(name)
            if i is None or (i < len(passed) and passed[i] != slots[slot] and slots[slot]):
                found.append(Variable(name, self._type(type_), self._value(slots[slot])))
        if not names:
            found += [
                Variable(f"<slot {i}>", self._type_of(slots[i]), self._value(slots[i]))
                for i in range(len(passed), len(slots))
                if slots[i]
            ]
        found += [Variable(name, self._type_of(at), self._value(at)) for name, at in captured.items()]
        return tuple(found)

    def _value(self, pointer: int) -> Value:
        return self._values.value(pointer) if pointer else Value(UNSET)

    def _type_of(self, value: int) -> str | None:
        """The type that a Val itself says it has."""
        self._reads.allow(MAX_READS)
        try:
            return self._types.text(self._reads.field(value, "Val.type"))
        except Unreadable:
            return None

    def _type(self, at: int) -> str | None:
        self._reads.allow(MAX_READS)
        try:
            return self._types.text(at)
        except Unreadable:
            return None

    def _parameters(self, func: int) -> tuple[Field, ...]:
        kind = self._reads.field(func, "Func.type")
        return self._types.fields(self._reads.field(kind, "FuncType.args"))

    def _passed(self, args: int) -> tuple[int, ...]:
        if not args:
            return ()
        begin, count = self._reads.plist(args) if self._how.plists else self._reads.vector(args, 8)
        return self._reads.pointers(begin, min(count, MAX_SLOTS))

    def _slots(self, frame: int) -> list[int]:
        """Addresses of the Vals in a Frame."""
        r = self._reads
        size, begin = r.field(frame, "Frame.size", 4), r.field(frame, "Frame.frame")
        if size >= 1 << 31:
            raise Unreadable
        stride, at = self._fields.get("sizeof.Frame.Element", 8), self._fields.get("Frame.Element.val", 0)
        raw = r.read(begin, stride * min(size, MAX_SLOTS)) if size and begin else b""
        return [_word(raw, i + at) for i in range(0, len(raw), stride)]

    def _captured(self, frame: int) -> dict[str, int]:
        """By name, the Vals that a lambda has captured. Until 4.0 not known."""
        r = self._reads
        if "Frame.captures_offset_map" not in self._fields or "Frame.captures" not in self._fields:
            return {}
        holder, places = r.field(frame, "Frame.captures"), r.field(frame, "Frame.captures_offset_map")
        if not holder or not places:
            return {}
        slots = self._slots(holder)
        found = {name.decode("utf-8", "replace"): r.number(at, 4) for name, at in r.unordered_map(places)}
        return {name: slots[i] for name, i in sorted(found.items()) if i < len(slots)}

    def _names(self, func: int, body: profile.Body | None, bodies: int) -> dict[str, tuple[int, int]]:
        """Slot and type by name, in the order of slots; {} where the function's scope is that of another body."""
        r = self._reads
        scope = r.field(func, "Func.scope")
        found: dict[str, tuple[int, int]] = {}
        own = bodies == 1
        for at in self._identifiers(scope) if scope else ():
            if r.tag(at, "ID.scope"):  # not of the function
                continue
            # Its module stands before it as it does before a global's.
            name = r.c_string(r.field(at, "ID.name")).decode("utf-8", "replace").rpartition("::")[2]
            found[name] = (r.field(at, "ID.offset", 4), r.field(at, "ID.type"))
            own = own or self._is_within(at, body)
        return dict(sorted(found.items(), key=lambda item: item[1][0])) if own else {}

    def _is_within(self, identifier: int, body: profile.Body | None) -> bool:
        """Whether an ID was declared in ``body``."""
        r = self._reads
        location = r.field(identifier, "Obj.location")
        if body is None or body.file is None or not location:
            return False
        line = r.field(location, "Location.first_line", 4)
        file = r.c_string(r.field(location, "Location.filename"), 4096).decode("utf-8", "surrogateescape")
        return file == body.file and body.first_line <= line <= body.last_line

    def _identifiers(self, scope: int) -> Iterator[int]:
        r = self._reads
        if "Scope.ordered_vars" in self._fields:  # from 4.1 on
            begin, count = r.vector(scope + r.offset("Scope.ordered_vars"), 8)
            yield from r.pointers(begin, min(count, MAX_SLOTS))
        elif not self._chained:
            for _, at in r.map(scope + r.offset("Scope.local")):
                yield r.number(at)
        else:
            for _, at in self._values.chained_entries(r.field(scope, "Scope.local")):
                yield at


def unchanged(before: Sequence[Entry] | None, after: Sequence[Entry] | None) -> int:
    """How many of the outermost entries are the same in both."""
    same = 0
    for one, other in zip(before or (), after or (), strict=False):
        if not one.same(other):
            break
        same += 1
    return same


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")
