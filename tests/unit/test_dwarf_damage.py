"""Debug info that is not Zeek's, incomplete or damaged: never a wrong table."""

from __future__ import annotations

import io
import shutil
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import shapes
from zeekspy import dwarf
from zeekspy.debug_files import DebugFile
from zeekspy.elf import Elf
from zeekspy.errors import DebugInfoError, FileError, NotZeek, ZeekspyError


def altered(folder: Path, era: int, *replacements: str) -> Path:
    """The program with text of its sources replaced: old, new, old, new …"""
    sources = folder / "sources"
    shutil.copytree(shapes.SOURCES, sources)
    for source in [*sources.glob("*.cc"), *sources.glob("*.h")]:
        text = source.read_text()
        for old, new in zip(replacements[::2], replacements[1::2], strict=True):
            text = text.replace(old, new)
        source.write_text(text)
    return shapes.build(folder, era, sources=sources)


@pytest.mark.parametrize(
    ("old", "new", "lacking"),
    [
        ("next_stmt", "next_statement", "zeek::detail::Frame::next_stmt"),
        ("Location", "Place", "class zeek::detail::Location"),
    ],
)
def test_names_that_have_changed(tmp_path: Path, old: str, new: str, lacking: str) -> None:
    program = altered(tmp_path, 2, old, new)
    with pytest.raises(DebugInfoError, match=f"lacks {lacking}"):
        dwarf.generate(program)


def test_a_class_without_the_member_it_must_have(tmp_path: Path) -> None:
    with pytest.raises(DebugInfoError, match="lacks zeek::detail::NameExpr::id"):
        dwarf.generate(
            altered(tmp_path, 2, "NameExpr, id", "NameExpr, ident", "ID *id = nullptr", "ID *ident = nullptr")
        )


def test_a_class_that_walks_can_do_without(tmp_path: Path) -> None:
    fields = dwarf.generate(altered(tmp_path, 2, "NameExpr", "NamedExpr")).fields
    assert "NameExpr.id" not in fields
    assert "CallExpr.func" in fields


def test_a_bit_field_is_refused_by_name(tmp_path: Path) -> None:
    program = altered(
        tmp_path,
        2,
        "int first_line = 0, last_line",
        "int first_line : 20, last_line",
        'AT("Location", Location, first_line);',
        "",
    )
    with pytest.raises(DebugInfoError, match=r"Location\.first_line is a bit field"):
        dwarf.generate(program)


def test_a_program_that_is_no_zeek(tmp_path: Path) -> None:
    source = tmp_path / "hello.cc"
    source.write_text("int main() { return 0; }\n")
    shapes.run(shapes.compiler("g++"), "-g", source, "-o", tmp_path / "hello")
    with pytest.raises(NotZeek, match="no symbol `version`"):
        dwarf.generate(tmp_path / "hello")
    with pytest.raises(FileError, match="cannot open"):
        dwarf.generate(tmp_path / "nothing")


Small = tuple[bytes, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A program's bytes, and where in them its ELF headers and debug sections lie."""
    program = shapes.build(tmp_path_factory.mktemp("small"), 1, flags=["-g", "-gdwarf-5", "-fdebug-types-section"])
    data = program.read_bytes()
    with Elf(program) as elf:
        places = [(s.offset, s.size) for s in elf.sections if s.name in (".debug_info", ".debug_abbrev")]
        shoff = struct.unpack_from("<Q", data, 40)[0]
    return data, [(0, 64), (shoff, len(data) - shoff), *places]


def attempt(data: bytes, path: Path) -> None:
    """Reading damaged bytes ends in a layout or a sentence, and soon."""
    path.write_bytes(data)
    started = time.monotonic()
    with suppress(ZeekspyError):
        assert dwarf.generate(path).fields["sizeof.CallInfo"] > 0
    assert time.monotonic() - started < 20


@settings(max_examples=150)
@given(data=st.data())
def test_changed_bytes(small: Small, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    original, places = small
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 8))):
        start, size = data.draw(st.sampled_from(places))
        at = start + data.draw(st.integers(0, size - 1))
        changed[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
    attempt(bytes(changed), tmp_path_factory.getbasetemp() / "changed")


@settings(max_examples=40)
@given(data=st.data())
def test_cut_short(small: Small, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    attempt(small[0][: data.draw(st.integers(0, len(small[0]) - 1))], tmp_path_factory.getbasetemp() / "cut")


def test_a_section_that_claims_to_unpack_to_terabytes(tmp_path: Path) -> None:
    program = shapes.build(tmp_path, 2, flags=["-g", "-gz"])
    data = bytearray(program.read_bytes())
    with Elf(program) as elf:
        section = next(s for s in elf.sections if s.name == ".debug_info")
    struct.pack_into("<Q", data, section.offset + 8, 1 << 42)
    with pytest.raises(DebugInfoError, match="claims to unpack"):
        DebugFile(Elf(io.BytesIO(bytes(data))))
