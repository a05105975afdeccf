"""What sampling costs a busy Zeek: its run time with each sampler and without. ``python -m tests.bench slowdown``"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import page, runs
from tests.bench.page import Section
from zeekspy import session

RATES = (100, 1000, 5000)
KERNEL = "bpftrace"
ROUNDS = 60000
"""Of load.zeek: some seconds."""
ENOUGH = 5
"""Runs of each kind below which a spread says nothing."""

MEANING = """
From the moment a Zeek has started to the moment it has exited, with the sampler attached all that time. Kinds
are interleaved in rounds of random order; each run is divided by the run without a sampler of its round, and
the median of these ratios, less one, is printed with its standard error. *Wall* is what the operator notices;
*CPU* is the main thread's on-CPU time. *us a sample* is wall time lost per sample taken. bpftrace `profile:hz`
reads depth and function alone.
"""


@dataclass
class Kind:
    """A sampler at a rate, and what runs under it came to."""

    sampler: str
    hz: int
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)

    def run(self, zeek: Path) -> None:
        with runs.zeek(zeek, runs.load(ROUNDS)) as run:
            recording = kernel = None
            if self.sampler in runs.ENGINES:
                recording = runs.Recording(run, self.sampler, self.hz)
            elif self.hz:
                attachment = session.attach(run.pid)
                kernel = runs.Kernel(runs.stack_program(attachment.target, attachment.layout, self.hz))
            cpu_s, began = run.cpu_s(), time.monotonic()
            run.go()
            run.exit()
            self.wall.append(time.monotonic() - began)
            self.cpu.append(run.cpu_s() - cpu_s)
            stats = recording.stats() if recording else {}
            seen = kernel.stop().get("s") if kernel else None
            self.samples.append(seen.total() if seen else int(stats.get("samples", 0)))


def loss(with_it: list[float], alone: list[float]) -> tuple[float, float]:
    """Median of the ratios less one, and its standard error."""
    ratios = [a / b - 1 for a, b in zip(with_it, alone, strict=True)]
    spread = statistics.stdev(ratios) if len(ratios) > 1 else float("nan")
    return statistics.median(ratios), 1.25 * spread / len(ratios) ** 0.5


def measure(quick: bool) -> Section:
    body = ""
    for zeek in runs.zeeks()[: 1 if quick else None]:
        kinds = [Kind("alone", 0)]
        samplers = [*runs.ENGINES, *([KERNEL] if runs.bpftrace() else [])]
        kinds += [Kind(s, hz) for s in samplers for hz in (RATES[1:2] if quick else RATES)]
        repeats = 2 if quick else ENOUGH
        for number in range(repeats):
            order = list(kinds)
            random.Random(number).shuffle(order)
            for kind in order:
                kind.run(zeek)
        title = f"Zeek {runs.version(zeek)}, {runs.load_name()}, {repeats} rounds"
        body += f"### {title}\n\n{page.table(HEAD, list(rows(kinds)))}\n{judge(kinds)}\n"
    return Section("Slowdown", MEANING, body)


HEAD = ["sampler", "Hz", "achieved", "wall s", "wall", "+/-", "CPU", "+/-", "us a sample"]


def rows(kinds: list[Kind]) -> Iterable[list[str]]:
    alone = kinds[0]
    for k in kinds:
        wall, cpu, seconds = loss(k.wall, alone.wall), loss(k.cpu, alone.cpu), statistics.median(k.wall)
        row = [k.sampler, f"{k.hz or ''}", "", f"{seconds:.2f}", "", "", "", "", ""]
        if k is not alone:
            row[2] = f"{statistics.median(k.samples) / seconds:.0f}"
            row[4:8] = [f"{100 * x:+.1f} %" for pair in (wall, cpu) for x in pair]
            row[5], row[7] = row[5][1:], row[7][1:]
            row[8] = f"{per_sample(k, alone):.0f}"
        yield row


def per_sample(kind: Kind, alone: Kind) -> float:
    """Microseconds of wall time lost."""
    return (
        loss(kind.wall, alone.wall)[0] * statistics.median(alone.wall) / max(1, statistics.median(kind.samples)) * 1e6
    )


def decided(found: float, allowed: float, error: float) -> bool | None:
    """Whether it is within what is allowed; None where that is a matter of chance."""
    if abs(found - allowed) < 2 * error:
        return None
    return found <= allowed


def judge(kinds: list[Kind]) -> str:
    alone, by = kinds[0], {(k.sampler, k.hz): k for k in kinds}
    told = ""
    for hz, allowed in ((100, 0.003), (1000, 0.01)):
        kind = by.get(("nonblocking", hz))
        if kind is not None:
            lost, error = loss(kind.wall, alone.wall)
            told += page.verdict(
                f"nonblocking at {hz} Hz costs {100 * allowed:g} % of run time at most",
                decided(lost, allowed, error),
                f"It is {100 * lost:.1f} % +/- {100 * error:.1f} %.",
            )
    for engine in ("preempt", "ptrace"):
        for hz in RATES:
            ours, peer = by.get((engine, hz)), by.get((KERNEL, hz))
            if ours is not None and peer is not None:
                x, y = per_sample(ours, alone), per_sample(peer, alone)
                error = loss(ours.wall, peer.wall)[1] * statistics.median(alone.wall) / max(1, ours.samples[0]) * 1e6
                told += page.verdict(
                    f"{engine} at {hz} Hz costs no more a sample than in-kernel sampling",
                    decided(x, y, error),
                    f"{x:.0f} us for {y:.0f} us, +/- {error:.0f} us.",
                )
    return told
