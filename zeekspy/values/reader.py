"""Values from memory: a Val (Val.h), or a ZVal (ZVal.h), which is one without its type, and all within it.

Nothing here recurses: what is still to be read stands in a queue, so that what is nearest to a variable comes first,
and the limits end it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from zeekspy import zeek_types
from zeekspy.values import keys
from zeekspy.values.reads import Reads, Unreadable
from zeekspy.values.text import MAPPED, address, subnet
from zeekspy.values.types import Types
from zeekspy.values.value import UNSET, Limits, Value

MAX_SLOTS = 1 << 14
"""Of a table's storage that are looked at in search of its entries."""
SLOTS_AT_ONCE = 128
NUMBERS = {
    **dict.fromkeys(("bool", "int", "enum"), "IntVal.int_val"),
    **dict.fromkeys(("count", "counter", "port"), "CountVal.uint_val"),
    **dict.fromkeys(("double", "time", "interval"), "DoubleVal.double_val"),
}
"""Where a Val keeps a number, which a ZVal is itself."""
POINTERS = {
    "string": "StringVal.string_val",
    "addr": "AddrVal.addr_val",
    "subnet": "SubNetVal.subnet_val",
    "pattern": "PatternVal.re_val",
    "func": "FuncVal.func_val",
    "file": "FileVal.file_val",
}
"""Where a Val keeps the pointer to what it is. A ZVal points to the Val, see BARE."""
BARE = ("func", "file")
"""Of these a ZVal points to the Func or File itself."""


@dataclass(slots=True)
class _Task:
    """A value to be read: of a Val at ``at``, or, with ``type``, of the ZVal ``word``."""

    value: Value
    at: int
    word: int = 0
    type: int = 0
    records: int = 0
    """How many records it is in."""
    within: tuple[int, ...] = ()
    """Addresses of the containers it is in."""


class ValueReader:
    """Reads values of one target. ``reads`` and ``types`` may be shared."""

    def __init__(self, reads: Reads, types: Types, version: str, limits: Limits) -> None:
        self._reads, self._types, self._limits = reads, types, limits
        self._how = zeek_types.containers(version)
        self._queue: deque[_Task] = deque()
        self._made = 0

    def value(self, at: int) -> Value:
        """The value of the Val at ``at``; unset for a null pointer. Raises nothing."""
        self._queue.clear()
        self._made = 1
        self._reads.allow(self._limits.reads)
        whole = Value()
        self._queue.append(_Task(whole, at))
        while self._queue:
            task = self._queue.popleft()
            try:
                self._read(task)
            except (Unreadable, struct.error):
                task.value.tag, task.value.data = "unreadable", None
                task.value.keys, task.value.items = [], []
        return whole

    def _read(self, task: _Task) -> None:
        r, value = self._reads, task.value
        if task.type:
            tag, kind = self._types.tag(task.type), task.type
            if tag == "any":
                task.at = task.word
            elif tag in NUMBERS:
                self._number(value, tag, kind, task.word)
                return
            elif tag in BARE:
                self._leaf(value, tag, task.word)
                return
            else:
                task.at = task.word
        if not task.at:
            value.tag = UNSET
            return
        kind = r.field(task.at, "Val.type")
        tag = self._types.tag(kind)
        if tag != "opaque" and not r.is_object(task.at):  # a plugin's opaque values have vtables elsewhere
            raise Unreadable
        if task.at in task.within:
            value.tag = "cycle"
        elif tag in NUMBERS:
            self._number(value, tag, kind, r.field(task.at, NUMBERS[tag]))
        elif tag in POINTERS:
            self._leaf(value, tag, r.field(task.at, POINTERS[tag]))
        elif tag == "opaque":
            value.tag, value.data = tag, f"<opaque of {self._class(task.at)}>"
        elif tag == "type":
            value.tag, value.data = tag, self._types.text(r.field(kind, "TypeType.type"))
        elif tag in ("record", "table", "vector", "list"):
            if len(task.within) >= self._limits.nesting:
                value.tag = "more"
            else:
                {"record": self._record, "table": self._table, "vector": self._vector, "list": self._list}[tag](
                    task, kind
                )
        else:
            value.tag = tag

    def _child(self, task: _Task, at: int, word: int = 0, type_: int = 0) -> Value | None:
        """Puts a value within another one into the queue; None when there are too many."""
        if self._made >= self._limits.values:
            return None
        self._made += 1
        child = Value()
        records = task.records + (task.value.tag == "record")
        self._queue.append(_Task(child, at, word, type_, records, (*task.within, task.at)))
        return child

    def _number(self, value: Value, tag: str, kind: int, word: int) -> None:
        raw = word.to_bytes(8, "little")
        value.tag = tag
        if tag in ("double", "time", "interval"):
            (value.data,) = struct.unpack("<d", raw)
        elif tag in ("count", "counter", "port"):
            value.data = word
        else:
            number = int.from_bytes(raw, "little", signed=True)
            value.data = number
            if tag == "enum":
                value.data = self._types.enumerator(kind, number) or f"<undefined {number}>"

    def _leaf(self, value: Value, tag: str, at: int) -> None:
        r = self._reads
        value.tag = tag
        if not at:
            value.tag = UNSET
        elif tag == "string":
            value.size = r.field(at, "String.n", 4)
            if value.size >= 1 << 31:
                raise Unreadable
            here = min(value.size, self._limits.string)
            value.data = r.read(r.field(at, "String.b"), here) if here else b""
        elif tag == "addr":
            value.data = self._address(at)
        elif tag == "subnet":
            packed = r.read(at + r.offset("IPPrefix.prefix") + r.offset("IPAddr.in6"), 16)
            width = r.field(at, "IPPrefix.length", 1) - (96 if packed.startswith(MAPPED) else 0)
            if not 0 <= width <= 128:
                raise Unreadable
            value.data = subnet(packed, width)
        elif tag == "pattern":
            matcher = r.field(at, "RE_Matcher.re_exact")
            place = matcher + r.offset("Specific_RE_Matcher.pattern_text")
            # A char * until 5.2; as wide is the std::string of the old libstdc++, which begins with one.
            plain = r.offset("sizeof.Specific_RE_Matcher.pattern_text") == 8
            limit = self._limits.string
            found = r.c_string(r.number(place), limit) if plain else r.string(place, limit)
            value.data = "/" + found.decode("utf-8", "backslashreplace") + ("..." if len(found) == limit else "") + "/"
        elif tag == "func":
            value.data = r.string(at + r.offset("Func.name")).decode("utf-8", "replace")
        else:
            name, of = r.field(at, "File.name"), r.field(at, "File.t")
            quoted = f'"{r.c_string(name).decode("utf-8", "replace")}" ' if name else ""
            value.data = f"file {quoted}of {self._types.text(of) if of else '(no type)'}"

    def _address(self, at: int) -> str:
        return address(self._reads.read(at + self._reads.offset("IPAddr.in6"), 16))

    def _class(self, at: int) -> str:
        """The name of the C++ class of an object, as its vtable's std::type_info has it: N4zeek6MD5ValE is MD5Val."""
        r = self._reads
        mangled = r.c_string(r.number(r.number(r.number(at) - 8) + 8), 128)
        last, rest = b"", mangled.lstrip(b"*N").removesuffix(b"E")
        while rest[:1].isdigit():
            digits = len(rest) - len(rest.lstrip(b"0123456789"))
            length = int(rest[:digits])
            last, rest = rest[digits : digits + length], rest[digits + length :]
        name = last.decode("latin-1")
        if not name.isidentifier():
            raise Unreadable
        return name

    def _record(self, task: _Task, kind: int) -> None:
        value, fields = task.value, self._types.fields(kind)
        value.tag, value.size, value.names = "record", len(fields), tuple(f.name for f in fields)
        if task.records >= self._limits.depth:
            return
        for field, (is_set, at, word) in zip(fields, self._slots(task.at, len(fields)), strict=False):
            child = self._child(task, at, word, 0 if self._how.vals else field.type) if is_set else Value(UNSET)
            if child is None:
                break
            value.items.append(child)

    def _slots(self, at: int, count: int) -> Iterator[tuple[bool, int, int]]:
        """(whether it is there, address of its Val, or its ZVal) of a record's fields."""
        r = self._reads
        if "RecordVal.num_fields" in r.fields:  # from 8.1 on: ZValElements
            # A redefinition can have given the type more fields than the value had when it was made.
            count = min(count, r.field(at, "RecordVal.num_fields", 4))
            begin, size = r.field(at, "RecordVal.record_val"), r.offset("sizeof.ZValElement")
            is_set, zval = r.offset("ZValElement.is_set"), r.offset("ZValElement.zval")
            raw = r.read(begin, size * count) if count else b""
            for i in range(0, size * count, size):
                yield bool(raw[i + is_set]), 0, int.from_bytes(raw[i + zval : i + zval + 8], "little")
            return
        place = at + r.offset("RecordVal.record_val")
        if not self._how.vals:
            yield from self._optionals(r.number(place) if self._how.indirect else place, count)
            return
        begin, held = r.plist(r.number(place)) if self._how.plists else r.vector(r.number(place), 8)
        for pointer in r.pointers(begin, min(count, held)):
            yield bool(pointer), pointer, 0

    def _optionals(self, vector: int, limit: int) -> Iterator[tuple[bool, int, int]]:
        """The same of the first elements of a std::vector<std::optional<ZVal>>."""
        begin, count = self._reads.vector(vector, 16)
        raw = self._reads.read(begin, 16 * min(count, limit)) if count else b""
        for i in range(0, len(raw), 16):
            yield bool(raw[i + 8]), 0, int.from_bytes(raw[i : i + 8], "little")

    def _vector(self, task: _Task, kind: int) -> None:
        r, value, limit = self._reads, task.value, self._limits.elements
        place = task.at + r.offset("VectorVal.vector_val")
        holder = r.number(place) if self._how.indirect else place
        value.tag, value.size = "vector", r.vector(holder, 8 if self._how.vals else 16)[1]
        if self._how.vals:
            begin, count = r.vector(holder, 8)
            found = ((bool(p), p, 0) for p in r.pointers(begin, min(count, limit)))
        else:
            found = self._optionals(holder, limit)  # type: ignore[assignment]
        element = 0 if self._how.vals else self._types.element(kind)
        for is_set, at, word in found:
            child = self._child(task, at, word, element) if is_set else Value(UNSET)
            if child is None:
                break
            value.items.append(child)

    def _list(self, task: _Task, _: int) -> None:
        r, value = self._reads, task.value
        place = task.at + r.offset("ListVal.vals")
        begin, value.size = r.plist(place) if self._how.plists else r.vector(place, 8)
        value.tag = "list"
        for pointer in r.pointers(begin, min(value.size, self._limits.elements)):
            child = self._child(task, pointer)
            if child is None:
                break
            value.items.append(child)

    def _table(self, task: _Task, kind: int) -> None:
        r, value = self._reads, task.value
        dictionary = r.field(task.at, "TableVal.table_val")
        value.tag = "table"
        if not dictionary:
            return
        parts, is_set = self._types.indices(kind), not self._types.element(kind)
        open_ = "Dictionary.table" in r.fields
        value.size = r.field(dictionary, "Dictionary.num_entries", 4)
        if not open_ and r.field(dictionary, "Dictionary.tbl2"):
            value.size += r.field(dictionary, "Dictionary.num_entries2", 4)
        if value.size >= 1 << 31:
            raise Unreadable
        for key, entry in self.open_entries(dictionary) if open_ else self.chained_entries(dictionary):
            if len(value.keys) >= min(self._limits.elements, value.size):
                break
            if not is_set:
                child = self._child(task, r.field(entry, "TableEntryVal.val"))
                if child is None:
                    break
                value.items.append(child)
            try:
                value.keys.append(keys.index(key, self._types, parts, self._limits.string))
            except (Unreadable, struct.error):
                value.keys.append([Value()])

    def open_entries(self, dictionary: int) -> Iterator[tuple[bytes, int]]:
        """(key, value pointer) of a Dictionary from Zeek 4.0 on, in the order of its slots."""
        r = self._reads
        table, left = r.field(dictionary, "Dictionary.table"), r.field(dictionary, "Dictionary.num_entries", 4)
        size, distance = r.offset("sizeof.DictEntry"), r.offset("DictEntry.distance")
        # As many slots as buckets, and some more at the end for those that were moved.
        buckets = 1 << min(r.field(dictionary, "Dictionary.log2_buckets", 1), 40)
        slots = min(2 * buckets + 64, MAX_SLOTS) if table else 0
        for first in range(0, slots, SLOTS_AT_ONCE):
            for i in range(first, min(first + SLOTS_AT_ONCE, slots)):
                if not left:
                    return
                entry = r.read(table + i * size, size)
                if entry[distance : distance + 2] != b"\xff\xff":
                    left -= 1
                    yield self._open_entry(entry)

    def _open_entry(self, entry: bytes) -> tuple[bytes, int]:
        r = self._reads
        key, value, length = r.offset("DictEntry.key"), r.offset("DictEntry.value"), r.offset("DictEntry.key_size")
        width = r.offset("sizeof.DictEntry.key_size")
        size = int.from_bytes(entry[length : length + width], "little")
        word = entry[key : key + 8]
        held = word[:size] if size <= 8 else r.read(int.from_bytes(word, "little"), min(size, 1 << 16))
        return held, int.from_bytes(entry[value : value + 8], "little")

    def chained_entries(self, dictionary: int) -> Iterator[tuple[bytes, int]]:
        """The same until Zeek 3.2: Lists of DictEntries, in one table or, while it grows, in two."""
        r = self._reads
        for which in ("", "2"):
            table = r.field(dictionary, f"Dictionary.tbl{which}")
            buckets = r.field(dictionary, f"Dictionary.num_buckets{which}", 4) if table else 0
            for i in range(min(buckets, MAX_SLOTS)):
                chain = r.number(table + 8 * i)
                begin, count = r.plist(chain) if chain else (0, 0)
                for entry in r.pointers(begin, min(count, SLOTS_AT_ONCE)):
                    length = r.field(entry, "DictEntry.len", 4)
                    held = r.read(r.field(entry, "DictEntry.key"), min(length, 1 << 16)) if length else b""
                    yield held, r.field(entry, "DictEntry.value")
