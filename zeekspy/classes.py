"""Finds C++ classes in debug info by their qualified names, in as few of its units as possible.

GCC writes a class into every unit that uses it; clang writes one with virtual functions only where those are defined.
So a few units, known by the names of their source files, hold all that is wanted. The others are read only when those
do not: a program in one file, link-time optimization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from zeekspy import dies
from zeekspy.dies import Die, Dwarf, Unit
from zeekspy.errors import DebugInfoError
from zeekspy.forms import Abbrev, skip, uleb
from zeekspy.zeek_types import CLASSES, ZeekClass

Progress = Callable[[float], None]
"""Told how much is done, 0 to 1."""

MAX_NESTING = 16
"""Of bases, typedefs and nested members, to end on a type that contains itself."""


class Classes:
    """Those of zeek_types.CLASSES that the debug info of one build defines. ``dwarfs``: more than one for objects."""

    def __init__(self, dwarfs: Sequence[Dwarf], progress: Progress) -> None:
        self._dwarfs = dwarfs
        self._progress = progress
        self._found: dict[str, Die] = {}
        self._declared: dict[tuple[int, int], str] = {}
        self._scanned: set[int] = set()
        self._wanted = {name for c in CLASSES for name in c.cpp}
        self._scopes = {scope for name in self._wanted for scope in _scopes(name)}
        self.units_searched = 0
        self.split: str | None = None
        """A .dwo file that the debug info was moved to, if any was."""

    def search(self) -> None:
        """Finds what there is of CLASSES."""
        named: dict[str, list[tuple[str, Unit]]] = {}
        rest: list[Unit] = []
        hints = dict.fromkeys(u for c in CLASSES for u in c.units)
        for unit in (u for d in self._dwarfs for u in d.units):
            top = unit.dwarf.top(unit)
            language = top.number(dies.AT_LANGUAGE)
            if language is not None and language not in dies.CPLUSPLUS:
                continue
            dwo = top.text(dies.AT_DWO_NAME) or top.text(dies.AT_GNU_DWO_NAME)
            if dwo:
                self.split = dwo.decode("utf-8", "replace")
            file = (top.text(dies.AT_NAME) or b"").decode("utf-8", "replace")
            base = file.rpartition("/")[2]
            if base in hints:
                named.setdefault(base, []).append((file, unit))
            else:
                rest.append(unit)
        for i, hint in enumerate(hints):
            self._progress(0.5 * i / len(hints))
            # src/Expr.cc before src/script_opt/Expr.cc
            for _, unit in sorted(named.get(hint, []), key=lambda u: len(u[0])):
                if any(hint in c.units and self.find(c) is None for c in CLASSES):
                    self._scan(unit)
                else:
                    rest.append(unit)
        for dwarf in self._dwarfs:
            self._scan_types(dwarf)
        for i, unit in enumerate(rest):
            if not i % 16 and not self._missing():
                break
            self._progress(0.5 + 0.5 * i / len(rest))
            self._scan(unit)

    def find(self, c: ZeekClass) -> Die | None:
        """The definition of ``c`` under the newest of its names."""
        return next((self._found[cpp] for cpp in c.cpp if cpp in self._found), None)

    def name_of(self, c: ZeekClass) -> str | None:
        """The qualified name under which ``find`` finds it."""
        return next((cpp for cpp in c.cpp if cpp in self._found), None)

    def definition(self, die: Die) -> Die | None:
        """The class that the type ``die`` is, typedefs and qualifiers looked through; None if it is none or unknown."""
        for _ in range(MAX_NESTING):
            if die.tag in dies.CLASS_TAGS:
                break
            if die.tag not in dies.TRANSPARENT:
                return None
            target = die.follow(dies.AT_TYPE)
            if target is None:
                return None
            die = target
        if die.tag not in dies.CLASS_TAGS or not die.number(dies.AT_DECLARATION):
            return die if die.tag in dies.CLASS_TAGS else None
        if dies.AT_SIGNATURE in die.attributes:
            return die.follow(dies.AT_SIGNATURE)
        name = self._declared.get((id(die.unit), die.offset))
        return self._found.get(name) if name else None

    def _missing(self) -> list[ZeekClass]:
        """Classes still to be found that every version has, as far as the debug info mentions them at all."""
        return [
            c
            for c in CLASSES
            if any(m.need != "extra" for m in c.members)
            and self.find(c) is None
            and any(d.file.may_mention(c.name.rpartition(".")[2]) for d in self._dwarfs)
        ]

    def _scan(self, first: Unit) -> None:
        """Takes note of the wanted classes of a unit and of the units it imports."""
        units = [first]
        while units:
            unit = units.pop()
            if id(unit) in self._scanned:
                continue
            self._scanned.add(id(unit))
            self.units_searched += 1
            for name, die in _entries(unit, self._wanted, self._scopes):
                if die.tag == dies.TAG_IMPORTED_UNIT:
                    target = die.follow(dies.AT_IMPORT)
                    if target is not None:
                        units.append(target.unit)
                elif not die.number(dies.AT_DECLARATION):
                    self._found.setdefault(name, die)
                else:
                    self._declared[id(unit), die.offset] = name
                    defined = die.follow(dies.AT_SIGNATURE)
                    if defined is not None:
                        self._found.setdefault(name, defined)
            unit.cache = None

    def _scan_types(self, dwarf: Dwarf) -> None:
        """Type units (-fdebug-types-section): each holds one class, which may be nowhere else."""
        last = {n.rpartition("::")[2].rstrip("<").encode() for n in self._wanted}
        for unit in dwarf.types.values():
            die = dwarf.die(unit, unit.type_offset)
            if die is not None and die.tag in dies.CLASS_TAGS:
                name = die.text(dies.AT_NAME) or b""
                if name.partition(b"<")[0] in last:
                    self._scan(unit)
            unit.cache = None


def _scopes(name: str) -> Iterable[str]:
    """Namespaces and classes around a qualified name: ``zeek`` and ``zeek::Func`` of ``zeek::Func::Body``."""
    parts = name.split("::")
    return ("::".join(parts[:i]) for i in range(1, len(parts)))


def _entries(unit: Unit, wanted: set[str], scopes: set[str]) -> Iterator[tuple[str, Die]]:
    """(qualified name, entry) of the classes of ``unit`` that are ``wanted``, and (\"\", entry) of what it imports.

    A template is wanted by its name and ``<``. Only ``scopes`` are entered; all else is stepped over, by its sibling
    reference where there is one.
    """
    dwarf, data, end = unit.dwarf, unit.data, len(unit.data)
    abbrevs = dwarf.abbrevs(unit)
    table = abbrevs.known
    top = dwarf.die(unit, unit.first)
    if top is None or not top.children:
        return
    path: list[str] = []
    declared: dict[int, str] = {}
    at = top.next
    while at < end:
        start = at
        code = data[at]
        at += 1
        if not code:
            if not path:
                return
            path.pop()
            continue
        if code >= 0x80:
            code, at = uleb(data, start)
        abbrev = table.get(code) or abbrevs[code]
        tag = abbrev.tag
        if tag == dies.TAG_NAMESPACE or tag in dies.CLASS_TAGS or tag == dies.TAG_IMPORTED_UNIT:
            die = dwarf.die(unit, start)
            assert die is not None  # its code is not 0
            if tag == dies.TAG_IMPORTED_UNIT:
                yield "", die
            else:
                name = _qualified(die, path[-1] if path else "", declared)
                if tag != dies.TAG_NAMESPACE:
                    key = name if "<" not in name else name.partition("<")[0] + "<"
                    if key in wanted:
                        declared[start] = name
                        yield key, die
                if name in scopes and die.children:
                    path.append(name)
                    at = die.next
                    continue
            at = die.next
        elif abbrev.fixed >= 0:
            at += abbrev.fixed
        else:
            at = skip(data, at, abbrev.steps, unit.shape)
        if abbrev.children:
            at = _behind(unit, start, at, abbrev)


def _qualified(die: Die, scope: str, declared: dict[int, str]) -> str:
    """The full name of a namespace or class; of a class defined away from its declaration, that of the declaration."""
    _, declaration = die.attributes.get(dies.AT_SPECIFICATION, (0, None))
    if declaration is not None:  # as GCC writes type units: the namespaces hold a declaration only
        return declared.get(declaration, "") if isinstance(declaration, int) else ""
    name = die.text(dies.AT_NAME)
    if name is None:
        return ""
    text = name.decode("utf-8", "replace")
    return f"{scope}::{text}" if scope else text


def _behind(unit: Unit, start: int, children: int, abbrev: Abbrev) -> int:
    """The offset behind the entry at ``start`` and all that is in it."""
    if abbrev.sibling_last:  # GCC's: a 4-byte reference, the last of the attributes
        sibling = int.from_bytes(unit.data[children - 4 : children], "little")
        if not start < sibling <= len(unit.data):
            raise DebugInfoError(f"the debug info of {unit.dwarf.file.name} is damaged: a sibling that lies before")
        return sibling
    return unit.dwarf.skip_children(unit, children)
