"""How true samples are: every engine beside in-kernel sampling of one run. ``python -m tests.bench accuracy``"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import page, runs
from tests.bench.page import Section
from zeekspy import session
from zeekspy.profile import CORE, IDLE, Profile, Stack

HZ = 997.0
CONTROL = "in the kernel"
CORES = "<core>"
FEW = 10
"""Samples expected on either side, below which a function is not tested."""
WHOLE = {"nonblocking": 0.98, "preempt": 0.999, "ptrace": 0.999}

MEANING = f"""
Both sample the main thread of one run, at {HZ:g} Hz each. The peer is bpftrace `profile:hz`, which interrupts
it and reads the same call_stack: what it sees is what was there. *Not empty* is the share of on-CPU samples
with a script running, counted, and *by CPU* as the profile's CPU values have it; counts include samples of a
thread that waits for a CPU. Depth and function (the innermost, BiFs too) are compared among these by total
variation distance (TVD: the part of the samples that would have to be elsewhere), beside what two samplers
without any bias have by chance. *Flags* are functions whose shares of all on-CPU samples differ by more than 2
standard errors: by chance 4.6 % of those tested (expected {FEW} times or more). *Busy* is the time that our
samples take for on-CPU over what the kernel accounted (1: right; less where looking takes a CPU from threads
that the main thread waits for). *Seen* is the part of the accounted CPU time that the kernel's sampler saw: its
timer waits while interrupts are off, as in context switches, so what is lost is hardly ever within a script,
and its share times *seen* is the least that scripts can have had. *Whole*: of the stacks, every function known;
*lines*: and every line. The last row is a second in-kernel sampler in place of ours: what this comparison shows
when there is nothing to find.
"""


@dataclass
class Seen:
    """What a sampler saw of runs, added up: on-CPU samples by depth and by innermost function."""

    depth: Counter[int] = field(default_factory=Counter)
    function: Counter[str] = field(default_factory=Counter)
    cpu_ns: Counter[str] = field(default_factory=Counter)
    wall_ns: int = 0
    cpu_s: float = 0.0
    """As the kernel accounted it."""

    def add(self, depth: int, function: str, n: int, cpu_ns: int = 0) -> None:
        self.depth[depth] += n
        self.function[function if depth else CORES] += n
        self.cpu_ns[function if depth else CORES] += cpu_ns

    def share(self) -> float:
        return 1 - self.depth[0] / max(1, self.depth.total())


def distance(a: Counter[Any], b: Counter[Any]) -> tuple[float, float]:
    """Total variation distance of two distributions, and its expectation if both were drawn from one."""
    n, m = max(1, a.total()), max(1, b.total())
    found = chance = 0.0
    for key in a.keys() | b.keys():
        p = (a[key] + b[key]) / (n + m)
        found += abs(a[key] / n - b[key] / m) / 2
        chance += min(math.sqrt(2 / math.pi) * deviation(p, n, m), 2 * p) / 2
    return found, chance


def deviation(p: float, n: int, m: int) -> float:
    """The standard error of the difference of two shares that are both ``p``."""
    return math.sqrt(p * (1 - p) * (1 / n + 1 / m))


def flags(ours: Seen, theirs: Seen) -> list[tuple[float, str, float, float]]:
    """Functions that were tested, the furthest off first: standard errors, name, our share by CPU value, theirs."""
    n, m, cpu_ns = ours.function.total(), theirs.function.total(), max(1, ours.cpu_ns.total())
    result = []
    for name in (ours.function.keys() | theirs.function.keys()) - {CORES}:
        p = (ours.function[name] + theirs.function[name]) / (n + m)
        if p * min(n, m) >= FEW:
            x, y = ours.cpu_ns[name] / cpu_ns, theirs.function[name] / m
            result.append(((x - y) / deviation(p, n, m), name, x, y))
    return sorted(result, key=lambda row: -abs(row[0]))


def without_core(seen: Counter[Any]) -> Counter[Any]:
    return Counter({k: v for k, v in seen.items() if k not in (0, CORES)})


def name_of(stack: Stack) -> str:
    return stack[-1].name or "<none>"


def one_run(zeek: Path, engine: str, theirs: Seen, ours: Seen, stats: Counter[str]) -> None:
    with runs.zeek(zeek, runs.load(), hold_end=True) as run:
        attachment = session.attach(run.pid)
        program = runs.stack_program(attachment.target, attachment.layout, HZ)
        if engine == CONTROL:
            program += runs.stack_program(attachment.target, attachment.layout, HZ - 110, "t")
        kernel = runs.Kernel(program)
        found = session.Session(attachment, HZ, engine=engine) if engine != CONTROL else None
        profile = Profile()
        run.go()
        if found is None:
            run.ended.wait(runs.SECONDS)
        else:
            for _ in session.run([found], runs.SECONDS):
                if run.ended.is_set():
                    break
            found.finish()
            profile = found.profile
            stats.update({k: v for k, v in found.stats().items() if isinstance(v, int)})
            ours.cpu_s += found.stats()["cpu_s"]
        maps = kernel.stop()
        names = resolve(attachment, {f for m in maps.values() for _, f in m})
    for which, seen in (("s", theirs), ("t", ours)):
        for (depth, func), n in maps.get(which, Counter[tuple[int, ...]]()).items():
            seen.add(depth, names.get(func, "<none>"), n, n)
    for stack, _, values in profile:
        if stack != (IDLE,):
            ours.add(0 if stack == (CORE,) else len(stack), name_of(stack), values.count, values.cpu_ns)
            ours.wall_ns += values.wall_ns


def resolve(attachment: session.Attachment, addresses: set[int]) -> dict[int, str]:
    """The names of Funcs."""
    walker, wanted = attachment.walker(), sorted(addresses - {0})
    ids = walker.define(wanted)
    strings, funcs, _, _ = walker.definitions()
    return {a: strings[funcs[i][0]] for a, i in zip(wanted, ids, strict=True) if funcs[i][0]}


def measure(quick: bool) -> Section:
    repeats = 1 if quick else 3
    body = "" if runs.bpftrace() else "Not measured: it needs bpftrace, and root.\n"
    for zeek in runs.zeeks() if runs.bpftrace() else ():
        rows, told = [], ""
        for engine in (*runs.ENGINES, CONTROL):
            ours, theirs, stats = Seen(), Seen(), Counter[str]()
            for _ in range(repeats):
                one_run(zeek, engine, theirs, ours, stats)
            row, lines = compare(engine, ours, theirs, stats)
            rows.append(row)
            told += lines
        head = [
            "sampler",
            "samples",
            "kernel",
            "not empty",
            "by CPU",
            "kernel",
            "2 sigma",
            "busy",
            "seen",
            "depth TVD",
            "chance",
        ]
        head += ["function TVD", "chance", "flags", "whole", "lines"]
        title = f"Zeek {runs.version(zeek)}, {runs.load_name()}, runs of each: {repeats}"
        body += f"### {title}\n\n{page.table(head, rows)}\n{told}\n"
    return Section("Accuracy", MEANING, body)


def compare(engine: str, ours: Seen, theirs: Seen, stats: Counter[str]) -> tuple[list[str], str]:
    n, m = ours.depth.total(), theirs.depth.total()
    x, y = ours.share(), theirs.share()
    cpu = 1 - ours.cpu_ns[CORES] / max(1, ours.cpu_ns.total())
    error = 2 * deviation((x + y) / 2, n, m)
    depth = distance(without_core(ours.depth), without_core(theirs.depth))
    function = distance(without_core(ours.function), without_core(theirs.function))
    tested = flags(ours, theirs)
    flagged = [t for t in tested if abs(t[0]) > 2]
    whole, lines = (1 - stats[k] / max(1, stats["script"]) for k in ("unreadable", "lineless"))
    row = [engine, f"{n}", f"{m}", f"{100 * x:.1f} %", f"{100 * cpu:.1f} %", f"{100 * y:.1f} %", f"{100 * error:.1f} %"]
    seen = m / HZ / ours.cpu_s if ours.cpu_s else 0.0
    row += [f"{ours.wall_ns / 1e9 / ours.cpu_s:.2f}" if ours.wall_ns else "", f"{seen:.2f}" if seen else ""]
    row += [f"{d:.3f}" for d in (*depth, *function)]
    row += [
        f"{len(flagged)} of {len(tested)}",
        *("" if engine == CONTROL else f"{100 * x:.2f} %" for x in (whole, lines)),
    ]
    if engine == CONTROL:
        return row, ""
    told = page.verdict(
        f"{engine}: the script share by CPU values is within 2 sigma of the kernel's",
        abs(cpu - y) <= error,
        f"It is {100 * (cpu - y):+.1f} points off, {100 * (cpu - y * seen):+.1f} from that share times *seen*.",
    )
    # As many flags as chance brings, and two standard deviations of that more.
    most = 0.0455 * len(tested) + 2 * math.sqrt(0.0455 * 0.9545 * len(tested))
    furthest = "; ".join(f"{name} {100 * a:.2f} % for {100 * b:.2f} %" for _, name, a, b in flagged[:5])
    told += page.verdict(
        f"{engine}: functions flagged are no more than chance brings ({most:.1f})",
        len(flagged) <= most,
        f"Furthest off: {furthest}.",
    )
    goal = WHOLE[engine]
    told += page.verdict(f"{engine}: {100 * goal:g} % of the stacks are whole", whole >= goal)
    if stats["stale"]:
        told += f"- {stats['stale']} stale entries were left out by {engine}; the kernel's depths include them.\n"
    return row, told
