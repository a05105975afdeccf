"""Tables, and docs/benchmarks.md: a section a benchmark, each with its date; measuring one again leaves the others."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

INTRODUCTION = """# What zeekspy costs and how true it is

Measured by `make bench` on real Zeeks, each number beside its peer in the same run. Goals are those that zeekspy was
designed for; a goal that was missed is named. `make bench QUICK=1` is a short run that leaves this file alone;
`make bench ONLY="cost rate"` measures these sections again. Zeeks and load are those of the environment:
ZEEKSPY_BENCH_ZEEK (paths, colons between), ZEEKSPY_BENCH_PCAP, ZEEKSPY_BENCH_ZEEK_SPY.
"""
ORDER = ("Accuracy", "Slowdown", "Cost of a sample", "Rate", "The profiler", "Notes")
"""The last is written by hand, and stays."""


@dataclass(frozen=True)
class Section:
    """One benchmark's result, as it stands in the file."""

    title: str
    meaning: str
    body: str
    """Markdown: tables and what they say."""

    def text(self, load: str) -> str:
        """``load`` is the machine's load average before it was measured."""
        parts = (
            f"## {self.title}",
            filled(self.meaning),
            self.body.strip(),
            filled(f"Measured {machine()}; load average before: {load}."),
        )
        return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown that is also readable as it is; the first column is left-aligned."""
    width = [max(3, *(len(r[i]) for r in [head, *rows])) for i in range(len(head))]
    rule = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(width)]

    def line(cells: Sequence[str]) -> str:
        sides = (str.ljust if i == 0 else str.rjust for i in range(len(width)))
        return "| " + " | ".join(to(c, w) for to, c, w in zip(sides, cells, width, strict=True)) + " |"

    return "\n".join([line(head), line(rule), *map(line, rows)]) + "\n"


def verdict(goal: str, met: bool | None, why: str = "") -> str:
    """A line that says whether a goal is met, None where the measurement does not tell, and what was found if not."""
    word = {True: "met", False: "**missed**", None: "**not shown**"}[met]
    return f"- {word}: {goal}{f'. {why}' if why and not met else ''}\n"


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} with zeekspy {metadata.version('zeekspy')} "
        f"({_commit()}), bpftrace {_bpftrace()}, "
        f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} CPUs "
        f"({model[1] if model else platform.machine()}{_virtual()}), "
        f"{int(memory[1]) / 2**20 if memory else 0:.0f} GiB, nice {os.nice(0)}"
    )


def filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 118, break_on_hyphens=False, break_long_words=False)


def load_average() -> str:
    return " ".join(Path("/proc/loadavg").read_text().split()[:3])


def put(path: Path, section: str) -> None:
    """Puts the section in its place in the file, and leaves the others as they are."""
    text = path.read_text() if path.exists() else ""
    sections = {s.partition("\n")[0]: s.strip() + "\n" for s in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}
    sections[section[3:].partition("\n")[0]] = section[3:]
    parts = [INTRODUCTION, *(f"## {sections[title]}" for title in ORDER if title in sections)]
    path.write_text("\n".join(parts))


def _virtual() -> str:
    return (
        ", virtual machine"
        if re.search(r"^flags.*\bhypervisor\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        else ""
    )


def _bpftrace() -> str:
    try:
        done = subprocess.run(["bpftrace", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    return done.stdout.strip().removeprefix("bpftrace ")


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "not a checkout"
