"""Zeek's own script profile (``--profile-scripts``) and ours, of one and the same run."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeekspy import session
from zeekspy.profile import Profile, own_and_total
from zeekspy.spawn import Spawned

F_SETPIPE_SZ = 1031

Place = tuple[str, str]
"""Function and ``file:line``, as Zeek's table has them."""


@dataclass(frozen=True)
class Both:
    """By body: what Zeek has measured, and what we have counted and sampled. Times in seconds, with callees."""

    ncall: dict[Place, int]
    tot_cpu: dict[Place, float]
    calls: dict[Place, int]
    total: dict[Place, float]
    profile: Profile

    def costliest(self, n: int = 10) -> list[Place]:
        """Of Zeek's table, without BiFs."""
        return sorted(self.tot_cpu, key=lambda p: -self.tot_cpu[p])[:n]


def record(command: Sequence[str], table: Path, hz: float, engine: str = "auto") -> Both:
    """Runs ``command``, a Zeek without ``--profile-scripts``, with it, and samples it from beginning to end.

    Zeek writes its table when it exits, here into a pipe that nobody empties: it blocks there, with all scripts run and
    all memory in place, while our last counts are read.
    """
    os.mkfifo(table)
    pipe = os.open(table, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, 4096)
        spawned = Spawned([*command, f"--profile-scripts={table}"], quiet=True)
        try:
            found = session.Session(spawned.attach(None, lambda: False), hz, engine=engine)
            for _ in session.run([found], 300):
                if select.select([pipe], [], [], 0)[0]:
                    break
            found.finish()
            text = _drained(pipe)
        finally:
            spawned.end()
    finally:
        os.close(pipe)
    return _both(text, found.profile)


def _drained(pipe: int) -> str:
    data = bytearray()
    os.set_blocking(pipe, True)
    while piece := os.read(pipe, 1 << 16):
        data += piece
    return data.decode()


def _both(text: str, profile: Profile) -> Both:
    ncall: dict[Place, int] = {}
    tot_cpu: dict[Place, float] = {}
    for line in text.splitlines():
        fields = line.split("\t")
        if line.startswith("#") or len(fields) < 6 or fields[2] in ("BiF", "TOTAL") or fields[1].endswith("-locations"):
            continue
        place = fields[0], fields[1]
        ncall[place] = ncall.get(place, 0) + int(fields[3])
        tot_cpu[place] = tot_cpu.get(place, 0.0) + float(fields[4])
    calls: dict[Place, int] = {}
    total: dict[Place, float] = {}
    for frame, n in profile.calls.items():
        if frame.name and frame.body and n:
            place = frame.name, f"{frame.body.file}:{frame.body.first_line}" if frame.body.file else "<no-location>"
            calls[place] = calls.get(place, 0) + n
    for frame, (_, ns) in own_and_total(profile, "cpu_ns").items():
        if frame.name and frame.body:
            place = frame.name, f"{frame.body.file}:{frame.body.first_line}" if frame.body.file else "<no-location>"
            total[place] = total.get(place, 0.0) + ns / 1e9
    return Both(ncall, tot_cpu, calls, total, profile)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's, of two lists without ties to speak of."""

    def ranks(values: Sequence[float]) -> list[int]:
        order = sorted(range(len(values)), key=lambda i: values[i])
        return [order.index(i) for i in range(len(values))]

    n = len(a)
    return 1 - 6 * sum((x - y) ** 2 for x, y in zip(ranks(a), ranks(b), strict=True)) / (n * (n * n - 1))
