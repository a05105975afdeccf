"""Whether the samples come as often as was asked for. ``python -m tests.bench rate``"""

from __future__ import annotations

from tests.bench import page, runs
from tests.bench.page import Section

RATES = (100, 1000, 5000, 10000)
GOAL, UNTIL = 0.99, 5000

MEANING = """
A busy Zeek (tests/bench/load.zeek), and each engine at each rate with no limit on what it may cost (`--max-cpu
100`). Moments that passed without a sample are counted as missed, never made up for. *CPU* is zeekspy's own, of
a core.
"""


def measure(quick: bool) -> Section:
    zeek = runs.zeeks()[0]
    rows, told = [], ""
    for engine in runs.ENGINES:
        for hz in RATES:
            with runs.zeek(zeek, runs.script_load(), placed=False) as run:
                run.go()
                stats = runs.Recording(run, engine, hz, 2 if quick else 5).stats()
            share = stats["hz_achieved"] / hz
            rows.append([engine, f"{hz}", f"{stats['hz_achieved']:.1f}", f"{100 * share:.2f} %", f"{stats['missed']}"])
            rows[-1] += [f"{100 * stats['profiler_cpu_s'] / stats['duration_s']:.1f} %"]
            if hz <= UNTIL:
                told += page.verdict(f"{engine} at {hz} Hz: {100 * GOAL:g} % of what was asked", share >= GOAL)
    table = page.table(["engine", "asked Hz", "achieved", "share", "missed", "CPU"], rows)
    return Section("Rate", MEANING, f"### Zeek {runs.version(zeek)}\n\n{table}\n{told}")
