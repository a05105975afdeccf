"""Prints how long it takes until zeekspy samples, beside Python's own start in the same run: bench_start.py ZEEK...

Each ZEEK runs demo.zeek, is attached to with a shipped table and one sample is taken; so is a copy without debug info.
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


def seconds(*command: str) -> float:
    """The median of several runs: from before the process is there until it has ended."""
    times = []
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # reads the files, and compiles what is not
    for _ in range(RUNS):
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - started)
    return statistics.median(times)


def line(what: str, spent: float, allowed: float | None = None) -> bool:
    """Prints a measurement; whether it is within what is allowed."""
    good = allowed is None or spent <= allowed
    verdict = "" if allowed is None else f"  {'ok' if good else 'NOT REACHED'}: {allowed:g} s allowed"
    print(f"{what:52} {1000 * spent:6.0f} ms{verdict}")
    return good


def attach(zeek: Path, folder: Path) -> float:
    """Seconds to the first sample of a running ``zeek``, Python's start included."""
    folder.mkdir()
    script = Path(__file__).parents[1] / "zeekspy" / "demo.zeek"
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
        sys.exit("usage: python bench_start.py ZEEK...")
    sys.exit(main(sys.argv[1:]))
