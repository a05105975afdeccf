"""How long it takes until zeekspy samples, beside Python's own start in the same run: tests/bench/start.py ZEEK...

Each ZEEK runs demo.zeek, is attached to with a shipped table and one sample is taken; so is a copy without debug info.
Python's start takes some 20 ms on a machine that has nothing else to do: where it takes longer, all of it does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 9
ATTACH_S, HELP_S = 0.3, 0.15
ZEEKSPY = [sys.executable, "-m", "zeekspy"]
FIRST_SAMPLE = """
import sys
from zeekspy import session
s = session.Session(session.attach(int(sys.argv[1])), 1000)
while not s.stats()["samples"]:
    s.take(s.poll(1_000_000))
"""
"""What zeekspy record does up to its first sample, with which it ends."""


def seconds(*command: str) -> tuple[float, float]:
    """Medians of several runs: from before the process is there until it has ended, and its CPU time."""
    times, spent = [], []
    for n in range(RUNS + 1):
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command[0]} failed with {process.returncode}")
        if n:  # the first one reads the files, and compiles what is not
            times.append(time.monotonic() - started)
            spent.append(usage.ru_utime + usage.ru_stime)
    return statistics.median(times), statistics.median(spent)


def line(what: str, measured: tuple[float, float], allowed: float | None = None) -> bool:
    """Prints a measurement; whether it is within what is allowed."""
    took, spent = measured
    good = allowed is None or took <= allowed
    verdict = "" if allowed is None else f"  {'ok' if good else 'NOT REACHED'}: {1000 * allowed:.0f} ms allowed"
    print(f"{what:56} {1000 * took:6.0f} ms, {1000 * spent:4.0f} ms of CPU{verdict}", flush=True)
    return good


def attach(zeek: Path, folder: Path) -> tuple[float, float]:
    """Seconds to the first sample of a running ``zeek``, Python's start included."""
    folder.mkdir()
    script = Path(__file__).parents[2] / "zeekspy" / "demo.zeek"
    with (folder / "out").open("wb") as out:
        target = subprocess.Popen([zeek, "-b", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 30
        command = [*ZEEKSPY, "dump", "--pid", str(target.pid)]
        while subprocess.run(command, capture_output=True, check=False).returncode:
            if target.poll() is not None or time.monotonic() > until:
                sys.exit(f"{zeek} cannot be attached to: {(folder / 'out').read_text()[-500:]}")
        return seconds(sys.executable, "-c", FIRST_SAMPLE, str(target.pid))
    finally:
        target.kill()
        target.wait()


def main(zeeks: list[str]) -> int:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed zeekspy is compiled
    line("python, nothing imported", seconds(sys.executable, "-c", ""))
    line("python -c 'import zeekspy.cli'", seconds(sys.executable, "-c", "import zeekspy.cli"))
    good = [line("zeekspy --help", seconds(*ZEEKSPY, "--help"), HELP_S)]
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name  # no table but the shipped ones
        for number, zeek in enumerate(zeeks):
            copy = Path(name, f"zeek-{number}")
            variants = [("whole", Path(zeek))]
            if shutil.which("strip"):
                subprocess.run(["strip", "-o", copy, zeek], check=True)
                variants.append(("stripped", copy))
            for what, path in variants:
                spent = attach(path, Path(name, f"run-{number}-{what}"))
                good.append(
                    line(f"first sample of {zeek}, {what}, {path.stat().st_size / 1e6:.0f} MB", spent, ATTACH_S)
                )
    return 0 if all(good) else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python tests/bench/start.py ZEEK...")
    sys.exit(main(sys.argv[1:]))
