"""Which engine samples a target, and why: from CPUs and rate, and once more from what the first second brought."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zeekspy.errors import AccessDenied, NoSuchTarget

NAMES = ("auto", "nonblocking", "preempt", "ptrace")
"""What ``--engine`` takes: auto, and the engines of the core."""
TRIAL_S = 1.0
"""Seconds of sampling after which auto looks at what it got."""
ENOUGH = 100
"""Script stacks below which a share says little."""
TOLERATED = 0.1
"""Of the script stacks, not wholly decoded: more, and auto stops the target for each look instead."""
LONG_TRIAL_S = 4.0
"""Seconds of sampling after which auto looks at how much CPU time went unseen."""
UNSEEN = 0.1
"""Of the CPU time: more, and auto looks from the target's own CPU instead."""
SIGMA = 3.0
"""Standard errors that it must exceed what sampling brings by chance."""
GENTLE_HZ = 250.0
"""Auto does not make a target pay for exact stacks at higher rates: a stop costs it tens of microseconds."""
ZEEKS = frozenset(("zeek", "bro"))
"""Names of processes, in /proc/PID/comm, that a look from their CPU would disturb like the target itself."""


@dataclass(frozen=True, slots=True)
class Cpus:
    """Who may run where. Sets of CPU numbers."""

    ours: frozenset[int]
    """Where zeekspy may run."""
    target: int
    """Where the target's main thread runs, or ran last."""
    others: frozenset[int]
    """Where other Zeeks run that are pinned."""
    reachable: bool
    """Whether the kernel would let zeekspy run on every CPU of the target's."""

    @property
    def free(self) -> frozenset[int]:
        return self.ours - self.others - {self.target}


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine of the core, and the reason for it in words that fit behind its name."""

    engine: str
    reason: str
    fallback: str | None = None
    """What ``auto`` would go on with if the first second was bad: an engine of the core, None to stay."""

    @property
    def engines(self) -> frozenset[str]:
        """Those that may yet sample."""
        return frozenset(filter(None, (self.engine, self.fallback)))


def choose(asked: str, cpus: Cpus, hz: float) -> Choice:
    """The engine to begin with. AccessDenied if preempt is asked for and cannot be."""
    if asked == "preempt" and not cpus.reachable:
        raise AccessDenied(
            f"zeekspy may not run on CPU {cpus.target}, where the target runs: the engine preempt cannot be used",
            "Start zeekspy outside of its cpuset (container, systemd AllowedCPUs=), or use --engine ptrace.",
        )
    if asked != "auto":
        return Choice(asked, "asked for")
    if cpus.ours <= {cpus.target}:
        return Choice("preempt", f"zeekspy may run on CPU {cpus.target} alone, where the target runs")
    n = len(cpus.free)
    why = f"{n} CPU{'' if n == 1 else 's'} free of the target and of pinned Zeeks"
    exact = "preempt" if cpus.reachable else "ptrace"
    return Choice("nonblocking", why, exact if hz <= GENTLE_HZ else None)


def reconsider(choice: Choice, cpus: Cpus, script: int, undecoded: int) -> Choice | None:
    """What auto goes on with after its first second, None for the same. Counts are of samples with a script stack."""
    if choice.fallback is None or script < ENOUGH or undecoded <= TOLERATED * script:
        return None
    share = f"{100 * undecoded / script:.0f} % of the first second's stacks changed under the look"
    if choice.fallback == "ptrace":
        share += f", and CPU {cpus.target}, where the target runs, is not open to zeekspy"
    return Choice(choice.fallback, share)


def unseen(cpu_s: float, seen_s: float, wall_s: float, samples: int) -> float:
    """The share of the main thread's CPU time in which samples found it blocked; 0 while that may be chance.

    ``seen_s`` is the time that the samples stand for which found it running. Where there are few CPUs, a look from
    another than the target's takes that one from a thread of the target's, and what then waits for that thread, for a
    lock it holds, is seen waiting more often than it does.
    """
    if cpu_s <= 0 or wall_s <= 0 or samples < ENOUGH:
        return 0.0
    busy = min(cpu_s / wall_s, 1.0)
    hidden, error = cpu_s - seen_s, math.sqrt(busy * (1 - busy) / samples) * wall_s
    return hidden / cpu_s if hidden > SIGMA * error else 0.0


def uncover(choice: Choice, share: float) -> Choice | None:
    """What auto goes on with when that ``share`` of the CPU time goes unseen, None for the same."""
    if choice.fallback != "preempt" or share <= UNSEEN:
        return None
    return Choice("preempt", f"looks from another CPU kept the target waiting: {100 * share:.0f} % of its work unseen")


def look(pid: int) -> Cpus:
    """The CPUs as they are now. NoSuchTarget if the process has gone."""
    ours = os.sched_getaffinity(0)
    try:
        theirs = os.sched_getaffinity(pid)
        target = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[36])
    except OSError:
        raise NoSuchTarget(f"process {pid} has gone") from None
    return Cpus(
        frozenset(ours),
        target,
        pinned((p for p in _zeeks() if p != pid), os.cpu_count() or 1),
        _reachable(ours, theirs),
    )


def pinned(pids: Iterable[int], cpus: int) -> frozenset[int]:
    """The CPUs of those processes that may not run on all of them."""
    result: set[int] = set()
    for pid in pids:
        try:
            mask = os.sched_getaffinity(pid)
        except OSError:  # gone meanwhile
            continue
        if len(mask) < cpus:
            result |= mask
    return frozenset(result)


def check_untraced(pid: int) -> None:
    """AccessDenied if another process traces this one: the kernel allows one."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        tracer = next((int(line.split()[1]) for line in lines if line.startswith("TracerPid:")), 0)
        if not tracer:
            return
        name = Path(f"/proc/{tracer}/comm").read_text(errors="replace").strip()
    except OSError:
        return
    raise AccessDenied(
        f"process {pid} is traced by process {tracer} ({name}), and the kernel allows one tracer",
        f"End {name}, or use --engine preempt or nonblocking, which can look at a traced process.",
    )


def _zeeks() -> Iterable[int]:
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and Path(entry.path, "comm").read_text().strip() in ZEEKS:
                yield int(entry.name)
        except (OSError, ValueError):
            continue


def _reachable(ours: set[int], theirs: set[int]) -> bool:
    """Whether a thread of ours could be moved to all of those CPUs: tried, because cpusets say it in many places."""
    if theirs <= ours:
        return True
    try:
        os.sched_setaffinity(0, ours | theirs)
        return theirs <= os.sched_getaffinity(0)
    except OSError:
        return False
    finally:
        os.sched_setaffinity(0, ours)
