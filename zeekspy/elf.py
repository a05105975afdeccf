"""ELF files: symbols, build-id and segments of an executable, found as the dynamic loader finds them.

Works for stripped files and for files without section headers, and reads few and small pieces with pread: an attach to
a 360 MB Zeek must not cost a second, and a mapping of a file that someone shortens would kill us with SIGBUS.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import BinaryIO, NamedTuple

from zeekspy.errors import FileError, NotZeek
from zeekspy.symbol_hash import gnu_candidates, sysv_candidates

ET_REL, ET_EXEC, ET_DYN = 1, 2, 3
MACHINES = {62: "x86_64", 183: "aarch64"}
PT_LOAD, PT_DYNAMIC, PT_NOTE, PT_GNU_RELRO = 1, 2, 4, 0x6474E552
PF_X, PF_W = 1, 2
SHT_SYMTAB, SHT_NOTE, SHT_NOBITS = 2, 7, 8
SHN_XINDEX = 0xFFFF
DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_GNU_HASH = 1, 4, 5, 6, 10, 0x6FFFFEF5
NT_GNU_BUILD_ID = 3

MAX_TABLE = 1 << 30
"""No string or symbol table of a Zeek is longer: whatever says so is damaged."""
CHUNK = 1 << 20


class Segment(NamedTuple):
    """A program header: ``filesz`` bytes at ``offset`` of the file appear at ``vaddr``, ``memsz`` long in memory."""

    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    memsz: int


class Section(NamedTuple):
    """A section header, with its place in the file."""

    name: str
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    number: int


class Symbol(NamedTuple):
    value: int
    size: int


@dataclass(frozen=True, slots=True)
class _Dynamic:
    """What PT_DYNAMIC says, addresses as they stand in the file."""

    symtab: int
    strtab: int
    strsz: int
    gnu_hash: int | None
    hash: int | None
    needed: tuple[int, ...]


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a FIFO must not make us wait for a writer


class Elf:
    """A 64-bit little-endian ELF file of x86_64 or aarch64, by path or as an open binary file (/proc/PID/exe).

    Raises NotZeek for a file that cannot be a Zeek of this kind and FileError for one that cannot be read or is
    damaged. Addresses are the file's own (vaddr), before the loader adds its bias. Close it, or use it in ``with``;
    a file handed in stays open.
    """

    def __init__(self, file: str | os.PathLike[str] | BinaryIO) -> None:
        self._owned = isinstance(file, str | os.PathLike)
        self._file: BinaryIO
        if isinstance(file, str | os.PathLike):
            self.name = os.fspath(file)
            try:
                self._file = open(file, "rb", opener=_opener)  # noqa: SIM115 - close() or __exit__ closes it
            except OSError as e:
                raise FileError(f"cannot open {self.name}: {e.strerror}") from None
        else:
            self.name, self._file = str(getattr(file, "name", "<file>")), file
        try:
            self._fd = self._file.fileno()
        except OSError:  # io.BytesIO
            self._fd = -1
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if self._fd >= 0:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise FileError(f"{self.name} is not a regular file")
            self.file_size = status.st_size
        else:
            self.file_size = self._file.seek(0, os.SEEK_END)
        header = self.pread(0, 64, exact=False)
        if header[:4] != b"\x7fELF":
            raise NotZeek(f"{self.name} is not an ELF file")
        if len(header) < 64:
            raise FileError(f"{self.name} is truncated: it ends within the ELF header")
        if header[4] != 2:
            raise NotZeek(f"{self.name} is a 32-bit program; zeekspy reads 64-bit ones")
        if header[5] != 1:
            raise NotZeek(f"{self.name} is big-endian; zeekspy reads little-endian programs")
        (kind, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx) = struct.unpack_from(
            "<HHIQQQIHHHHHH", header, 16
        )
        if machine not in MACHINES:
            raise NotZeek(f"{self.name} is for a processor (ELF machine {machine}) that zeekspy does not know")
        if kind not in (ET_REL, ET_EXEC, ET_DYN):
            raise NotZeek(f"{self.name} is neither a program nor an object file (ELF type {kind})")
        self.type: int = kind
        self.arch = MACHINES[machine]
        self._sections_at = (shoff, shentsize, shnum, shstrndx)
        self.segments: tuple[Segment, ...] = ()
        if phnum:
            if phentsize != 56:
                raise FileError(f"{self.name} is damaged: program headers of {phentsize} bytes")
            table = self.pread(phoff, 56 * phnum)
            self.segments = tuple(
                Segment(t, flags, offset, vaddr, filesz, memsz)
                for t, flags, offset, vaddr, _, filesz, memsz, _ in struct.iter_unpack("<IIQQQQQQ", table)
            )

    def close(self) -> None:
        if self._owned:
            self._file.close()

    def __enter__(self) -> Elf:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def fileno(self) -> int:
        """The open file's descriptor; -1 if it is not a real file."""
        return self._fd

    def pread(self, offset: int, length: int, exact: bool = True) -> bytes:
        """``length`` bytes at ``offset`` of the file; FileError where the file ends earlier, unless not ``exact``."""
        if offset > self.file_size or offset + length > self.file_size:
            if exact:
                raise FileError(f"{self.name} is truncated: {length} bytes at {offset:#x} lie beyond its end")
            length = max(0, self.file_size - offset)
        data = b""
        try:
            while len(data) < length:  # one pread returns at most 2 GiB, and less when interrupted
                if self._fd >= 0:
                    piece = os.pread(self._fd, length - len(data), offset + len(data))
                else:
                    self._file.seek(offset + len(data))
                    piece = self._file.read(length - len(data))
                if not piece:
                    break
                data = data + piece if data else piece
        except OSError as e:
            raise FileError(f"cannot read {self.name}: {e.strerror}") from None
        if exact and len(data) < length:
            raise FileError(f"{self.name} was shortened while it was read")
        return data

    @property
    def loads(self) -> tuple[Segment, ...]:
        """The PT_LOAD segments in the order of the file."""
        return tuple(s for s in self.segments if s.type == PT_LOAD)

    @property
    def is_pie(self) -> bool:
        """Whether the loader chooses where the program goes."""
        return self.type == ET_DYN

    def _file_offset(self, vaddr: int) -> tuple[int, int]:
        """Where ``vaddr`` lies in the file, and how many bytes of its segment follow there."""
        for s in self.loads:
            if s.vaddr <= vaddr < s.vaddr + s.filesz:
                return s.offset + vaddr - s.vaddr, s.filesz - (vaddr - s.vaddr)
        raise FileError(f"{self.name} is damaged: nothing of the file is loaded at {vaddr:#x}")

    def read_at(self, vaddr: int, length: int) -> bytes:
        """``length`` bytes that the file puts at ``vaddr``. FileError where it puts none (.bss) or fewer."""
        offset, left = self._file_offset(vaddr)
        if length > left:
            raise FileError(f"{self.name}: only {left} of {length} bytes at {vaddr:#x} come from the file")
        return self.pread(offset, length)

    @property
    def vtable_range(self) -> tuple[int, int]:
        """[low, high) of the read-only data in which the program's vtables lie; (0, 0) if there is no such data.

        In a PIE vtables hold relocated addresses: .data.rel.ro, which PT_GNU_RELRO covers. Otherwise they may lie in
        .rodata too, so the range begins with the first read-only segment.
        """
        spans = [s for s in self.segments if s.type == PT_GNU_RELRO]
        if not spans:  # linked with -z norelro: .data.rel.ro is part of the data segment
            spans = [s for s in self.loads if s.flags & PF_W]
        if not self.is_pie:
            constant = [s for s in self.loads if not s.flags & PF_W]
            spans += [s for s in constant if not s.flags & PF_X] or constant  # one segment with the code: old linkers
        spans = [s for s in spans if s.memsz]
        if not spans:
            return 0, 0
        return min(s.vaddr for s in spans), max(s.vaddr + s.memsz for s in spans)

    @cached_property
    def build_id(self) -> str | None:
        """The GNU build-id in hexadecimal, None if the linker was not asked for one."""
        areas = [(s.offset, s.filesz) for s in self.segments if s.type == PT_NOTE]
        if not areas:  # object files have no segments, files from objcopy --only-keep-debug may have empty ones
            areas = [(s.offset, s.size) for s in self.sections if s.type == SHT_NOTE]
        for offset, size in areas:
            notes = self.pread(offset, min(size, 1 << 16), exact=False)
            at = 0
            while at + 12 <= len(notes):
                namesz, descsz, kind = struct.unpack_from("<III", notes, at)
                desc = at + 12 + (namesz + 3 & ~3)
                if kind == NT_GNU_BUILD_ID and notes[at + 12 : at + 16] == b"GNU\0" and 0 < descsz <= 64:
                    return notes[desc : desc + descsz].hex()
                at = desc + (descsz + 3 & ~3)
        return None

    @cached_property
    def _dynamic(self) -> _Dynamic | None:
        segment = next((s for s in self.segments if s.type == PT_DYNAMIC), None)
        if segment is None or not segment.filesz:
            return None
        tags: dict[int, int] = {}
        needed: list[int] = []
        table = self.pread(segment.offset, min(segment.filesz, CHUNK) // 16 * 16)
        for tag, value in struct.iter_unpack("<QQ", table):
            if tag == 0:
                break
            if tag == DT_NEEDED:
                needed.append(value)
            tags[tag] = value
        if not {DT_SYMTAB, DT_STRTAB, DT_STRSZ} <= tags.keys():
            return None
        return _Dynamic(
            tags[DT_SYMTAB],
            tags[DT_STRTAB],
            min(tags[DT_STRSZ], MAX_TABLE),
            tags.get(DT_GNU_HASH),
            tags.get(DT_HASH),
            tuple(needed[:256]),
        )

    @cached_property
    def needed(self) -> tuple[str, ...]:
        """Names of the shared libraries the program asks for."""
        d = self._dynamic
        if d is None:
            return ()
        return tuple(self._string(d.strtab + n) for n in d.needed if n < d.strsz)

    def _string(self, vaddr: int) -> str:
        offset, left = self._file_offset(vaddr)
        return self.pread(offset, min(left, 4096), exact=False).split(b"\0")[0].decode("utf-8", "replace")

    def symbol(self, name: str) -> Symbol | None:
        """Value (a vaddr) and size of the symbol ``name`` that this file defines, None if it defines none.

        Looks in .dynsym through its hash table, then in .symtab, which a stripped file does not have.
        """
        return self.dynamic_symbol(name) or self._static_symbol(name.encode())

    def dynamic_symbol(self, text: str) -> Symbol | None:
        """As ``symbol``, in .dynsym alone."""
        name, d = text.encode(), self._dynamic
        if d is None:
            return None
        if d.gnu_hash is not None:
            candidates = gnu_candidates(self.read_at, d.gnu_hash, name)
        elif d.hash is not None:
            candidates = sysv_candidates(self.read_at, d.hash, name)
        else:
            return None
        for index in candidates:
            st_name, info, _, shndx, value, size = struct.unpack("<IBBHQQ", self.read_at(d.symtab + 24 * index, 24))
            if shndx == 0 or info & 15 == 6 or st_name >= d.strsz:  # undefined, or an offset in thread-local storage
                continue
            offset, left = self._file_offset(d.strtab + st_name)
            if self.pread(offset, min(left, len(name) + 1), exact=False) == name + b"\0":
                return Symbol(value, size)
        return None

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; none where they were stripped. FileError where they are damaged."""
        offset, entsize, count, strndx = self._sections_at
        if not offset:
            return ()
        if entsize != 64:
            raise FileError(f"{self.name} is damaged: section headers of {entsize} bytes")
        first = struct.unpack("<IIQQQQIIQQ", self.pread(offset, 64))
        count = count or first[5]  # more than 65279 sections: the first header has the numbers
        strndx = first[6] if strndx == SHN_XINDEX else strndx
        if count > MAX_TABLE // 64:
            raise FileError(f"{self.name} is damaged: {count} sections")
        headers = list(struct.iter_unpack("<IIQQQQIIQQ", self.pread(offset, 64 * count)))
        names = self.pread(headers[strndx][4], min(headers[strndx][5], MAX_TABLE)) if strndx < count else b""
        result = []
        for i, (name, kind, flags, addr, at, size, link, info, _, _) in enumerate(headers):
            end = names.find(b"\0", name, name + 256)
            text = names[name : end if end >= 0 else name + 256].decode("utf-8", "replace")
            result.append(Section(text, kind, flags, addr, at, size, link, info, i))
        return tuple(result)

    def section(self, name: str) -> Section | None:
        """The first section of that name with bytes in the file."""
        return next((s for s in self.sections if s.name == name and s.type != SHT_NOBITS), None)

    def _symtab(self) -> tuple[bytes, bytes] | None:
        table = next((s for s in self.sections if s.type == SHT_SYMTAB), None)
        if table is None or table.link >= len(self.sections):
            return None
        strings = self.sections[table.link]
        if table.size > MAX_TABLE or strings.size > MAX_TABLE:
            raise FileError(f"{self.name} is damaged: its symbol table is absurdly long")
        symbols = self.pread(table.offset, table.size // 24 * 24)
        return symbols, self.pread(strings.offset, strings.size)

    def _static_symbol(self, name: bytes) -> Symbol | None:
        for shndx, symbol in self._in_symtab(name):
            if shndx:
                return symbol
        return None

    def _in_symtab(self, name: bytes) -> Iterator[tuple[int, Symbol]]:
        """(section index, symbol) of every entry of .symtab that has this name, undefined ones included."""
        found = self._symtab()
        if found is None:
            return
        symbols, strings = found
        places: set[int] = set()  # of the name in the string table: a name may also be the end of another
        at = strings.find(name + b"\0")
        while at >= 0 and len(places) < 10000:
            places.add(at)
            at = strings.find(name + b"\0", at + 1)
        if places:
            for st_name, info, _, shndx, value, size in struct.iter_unpack("<IBBHQQ", symbols):
                if st_name in places and info & 15 != 6:
                    yield shndx, Symbol(value, size)

    def mentions(self, name: str) -> bool:
        """Whether .symtab has ``name``, defined here or only used: what an object file can tell."""
        return next(self._in_symtab(name.encode()), None) is not None

    def mentioned(self, *words: bytes) -> set[bytes]:
        """Which of the words are part of a name in .dynsym, or in .symtab if there is no .dynsym."""
        return {word for piece in self._names() for word in words if word in piece}

    def names(self, start: bytes) -> list[bytes]:
        """The distinct names there that begin so, as far as letters, digits and underscores go."""
        seen: dict[bytes, None] = {}
        for piece in self._names():
            at = piece.find(b"\0" + start)
            while 0 <= at < CHUNK:  # the rest comes again, with what follows it
                end = re.compile(rb"\w*").match(piece, at + 1)
                seen.setdefault(end[0] if end else start)
                at = piece.find(b"\0" + start, at + 1)
        return list(seen)

    def _names(self) -> Iterator[bytes]:
        """The string table in pieces that overlap; names are searched by bytes.find, 100 times as fast as by re."""
        d = self._dynamic
        if d is not None:
            offset, left = self._file_offset(d.strtab)
            size = min(left, d.strsz)
        else:
            table = next((s for s in self.sections if s.type == SHT_SYMTAB), None)
            if table is None or table.link >= len(self.sections):
                return
            offset, size = self.sections[table.link].offset, min(self.sections[table.link].size, MAX_TABLE)
        for at in range(0, size, CHUNK):
            yield self.pread(offset + at, min(CHUNK + 256, size - at))
