"""Prints what a table from DWARF costs, beside gdb on the same binary in the same run: tests/bench/generate.py ZEEK.

Neither reads from a cold disk: the file is read once before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

LIMIT_MB = 512
CLASSES = ("Frame", "CallInfo", "Location", "Stmt", "StmtList", "Expr", "CallExpr", "NameExpr", "ID")
PUBLIC = ("Func", "FuncType", "FuncVal", "Obj", "EventRegistry", "EventHandler")


def cost(*command: str) -> tuple[float, float]:
    """(seconds, megabytes at most) of a command. Its output is not wanted."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} failed with {process.returncode}")
    return seconds, usage.ru_maxrss / 1024


def main(zeek: str) -> int:
    gdb = shutil.which("gdb")
    if gdb is None:
        sys.exit("gdb is not installed: apt-get install gdb")
    with Path(zeek).open("rb") as file:
        while file.read(1 << 20):  # in pieces: what this process holds would count as its children's
            pass
        print(f"{zeek}: {file.tell() / 1e6:.0f} MB")
    ours = cost(sys.executable, "-m", "zeekspy", "offsets", "generate", zeek)
    print(f"zeekspy offsets generate   {ours[0]:6.2f} s  {ours[1]:6.0f} MB")
    asked = [f"ptype /o zeek::detail::{c}" for c in CLASSES] + [f"ptype /o zeek::{c}" for c in PUBLIC]
    theirs = cost(gdb, "-nx", "-batch", *(word for a in asked for word in ("-ex", a)), zeek)
    print(f"gdb, {len(asked)} classes            {theirs[0]:6.2f} s  {theirs[1]:6.0f} MB")
    good = ours[0] < theirs[0] and ours[1] <= LIMIT_MB
    print(f"{'ok' if good else 'NOT REACHED'}: {theirs[0] / ours[0]:.1f} times as fast, {LIMIT_MB} MB allowed")
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/bench/generate.py ZEEK")
    sys.exit(main(sys.argv[1]))
