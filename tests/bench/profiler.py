"""What the profiler itself needs over a long time: CPU and memory at 100 Hz. ``python -m tests.bench profiler``"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.bench import page, runs
from tests.bench.page import Section

HZ = 100
CPU_GOAL, RSS_GOAL_MB, FLAT = 1.0, 60.0, 0.05
TICK = os.sysconf("SC_CLK_TCK")
MARKS = 7

MEANING = f"""
`zeekspy record` at {HZ} Hz beside a Zeek that does something twenty times a second (tests/bench/load.zeek),
with a profile that holds the time of each sample. *RSS* is resident memory, *CPU* what it spent since the row
before, of a core.
"""


def usage(pid: int) -> tuple[float, float]:
    """Resident megabytes, and CPU seconds so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024, (int(fields[11]) + int(fields[12])) / TICK


def measure(quick: bool, minutes: float = 30) -> Section:
    seconds = 60.0 if quick else 60 * minutes
    zeek = runs.zeeks()[0]
    rows, marks = [], []
    with runs.zeek(zeek, runs.script_load(long=20000, pause="50msec")) as run:
        run.go()
        recording = runs.Recording(run, "auto", HZ)
        began = last = time.monotonic()
        _, spent = usage(recording.process.pid)
        for i in range(MARKS):
            until = began + (
                seconds * i / (MARKS - 1) or min(10.0, seconds / 10)
            )  # at the beginning, everything is new
            time.sleep(max(0.0, until - time.monotonic()))
            rss, cpu = usage(recording.process.pid)
            now = time.monotonic()
            marks.append((rss, 100 * (cpu - spent) / (now - last)))
            rows.append([f"{now - began:.0f}", f"{rss:.1f}", f"{marks[-1][1]:.2f} %"])
            last, spent = now, cpu
        stats = recording.stats(stop=True)
    start, end, most = marks[1][0], marks[-1][0], max(rss for rss, _ in marks)
    percent = 100 * stats["profiler_cpu_s"] / stats["duration_s"]
    told = f"{stats['samples']} samples in {stats['duration_s']:.0f} s by the engine {stats['engine']}: "
    told += f"{percent:.2f} % of a core.\n\n"
    told += page.verdict(f"{CPU_GOAL:g} % of a core at most", percent <= CPU_GOAL, f"It is {percent:.2f} %.")
    told += page.verdict(f"{RSS_GOAL_MB:g} MB at most", most <= RSS_GOAL_MB, f"It is {most:.0f} MB.")
    told += page.verdict(
        f"flat: it grows by {100 * FLAT:g} % at most from the second row to the last",
        end <= start * (1 + FLAT),
        f"{start:.1f} to {end:.1f} MB.",
    )
    title = f"Zeek {runs.version(zeek)}, {seconds / 60:g} minutes"
    return Section("The profiler", MEANING, f"### {title}\n\n{page.table(['s', 'RSS MB', 'CPU'], rows)}\n{told}")
