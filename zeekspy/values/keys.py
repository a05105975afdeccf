"""Indices of tables and sets: Zeek keeps them as bytes alone, made by CompositeHash (CompHash.cc).

Every part is aligned to its size, from the beginning of the key. A string that is the only part has no length in it.
"""

from __future__ import annotations

import struct

from zeekspy.values.reads import Unreadable
from zeekspy.values.text import address, subnet
from zeekspy.values.types import Types
from zeekspy.values.value import UNSET, Value

MAX_PARTS = 256
"""Of one index, the fields of records counted."""


def index(key: bytes, types: Types, parts: tuple[int, ...], limit: int) -> list[Value]:
    """The values a key was made from, strings cut to ``limit`` bytes. Raises Unreadable for what it cannot be."""
    return _Key(key, types, limit).read(parts)


class _Key:
    def __init__(self, data: bytes, types: Types, limit: int) -> None:
        self._data, self._types, self._limit = data, types, limit
        self._at = 0

    def read(self, parts: tuple[int, ...]) -> list[Value]:
        found: list[Value] = []
        alone = len(parts) == 1
        # (type, whether it may be absent, where it goes), the next one last
        todo = [(part, False, found) for part in reversed(parts)]
        for _ in range(MAX_PARTS):
            if not todo:
                return found
            part, optional, place = todo.pop()
            value = Value()
            place.append(value)
            if optional and not self._take(1)[0]:
                value.tag = UNSET
                continue
            tag = self._types.tag(part)
            if tag == "record":
                fields = self._types.fields(part)
                value.tag, value.names, value.size = tag, tuple(f.name for f in fields), len(fields)
                todo += [(f.type, f.optional, value.items) for f in reversed(fields)]
                alone = False
            else:
                self._leaf(tag, part, alone, value)
        raise Unreadable

    def _take(self, length: int, align: int = 1) -> bytes:
        self._at += -self._at % align
        piece = self._data[self._at : self._at + length]
        if len(piece) < length:
            raise Unreadable
        self._at += length
        return piece

    def _leaf(self, tag: str, part: int, alone: bool, value: Value) -> None:
        value.tag = tag
        if tag in ("bool", "int"):
            value.data = int.from_bytes(self._take(8, 8), "little", signed=True)
        elif tag == "enum":
            number = int.from_bytes(self._take(8, 8), "little", signed=True)
            value.data = self._types.enumerator(part, number) or f"<undefined {number}>"
        elif tag in ("count", "counter", "port"):
            value.data = int.from_bytes(self._take(8, 8), "little")
        elif tag in ("double", "time", "interval"):
            (value.data,) = struct.unpack("<d", self._take(8, 8))
        elif tag == "addr":
            value.data = address(self._take(16, 4))
        elif tag == "subnet":
            prefix = self._take(16, 4)
            value.data = subnet(prefix, int.from_bytes(self._take(4, 4), "little"))
        elif tag == "string":
            length = len(self._data) if alone else int.from_bytes(self._take(4, 4), "little", signed=True)
            if length < 0:
                raise Unreadable
            value.size, value.data = length, self._take(length)[: self._limit]
        elif tag == "func":  # by the number it has in this table alone
            value.data = f"<function {int.from_bytes(self._take(4, 4), 'little')}>"
        else:
            raise Unreadable
