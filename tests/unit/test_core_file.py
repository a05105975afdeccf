"""Core files, made here byte by byte: what is read of them, and what is refused."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy import core_file
from zeekspy.core_file import CoreFile, without_overlap
from zeekspy.errors import FileError, NotZeek, TargetError

PID, SP, ENTRY = 4711, 0x7FFC_0000_1000, 0x5555_0000_1234
MEMORY = {0x5555_0000_0000: b"\x7fELF" + bytes(4092), 0x7FFC_0000_0000: b"stack".ljust(8192, b"!")}


def note(kind: int, data: bytes) -> bytes:
    padded = data + bytes(-len(data) % 4)
    return struct.pack("<III", 5, len(data), kind) + b"CORE\0\0\0\0" + padded


def status(pid: int, sp: int) -> bytes:
    data = bytearray(336)
    struct.pack_into("<i", data, 32, pid)
    struct.pack_into("<Q", data, 112 + 19 * 8, sp)
    return note(1, bytes(data))


def notes() -> bytes:
    files = struct.pack("<QQQQQ", 1, 4096, 0x5555_0000_0000, 0x5555_0000_2000, 0) + b"/opt/zeek/bin/zeek\0"
    return b"".join(
        [
            status(PID + 1, 0x1234),
            status(PID, SP),
            note(3, bytes(24) + struct.pack("<i", PID) + bytes(108)),
            note(6, struct.pack("<QQQQ", 9, ENTRY, 0, 0)),
            note(0x46494C45, files),
        ]
    )


def core(notes: bytes, memory: dict[int, bytes] = MEMORY, kind: int = 4, machine: int = 62) -> bytes:
    count = len(memory) + 1
    at = 64 + 56 * count
    headers = struct.pack("<IIQQQQQQ", 4, 0, at, 0, 0, len(notes), 0, 0)
    body, at = notes, at + len(notes)
    for address, data in memory.items():
        headers += struct.pack("<IIQQQQQQ", 1, 6, at, address, 0, len(data), len(data), 4096)
        body, at = body + data, at + len(data)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    return ident + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0) + headers + body


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "core"


def test_what_it_says(path: Path) -> None:
    path.write_bytes(core(notes()))
    found = CoreFile(path)
    assert (found.pid, found.sp, found.entry, found.arch) == (PID, SP, ENTRY, "x86_64")
    assert found.stack() == (0x7FFC_0000_0000, 0x7FFC_0000_2000)
    assert found.executable() == "/opt/zeek/bin/zeek"
    assert {address: bytes(data) for address, data in found.memory()} == MEMORY


@pytest.mark.parametrize("length", [0, 3, 63, 64, 150, 400, 5000, -1])
def test_truncated(path: Path, length: int) -> None:
    path.write_bytes(core(notes())[:length])
    with pytest.raises(FileError, match=r"is empty|is not a core file|is truncated"):
        CoreFile(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"text" * 100, "no ELF file"),
        (core(notes(), kind=3), "a program or a library"),
        (core(notes(), machine=8), "ELF machine 8"),
        (core(notes(), {(1 << 64) - 4096: bytes(8192)}), "goes round"),
    ],
)
def test_what_is_none(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(FileError, match=words):
        CoreFile(path)


def test_no_regular_file(tmp_path: Path) -> None:
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(FileError, match=r"regular|directory"):
            CoreFile(place)


def test_its_executable_is_gone(path: Path) -> None:
    path.write_bytes(core(notes().replace(b"/opt/zeek/bin/zeek\0", b"/no/such/file/zeek\0")))
    with pytest.raises(FileError, match="/no/such/file/zeek") as e:
        core_file.open_core(path, None)
    assert "--exe" in e.value.hint
    path.write_bytes(core(status(PID, SP)))
    with pytest.raises(TargetError, match="does not say which"):
        core_file.open_core(path, None)


@given(st.data())
def test_whatever_it_holds(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "any-core"
    whole = bytearray(core(notes()))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, 1200))
        value = data.draw(st.binary(min_size=1, max_size=8))
        whole[at : at + len(value)] = value
    path.write_bytes(whole)
    try:
        found = CoreFile(path)
        ends = 0
        for address, piece in found.memory():
            assert address >= ends
            ends = address + len(piece)
        core_file.open_core(path, None)
    except (FileError, TargetError, NotZeek):
        return


@given(st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=1, max_size=12)), max_size=8))
def test_without_overlap(pieces: list[tuple[int, bytes]]) -> None:
    expected: dict[int, int] = {}
    for address, data in pieces:
        for i, byte in enumerate(data):
            expected.setdefault(address + i, byte)
    found = without_overlap([(address, memoryview(data)) for address, data in pieces])
    assert {address + i: byte for address, data in found for i, byte in enumerate(data)} == expected
    assert all(a + len(x) <= b for (a, x), (b, _) in pairwise(found))
