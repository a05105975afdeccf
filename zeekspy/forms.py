"""DWARF's abbreviations and forms: how the attributes of an entry are encoded, and how to step over them.

Numbers are those of the DWARF 5 standard, section 7.5, and of GNU's extensions (0x1f01 …).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from zeekspy.debug_files import DebugSection
from zeekspy.errors import DebugInfoError

AT_SIBLING = 0x01

FORM_REF_ADDR, FORM_REF_SIG8, FORM_IMPLICIT_CONST = 0x10, 0x20, 0x21
REF_UNIT = frozenset({0x11, 0x12, 0x13, 0x14, 0x15})
BLOCKS = frozenset({0x03, 0x04, 0x09, 0x0A, 0x18})
ADDR, INDIRECT, FLAG_PRESENT = 0x01, 0x16, 0x19
STRING, STRP, LINE_STRP = 0x08, 0x0E, 0x1F
STRX, STRP_ALT = frozenset({0x1A, 0x25, 0x26, 0x27, 0x28, 0x1F02}), frozenset({0x1D, 0x1F21})
REF_ALT = frozenset({0x1C, 0x24, 0x1F20})

FIXED = {
    0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x0C: 1, 0x11: 1, 0x12: 2, 0x13: 4, 0x14: 8, 0x19: 0, 0x1C: 4, 0x1E: 16,
    0x20: 8, 0x21: 0, 0x24: 8, 0x25: 1, 0x26: 2, 0x27: 3, 0x28: 4, 0x29: 1, 0x2A: 2, 0x2B: 3, 0x2C: 4,
}  # fmt: skip
"""Forms of a size that is the same in every unit."""
WIDE = frozenset({0x0E, 0x10, 0x17, 0x1D, 0x1F, 0x1F20, 0x1F21})
"""Forms as wide as offsets are in the unit (ref_addr in DWARF 2: as addresses)."""
LEBS = frozenset({0x0D, 0x0F, 0x15, 0x1A, 0x1B, 0x22, 0x23, 0x1F01, 0x1F02})
SKIP_LEB, SKIP_STRING, SKIP_BLOCK, SKIP_BLOCK1, SKIP_BLOCK2, SKIP_BLOCK4, SKIP_INDIRECT = -1, -2, -3, -4, -5, -6, -7
VARIABLE = {
    0x03: SKIP_BLOCK2, 0x04: SKIP_BLOCK4, 0x08: SKIP_STRING, 0x09: SKIP_BLOCK, 0x0A: SKIP_BLOCK1, 0x16: SKIP_INDIRECT,
    0x18: SKIP_BLOCK,
}  # fmt: skip


class Shape(NamedTuple):
    """What the sizes of forms depend on."""

    version: int
    wide: int
    """Bytes of an offset: 4, or 8 in 64-bit DWARF."""
    address: int


def size_of(form: int, shape: Shape) -> int | None:
    """Bytes that a value of this form takes, None if that varies."""
    if form in WIDE:
        return shape.address if form == FORM_REF_ADDR and shape.version == 2 else shape.wide
    return shape.address if form == ADDR else FIXED.get(form)


class Abbrev(NamedTuple):
    tag: int
    children: bool
    fixed: int
    """Bytes its attributes take, -1 if that varies."""
    steps: tuple[int, ...]
    """Where it varies, how to step over them: so many bytes, or one of SKIP_*."""
    attributes: tuple[tuple[int, int, int], ...]
    """(attribute, form, value of an implicit constant)."""
    sibling_last: bool
    """Whether its last attribute is a 4-byte reference to the entry behind its children, as GCC writes it."""


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """(value, offset behind it) of an unsigned LEB128 number."""
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 70:
            raise DebugInfoError("the debug info is damaged: a number without an end")


def sleb(data: bytes, at: int) -> tuple[int, int]:
    start = at
    value, at = uleb(data, at)
    bits = 7 * (at - start)
    return (value - (1 << bits) if data[at - 1] & 0x40 else value), at


def skip(data: bytes, at: int, steps: tuple[int, ...], shape: Shape) -> int:
    """The offset behind attributes that take ``steps``."""
    for step in steps:
        if step >= 0:
            at += step
        elif step == SKIP_LEB:
            while data[at] >= 0x80:
                at += 1
            at += 1
        elif step == SKIP_STRING:
            at = data.index(b"\0", at) + 1
        elif step == SKIP_BLOCK:
            length = data[at]
            at += 1
            if length >= 0x80:
                length, at = uleb(data, at - 1)
            at += length
        elif step == SKIP_BLOCK1:
            at += 1 + data[at]
        elif step == SKIP_BLOCK2:
            at += 2 + int.from_bytes(data[at : at + 2], "little")
        elif step == SKIP_BLOCK4:
            at += 4 + int.from_bytes(data[at : at + 4], "little")
        else:
            form, at = uleb(data, at)
            if form == INDIRECT:
                raise DebugInfoError("the debug info is damaged: an indirect form that is indirect again")
            at = skip(data, at, _steps([form], shape), shape)
    return at


def _steps(forms: Sequence[int], shape: Shape) -> tuple[int, ...]:
    """How to step over attributes of these forms, neighbours of fixed sizes joined."""
    steps: list[int] = []
    for form in forms:
        size = size_of(form, shape)
        if size is None:
            step = SKIP_LEB if form in LEBS else VARIABLE.get(form)
            if step is None:
                raise DebugInfoError(f"the debug info uses a form that zeekspy does not know ({form:#x})")
            steps.append(step)
        elif steps and steps[-1] >= 0:
            steps[-1] += size
        else:
            steps.append(size)
    return tuple(steps)


class Abbrevs:
    """The abbreviations of a unit, read no further than asked for: most units are only asked for their name."""

    def __init__(self, section: DebugSection, offset: int, shape: Shape, spend: Callable[[int], None]) -> None:
        """``spend`` is told what is read, and raises when it is too much."""
        self.known: dict[int, Abbrev] = {}
        self._section, self._offset, self._shape, self._spend = section, offset, shape, spend
        self._window = 4096
        self._data = section.slice(offset, self._window)
        self._at = 0
        self._ended = False

    def __getitem__(self, code: int) -> Abbrev:
        while code not in self.known:
            if self._ended:
                raise DebugInfoError(f"the debug info is damaged: no abbreviation {code} at {self._offset:#x}")
            try:
                self._next()
            except IndexError:
                if len(self._data) < self._window:
                    raise DebugInfoError("the debug info is damaged: its abbreviations end early") from None
                self._spend(self._window // 8)
                self._window *= 8
                self._data = self._section.slice(self._offset, self._window)
        return self.known[code]

    def _next(self) -> None:
        data = self._data
        code, at = uleb(data, self._at)
        if not code:
            self._ended = True
            return
        tag, at = uleb(data, at)
        children = data[at] != 0
        at += 1
        attributes = []
        while True:
            name, at = uleb(data, at)
            form, at = uleb(data, at)
            implicit = 0
            if form == FORM_IMPLICIT_CONST:
                implicit, at = sleb(data, at)
            if not name and not form:
                break
            attributes.append((name, form, implicit))
        self._spend(1 + len(attributes))
        steps = _steps([form for _, form, _ in attributes], self._shape)
        fixed = 0 if not steps else steps[0] if len(steps) == 1 and steps[0] >= 0 else -1
        sibling_last = bool(attributes) and attributes[-1][:2] == (AT_SIBLING, 0x13)
        self.known.setdefault(code, Abbrev(tag, children, fixed, steps, tuple(attributes), sibling_last))
        self._at = at
