"""ELF files are read as nm, readelf and the loader read them; damaged ones end in a sentence."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import shapes
from zeekspy.debug_files import crc32, debuglink
from zeekspy.elf import Elf
from zeekspy.errors import FileError, NotZeek, ZeekspyError
from zeekspy.stdlib import stdlib_of
from zeekspy.zeek_types import is_debug_build

CALL_STACK = "_ZN4zeek6detail10call_stackE"
SOURCE = """
extern "C" const char version[] = "8.0.10";
extern "C" const char zeek_version_8_0_10_plugin_1{suffix}[] = "8.0.10";
namespace zeek { namespace detail { void *call_stack[3]; struct Base { virtual ~Base(); }; Base::~Base() {} } }
static int hidden = 42;
__thread int per_thread;
int main(int argc, char **) { return *(volatile int *)&hidden - 42 + (argc > 9 ? per_thread : 0); }
"""

Build = Callable[..., Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Compiles SOURCE with the flags given; a flag that begins with @ is part of the source."""
    done: dict[tuple[str, ...], Path] = {}

    def make(*flags: str) -> Path:
        if flags not in done:
            folder = tmp_path_factory.mktemp("elf")
            suffix = "".join(f[1:] for f in flags if f.startswith("@"))
            (folder / "program.cc").write_text(SOURCE.replace("{suffix}", suffix))
            done[flags] = folder / "program"
            options = [f for f in flags if not f.startswith("@")]
            shapes.run(shapes.compiler("g++"), *options, "-Wl,--build-id", folder / "program.cc", "-o", done[flags])
        return done[flags]

    return make


LINKED = {
    "pie": ["-fPIE", "-pie", "-rdynamic"],
    "fixed": ["-fno-pie", "-no-pie", "-rdynamic"],
    "gnu-hash": ["-rdynamic", "-Wl,--hash-style=gnu"],
    "sysv-hash": ["-rdynamic", "-Wl,--hash-style=sysv"],
    "stripped": ["-rdynamic", "-s"],
    "no-relro": ["-rdynamic", "-Wl,-z,norelro"],
    "static": ["-static"],
}


def nm(program: Path) -> dict[str, int]:
    lines = [line.split() for line in shapes.run("nm", program).splitlines()]
    return {line[-1]: int(line[0], 16) for line in lines if len(line) == 3}


@pytest.mark.parametrize("how", LINKED)
def test_symbols(build: Build, how: str) -> None:
    with Elf(build(*LINKED[how])) as elf:
        call_stack, version = elf.symbol(CALL_STACK), elf.symbol("version")
        assert call_stack is not None
        assert version is not None
        assert (call_stack.size, version.size) == (24, 7)
        assert elf.read_at(version.value, version.size) == b"8.0.10\0"
        assert elf.symbol("no_such_symbol") is None
        assert elf.symbol("per_thread") is None  # an offset in thread-local storage is no address
        if how != "stripped":
            known = nm(build(*LINKED[how]))
            assert (call_stack.value, version.value) == (known[CALL_STACK], known["version"])


def test_static_symbols_come_from_symtab(build: Build) -> None:
    program = build(*LINKED["pie"])
    with Elf(program) as elf:
        hidden = elf.symbol("_ZL6hidden")
        assert hidden is not None
        assert hidden.value == nm(program)["_ZL6hidden"]
        assert elf.read_at(hidden.value, 4) == struct.pack("<i", 42)
    with Elf(build(*LINKED["stripped"])) as elf:
        assert elf.symbol("_ZL6hidden") is None


def test_without_section_headers(build: Build) -> None:
    data = bytearray(build(*LINKED["pie"]).read_bytes())
    data[40:48] = bytes(8)  # e_shoff
    data[58:64] = bytes(6)
    with Elf(io.BytesIO(bytes(data))) as elf:
        assert elf.sections == ()
        assert elf.symbol(CALL_STACK) is not None
        assert elf.symbol("_ZL6hidden") is None
        assert elf.build_id is not None


def test_a_file_that_is_open_already_and_deleted(build: Build, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(build(*LINKED["pie"]).read_bytes())
    with copy.open("rb") as file:
        copy.unlink()
        with Elf(file) as elf:
            assert elf.symbol(CALL_STACK) is not None
        assert not file.closed
        with Elf(f"/proc/self/fd/{file.fileno()}") as elf:
            assert elf.symbol(CALL_STACK) is not None


@pytest.mark.parametrize("how", ["pie", "fixed", "stripped", "no-relro"])
def test_vtables_lie_in_their_range(build: Build, how: str) -> None:
    with Elf(build(*LINKED[how])) as elf:
        vtable = elf.symbol("_ZTVN4zeek6detail4BaseE")
        call_stack = elf.symbol(CALL_STACK)
        low, high = elf.vtable_range
        assert vtable is not None
        assert low <= vtable.value
        assert vtable.value + vtable.size <= high
        assert call_stack is not None
        if how != "no-relro":
            assert not low <= call_stack.value < high  # .bss is not read-only


def test_what_readelf_says(build: Build) -> None:
    program = build(*LINKED["pie"])
    with Elf(program) as elf:
        notes = shapes.run("readelf", "-n", program)
        assert elf.build_id == re.findall(r"Build ID: (\w+)", notes)[0]
        dynamic = shapes.run("readelf", "-d", program)
        assert list(elf.needed) == re.findall(r"Shared library: \[(.*)\]", dynamic)
        assert elf.is_pie
        loads = re.findall(r"^  LOAD +0x(\w+) 0x(\w+)", shapes.run("readelf", "-lW", program), re.MULTILINE)
        assert [(s.offset, s.vaddr) for s in elf.loads] == [(int(o, 16), int(v, 16)) for o, v in loads]
        assert elf.arch in ("x86_64", "aarch64")
        headers = shapes.run("readelf", "-SW", program)
        assert [s.name for s in elf.sections] == re.findall(r"^ +\[ *\d+\] (\S*)", headers, re.MULTILINE)
    with Elf(build(*LINKED["fixed"])) as elf:
        assert not elf.is_pie


def test_debug_builds_are_known_by_their_version_function(build: Build) -> None:
    with Elf(build("-rdynamic")) as plain, Elf(build("-rdynamic", "@_debug")) as debug:
        assert plain.names(b"zeek_version_") == [b"zeek_version_8_0_10_plugin_1"]
        assert not is_debug_build(plain.names)
        assert is_debug_build(debug.names)


@pytest.mark.parametrize(("flags", "expected"), [([], "libstdc++"), (["-D_GLIBCXX_USE_CXX11_ABI=0"], "libstdc++-old")])
@pytest.mark.parametrize("link", [["-rdynamic"], ["-c"]])
def test_stdlib(tmp_path: Path, flags: list[str], link: list[str], expected: str) -> None:
    source = tmp_path / "program.cc"
    source.write_text(
        "#include <string>\nvoid f(const std::string &s, std::string *t) { t->append(s); }\nint main() {}\n"
    )
    shapes.run(shapes.compiler("g++"), *flags, *link, source, "-o", tmp_path / "program")
    with Elf(tmp_path / "program") as elf:
        assert stdlib_of(elf) == expected


def test_libcxx_by_its_names(tmp_path: Path) -> None:
    source = tmp_path / "program.cc"
    source.write_text(
        "namespace std { inline namespace __1 { struct string {}; } }\nvoid f(std::string) {}\nint main() {}\n"
    )
    shapes.run(shapes.compiler("g++"), "-rdynamic", source, "-o", tmp_path / "program")
    with Elf(tmp_path / "program") as elf:
        assert stdlib_of(elf) == "libc++"


def test_debuglink(build: Build, tmp_path: Path) -> None:
    program = build(*LINKED["pie"])
    with Elf(program) as elf:
        assert debuglink(elf) is None
    linked = tmp_path / "linked"
    shapes.run(shapes.compiler("objcopy"), f"--add-gnu-debuglink={program}", program, linked)
    with Elf(linked) as elf:
        assert debuglink(elf) == ("program", crc32(program))


@pytest.mark.parametrize(
    ("at", "value", "error", "message"),
    [
        (0, b"\x7fELG", NotZeek, "not an ELF file"),
        (4, b"\x01", NotZeek, "32-bit"),
        (5, b"\x02", NotZeek, "big-endian"),
        (18, b"\x28\x00", NotZeek, "processor"),
        (16, b"\x04\x00", NotZeek, "neither a program"),
        (54, b"\x20\x00", FileError, "damaged"),
        (32, b"\xff" * 7, FileError, "truncated"),
    ],
)
def test_headers_that_cannot_be(build: Build, at: int, value: bytes, error: type[ZeekspyError], message: str) -> None:
    data = bytearray(build(*LINKED["pie"]).read_bytes())
    data[at : at + len(value)] = value
    with pytest.raises(error, match=message):
        Elf(io.BytesIO(bytes(data)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot open"):
        Elf(tmp_path / "none")
    with pytest.raises(FileError, match=r"Is a directory|not a regular file"):
        Elf(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileError, match="not a regular file"):
        Elf(tmp_path / "fifo")
    (tmp_path / "short").write_bytes(b"\x7fELF\x02\x01")
    with pytest.raises(FileError, match="truncated"):
        Elf(tmp_path / "short")


def everything(data: bytes) -> None:
    """Asks for all there is; what cannot be answered must be a ZeekspyError."""
    with suppress(ZeekspyError):
        elf = Elf(io.BytesIO(data))
        for ask in (
            lambda: elf.symbol(CALL_STACK),
            lambda: elf.symbol("_ZL6hidden"),
            lambda: elf.needed,
            lambda: elf.sections,
            lambda: elf.build_id,
            lambda: stdlib_of(elf),
            lambda: elf.vtable_range,
            lambda: debuglink(elf),
            lambda: elf.mentions("version"),
            lambda: elf.read_at(elf.loads[0].vaddr, 16) if elf.loads else b"",
        ):
            with suppress(ZeekspyError):
                ask()


@settings(max_examples=200)
@given(data=st.data())
@pytest.mark.parametrize("how", ["pie", "sysv-hash"])
def test_changed_bytes(build: Build, how: str, data: st.DataObject) -> None:
    original = build(*LINKED[how]).read_bytes()
    (shoff,) = struct.unpack_from("<Q", original, 40)
    places = [(0, 64 + 56 * 13), (shoff, len(original) - shoff), (0x200, 0x1000), (0x2D00, 0x300)]
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 6))):
        start, size = data.draw(st.sampled_from(places))
        at = start + data.draw(st.integers(0, size - 1))
        changed[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
    everything(bytes(changed))


@settings(max_examples=100)
@given(length=st.integers(0, 20000))
def test_cut_short(build: Build, length: int) -> None:
    everything(build(*LINKED["pie"]).read_bytes()[:length])
