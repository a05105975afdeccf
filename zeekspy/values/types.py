"""Script types as they lie in memory: Zeek's Type and what is derived from it (Type.h)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from zeekspy import zeek_types
from zeekspy.values.reads import Reads, Unreadable

T = TypeVar("T")

MAX_FIELDS = 512
"""Of a record type. Zeek's largest have some 60."""
MAX_TEXT = 160
"""Characters of a type's description; beyond, it is cut."""
OPTIONAL = 0
"""ATTR_OPTIONAL (Attr.h), in every version."""
FLAVORS = ("function", "event", "hook")


@dataclass(frozen=True, slots=True)
class Field:
    """One of a record type: its name, the address of its type, whether it is &optional."""

    name: str
    type: int
    optional: bool


class Types:
    """The types of one target, by address. Raises Unreadable for what cannot be one."""

    def __init__(self, reads: Reads, version: str) -> None:
        self._reads = reads
        self._tags = zeek_types.type_tags(version)
        self._plists = zeek_types.containers(version).plists
        self._known: dict[tuple[str, int], object] = {}

    def tag(self, at: int) -> str:
        """``count``, ``table`` …: the name of its TypeTag."""
        return self._once("tag", at, self._tag)

    def name(self, at: int) -> str:
        """The name it was declared with, "" if with none."""
        return self._once("name", at, lambda at: _text(self._reads.string(at + self._reads.offset("Type.name"))))

    def fields(self, at: int) -> tuple[Field, ...]:
        """Of a record type."""
        return self._once("fields", at, self._fields)

    def indices(self, at: int) -> tuple[int, ...]:
        """The types of a table's or set's index."""
        return self._once("indices", at, lambda at: self._list(self._reads.field(at, "TableType.indices")))

    def element(self, at: int) -> int:
        """What a table, vector or file yields: the address of a type; 0 for a set."""
        member = {"vector": "VectorType.yield_type", "file": "FileType.yield"}.get(self.tag(at), "TableType.yield_type")
        return self._once("element", at, lambda at: self._reads.field(at, member))

    def enumerator(self, at: int, number: int) -> str | None:
        """The name of an enum's value; None if it has none."""
        return self._once("enumerators", at, self._enumerators).get(number)

    def text(self, at: int) -> str:
        """As Zeek describes it: its name, else ``table[addr] of count``."""
        return self._once("text", at, self._describe)

    def _once(self, what: str, at: int, read: Callable[[int], T]) -> T:
        key = (what, at)
        if key not in self._known:
            self._known[key] = read(at)
        return self._known[key]  # type: ignore[return-value]

    def _tag(self, at: int) -> str:
        if not self._reads.is_object(at):
            raise Unreadable
        number = self._reads.tag(at, "Type.tag")
        if number >= len(self._tags):
            raise Unreadable
        return self._tags[number]

    def _fields(self, at: int) -> tuple[Field, ...]:
        r = self._reads
        begin, count = r.plist(r.field(at, "RecordType.types"))
        if count > MAX_FIELDS:
            raise Unreadable
        found = []
        for declaration in r.pointers(begin, count):
            name = _text(r.c_string(r.field(declaration, "TypeDecl.id")))
            attributes = r.field(declaration, "TypeDecl.attrs")
            found.append(Field(name, r.field(declaration, "TypeDecl.type"), self._optional(attributes)))
        return tuple(found)

    def _optional(self, attributes: int) -> bool:
        r = self._reads
        if not attributes:
            return False
        at = attributes + r.offset("Attributes.attrs")
        begin, count = r.plist(r.number(at)) if self._plists else r.vector(at, 8)
        return any(r.tag(attribute, "Attr.tag") == OPTIONAL for attribute in r.pointers(begin, min(count, 64)))

    def _list(self, at: int) -> tuple[int, ...]:
        r = self._reads
        begin, count = (
            r.plist(at + r.offset("TypeList.types")) if self._plists else r.vector(at + r.offset("TypeList.types"), 8)
        )
        return r.pointers(begin, min(count, MAX_FIELDS))

    def _enumerators(self, at: int) -> dict[int, str]:
        r = self._reads
        found: dict[int, str] = {}
        for name, value in r.map(at + r.offset("EnumType.names")):
            found.setdefault(r.number(value, signed=True), _text(name))
        return found

    def _describe(self, at: int) -> str:
        done: list[str] = []
        todo: list[int | str] = [at]
        length = 0
        while todo and length <= MAX_TEXT:
            item = todo.pop()
            if isinstance(item, str):
                done.append(item)
                length += len(item)
            else:
                length += 1
                todo += reversed(self._parts(item))
        text = "".join(done)
        return text if not todo and len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."

    def _parts(self, at: int) -> list[int | str]:
        """What describes a type: words, and types to be described in turn."""
        r, tag = self._reads, self.tag(at)
        if tag != "opaque" and (name := self.name(at)):
            return [name]
        if tag == "table":
            element = self.element(at)
            parts: list[int | str] = ["table[" if element else "set["]
            for i, index in enumerate(self.indices(at)):
                parts += [",", index] if i else [index]
            return [*parts, "] of ", element] if element else [*parts, "]"]
        if tag in ("vector", "file"):
            return [f"{tag} of ", self.element(at)]
        if tag == "record":
            return ["record { ", *self._declared(self.fields(at), "; "), "}"]
        if tag == "func":
            flavor = r.tag(at, "FuncType.flavor")
            if flavor >= len(FLAVORS):
                raise Unreadable
            args, result = self.fields(r.field(at, "FuncType.args")), r.field(at, "FuncType.yield")
            listed = self._declared(args, ", ")
            parts = [f"{FLAVORS[flavor]}(", *listed[:-1], ")"]
            return [*parts, " : ", result] if result else parts
        if tag == "opaque":
            return ["opaque of " + _text(r.string(at + r.offset("OpaqueType.name")))]
        if tag == "list":
            pure = r.field(at, "TypeList.pure_type")
            return ["list of ", pure] if pure else ["list"]
        return [tag]

    @staticmethod
    def _declared(fields: tuple[Field, ...], between: str) -> list[int | str]:
        parts: list[int | str] = []
        for field in fields:
            parts += [f"{field.name}:", field.type, between]
        return parts


def _text(data: bytes) -> str:
    """Of a name: what cannot be printed is replaced."""
    return "".join(c if c.isprintable() else "?" for c in data.decode("utf-8", "replace"))
