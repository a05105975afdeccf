"""DWARF 2 to 5: units and entries (DIEs), as far as looking up classes needs them.

A general reader makes an object of every entry, and a 360 MB Zeek has tens of millions. This one steps over entries by
their abbreviation and decodes only those that are asked for. Input is hostile: what cannot be read raises
DebugInfoError (dwarf.generate turns the IndexError and struct.error of inner loops into it), every loop moves forward,
and what could be read twice is counted against a budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from zeekspy.debug_files import DebugFile, DebugSection
from zeekspy.errors import DebugInfoError
from zeekspy.forms import (
    BLOCKS,
    FLAG_PRESENT,
    FORM_IMPLICIT_CONST,
    FORM_REF_ADDR,
    FORM_REF_SIG8,
    INDIRECT,
    LEBS,
    LINE_STRP,
    REF_ALT,
    REF_UNIT,
    STRING,
    STRP,
    STRP_ALT,
    STRX,
    Abbrevs,
    Shape,
    size_of,
    skip,
    sleb,
    uleb,
)

TAG_CLASS, TAG_ENUM, TAG_MEMBER, TAG_POINTER, TAG_COMPILE_UNIT, TAG_REFERENCE = 0x02, 0x04, 0x0D, 0x0F, 0x11, 0x10
TAG_STRUCTURE, TAG_TYPEDEF, TAG_UNION, TAG_INHERITANCE, TAG_CONST, TAG_VOLATILE = 0x13, 0x16, 0x17, 0x1C, 0x26, 0x35
TAG_NAMESPACE, TAG_IMPORTED_UNIT, TAG_PARTIAL_UNIT, TAG_RVALUE_REFERENCE = 0x39, 0x3D, 0x3C, 0x42
CLASS_TAGS = frozenset({TAG_CLASS, TAG_STRUCTURE, TAG_UNION})
POINTERS = frozenset({TAG_POINTER, TAG_REFERENCE, TAG_RVALUE_REFERENCE})
TRANSPARENT = frozenset({TAG_TYPEDEF, TAG_CONST, TAG_VOLATILE})

AT_SIBLING, AT_NAME, AT_BYTE_SIZE, AT_BIT_OFFSET, AT_BIT_SIZE, AT_LANGUAGE = 0x01, 0x03, 0x0B, 0x0C, 0x0D, 0x13
AT_IMPORT, AT_PRODUCER, AT_LOCATION, AT_DECLARATION, AT_EXTERNAL, AT_SPECIFICATION = 0x18, 0x25, 0x38, 0x3C, 0x3F, 0x47
AT_TYPE, AT_VIRTUALITY, AT_SIGNATURE, AT_DATA_BIT_OFFSET, AT_STR_OFFSETS_BASE = 0x49, 0x4C, 0x69, 0x6B, 0x72
AT_DWO_NAME, AT_GNU_DWO_NAME = 0x76, 0x2130

CPLUSPLUS = frozenset({0x04, 0x1A, 0x21, 0x2B, 0x3A})
MAX_ABBREVS = 20_000_000
"""Abbreviations and their attributes read in all; a 360 MB Zeek needs a hundredth."""

Value = int | bytes


@dataclass(slots=True)
class Unit:
    """One unit of debug info. Offsets of entries are relative to the unit's first byte."""

    dwarf: Dwarf
    section: DebugSection
    section_index: int
    offset: int
    size: int
    shape: Shape
    abbrev_offset: int
    first: int
    """Offset of its top entry."""
    signature: int = 0
    type_offset: int = 0
    """Of a type unit: what it is known by, and where its type is."""
    str_offsets_base: int = -1
    cache: bytes | None = field(default=None, repr=False)

    @property
    def data(self) -> bytes:
        """Its bytes, the header included. ``cache = None`` lets them go; they are read again when asked for."""
        if self.cache is None:
            self.cache = self.section.slice(self.offset, self.size)
        return self.cache

    def strings_at(self) -> int:
        """Where this unit's part of .debug_str_offsets begins."""
        if self.str_offsets_base < 0:
            base = self.dwarf.top(self).number(AT_STR_OFFSETS_BASE)
            self.str_offsets_base = base if base is not None else 2 * self.shape.wide if self.shape.version >= 5 else 0
        return self.str_offsets_base


class Die(NamedTuple):
    """An entry that was decoded: its attributes, and where the next one begins."""

    unit: Unit
    offset: int
    tag: int
    children: bool
    attributes: dict[int, tuple[int, Value]]
    """Attribute to (form, value)."""
    next: int

    def number(self, attribute: int) -> int | None:
        """The value of a constant, flag or reference; None if the attribute is missing or is no number."""
        value = self.attributes.get(attribute)
        return value[1] if value is not None and isinstance(value[1], int) else None

    def text(self, attribute: int) -> bytes | None:
        """A string, wherever its characters are kept; None if the attribute is missing."""
        form, value = self.attributes.get(attribute, (0, b""))
        if isinstance(value, bytes):
            return value if form == STRING else None
        file = self.unit.dwarf.file
        if form == STRP:
            return file.str.string(value)
        if form == LINE_STRP:
            return file.line_str.string(value)
        if form in STRP_ALT:
            return file.alt().str.string(value)
        if form in STRX:
            offset = file.str_offsets.slice(self.unit.strings_at() + value * self.unit.shape.wide, self.unit.shape.wide)
            return file.str.string(int.from_bytes(offset, "little"))
        return None

    def follow(self, attribute: int) -> Die | None:
        """The entry that a reference leads to, in whatever unit or file; None if the attribute is missing."""
        form, value = self.attributes.get(attribute, (0, b""))
        if not isinstance(value, int):
            return None
        unit, dwarf = self.unit, self.unit.dwarf
        if form in REF_UNIT:
            return dwarf.die(unit, value)
        if form == FORM_REF_SIG8:
            target = dwarf.types.get(value)
            if target is None:
                raise dwarf.damaged(f"no type has the signature {value:#x}")
            return dwarf.die(target, target.type_offset)
        if form == FORM_REF_ADDR:
            target = dwarf.unit_at(unit.section_index, value)
        elif form in REF_ALT:
            dwarf = dwarf.alt
            target = dwarf.unit_at(0, value)
        else:
            raise dwarf.damaged(f"a reference of the form {form:#x}")
        return dwarf.die(target, value - target.offset)

    def child_entries(self) -> Iterator[Die]:
        """Its children, decoded one after the other; grandchildren are stepped over."""
        at = self.next
        while self.children and (die := self.unit.dwarf.die(self.unit, at)) is not None:
            yield die
            at = self.unit.dwarf.skip_children(self.unit, die.next) if die.children else die.next


class Dwarf:
    """The units of one DebugFile."""

    def __init__(self, file: DebugFile) -> None:
        self.file = file
        self._tables: dict[tuple[int, Shape], Abbrevs] = {}
        self._budget = MAX_ABBREVS
        self.units: list[Unit] = []
        self.types: dict[int, Unit] = {}
        """Type units by signature."""
        for index, (section, is_types) in enumerate(file.infos):
            for unit in self._headers(section, index, is_types):
                (self.types.setdefault(unit.signature, unit) if unit.type_offset else self.units.append(unit))
        self._starts = {(u.section_index, u.offset): u for u in self.units}

    def _headers(self, section: DebugSection, index: int, is_types: bool) -> Iterator[Unit]:
        at = 0
        while at + 12 <= len(section):
            head = section.slice(at, 40)
            length = int.from_bytes(head[:4], "little")
            wide, pos = 4, 4
            if length == 0xFFFFFFFF:
                length, wide, pos = int.from_bytes(head[4:12], "little"), 8, 12
            if length == 0:  # padding between the contributions of two object files
                at += 4
                continue
            size = pos + length
            version = int.from_bytes(head[pos : pos + 2], "little")
            if not 2 <= version <= 5 or at + size > len(section) or len(head) < pos + 2 + wide + 2:
                raise self.damaged(f"no unit at {at:#x}")
            pos += 2
            kind = 0x02 if is_types else 0x01
            if version >= 5:
                kind, address = head[pos], head[pos + 1]
                abbrev = int.from_bytes(head[pos + 2 : pos + 2 + wide], "little")
                pos += 2 + wide
            else:
                abbrev, address = int.from_bytes(head[pos : pos + wide], "little"), head[pos + wide]
                pos += wide + 1
            unit = Unit(self, section, index, at, size, Shape(version, wide, address), abbrev, pos)
            if kind in (0x02, 0x06):  # type unit, split type unit
                unit.signature = int.from_bytes(head[pos : pos + 8], "little")
                unit.type_offset = int.from_bytes(head[pos + 8 : pos + 8 + wide], "little")
                unit.first = pos + 8 + wide
            elif kind in (0x04, 0x05):  # skeleton, split compile unit: an id follows
                unit.first = pos + 8
            if address not in (4, 8) or unit.first >= size or unit.type_offset >= size:
                raise self.damaged(f"the unit at {at:#x}")
            yield unit
            at += size

    def unit_at(self, section_index: int, offset: int) -> Unit:
        """The unit that holds byte ``offset`` of the section."""
        unit = self._starts.get((section_index, offset))
        if unit is None:
            for unit in self.units:
                if unit.section_index == section_index and unit.offset <= offset < unit.offset + unit.size:
                    return unit
            raise self.damaged(f"no unit holds {offset:#x}")
        return unit

    def spend(self, amount: int) -> None:
        """Counts what is read of abbreviations: crafted units can point into the middle of each other's."""
        self._budget -= amount
        if self._budget < 0:
            raise DebugInfoError(f"{self.file.name} has more abbreviations than any real program")

    def abbrevs(self, unit: Unit) -> Abbrevs:
        key = (unit.abbrev_offset, unit.shape)
        table = self._tables.get(key)
        if table is None:
            if len(self._tables) > 4096:
                self._tables.clear()
            table = self._tables[key] = Abbrevs(self.file.abbrev, unit.abbrev_offset, unit.shape, self.spend)
        return table

    def die(self, unit: Unit, at: int) -> Die | None:
        """The entry at ``at`` of ``unit``, None for the one that ends a list of children."""
        data = unit.data
        if not unit.first <= at < len(data):
            raise self.damaged("an entry outside its unit")
        start = at
        code, at = uleb(data, at)
        if not code:
            return None
        abbrev = self.abbrevs(unit)[code]
        attributes: dict[int, tuple[int, Value]] = {}
        for name, form, implicit in abbrev.attributes:
            if form == INDIRECT:
                form, at = uleb(data, at)
            value, at = self._value(unit, data, at, form, implicit)
            attributes.setdefault(name, (form, value))
        return Die(unit, start, abbrev.tag, abbrev.children, attributes, at)

    def _value(self, unit: Unit, data: bytes, at: int, form: int, implicit: int) -> tuple[Value, int]:
        size = size_of(form, unit.shape)
        if size is not None:
            if form == FORM_IMPLICIT_CONST:
                return implicit, at
            if form == FLAG_PRESENT:
                return 1, at
            if at + size > len(data):
                raise self.damaged("an entry beyond its unit")
            return int.from_bytes(data[at : at + size], "little"), at + size
        if form == 0x0D:
            return sleb(data, at)
        if form in LEBS:
            return uleb(data, at)
        if form == STRING:
            end = data.index(b"\0", at)
            return data[at:end], end + 1
        if form in BLOCKS:
            if form in (0x09, 0x18):
                length, at = uleb(data, at)
            else:
                width = {0x0A: 1, 0x03: 2, 0x04: 4}[form]
                length, at = int.from_bytes(data[at : at + width], "little"), at + width
            if at + length > len(data):
                raise self.damaged("a block beyond its unit")
            return data[at : at + length], at + length
        raise DebugInfoError(f"the debug info of {self.file.name} uses a form that zeekspy does not know ({form:#x})")

    def top(self, unit: Unit) -> Die:
        """The unit's own entry, without reading the rest of the unit."""
        kept, unit.cache = unit.cache, unit.section.slice(unit.offset, min(unit.size, 2048))
        try:
            die = self.die(unit, unit.first)
        except (IndexError, ValueError, DebugInfoError):
            unit.cache = None
            die = self.die(unit, unit.first)
        finally:
            unit.cache = kept
        if die is None:
            raise self.damaged(f"the unit at {unit.offset:#x} is empty")
        return die

    def damaged(self, what: str) -> DebugInfoError:
        return DebugInfoError(f"the debug info of {self.file.name} is damaged: {what}")

    @cached_property
    def alt(self) -> Dwarf:
        """The debug info that dwz moved to a shared file."""
        return Dwarf(self.file.alt())

    def skip_children(self, unit: Unit, at: int) -> int:
        """The offset behind the children that begin at ``at`` and their end mark."""
        data, abbrevs = unit.data, self.abbrevs(unit)
        table = abbrevs.known
        depth = 1
        while depth:
            code = data[at]
            at += 1
            if not code:
                depth -= 1
                continue
            if code >= 0x80:
                code, at = uleb(data, at - 1)
            abbrev = table.get(code) or abbrevs[code]
            if abbrev.fixed >= 0:
                at += abbrev.fixed
            else:
                at = skip(data, at, abbrev.steps, unit.shape)
            depth += abbrev.children
        return at
