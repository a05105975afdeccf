"""Address spaces: saved images, and live processes by both ways of reading them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.binding import Failed, Reader, lib

PAGE = 4096
CHILD = """
import ctypes, mmap, sys
libc = ctypes.CDLL(None)
m = mmap.mmap(-1, 6 * 4096)
for i in range(6):
    m[i * 4096:(i + 1) * 4096] = bytes([65 + i]) * 4096
base = ctypes.addressof(ctypes.c_char.from_buffer(m))
assert libc.mprotect(ctypes.c_void_p(base + 4096), 4096, 0) == 0
assert libc.munmap(ctypes.c_void_p(base + 3 * 4096), 4096) == 0
print(base, flush=True)
sys.stdin.read()
"""
"""Six pages full of A to F; the second cannot be read, the fourth is not mapped."""


@given(st.lists(st.tuples(st.integers(0, 5), st.binary(max_size=12)), max_size=6), st.data())
def test_images_read_as_the_memory_they_were(parts: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Neighbouring pieces continue each other, empty ones are nothing, a hole ends what is got."""
    memory: dict[int, int] = {}
    segments, address = [], 0x1000
    for gap, content in parts:
        address += gap
        segments.append((address, content))
        memory |= dict(enumerate(content, start=address))
        address += len(content)
    spans = data.draw(st.lists(st.tuples(st.integers(0x0FF8, address + 8), st.integers(0, 40)), min_size=1, max_size=5))
    for (start, length), got in zip(spans, Reader.image(segments).read(*spans), strict=True):
        wanted = bytearray()
        while len(wanted) < length and start + len(wanted) in memory:
            wanted.append(memory[start + len(wanted)])
        assert got == bytes(wanted)


@pytest.mark.parametrize(
    "segments",
    [
        [(0x2000, b"ab"), (0x1000, b"cd")],
        [(0x1000, b"abc"), (0x1002, b"d")],
        [(0x1000, b"abc"), (0x1000, b"abc")],
        [((1 << 64) - 2, b"abc")],
    ],
)
def test_images_out_of_order_are_refused(segments: list[tuple[int, bytes]]) -> None:
    with pytest.raises(Failed, match="EINVAL: segment"):
        Reader.image(segments)


def test_reads_at_the_ends_of_the_address_space_find_nothing() -> None:
    reader = Reader.image([(0x1000, b"x"), ((1 << 64) - 2, b"y")])
    assert reader.method == "image"
    assert reader.read((0, 8), ((1 << 64) - 1, 8), ((1 << 64) - 2, 8)) == [b"", b"", b"y"]
    assert Reader.image([]).read((0x1000, 4)) == [b""]


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", CHILD]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


WAYS = pytest.mark.parametrize(("flags", "method"), [(0, "process_vm_readv"), (lib.ZS_NO_VM_READV, "/proc/PID/mem")])


@pytest.mark.live
@WAYS
def test_a_process_is_read_around_its_holes(child: tuple[subprocess.Popen[str], int], flags: int, method: str) -> None:
    process, base = child
    reader = Reader.process(process.pid, flags)
    assert reader.method == method
    spans = [
        (base + PAGE - 4, 4),  # up to the hole
        (base + PAGE - 4, 8),  # into it
        (base + 3 * PAGE + 8, 8),  # within one
        (base + 2 * PAGE, 8),  # behind one
        (0, 8),
        ((1 << 64) - 16, 8),
        (base + 4 * PAGE - 4, 8),  # from a hole into memory
        (base + 4 * PAGE, 0),
        (base + 5 * PAGE - 3, 6),  # across pages
    ]
    got = reader.read(*spans)
    unmapped = b""
    readable = b"B" * 4 if method == "/proc/PID/mem" else unmapped  # that file ignores protections where ptrace may
    assert got == [b"AAAA", b"AAAA" + readable, unmapped, b"C" * 8, b"", b"", b"", b"", b"EEEFFF"]
    # More spans than go into one call, with a hole every so often.
    many = [(base + (i % 6) * PAGE + i, 3) for i in range(600)]
    for i, data in enumerate(reader.read(*many)):
        page = i % 6
        assert data in ({1: [b"", b"BBB"], 3: [b""]}.get(page) or [bytes([65 + page]) * 3])


@pytest.mark.live
@WAYS
def test_a_process_that_has_gone_is_gone(child: tuple[subprocess.Popen[str], int], flags: int, method: str) -> None:
    process, base = child
    reader = Reader.process(process.pid, flags)
    assert reader.read((base, 2)) == [b"AA"]
    process.kill()
    process.wait()
    with pytest.raises(Failed) as caught:
        reader.read((base, 2))
    assert caught.value.code == lib.ZS_EGONE
    with pytest.raises(Failed) as caught:
        Reader.process(process.pid, flags)
    assert caught.value.code == lib.ZS_EGONE


@pytest.mark.parametrize("pid", [0, -1])
def test_what_is_no_process_id_is_refused(pid: int) -> None:
    with pytest.raises(Failed, match="EINVAL: pid"):
        Reader.process(pid)


def test_what_is_read_is_remembered_up_to_the_limit() -> None:
    reader = Reader.image([(0x1000, bytes(range(64)))])
    reader.read((0x1000, 4))
    assert reader.remembered() == []
    lib.zs_reader_remember(reader.handle, 20)
    reader.read((0x1000, 8), (0x5000, 8), (0x103C, 8))
    assert reader.remembered() == [(0x1000, bytes(range(8))), (0x103C, bytes(range(60, 64)))]
    reader.read((0x1000, 9), (0x1001, 8))
    assert reader.remembered()[2:] == [(0x1001, bytes(range(1, 9)))]
    lib.zs_reader_remember(reader.handle, 0)
    reader.read((0x1000, 8))
    assert reader.remembered() == []
