"""A process that is to be profiled: its executable, version and symbols. Only reads; never runs the target's binary."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zeekspy import access, zeek_types
from zeekspy.elf import Elf, Segment
from zeekspy.errors import NoSuchTarget, NotZeek, TargetError, UnknownBuild
from zeekspy.stdlib import stdlib_of

PAGE = 4096
MAX_MAPS = 1 << 24
"""Bytes of /proc/PID/maps read at most."""


VERSIONLESS = (
    "Without a version no table of offsets can be chosen. Zeek's own build links with -rdynamic, which exports it: "
    "profile an executable that was built so."
)

PF_KTHREAD = 0x00200000
"""Of the flags in /proc/PID/stat: include/linux/sched.h."""


@dataclass(frozen=True, slots=True)
class Mapping:
    start: int
    end: int
    offset: int
    device: tuple[int, int]
    inode: int
    path: str


@dataclass(frozen=True, slots=True)
class Target:
    """A running Zeek. Addresses are those of the process."""

    pid: int
    exe: str
    """Path of the executable as the target sees it, " (deleted)" taken away."""
    arch: str
    build_id: str | None
    version: str
    stdlib: str
    """One of layout.STDLIBS."""
    debug: bool
    """A build with -DDEBUG, whose classes have more members."""
    bias: int
    """What the loader added to the addresses in the file."""
    symbols: dict[str, int]
    """Addresses by the names of zeek_types.SYMBOLS; call_stack and version are always there."""
    sizes: dict[str, int]
    data: tuple[int, int]
    """[low, high) of the read-only data in which vtables lie."""
    stack: tuple[int, int]
    """[low, high) in which the main thread's C++ stack can lie; (0, 0) if unknown."""
    start_time: int
    """When the process began, in clock ticks since boot: with the pid, it names one process for ever."""
    exe_id: tuple[int, int]
    """Device and inode of the executable, which an exec changes."""

    @property
    def exe_file(self) -> str:
        """A path under which the executable can be opened here, whatever has become of it in the file system."""
        return f"/proc/{self.pid}/exe"

    def alive(self) -> bool:
        """Whether the process is still there and still runs this executable."""
        try:
            return start_time(self.pid) == self.start_time and exe_id(self.pid) == self.exe_id
        except TargetError:
            return False


def find(pid: int) -> Target:
    """The Target of process ``pid``. Raises NoSuchTarget, AccessDenied, NotZeek, or UnknownBuild without a version."""
    began = start_time(pid)
    try:
        exe = os.readlink(f"/proc/{pid}/exe")
        with open(f"/proc/{pid}/exe", "rb") as file:
            status = os.fstat(file.fileno())
            maps = read_maps(pid)
            target = _inspect(pid, exe.removesuffix(" (deleted)"), file, status, maps, began)
    except PermissionError:
        raise access.denied(pid, "looking at the executable") from None
    except OSError as e:
        if is_kernel_thread(pid):
            raise NotZeek(f"process {pid} is a thread of the kernel") from None
        if isinstance(e, FileNotFoundError | ProcessLookupError):  # an exiting process has no executable any more
            raise NoSuchTarget(f"process {pid} has gone, or is about to") from None
        raise TargetError(f"cannot look at process {pid}: {e.strerror}") from None
    if start_time(pid) != began:
        raise NoSuchTarget(f"process {pid} has gone, and another has its number now")
    return target


def _inspect(pid: int, exe: str, file: BinaryIO, status: os.stat_result, maps: list[Mapping], began: int) -> Target:
    elf = Elf(file)
    bias = load_bias(elf.loads, maps, (os.major(status.st_dev), os.minor(status.st_dev)), status.st_ino, exe)
    stack = next(((m.start, m.end) for m in maps if m.path == "[stack]"), None)
    return Target(
        pid=pid,
        exe=exe,
        bias=bias,
        # The stack grows downwards from where it is now; 1 GiB is far beyond any limit in use.
        stack=(max(PAGE, stack[1] - (1 << 30)), stack[1]) if stack else (0, 0),
        start_time=began,
        exe_id=(status.st_dev, status.st_ino),
        **vars(read_executable(elf, bias, f"process {pid} ({exe})")),
    )


@dataclass(frozen=True)
class Executable:
    """What a Target knows from its executable alone, at the addresses it was loaded to."""

    arch: str
    build_id: str | None
    version: str
    stdlib: str
    debug: bool
    symbols: dict[str, int]
    sizes: dict[str, int]
    data: tuple[int, int]


def read_executable(elf: Elf, bias: int, what: str) -> Executable:
    """The Executable that was loaded with ``bias``. NotZeek, with ``what`` it is that runs it, if it is none."""
    symbols, sizes = {}, {}
    for name, mangled in zeek_types.SYMBOLS.items():
        # .symtab is slow to search and need not be there; what a walk needs is exported.
        look_up = elf.symbol if name in zeek_types.NEEDED_SYMBOLS else elf.dynamic_symbol
        found = next((s for s in map(look_up, mangled) if s is not None), None)
        if found is not None:
            symbols[name], sizes[name] = found.value + bias, found.size
    missing = [name for name in zeek_types.NEEDED_SYMBOLS if name not in symbols]
    if missing == ["version"]:
        raise UnknownBuild(f"{what} may be a Zeek, but its executable defines no version", VERSIONLESS)
    if missing:
        raise NotZeek(f"{what} is not a Zeek: its executable defines no {' and no '.join(missing)}")
    low, high = elf.vtable_range
    return Executable(
        arch=elf.arch,
        build_id=elf.build_id,
        version=_version(elf, symbols["version"] - bias, sizes["version"]),
        stdlib=stdlib_of(elf),
        debug=zeek_types.is_debug_build(elf.names),
        symbols=symbols,
        sizes=sizes,
        data=(low + bias, high + bias) if high else (0, 0),
    )


def _version(elf: Elf, vaddr: int, size: int) -> str:
    text = elf.read_at(vaddr, min(size or 64, 256)).split(b"\0")[0]
    if not text or not text.isascii() or not text[:1].isdigit():
        raise UnknownBuild(f"{elf.name} may be a Zeek, but its symbol version does not hold a version", VERSIONLESS)
    return text.decode()


def load_bias(loads: tuple[Segment, ...], maps: list[Mapping], device: tuple[int, int], inode: int, exe: str) -> int:
    """What was added to the file's addresses: where its first segment is mapped, less where the file puts it.

    The mapping is known by device and inode, or by path where the file system gives mappings other numbers (overlayfs,
    btrfs). TargetError if it is not there.
    """
    first = min(loads, key=lambda s: s.vaddr, default=None)
    if first is None:
        raise NotZeek(f"{exe} is not a program: it loads nothing")
    if not maps:
        raise NoSuchTarget(f"the process that runs {exe} has gone, or is about to")
    offset = first.offset - first.offset % PAGE
    same = [m for m in maps if m.device == device and m.inode == inode and m.offset == offset]
    same = same or [m for m in maps if m.path.removesuffix(" (deleted)") == exe and m.offset == offset]
    if not same:
        raise TargetError(f"the executable {exe} is not mapped in the process")
    return min(m.start for m in same) - (first.vaddr - first.vaddr % PAGE)


def read_maps(pid: int) -> list[Mapping]:
    """The process's mappings. OSError as open raises it."""
    with open(f"/proc/{pid}/maps", "rb") as f:
        text = f.read(MAX_MAPS).decode("utf-8", "surrogateescape")
    result = []
    for line in text.splitlines():
        parts = line.split(maxsplit=5)
        if len(parts) < 5:
            continue
        start, _, end = parts[0].partition("-")
        major, _, minor = parts[3].partition(":")
        device = (int(major, 16), int(minor, 16))
        path = parts[5] if len(parts) > 5 else ""
        result.append(Mapping(int(start, 16), int(end, 16), int(parts[2], 16), device, int(parts[4]), path))
    return result


def start_time(pid: int) -> int:
    """Field 22 of /proc/PID/stat. NoSuchTarget if there is no such process, or only a zombie of it."""
    fields = _stat(pid)
    if fields[0] in (b"Z", b"X"):
        raise NoSuchTarget(f"process {pid} has already exited (its parent has not collected it yet)")
    return int(fields[19])


def is_kernel_thread(pid: int) -> bool:
    """Whether field 9 of /proc/PID/stat says so. NoSuchTarget if there is no such process."""
    return bool(int(_stat(pid)[6]) & PF_KTHREAD)


def _stat(pid: int) -> list[bytes]:
    """The fields from the third on: the second, the command's name, may itself hold blanks and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        raise NoSuchTarget(f"there is no process {pid}") from None
    except OSError as e:
        raise TargetError(f"cannot look at process {pid}: {e.strerror}") from None


def exe_id(pid: int) -> tuple[int, int]:
    """Device and inode of the process's executable now. NoSuchTarget once it has gone."""
    try:
        status = os.stat(f"/proc/{pid}/exe")
    except OSError:
        raise NoSuchTarget(f"process {pid} has gone") from None
    return status.st_dev, status.st_ino
