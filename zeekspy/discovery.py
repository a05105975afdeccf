"""Every Zeek on this host, from /proc alone: nothing is attached to or run, and processes may go at any moment.

Works unprivileged with what may be read; what may not be is None, and ``why`` has the reason by the column's name.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from zeekspy import choice, nodes, target
from zeekspy.elf import Elf
from zeekspy.errors import LayoutError, TargetError, ZeekspyError
from zeekspy.layout import Layout
from zeekspy.nodes import Traces, container_of, printable, unit_of
from zeekspy.target import Executable

PROC = Path("/proc")
MAX_PROCESSES = 1 << 17
MAX_READ = 1 << 18
"""Bytes of a file in /proc that are read: of an environment more than the kernel's own default for one string."""
MAX_EXECUTABLES = 256
"""Of different executables that are kept in mind."""
CPU_S = 0.3
"""Between the two readings that a share of a CPU is made of."""
NAMES = re.compile(r"(?:zeek|bro)(?![a-z0-9_-]*(?:ctl|cut|archiver|client|config|spy|aux))")
"""What the executable of a Zeek, or the process's title, begins with; Zeek's own tools have names like it."""


@dataclass(frozen=True, slots=True)
class Node:
    """One Zeek process. Shares are of one CPU, 0 … 1 and more."""

    pid: int
    start_time: int
    """In clock ticks since boot: with the pid, it names one process for ever."""
    name: str
    role: str | None
    """One of nodes.ROLES."""
    by: str
    """What told the name: title, -j, CLUSTER_NODE, zeekctl, unit, folder or pid."""
    exe: str | None
    version: str | None
    cpus: frozenset[int] | None
    """Those it is pinned to; None where it may run on all, or that is not known."""
    cpu: float | None
    """Share of a CPU that all its threads took, lately."""
    main_cpu: float | None
    """And the main thread, which runs the scripts."""
    unit: str | None
    container: str | None
    pid_inside: int | None
    """In a pid namespace of its own, which pid it has there."""
    layout: str | None
    """The table of offsets that would be chosen: a shipped one's name, cache, debug info, or none."""
    why: dict[str, str] = field(default_factory=dict)
    """Of what is None or uncertain, the reason: by the names of these fields."""


@dataclass(frozen=True, slots=True)
class _Build:
    """What an executable tells."""

    version: str | None
    layout: str | None
    why: str = ""
    zeek: bool = True


def unknown(pid: int) -> Node:
    """A process that does not look like a Zeek but may be one: its name is empty."""
    nothing: dict[str, str] = {}
    return Node(pid, 0, "", None, "", None, None, None, None, None, None, None, None, None, nothing)


class Discovery:
    """Looks for Zeeks under ``proc``. One that is asked again and again reads each executable once."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._builds: dict[tuple[int, int, int, int], _Build] = {}

    def find(self, *, cpu_s: float = 0.0) -> list[Node]:
        """All there are now, by name and pid. ``cpu_s``: over how many seconds shares of CPUs are taken, 0 for none."""
        present = self._present()
        found = [node for pid in self._pids() if (node := self._node(pid, present)) is not None]
        if cpu_s and found:
            found = self._with_cpu(found, cpu_s)
        return sorted(found, key=lambda n: (_natural(n.name), n.pid))

    def node(self, pid: int) -> Node | None:
        """The Zeek of that pid; None if there is none."""
        return self._node(pid, self._present())

    def _pids(self) -> Iterator[int]:
        pids = sorted(int(name) for name in _names(self._proc) if name.isdigit() and len(name) < 10)
        return iter(pids[:MAX_PROCESSES])

    def _node(self, pid: int, present: frozenset[int]) -> Node | None:
        folder = self._proc / str(pid)
        exe, unreadable = _link(folder / "exe")
        comm = _text(folder / "comm").rstrip("\n")
        if exe is not None and not any(map(NAMES.match, (exe.rpartition("/")[2], comm))):
            return None
        began = _start_time(folder)
        if began is None:
            return None
        argv = tuple(_text(folder / "cmdline").rstrip("\0").split("\0"))
        if exe is None and not any(map(NAMES.match, (comm, argv[0].rpartition("/")[2]))):
            return None
        build = self._build(folder) if exe is not None else _Build(None, None, unreadable)
        if not build.zeek:
            return None
        traces = Traces(pid, comm, argv, exe, _environ(folder), _link(folder / "cwd")[0], _cgroup(folder))
        identity = nodes.identify(traces)
        status = _status(folder)
        if identity is None or _start_time(folder) != began:
            return None
        why = dict(identity.why)
        if build.why:
            why |= dict.fromkeys(("exe", "version", "layout") if exe is None else ("version", "layout"), build.why)
        mask = _cpus(status.get("Cpus_allowed_list", ""))
        inside = status.get("NSpid", "").split()
        return Node(
            pid=pid,
            start_time=began,
            name=identity.name,
            role=identity.role,
            by=identity.by,
            exe=None if exe is None else printable(exe.removesuffix(" (deleted)")),
            version=build.version,
            cpus=mask if mask and present and not present <= mask else None,
            cpu=None,
            main_cpu=None,
            unit=unit_of(traces.cgroup),
            container=container_of(traces.cgroup),
            pid_inside=int(inside[-1]) if len(inside) > 1 and inside[-1].isdigit() else None,
            layout=build.layout,
            why=why,
        )

    def _build(self, folder: Path) -> _Build:
        """What the executable tells, which is opened through /proc: whatever has become of its path."""
        try:
            status = os.stat(folder / "exe")
            key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            known = self._builds.get(key)
            if known is None:
                known = _read_build(folder / "exe")
                if len(self._builds) >= MAX_EXECUTABLES:
                    self._builds.clear()
                self._builds[key] = known
            return known
        except PermissionError:
            return _Build(None, None, "its executable may not be read: run zeekspy as root (sudo)")
        except OSError as e:
            return _Build(None, None, f"its executable cannot be read: {e.strerror}")

    def _with_cpu(self, found: list[Node], seconds: float) -> list[Node]:
        before = {n.pid: self._times(n.pid) for n in found}
        began = time.monotonic()
        time.sleep(seconds)
        spent = time.monotonic() - began
        result = []
        for n in found:
            now, then = self._times(n.pid), before[n.pid]
            if _start_time(self._proc / str(n.pid)) != n.start_time:
                continue  # gone meanwhile
            shares = [
                None if a is None or b is None else max(0.0, (b - a) / spent) for a, b in zip(then, now, strict=True)
            ]
            why = n.why if shares[0] is not None else {**n.why, "cpu": "its times cannot be read"}
            result.append(replace(n, cpu=shares[0], main_cpu=shares[1], why=why))
        return result

    def _times(self, pid: int) -> tuple[float | None, float | None]:
        """CPU time of the process and of its main thread so far, seconds."""
        folder = self._proc / str(pid)
        whole = main = None
        with suppress(ValueError, IndexError):
            fields = _text(folder / "stat").rpartition(")")[2].split()
            whole = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        with suppress(ValueError, IndexError):
            main = int(_text(folder / "task" / str(pid) / "schedstat").split()[0]) / 1e9
        return whole, main

    def _present(self) -> frozenset[int]:
        """The CPUs of this machine."""
        return frozenset(int(n) for n in re.findall(r"^cpu(\d+) ", _text(self._proc / "stat"), re.MULTILINE))


def _read_build(path: Path) -> _Build:
    with path.open("rb") as file:
        try:
            elf = Elf(file)
            found = target.read_executable(elf, 0, str(path))
        except TargetError:
            return _Build(None, None, zeek=False)
        except ZeekspyError as e:  # a Zeek without a version, or a damaged file
            return _Build(None, None, str(e), zeek=isinstance(e, LayoutError))
        return _Build(found.version, _layout(elf, found))


def _layout(elf: Elf, found: Executable) -> str:
    from zeekspy.offsets import find

    shipped: Layout | None = None if found.debug else find(found.version, found.stdlib)
    if choice.kept(found.build_id, found.version):
        return "cache"
    if shipped is not None:
        return shipped.origin
    return "debug info" if elf.section(".debug_info") is not None else "none"


def _names(folder: Path) -> Iterable[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return ()


def _read(path: Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        data = b""
        while len(data) < MAX_READ and (more := os.read(fd, MAX_READ - len(data))):
            data += more
        return data
    finally:
        os.close(fd)


def _text(path: Path) -> str:
    """The beginning of a file; empty if it is not there or may not be read."""
    try:
        return _read(path).decode("utf-8", "replace")
    except OSError:
        return ""


def _start_time(folder: Path) -> int | None:
    """Field 22 of stat; None if there is no such process, or only a zombie of it."""
    try:
        fields = _text(folder / "stat").rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else int(fields[19])
    except (IndexError, ValueError):
        return None


def _link(path: Path) -> tuple[str | None, str]:
    """Where it leads; else None and the reason."""
    try:
        return os.readlink(path), ""
    except PermissionError:
        return None, "it may not be looked at: run zeekspy as root (sudo)"
    except OSError as e:
        return None, f"it cannot be looked at: {e.strerror}"


def _environ(folder: Path) -> dict[str, str] | None:
    try:
        words = _read(folder / "environ").decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    return dict(word.split("=", 1) for word in words if word.startswith(("CLUSTER_NODE=", "ZEEK")) and "=" in word)


def _cgroup(folder: Path) -> str | None:
    found = None
    for line in _text(folder / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        kind, _, path = rest.partition(":")
        if number == "0" and path != "/":
            return path
        if kind == "name=systemd":
            found = path
    return found


def _status(folder: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in _text(folder / "status").splitlines() if ":\t" in line)


def _cpus(text: str) -> frozenset[int]:
    """Of a list of CPUs as the kernel writes it: ``0-3,8``."""
    found: set[int] = set()
    for part in re.findall(r"\d{1,5}(?:-\d{1,5})?", text):
        low, _, high = part.partition("-")
        found.update(range(int(low), min(int(high or low), 1 << 16) + 1))
    return frozenset(found)


def _natural(name: str) -> list[tuple[int, str]]:
    """For an order in which worker-2 comes before worker-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d{1,18})", name)]
