"""Debug info -> Layout: where a build of Zeek keeps what zeekspy reads, from its DWARF."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from zeekspy import dies, zeek_types
from zeekspy.classes import MAX_NESTING, Classes, Progress
from zeekspy.debug_files import find
from zeekspy.dies import Die, Dwarf
from zeekspy.elf import ET_REL, Elf
from zeekspy.errors import DebugInfoError, NotZeek, UsageError
from zeekspy.forms import uleb
from zeekspy.layout import Layout, version_key
from zeekspy.stdlib import stdlib_of
from zeekspy.zeek_types import Member, ZeekClass

Place = tuple[int, Die]
"""Offset of a member within its class, and its type."""


def generate(
    path: str | os.PathLike[str],
    debug_file: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    *,
    objects: Sequence[str | os.PathLike[str]] = (),
    version: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Layout:
    """The layout of the Zeek at ``path``, an executable or an object file of one (then with ``version``).

    ``debug_file`` holds its DWARF if neither the file itself nor the usual places do. ``objects``: more object files of
    the same build, for what one does not define. ``since`` and ``until`` claim more versions than the one seen.
    Raises NotZeek and FileError for files that are no Zeek, DebugInfoError where the debug info lacks something; a
    partial layout is never returned.
    """
    with ExitStack() as stack:
        elfs = [stack.enter_context(Elf(p)) for p in (path, *objects)]
        try:
            return _generate(elfs, debug_file, progress or (lambda _: None), version, since, until)
        except (IndexError, ValueError, struct.error, OverflowError, RecursionError) as e:
            raise DebugInfoError(f"the debug info of {elfs[0].name} is damaged ({e})") from None


def _generate(
    elfs: Sequence[Elf],
    debug_file: str | os.PathLike[str] | None,
    progress: Progress,
    version: str | None,
    since: str | None,
    until: str | None,
) -> Layout:
    elf = elfs[0]
    version = version or read_version(elf)
    if version is None:
        raise UsageError(f"{elf.name} does not say which Zeek it is from", "Give the version: --zeek-version V.")
    for v in (version, since, until):
        if v is not None:
            _check_version(v)
    symbols = _symbols(elfs)
    debug = [find(e, Path(debug_file) if debug_file is not None and e is elf else None) for e in elfs]
    classes = Classes([Dwarf(file) for file in debug], progress)
    classes.search()
    fields, stdlib = _fields(classes, elf.name, stdlib_of(elf))
    progress(1.0)
    seen: dict[str, Any] = {
        "version": version,
        "arch": elf.arch,
        "compiler": _compiler(classes),
        "build_id": elf.build_id,
        "source": "dwarf",
    }
    if elf.type == ET_REL:
        seen["objects"] = [Path(e.name).name for e in elfs]
    if zeek_types.is_debug_build(elf.names):
        seen["debug_build"] = True
    layout = Layout(
        since=since or version,
        until=until or version,
        stdlib=stdlib,
        fields=fields,
        symbols=symbols,
        provenance=(seen,),
        origin=f"DWARF of {elf.name}",
    )
    layout.validate()
    return layout


def read_version(elf: Elf) -> str | None:
    """The text of Zeek's ``version``; None for an object file. NotZeek where there is no such symbol."""
    if elf.type == ET_REL:
        return None
    symbol = elf.symbol("version")
    if symbol is None:
        raise NotZeek(f"{elf.name} is not a Zeek: it defines no symbol `version`")
    text = elf.read_at(symbol.value, min(symbol.size or 64, 256)).split(b"\0")[0]
    if not re.fullmatch(rb"\d{1,4}\.\d{1,4}[\w.+~-]{0,64}", text):
        raise NotZeek(f"{elf.name} is not a Zeek: its symbol `version` holds {text[:32]!r}")
    return text.decode()


def _check_version(version: str) -> None:
    try:
        version_key(version)
    except ValueError:
        raise UsageError(f"{version} is not a version of Zeek", "Versions look like 8.0.10 or 9.1.0-dev.") from None


def _symbols(elfs: Sequence[Elf]) -> dict[str, str | None]:
    """By the name layouts use, the mangled name this build defines (object files: mentions), None where it has none."""
    result: dict[str, str | None] = {}
    for name, alternatives in zeek_types.SYMBOLS.items():
        result[name] = next((a for a in alternatives if any(_defines(elf, a) for elf in elfs)), None)
    if elfs[0].type == ET_REL:
        result["version"] = "version"
    for name in zeek_types.NEEDED_SYMBOLS:
        if result[name] is None:
            raise NotZeek(
                f"{elfs[0].name} is not a Zeek: it defines none of {', '.join(zeek_types.SYMBOLS[name])}",
                "A Zeek exports its globals even when stripped; was this one built with another visibility?",
            )
    return result


def _defines(elf: Elf, name: str) -> bool:
    return elf.mentions(name) if elf.type == ET_REL else elf.symbol(name) is not None


def _compiler(classes: Classes) -> str | None:
    """What compiled CallInfo, without its options: ``GNU C++17 12.2.0``."""
    die = classes.find(zeek_types.BY_NAME["CallInfo"])
    producer = die.unit.dwarf.top(die.unit).text(dies.AT_PRODUCER) if die is not None else None
    if producer is None:
        return None
    return re.split(r" -| \(http", producer.decode("utf-8", "replace"))[0][:80].strip()


def _fields(classes: Classes, file: str, stdlib: str) -> tuple[dict[str, int], str]:
    """The fields, and the C++ library: ``stdlib`` unless the size of a std::string tells otherwise."""
    fields: dict[str, int] = {}
    for c in zeek_types.CLASSES:
        die = classes.find(c)
        if die is None:
            if any(m.need == "core" for m in c.members):
                raise _absent(classes, file, f"class {c.cpp[0]}", c.cpp)
            continue
        size = die.number(dies.AT_BYTE_SIZE)
        if c.size is not None and size is not None:
            fields[f"sizeof.{c.name}"] = size
        elif c.size not in (None, "extra"):
            raise _absent(classes, file, f"the size of {classes.name_of(c)}", c.cpp)
        for member in c.members:
            place = _place(classes, c, die, member)
            if place is None:
                # A class found under another's name (FuncVal as Val) shows that this version has none.
                own = str(classes.name_of(c)).rpartition("::")[2] == c.name
                if member.need == "core" or (member.need == "chain" and own):
                    raise _absent(classes, file, f"{classes.name_of(c)}::{member.name}", member.paths)
                continue
            offset, kind = place
            fields[f"{c.name}.{member.name}"] = offset
            if member.width:
                fields[f"sizeof.{c.name}.{member.name}"] = _size(kind, f"{c.name}.{member.name}")
            if (c.name, member.name) == zeek_types.STRING_FIELD:
                stdlib = _stdlib(kind) or stdlib
            if (c.name, member.name) == zeek_types.LIST_FIELD:
                fields.update(_list_fields(classes, kind, file))
    for either in zeek_types.EITHER:
        if sum(name in fields for name in either) != 1:
            raise _absent(classes, file, f"exactly one of {' and '.join(either)}", either)
    return fields, stdlib


def _absent(classes: Classes, file: str, what: str, tried: Sequence[str]) -> DebugInfoError:
    if classes.split is not None:
        return DebugInfoError(
            f"the debug info of {file} is in files of its own ({classes.split} …), which zeekspy does not read",
            "Build Zeek without -gsplit-dwarf.",
        )
    return DebugInfoError(
        f"the debug info of {file} lacks {what} (searched {classes.units_searched} units for {', '.join(tried)})",
        "Is this a Zeek of 3.0 or later, built with -g? If Zeek has renamed something, please report it.",
    )


def _place(classes: Classes, c: ZeekClass, die: Die, member: Member) -> Place | None:
    """Where ``member`` lies in the class ``die``, bases included; None if it has no such member."""
    for path in member.paths:
        offset, at = 0, die
        for step in path.split("."):
            found = _member(classes, at, step, f"{c.name}.{member.name}", 0)
            if found is None:
                break
            offset, at = offset + found[0], found[1]
        else:
            return offset, at
    return None


def _member(classes: Classes, die: Die, name: str, field: str, nesting: int) -> Place | None:
    owner = classes.definition(die)
    if owner is None or nesting > MAX_NESTING:
        return None
    within: list[tuple[Die, Die]] = []  # bases and anonymous members, which the class's own members hide
    for child in owner.child_entries():
        if child.tag == dies.TAG_MEMBER and not child.number(dies.AT_EXTERNAL):
            text = child.text(dies.AT_NAME)
            if text == name.encode():
                kind = child.follow(dies.AT_TYPE)
                return None if kind is None else (_offset(child, field), kind)
            if text is not None:
                continue
        elif child.tag != dies.TAG_INHERITANCE:
            continue
        kind = child.follow(dies.AT_TYPE)
        if kind is not None:
            within.append((child, kind))
    for child, kind in within:
        found = _member(classes, kind, name, field, nesting + 1)
        if found is not None:
            return _offset(child, field) + found[0], found[1]
    return None


def _offset(die: Die, field: str) -> int:
    """Where a member or base begins within its class."""
    if dies.AT_DATA_BIT_OFFSET in die.attributes or dies.AT_BIT_SIZE in die.attributes:
        raise DebugInfoError(f"{field} is a bit field, which zeekspy does not read")
    _, value = die.attributes.get(dies.AT_LOCATION, (0, 0))  # none: a member of a union
    if isinstance(value, bytes):
        if value[:1] != b"\x23" or die.number(dies.AT_VIRTUALITY):  # DW_OP_plus_uconst, in DWARF 2 and 3
            raise DebugInfoError(f"{field} is in a virtual base: its offset differs from object to object")
        value, _ = uleb(value, 1)
    if not isinstance(value, int) or not 0 <= value < 1 << 20:
        raise DebugInfoError(f"the debug info is damaged: the offset of {field} is {value}")
    return value


def _underlying(die: Die) -> Die:
    """The type behind typedefs and qualifiers, and behind a reference to a type unit."""
    for _ in range(MAX_NESTING):
        target = die.follow(dies.AT_TYPE) if die.tag in dies.TRANSPARENT else die.follow(dies.AT_SIGNATURE)
        if target is None:
            break
        die = target
    return die


def _size(die: Die, field: str) -> int:
    """The size of a type in bytes."""
    die = _underlying(die)
    if die.tag in dies.POINTERS:
        return die.unit.shape.address
    size = die.number(dies.AT_BYTE_SIZE)
    if size is None and (die.text(dies.AT_NAME) or b"").startswith(zeek_types.VECTOR):
        return zeek_types.VECTOR_SIZE
    if size is None or not 0 < size < 1 << 20:
        raise DebugInfoError(f"the debug info does not say how large {field} is")
    return size


def _stdlib(kind: Die) -> str | None:
    """Which C++ library has a std::string of this size; None where it is only declared (clang)."""
    size = _underlying(kind).number(dies.AT_BYTE_SIZE)
    if size is None:
        return None
    if size not in zeek_types.STRING_SIZES:
        raise DebugInfoError(f"Func.name is no std::string known to zeekspy: it has {size} bytes")
    return zeek_types.STRING_SIZES[size]


def _list_fields(classes: Classes, kind: Die, file: str) -> Iterator[tuple[str, int]]:
    """Of the List that holds a StmtList's statements, in it or behind a pointer; nothing for a std::vector."""
    kind = _underlying(kind)
    if kind.tag in dies.POINTERS:
        kind = _underlying(kind.follow(dies.AT_TYPE) or kind)
    if (kind.text(dies.AT_NAME) or b"").startswith(zeek_types.VECTOR):
        return
    somewhere = classes.find(zeek_types.BY_NAME["List"])
    for name in zeek_types.LIST_MEMBERS:
        found = _member(classes, kind, name, f"List.{name}", 0)
        if found is None and somewhere is not None:
            found = _member(classes, somewhere, name, f"List.{name}", 0)
        if found is None:
            raise _absent(classes, file, f"the member {name} of the List in a StmtList", ("List", "PList"))
        yield f"List.{name}", found[0]
