"""Core files: the memory of a process that is no more, as gcore or the kernel has written it.

A core file is an ELF file whose PT_LOAD segments are memory and whose notes say where the threads were and what was
mapped (man 5 core, linux/elfcore.h). Pages that came unchanged from a file are usually not in it: those of the
executable are taken from the executable itself. Both files are mapped, not read.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zeekspy.elf import MACHINES, PT_LOAD, PT_NOTE, Elf
from zeekspy.errors import FileError, NotZeek, TargetError
from zeekspy.target import Target, read_executable

ET_CORE = 4
NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_FILE = 1, 3, 6, 0x46494C45
AT_ENTRY = 9
"""Where in memory the program begins: less where its file says so, the bias."""
PRSTATUS_PID, PRPSINFO_PID = 32, 24
PRSTATUS_SP = {"x86_64": 112 + 19 * 8, "aarch64": 112 + 31 * 8}
"""pr_reg begins at 112; rsp is the 20th of its registers, sp the 32nd."""
PN_XNUM = 0xFFFF
MAX_SEGMENTS, MAX_NOTES, MAX_FILES = 1 << 20, 1 << 28, 1 << 16
MADE_BY = "A core file is made by gcore PID, or by the kernel; coredumpctl dump -o FILE unpacks systemd's."

Segments = list[tuple[int, memoryview]]


@dataclass(frozen=True, slots=True)
class DeadTarget(Target):
    """The Zeek of a core file. ``exe`` is the path of its executable here."""

    sp: int
    """The main thread's stack pointer; 0 if unknown."""

    @property
    def exe_file(self) -> str:
        return self.exe

    def alive(self) -> bool:
        """It will not change any more."""
        return True


class _Load(NamedTuple):
    vaddr: int
    offset: int
    filesz: int
    memsz: int


class CoreFile:
    """One core file. Raises FileError for a file that is none, or that is truncated or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes = memoryview(_map(path))
        self.arch, loads, notes = self._headers()
        self.loads = sorted(loads)
        self.pid, self.sp, self.entry = 0, 0, 0
        self.files: list[tuple[int, int, str]] = []
        """(first address, address behind the last, path) of the mapped files."""
        self._read_notes(notes)
        longest = max((s.offset + s.filesz for s in loads), default=0)
        if longest > len(self._bytes):
            raise FileError(
                f"{path} is truncated: it has {len(self._bytes)} bytes of {longest}",
                "Was the disk full, or ulimit -c too small?",
            )

    def memory(self) -> Segments:
        """The memory that is in the file: (address, bytes) pairs, sorted and without overlap."""
        return without_overlap([(s.vaddr, self._bytes[s.offset : s.offset + s.filesz]) for s in self.loads if s.filesz])

    def stack(self) -> tuple[int, int]:
        """[low, high) of the mapping the main thread's stack pointer is in; (0, 0) if unknown."""
        return next(
            ((s.vaddr, s.vaddr + s.memsz) for s in self.loads if s.vaddr <= self.sp < s.vaddr + s.memsz), (0, 0)
        )

    def executable(self) -> str | None:
        """The path of what ran, as the process saw it; None if the core does not say."""
        return next((path for low, high, path in self.files if low <= self.entry < high), None)

    def _headers(self) -> tuple[str, list[_Load], list[tuple[int, int]]]:
        header = bytes(self._bytes[:64])
        if header[:4] != b"\x7fELF" or len(header) < 64:
            raise FileError(f"{self.path} is not a core file: it is no ELF file at all", MADE_BY)
        if header[4:6] != b"\x02\x01":
            raise FileError(f"{self.path} is the core of a 32-bit or big-endian process, which zeekspy does not read")
        kind, machine = struct.unpack_from("<HH", header, 16)
        if kind != ET_CORE:
            raise FileError(f"{self.path} is not a core file, but a program or a library (ELF type {kind})", MADE_BY)
        if machine not in MACHINES:
            raise FileError(
                f"{self.path} is the core of a processor (ELF machine {machine}) that zeekspy does not know"
            )
        phoff, shoff = struct.unpack_from("<QQ", header, 32)
        phentsize, phnum = struct.unpack_from("<HH", header, 54)
        if phnum == PN_XNUM:  # more segments than fit: the first section header has their number
            phnum = struct.unpack_from("<I", self._at(shoff + 44, 4))[0]
        if phentsize != 56 or not phnum or phnum > MAX_SEGMENTS:
            raise FileError(f"{self.path} is damaged: {phnum} segments with headers of {phentsize} bytes")
        loads, notes = [], []
        for kind, _, offset, vaddr, _, filesz, memsz, _ in struct.iter_unpack("<IIQQQQQQ", self._at(phoff, 56 * phnum)):
            if kind == PT_LOAD:
                if vaddr + max(memsz, filesz) > 1 << 64:
                    raise FileError(
                        f"{self.path} is damaged: a segment at {vaddr:#x} that goes round the address space"
                    )
                loads.append(_Load(vaddr, offset, filesz, memsz))
            elif kind == PT_NOTE:
                notes.append((offset, filesz))
        return MACHINES[machine], loads, notes

    def _at(self, offset: int, length: int) -> bytes:
        if offset + length > len(self._bytes):
            raise FileError(
                f"{self.path} is truncated: {length} bytes at {offset:#x} lie beyond its end",
                "Was the disk full, or ulimit -c too small?",
            )
        return bytes(self._bytes[offset : offset + length])

    def _read_notes(self, areas: list[tuple[int, int]]) -> None:
        threads: dict[int, int] = {}
        for kind, data in self._notes(areas):
            if kind == NT_PRSTATUS and len(data) >= PRSTATUS_SP[self.arch] + 8:
                (pid,) = struct.unpack_from("<i", data, PRSTATUS_PID)
                threads.setdefault(pid, struct.unpack_from("<Q", data, PRSTATUS_SP[self.arch])[0])
            elif kind == NT_PRPSINFO and len(data) >= PRPSINFO_PID + 4:
                (self.pid,) = struct.unpack_from("<i", data, PRPSINFO_PID)
            elif kind == NT_AUXV:
                pairs = struct.iter_unpack("<QQ", data[: len(data) // 16 * 16])
                self.entry = next((value for key, value in pairs if key == AT_ENTRY), 0)
            elif kind == NT_FILE and len(data) >= 16:
                self.files = list(_mapped_files(data))
        # Zeek runs scripts on its main thread alone, whose id is the process's.
        self.sp = threads.get(self.pid, 0)

    def _notes(self, areas: list[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        for offset, size in areas:
            data = self._at(offset, min(size, MAX_NOTES))
            at = 0
            while at + 12 <= len(data):
                namesz, descsz, kind = struct.unpack_from("<III", data, at)
                start = at + 12 + (namesz + 3 & ~3)
                yield kind, data[start : start + descsz]
                at = start + (descsz + 3 & ~3)


def _mapped_files(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Of an NT_FILE note: a count, the size of a page, three numbers a mapping, then the names."""
    count = min(struct.unpack_from("<Q", data)[0], MAX_FILES, (len(data) - 16) // 24)
    names = data[16 + 24 * count :].split(b"\0")
    for i, name in zip(range(count), names, strict=False):
        low, high, _ = struct.unpack_from("<QQQ", data, 16 + 24 * i)
        yield low, high, name.decode("utf-8", "surrogateescape")


def _map(path: Path) -> mmap.mmap:
    file: BinaryIO
    try:
        with open(path, "rb", opener=lambda p, flags: os.open(p, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FileError(f"{path} is not a regular file")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as e:
        raise FileError(f"cannot read {path}: {e.strerror}") from None
    except ValueError:
        raise FileError(f"{path} is empty") from None


def without_overlap(segments: Segments) -> Segments:
    """``segments`` sorted by address. Where some overlap, the earlier in the list counts."""
    result: Segments = []
    for low, data in segments:
        here = sorted(s for s in result if s[0] < low + len(data) and low < s[0] + len(s[1]))
        at = low
        for start, taken in here:
            if at < start:
                result.append((at, data[at - low : start - low]))
            at = max(at, start + len(taken))
        if at < low + len(data):
            result.append((at, data[at - low :]))
    return sorted(result, key=lambda s: s[0])


def open_core(path: Path, exe: Path | None) -> tuple[DeadTarget, Segments]:
    """The Zeek of a core file, and its memory.

    ``exe``: its executable; None for the path the core says. Raises FileError and NotZeek, and TargetError where the
    executable is not the one that ran.
    """
    core = CoreFile(path)
    named = core.executable()
    if exe is None and named is None:
        raise TargetError(f"{path} does not say which executable it is of", "Name it with --exe ZEEK.")
    place = exe or Path(named or "")
    try:
        with Elf(place) as elf:
            return _target(core, elf, place), _with_executable(core, elf, place)
    except FileError as e:
        if exe is None:
            raise FileError(f"{path} is of {place}: {e}", "Name a copy of that executable with --exe ZEEK.") from None
        raise


def _bias(core: CoreFile, elf: Elf) -> int:
    (entry,) = struct.unpack("<Q", elf.pread(24, 8))
    if not core.entry:
        if elf.is_pie:
            raise FileError(
                f"{core.path} is damaged: it does not say where its program was loaded (no auxiliary vector)"
            )
        return 0
    return core.entry - int(entry)


def _target(core: CoreFile, elf: Elf, place: Path) -> DeadTarget:
    bias = _bias(core, elf)
    ran = core.executable() or "another executable"
    if bias % 4096 or (bias and not elf.is_pie) or core.arch != elf.arch:
        raise TargetError(f"{core.path} is not a core of {place}, but of {ran}", "Name what ran with --exe.")
    seen = _build_id(core, elf, bias)
    if seen is not None and elf.build_id is not None and seen != elf.build_id:
        raise TargetError(
            f"{core.path} is a core of {ran} with the build-id {seen}; {place} has {elf.build_id}",
            "Name the executable that ran with --exe; an update may have replaced it since.",
        )
    if core.sp == 0:
        raise FileError(f"{core.path} is damaged: it does not say where the main thread was (no NT_PRSTATUS)")
    status = os.fstat(elf.fileno())
    return DeadTarget(
        pid=core.pid,
        exe=str(place),
        bias=bias,
        stack=core.stack(),
        start_time=0,
        exe_id=(status.st_dev, status.st_ino),
        sp=core.sp,
        **vars(read_executable(elf, bias, f"{core.path} ({place})")),
    )


def _build_id(core: CoreFile, elf: Elf, bias: int) -> str | None:
    """The build-id in the core's memory, where the executable has its own; None if that page is not in the core."""
    for segment in elf.segments:
        if segment.type != PT_NOTE or elf.build_id is None:
            continue
        own = elf.pread(segment.offset, min(segment.filesz, 1 << 16), exact=False)
        at = own.find(bytes.fromhex(elf.build_id))
        address = bias + segment.vaddr + at
        for low, data in core.memory():
            if at >= 0 and low <= address and address + len(elf.build_id) // 2 <= low + len(data):
                return bytes(data[address - low : address - low + len(elf.build_id) // 2]).hex()
    return None


def _with_executable(core: CoreFile, elf: Elf, place: Path) -> Segments:
    """The core's memory, and where it has none, what the executable's file holds: code and constants."""
    bias, whole = _bias(core, elf), memoryview(_map(place))
    own = [(s.vaddr + bias, whole[s.offset : s.offset + s.filesz]) for s in elf.loads if s.vaddr + bias >= 0]
    return without_overlap([*core.memory(), *own])


def not_in(core: Path, e: NotZeek) -> NotZeek:
    """``e`` as it is said of a core file."""
    return NotZeek(f"there is no Zeek in {core}: {e}", "Give a core of a zeek process, and that zeek with --exe.")
