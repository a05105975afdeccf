"""A process from outside of its memory, and one number within: CPU of each thread, and network time.

A busy Zeek is often busy elsewhere than in scripts: log writers and the broker have threads of their own.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeekspy.errors import NoSuchTarget
from zeekspy.export.bodies import printable

if TYPE_CHECKING:
    from zeekspy._core import Memory

MAX_THREADS = 512
"""Threads that are looked at; a Zeek has one for each log stream, some 50 in all."""
NAMES_EVERY = 30
"""Looks at CPU times between two at names, which seldom change."""
EARLIEST, LATEST = 1e6, 4_102_444_800.0
"""Seconds since the epoch that a network time can be: some days after their beginning, up to the year 2100."""


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of a process, and its share of one CPU, 0 … 1."""

    tid: int
    name: str
    cpu: float
    main: bool = False


Times = Mapping[int, tuple[str, int]]
"""Name and on-CPU time (ns, since its start) of each thread, by its id."""


class Threads:
    """The threads of process ``pid``, from /proc/PID/task. No privileges are needed."""

    def __init__(self, pid: int) -> None:
        self._task = f"/proc/{pid}/task"
        self._names: dict[int, str] = {}
        self._looks = 0

    def look(self) -> Times:
        """The threads there are now; {} when the process has gone."""
        self._looks += 1
        if self._looks % NAMES_EVERY == 0:
            self._names.clear()
        now = {tid: ns for tid in self._tids() if (ns := self._cpu_ns(tid)) is not None}
        self._names = {tid: name for tid, name in self._names.items() if tid in now}
        return {tid: (self._name(tid), ns) for tid, ns in now.items()}

    def _tids(self) -> list[int]:
        try:
            return sorted(int(name) for name in os.listdir(self._task) if name.isdigit())[:MAX_THREADS]
        except OSError:
            return []

    def _cpu_ns(self, tid: int) -> int | None:
        """On-CPU time: schedstat's is exact; where the kernel has none, stat's is in clock ticks."""
        try:
            text = _read(f"{self._task}/{tid}/schedstat")
            if text:
                return int(text.split()[0])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, IndexError):
            return None
        try:
            fields = _read(f"{self._task}/{tid}/stat").rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None

    def _name(self, tid: int) -> str:
        name = self._names.get(tid)
        if name is None:
            try:
                name = printable(Path(f"{self._task}/{tid}/comm").read_bytes().decode("utf-8", "replace").rstrip("\n"))
            except OSError:
                name = "?"
            self._names[tid] = name
        return name


def cpu_between(before: Times, now: Times, seconds: float, main: int) -> tuple[Thread, ...]:
    """What each thread has used in that time, the busiest first; ``main`` is the id of the main thread."""
    if not seconds > 0:
        return ()
    # What a thread has that was not there before, it has used since.
    found = [
        Thread(tid, name, max(0, ns - before.get(tid, ("", 0))[1]) / 1e9 / seconds, tid == main)
        for tid, (name, ns) in now.items()
    ]
    return tuple(sorted(found, key=lambda t: (-t.cpu, not t.main, t.tid)))


def network_time(memory: Memory, address: int) -> float | None:
    """``run_state::network_time`` (RunState.h; Net.h before 4.0) in seconds since the epoch.

    None before the first packet, and where it cannot be read.
    ``address`` is that of the variable, 0 where the executable does not export it.
    """
    if not address:
        return None
    try:
        data = memory.read(address, 8)
    except NoSuchTarget:
        return None
    value = struct.unpack("<d", data)[0] if len(data) == 8 else 0.0
    return value if EARLIEST <= value <= LATEST else None


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
