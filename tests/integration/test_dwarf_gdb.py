"""Tables made from a real Zeek are what gdb makes of the same debug info.

ZEEKSPY_TEST_OBJECTS names object files of a Zeek (colons between), compiled in another way than a whole one that is
there: by clang with -stdlib=libc++ -fstandalone-debug, for aarch64. ZEEKSPY_TEST_OBJECTS_VERSION is their version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

import pytest
from zeekspy.offsets import find

from tests.support import targets
from zeekspy import dwarf
from zeekspy.elf import Elf
from zeekspy.layout import Layout
from zeekspy.zeek_types import BY_NAME, CLASSES, ZeekClass

real = pytest.mark.zeek
ZEEKS = targets.zeeks() or [Path("none")]


@cache
def generated(zeek: Path) -> tuple[Layout, float]:
    """The table and the seconds it took. Skips the test where this Zeek has no debug info."""
    with Elf(zeek) as elf:
        if elf.section(".debug_info") is None and elf.section(".zdebug_info") is None:
            pytest.skip(
                f"{zeek} has no debug info: build Zeek with -g (./configure's default), or install its debug package"
            )
    started = time.monotonic()
    layout = dwarf.generate(zeek)
    return layout, time.monotonic() - started


@cache
def generated_from_objects() -> tuple[Layout, list[Path]]:
    """Their table, and the objects. Skips the test where none are named."""
    named = [Path(p) for p in os.environ.get("ZEEKSPY_TEST_OBJECTS", "").split(":") if p]
    if not named:
        pytest.skip("no object files: name some of a Zeek in ZEEKSPY_TEST_OBJECTS, colons between")
    version = os.environ.get("ZEEKSPY_TEST_OBJECTS_VERSION", "9.1.0-dev")
    return dwarf.generate(named[0], objects=named[1:], version=version), named


def gdb(zeek: Path, *commands: str) -> tuple[str, float]:
    """What gdb prints, and the seconds it took. Skips the test where gdb is missing."""
    found = shutil.which("gdb")
    if found is None:
        pytest.skip("gdb is not installed: apt-get install gdb")
    words = [found, "-nx", "-batch", "-ex", "set language c++"]
    for c in commands:
        words += ["-ex", c]
    started = time.monotonic()
    done = subprocess.run([*words, zeek], capture_output=True, text=True, check=False)
    return done.stdout, time.monotonic() - started


def names(layout: Layout, c: ZeekClass) -> list[str]:
    """What this Zeek may call a class: gdb takes its time to find that there is none of a name."""
    namespaced = str(layout.symbols["call_stack"]).startswith("_ZN4zeek")
    return [n for n in c.cpp if n.startswith("zeek::") == namespaced and not n.endswith("<")]


def questions(layout: Layout, way: int) -> list[str]:
    """gdb commands that print "field value" of each field of the table, by the ``way``-th name of its class."""
    result = []
    for c in CLASSES:
        for cpp in names(layout, c)[way : way + 1]:
            if f"sizeof.{c.name}" in layout.fields:
                result.append(f'printf "sizeof.{c.name} %lu\\n", sizeof({cpp})')
            for m in c.members:
                for path in m.paths:
                    if f"{c.name}.{m.name}" not in layout.fields:
                        continue
                    at = f"(({cpp} *)0)->{path}"
                    if f"{c.name}.{m.name}" != "CallInfo.args":  # a reference: gdb shows what it refers to
                        result.append(f'printf "{c.name}.{m.name} %lu\\n", (unsigned long)&{at}')
                    if m.width:
                        result.append(f'printf "sizeof.{c.name}.{m.name} %lu\\n", sizeof({at})')
    return result


@real
@pytest.mark.parametrize("zeek", ZEEKS, ids=str)
def test_every_field_is_what_gdb_says(zeek: Path) -> None:
    layout, _ = generated(zeek)
    assert_gdb_agrees(layout, zeek)


def assert_gdb_agrees(layout: Layout, zeek: Path, *before: str) -> None:
    """``before``: what gdb is to do first."""
    said: dict[str, int] = {}
    for way in range(2):
        asked = (q for q in questions(layout, way) if q.split()[1].strip('"') not in said)
        out, _ = gdb(zeek, *before, *asked)
        for name, value in re.findall(r"^([\w.]+) (\d+)$", out, re.MULTILINE):
            said.setdefault(name, int(value))
    assert {name: layout.fields[name] for name in said} == said
    # Templates and what is in a List cannot be asked for so simply; all else must have been.
    assert {n for n in layout.fields.keys() - said.keys() if not re.search(r"Dict|^P?List|CallInfo\.args", n)} == set()


def test_every_field_of_object_files_is_what_gdb_says() -> None:
    layout, objects = generated_from_objects()
    assert_gdb_agrees(layout, objects[0], *(f"add-symbol-file {o} 0" for o in objects[1:]))


def test_ptype_of_object_files_shows_the_same() -> None:
    layout, objects = generated_from_objects()
    more = [f"add-symbol-file {o} 0" for o in objects[1:]]
    asked = [f"ptype /o {name}" for c in ("Frame", "Func") for name in names(layout, BY_NAME[c])[:1]]
    out, _ = gdb(objects[0], *more, *asked)
    places = ptype_places(out)
    for field in ("Frame.function", "Frame.next_stmt", "Frame.call", "Func.kind"):
        assert places[field.split(".")[1]] == layout.fields[field], field
    sizes = [int(n) for n in re.findall(r"^ +/\* total size \(bytes\): +(\d+) \*/\n +}$", out, re.MULTILINE)]
    assert {layout.fields["sizeof.Frame"], layout.fields["sizeof.Func"]} <= set(sizes)


def test_the_shipped_table_is_what_object_files_have() -> None:
    layout, objects = generated_from_objects()
    shipped = find(layout.since, layout.stdlib)
    if shipped is None:
        pytest.skip(f"no table is shipped for Zeek {layout.since} with {layout.stdlib}: generate one from {objects[0]}")
    # Of classes that these objects do not use, they know nothing.
    assert {name: shipped.fields[name] for name in layout.fields} == dict(layout.fields)
    assert len(layout.fields) > 100


def ptype_places(out: str) -> dict[str, int]:
    """Members and their offsets, as ``ptype /o`` shows them."""
    return {name: int(at) for at, name in re.findall(r"^/\* +(\d+) +\| +\d+ \*/ .*?\*?(\w+);$", out, re.MULTILINE)}


@real
@pytest.mark.parametrize("zeek", ZEEKS, ids=str)
def test_ptype_shows_the_same_and_takes_longer(zeek: Path) -> None:
    layout, ours = generated(zeek)
    out, theirs = gdb(zeek, *(f"ptype /o {n}" for c in ("Frame", "Func") for n in names(layout, BY_NAME[c])[:1]))
    places = ptype_places(out)
    for field in ("Frame.function", "Frame.next_stmt", "Frame.call", "Func.kind"):
        assert places[field.split(".")[1]] == layout.fields[field], field
    assert ours < theirs


@real
@pytest.mark.parametrize("zeek", ZEEKS, ids=str)
def test_the_shipped_table_is_what_this_zeek_has(zeek: Path) -> None:
    layout, _ = generated(zeek)
    shipped = find(layout.since, layout.stdlib)
    if shipped is None:
        pytest.skip(
            f"no table is shipped for Zeek {layout.since} with {layout.stdlib}: zeekspy offsets generate {zeek}"
        )
    assert dict(shipped.fields) == dict(layout.fields)
    assert dict(shipped.symbols) == dict(layout.symbols)
