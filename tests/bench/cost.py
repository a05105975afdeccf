"""What a sample costs, beside the least possible and zeek-spy: system calls, time. ``python -m tests.bench cost``"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.bench import page, runs
from tests.bench.page import Section
from tests.support import targets
from zeekspy import session

LONG = 20000
"""Iterations of load.zeek's innermost loop: nearly every look finds a stack of depth five."""
RATES = (100, 1000, 100000)
COUNTED_HZ = 1000
ENOUGH = 100
"""Samples that calls are divided by at least."""
CALLS_GOAL, COLD_GOAL_US, FLAT_OUT_GOAL_US = 3, 10.0, 3.0

MEANING = f"""
Stacks of depth five that the sampler has seen before (tests/bench/load.zeek). Microseconds are medians, as each
sampler measures them, from its wake-up to when it has the sample: at 100 and 1000 Hz every wake-up is a cold
one, at {RATES[-1]} Hz, asked for and not reached, one look follows the other. The floor is one bare
`process_vm_readv` of 16 bytes in a C program with the same wake-ups. System calls are those of the sampling
thread, its sleep included, counted by strace. zeek-spy (ZEEKSPY_BENCH_ZEEK_SPY) stops the target for the
time it needs.
"""


def measure(quick: bool) -> Section:
    seconds = 2.0 if quick else 3.0
    rows: list[list[str]] = []
    told = ""
    oldest = next((z for z in targets.zeeks() if runs.version(z) == "3.0.1"), None)
    zeek_spy = os.environ.get("ZEEKSPY_BENCH_ZEEK_SPY")
    with tempfile.TemporaryDirectory() as name:
        floor = build_floor(Path(name))
        for zeek in dict.fromkeys([*runs.zeeks(), *([oldest] if oldest else [])]):
            what = f"Zeek {runs.version(zeek)}"
            with runs.zeek(zeek, runs.script_load(long=LONG, repeat=500)) as run:  # old Zeeks sleep between rounds
                run.go()
                if floor:
                    at = session.attach(run.pid).target.symbols["call_stack"]
                    rows.append(
                        [f"{what}: floor", *(bare(floor, run.pid, at, hz, seconds) for hz in RATES), "2.00", ""]
                    )
                for engine in runs.ENGINES:
                    took, calls = ours(run, engine, seconds)
                    rows.append([f"{what}: {engine}", *(f"{t:.1f}" for t in took), *in_words(calls)])
                    told += goals(what, took, calls) if engine == "nonblocking" else ""
                if zeek == oldest and zeek_spy:
                    rows.append([f"{what}: zeek-spy (means)", *spied(zeek_spy, run, seconds)])
    if not (oldest and zeek_spy):
        told += "- zeek-spy: not measured. It needs Zeek 3.0.1 and ZEEKSPY_BENCH_ZEEK_SPY, its executable.\n"
    head = ["", *(f"us at {hz} Hz" for hz in RATES[:-1]), "us flat out", "system calls", "which"]
    return Section("Cost of a sample", MEANING, page.table(head, rows) + "\n" + told)


def build_floor(folder: Path) -> Path | None:
    if shutil.which("gcc") is None:
        return None
    subprocess.run(["gcc", "-O2", "-o", folder / "floor", Path(__file__).with_name("floor.c")], check=True)
    return folder / "floor"


def bare(floor: Path, pid: int, address: int, hz: int, seconds: float) -> str:
    command = [str(floor), str(pid), str(address), str(hz), f"{seconds:g}"]
    return f"{float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]):.1f}"


def ours(run: runs.Run, engine: str, seconds: float) -> tuple[list[float], Counter[str]]:
    """Medians in microseconds at RATES, and the sampling thread's system calls for a sample."""
    took = [runs.Recording(run, engine, hz, seconds).stats()["sample_us"]["p50"] for hz in RATES[:-1]]
    flat_out = session.Session(session.attach(run.pid), RATES[-1], engine=engine)  # more than the command line takes
    for _ in session.run([flat_out], seconds):
        pass
    took.append(flat_out.stats()["sample_us"]["p50"])
    if shutil.which("strace") is None:
        return took, Counter()
    by_thread = counted(runs.record_command(run, engine, COUNTED_HZ, seconds), run.folder)
    busiest = max(by_thread.values(), key=lambda calls: calls["pread64"])  # of schedstat
    samples = run.stats()["samples"]
    if samples < ENOUGH:  # strace and an engine that takes the CPU can be in each other's way
        return took, Counter()
    return took, Counter({name: n / samples for name, n in busiest.items()})


def counted(command: list[str], folder: Path, stop_after: float = 0) -> dict[str, Counter[str]]:
    """The system calls of a command, by thread and name. It is told to stop after some seconds, or ends by itself."""
    trace = folder / "strace"
    strace = ["strace", "-f", "-qq", "-o", str(trace), "-e", "signal=none", *command]
    with subprocess.Popen(
        strace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        if stop_after:
            time.sleep(stop_after)
            os.killpg(process.pid, signal.SIGINT)  # strace itself heeds none
        process.wait(runs.LONGEST)
    result: dict[str, Counter[str]] = {}
    for tid, name, how in re.findall(
        r"^(\d+) +(\w+)\((PTRACE_ATTACH)?", trace.read_text(errors="replace"), re.MULTILINE
    ):
        result.setdefault(tid, Counter())[how or name] += 1
    return result


def in_words(calls: Counter[str]) -> list[str]:
    """For a sample: how many, and those that nearly every one makes."""
    if not calls:
        return ["not measured", ""]
    return [f"{calls.total():.2f}", ", ".join(f"{name} {n:.2f}" for name, n in calls.most_common() if n >= 0.1)]


def goals(what: str, took: list[float], calls: Counter[str]) -> str:
    made = calls.total() - calls["futex"]
    told = ""
    if calls:
        told += page.verdict(
            f"{what}: {CALLS_GOAL} system calls a sample besides its sleep", made <= CALLS_GOAL + 0.05, f"{made:.2f}."
        )
    told += page.verdict(
        f"{what}: {COLD_GOAL_US:g} us from a cold wake-up", max(took[:-1]) <= COLD_GOAL_US, f"{max(took[:-1]):.1f} us."
    )
    return told + page.verdict(
        f"{what}: {FLAT_OUT_GOAL_US:g} us back to back", took[-1] <= FLAT_OUT_GOAL_US, f"{took[-1]:.1f} us."
    )


def spied(zeek_spy: str, run: runs.Run, seconds: float) -> list[str]:
    """The same of zeek-spy, which prints the time that its looks took."""
    result = []
    for hz in RATES:
        command = [
            zeek_spy,
            "-pid",
            str(run.pid),
            "-hz",
            str(hz),
            "-stats",
            "1s",
            "-profile",
            str(run.folder / "zs.pb.gz"),
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            time.sleep(max(3.0, seconds))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        seen = re.findall(r"\((\d+) total\).*overhead=[\d.]+% \(([\d.]+)(ms|s)\)", err)
        spent = sum(float(n) * (1e3 if unit == "ms" else 1e6) for _, n, unit in seen)
        result.append(f"{spent / int(seen[-1][0]):.1f}" if seen else "failed")
    if shutil.which("strace") is None:
        return [*result, "not measured", ""]
    command[command.index("-hz") + 1] = str(COUNTED_HZ)
    calls = sum(counted(command, run.folder, seconds).values(), Counter[str]())
    samples = max(1, calls["PTRACE_ATTACH"])
    return [*result, *in_words(Counter({name: n / samples for name, n in calls.items()}))]
