"""Debug info on disk: finds the file that holds a program's DWARF and hands out its sections, ready to read.

Sections are compressed (SHF_COMPRESSED, .zdebug_*), unrelocated (object files), split off into other files
(.gnu_debuglink, /usr/lib/debug by build-id, --debug-file) and shared between files (dwz): not so past this module.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from zeekspy.elf import ET_REL, SHT_NOBITS, SHT_SYMTAB, Elf, Section
from zeekspy.errors import DebugInfoError, FileError, NotZeek

SHT_RELA = 4
SHF_COMPRESSED = 0x800
ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD = 1, 2
RELOCATIONS = {"x86_64": {1: 8, 10: 4, 11: 4}, "aarch64": {257: 8, 258: 4}}
"""Absolute relocations (R_X86_64_64, _32, _32S; R_AARCH64_ABS64, _ABS32) to their width in bytes."""

DEBUG_ROOT = Path("/usr/lib/debug")
FETCH = 600
"""Seconds that debuginfod-find may take: a Zeek's debug info has 100 MB and more."""
PIECE = 32 << 20
"""Of a section that is looked through."""
MAX_SECTION = 4 << 30
ZLIB_RATIO = 1032
"""zlib cannot shrink anything further: a section that claims to was forged to fill the disk."""

Buffer = bytes | mmap.mmap


class DebugSection:
    """Bytes of one section: ``buffer[start:end]``."""

    __slots__ = ("buffer", "end", "start")

    def __init__(self, buffer: Buffer, start: int, end: int) -> None:
        self.buffer, self.start, self.end = buffer, start, end

    def __len__(self) -> int:
        return self.end - self.start

    def slice(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``; fewer where the section ends."""
        at = self.start + offset
        return bytes(self.buffer[at : min(at + length, self.end)])

    def string(self, offset: int) -> bytes:
        """The NUL-terminated string at ``offset``, cut at 64 KiB. DebugInfoError beyond the end."""
        at = self.start + offset
        if not self.start <= at < self.end:
            raise DebugInfoError(f"the debug info is damaged: a string at {offset:#x}, beyond its section")
        limit = min(at + 65536, self.end)
        end = self.buffer.find(b"\0", at, limit)
        return bytes(self.buffer[at : end if end >= 0 else limit])

    def holds(self, needle: bytes) -> bool:
        """Whether these bytes are anywhere in it. It looks through all of it, and leaves none of that in our memory."""
        for at in range(self.start, self.end, PIECE):
            found = self.buffer.find(needle, at, min(at + PIECE + len(needle) - 1, self.end)) >= 0
            if isinstance(self.buffer, mmap.mmap):
                self.buffer.madvise(mmap.MADV_DONTNEED)
            if found:
                return True
        return False


EMPTY = DebugSection(b"", 0, 0)


class DebugFile:
    """The DWARF sections of one file, mapped or copied: ``elf`` may be closed afterwards."""

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        self.name = elf.name
        self._buffer = _map(elf)
        sections = [s for s in elf.sections if s.type != SHT_NOBITS and ("debug_" in s.name or "altlink" in s.name)]
        relocations: dict[int, list[Section]] = {}
        if elf.type == ET_REL:
            for s in elf.sections:
                if s.type == SHT_RELA:
                    relocations.setdefault(s.info, []).append(s)
        self.infos: list[tuple[DebugSection, bool]] = []
        """.debug_info and .debug_types, each with whether it is the latter. An object file may have several."""
        loaded: dict[str, DebugSection] = {}
        for s in sections:
            plain = s.name.replace(".zdebug_", ".debug_", 1)
            if plain in (".debug_info", ".debug_types"):
                data = self._relocate(self._load(s), relocations.get(s.number, []))
                self.infos.append((data, plain == ".debug_types"))
            elif plain in (".debug_abbrev", ".debug_str", ".debug_line_str", ".gnu_debugaltlink"):
                loaded.setdefault(plain, self._load(s))
            elif plain == ".debug_str_offsets" and plain not in loaded:
                loaded[plain] = self._relocate(self._load(s), relocations.get(s.number, []))
        self.abbrev = loaded.get(".debug_abbrev", EMPTY)
        self.str = loaded.get(".debug_str", EMPTY)
        self.line_str = loaded.get(".debug_line_str", EMPTY)
        self.str_offsets = loaded.get(".debug_str_offsets", EMPTY)
        self._altlink = loaded.get(".gnu_debugaltlink")
        self._alt: DebugFile | None = None

    @property
    def has_dwarf(self) -> bool:
        return any(len(data) for data, _ in self.infos) and len(self.abbrev) > 0

    def may_mention(self, name: str) -> bool:
        """Whether any class could be called ``name``: False only if the strings rule it out."""
        needle = name.encode() + b"\0"
        files = [self, self.alt()] if self._altlink else [self]
        return any(f.str.holds(needle) or any(data.holds(needle) for data, _ in f.infos) for f in files)

    def _load(self, s: Section) -> DebugSection:
        if s.offset + s.size > self.elf.file_size:
            raise FileError(f"{self.name} is truncated: its section {s.name} lies beyond its end")
        if s.flags & SHF_COMPRESSED:
            if s.size < 24:
                raise DebugInfoError(f"{self.name} is damaged: its compressed section {s.name} has no header")
            kind, _, size, _ = struct.unpack_from("<IIQQ", self._buffer, s.offset)
            if kind == ELFCOMPRESS_ZSTD:
                raise DebugInfoError(
                    f"the debug info of {self.name} is compressed with zstd, which zeekspy does not read",
                    "Decompress it into a copy: objcopy --decompress-debug-sections ZEEK COPY.",
                )
            if kind != ELFCOMPRESS_ZLIB:
                raise DebugInfoError(f"the debug info of {self.name} is compressed in an unknown way ({kind})")
            return self._inflate(s, 24, size)
        if s.name.startswith(".zdebug_") and self._buffer[s.offset : s.offset + 4] == b"ZLIB" and s.size >= 12:
            return self._inflate(s, 12, int.from_bytes(self._buffer[s.offset + 4 : s.offset + 12], "big"))
        return DebugSection(self._buffer, s.offset, s.offset + s.size)

    def _inflate(self, s: Section, header: int, size: int) -> DebugSection:
        """Decompresses into an unnamed file, so that the kernel may drop the pages again."""
        if size > min(MAX_SECTION, ZLIB_RATIO * s.size + 64):
            raise DebugInfoError(f"{self.name} is damaged: its section {s.name} claims to unpack to {size} bytes")
        if not size:
            return EMPTY
        unpack = zlib.decompressobj()
        try:
            with tempfile.TemporaryFile(prefix="zeekspy-") as out:
                at, end, written = s.offset + header, s.offset + s.size, 0
                while written < size and not unpack.eof:
                    source = unpack.unconsumed_tail
                    if not source:
                        source = self._buffer[at : min(at + (1 << 20), end)]
                        at += len(source)
                    piece = unpack.decompress(source, min(8 << 20, size - written))
                    if not piece and (not source or (at >= end and not unpack.unconsumed_tail)):
                        break
                    written += out.write(piece)
                if written < size:
                    raise DebugInfoError(f"{self.name} is damaged: its section {s.name} ends early")
                out.flush()
                return DebugSection(mmap.mmap(out.fileno(), size, prot=mmap.PROT_READ), 0, size)
        except zlib.error as e:
            raise DebugInfoError(f"{self.name} is damaged: its section {s.name} cannot be unpacked ({e})") from None
        except OSError as e:
            raise FileError(f"cannot unpack {s.name} of {self.name} into a temporary file: {e.strerror}") from None

    def _relocate(self, data: DebugSection, tables: list[Section]) -> DebugSection:
        """A copy of an object file's section with its absolute relocations applied."""
        if not tables:
            return data
        copy = bytearray(data.buffer[data.start : data.end])
        widths = RELOCATIONS[self.elf.arch]
        for table in tables:
            symtab = self.elf.sections[table.link] if table.link < len(self.elf.sections) else None
            if symtab is None or symtab.type != SHT_SYMTAB:
                raise DebugInfoError(f"{self.name} is damaged: {table.name} has no symbol table")
            entries = self._load(symtab).slice(0, symtab.size // 24 * 24)
            values = [value for _, _, _, _, value, _ in struct.iter_unpack("<IBBHQQ", entries)]
            for at, info, addend in struct.iter_unpack("<QQq", self._load(table).slice(0, table.size // 24 * 24)):
                width = widths.get(info & 0xFFFFFFFF)
                if width is None:
                    continue  # offsets into code or thread-local storage: no reader of types wants them
                symbol = info >> 32
                if at + width > len(copy) or symbol >= len(values):
                    raise DebugInfoError(f"{self.name} is damaged: a relocation of {table.name} points nowhere")
                value = (values[symbol] + addend) & ((1 << 8 * width) - 1)
                copy[at : at + width] = value.to_bytes(width, "little")
        return DebugSection(bytes(copy), 0, len(copy))

    def alt(self) -> DebugFile:
        """The file dwz moved shared pieces to (.gnu_debugaltlink). DebugInfoError if it is not on this machine."""
        if self._alt is None:
            if self._altlink is None:
                raise DebugInfoError(f"the debug info of {self.name} refers to a shared file but names none")
            link, _, build_id = self._altlink.slice(0, 4096).partition(b"\0")
            path = Path(link.decode("utf-8", "replace"))
            ident = build_id[:64].hex()
            for candidate in (Path(self.name).resolve().parent / path, by_build_id(ident)):
                if candidate is None or (elf := _open_if(candidate)) is None:
                    continue
                with elf:
                    if elf.build_id == ident:
                        self._alt = DebugFile(elf)
                        return self._alt
            raise DebugInfoError(
                f"the debug info of {self.name} is shared with {path} (dwz), which is not here",
                "Install the debug package that this file belongs to.",
            )
        return self._alt


def _map(elf: Elf) -> Buffer:
    if elf.fileno() >= 0 and elf.file_size:
        try:
            return mmap.mmap(elf.fileno(), 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as e:
            raise FileError(f"cannot map {elf.name}: {e}") from None
    return elf.pread(0, elf.file_size)


def by_build_id(build_id: str | None) -> Path | None:
    """Where distributions put the debug info of the program with this build-id; None if there is none to ask for."""
    return DEBUG_ROOT / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug" if build_id and len(build_id) > 2 else None


def _open_if(path: Path) -> Elf | None:
    try:
        return Elf(path)
    except (FileError, NotZeek):
        return None


def find(elf: Elf, debug_file: Path | None = None) -> DebugFile:
    """The DWARF of ``elf``: in ``debug_file`` if given, in itself, by build-id, by .gnu_debuglink, or from debuginfod.

    debuginfod's servers are asked only where $DEBUGINFOD_URLS names some.

    DebugInfoError says where it was looked for. A file with another build-id or checksum is not taken.
    """
    if debug_file is not None:
        with Elf(debug_file) as other:
            if elf.build_id and other.build_id and elf.build_id != other.build_id:
                raise DebugInfoError(
                    f"{debug_file} has build-id {other.build_id}, {elf.name} has {elf.build_id}: two builds"
                )
            found = DebugFile(other)
        if not found.has_dwarf:
            raise DebugInfoError(f"{debug_file} holds no DWARF")
        return found
    own = DebugFile(elf)
    if own.has_dwarf:
        return own
    looked = [elf.name]
    for path, crc in _split_off(elf):
        looked.append(str(path))
        other_elf = _open_if(path)
        if other_elf is None:
            continue
        with other_elf:
            same = crc32(path) == crc if crc is not None else other_elf.build_id == elf.build_id
            if same and (found := DebugFile(other_elf)).has_dwarf:
                return found
    if elf.build_id and os.environ.get("DEBUGINFOD_URLS"):
        looked.append("debuginfod")
        place = by_debuginfod(elf.build_id)
        fetched = _open_if(place) if place is not None else None
        if fetched is not None:
            with fetched:
                if fetched.build_id == elf.build_id and (found := DebugFile(fetched)).has_dwarf:
                    return found
    raise DebugInfoError(
        f"{elf.name} has no debug info; looked in {', '.join(looked)}",
        "Install the debug package of this Zeek, or name the file that has its DWARF: --debug-file FILE.",
    )


def _split_off(elf: Elf) -> Iterator[tuple[Path, int | None]]:
    """Files that may hold the debug info of ``elf``, each with the checksum it must have; None: its build-id counts."""
    path = by_build_id(elf.build_id)
    if path is not None:
        yield path, None
    link = debuglink(elf)
    if link is not None:
        name, crc = Path(link[0]).name, link[1]
        folder = Path(elf.name).resolve().parent
        for place in (folder, folder / ".debug", DEBUG_ROOT / folder.relative_to("/")):
            yield place / name, crc


def by_debuginfod(build_id: str) -> Path | None:
    """The file that elfutils' debuginfod-find has, or fetches into its cache; None if it finds none or is missing."""
    program = shutil.which("debuginfod-find")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "debuginfo", build_id], stdin=subprocess.DEVNULL, capture_output=True, timeout=FETCH, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    return Path(os.fsdecode(lines[0])) if done.returncode == 0 and lines else None


def debuglink(elf: Elf) -> tuple[str, int] | None:
    """Name and CRC-32 of the file that holds the split-off debug info (.gnu_debuglink)."""
    section = elf.section(".gnu_debuglink")
    if section is None or not 8 <= section.size <= 4096:
        return None
    data = elf.pread(section.offset, section.size)
    name, _, rest = data.partition(b"\0")
    at = len(name) + 4 & ~3
    if not name or not rest or at + 4 > len(data):
        return None
    return name.decode("utf-8", "replace"), struct.unpack_from("<I", data, at)[0]


def crc32(path: Path) -> int:
    """The checksum that .gnu_debuglink carries, of a whole file. FileError if it cannot be read."""
    crc = 0
    try:
        with path.open("rb") as f:
            while piece := f.read(1 << 20):
                crc = zlib.crc32(piece, crc)
    except OSError as e:
        raise FileError(f"cannot read {path}: {e.strerror}") from None
    return crc
