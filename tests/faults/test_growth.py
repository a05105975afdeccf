"""Attaching, sampling and letting go leave nothing behind in zeekspy, however often."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import zeekspy
from tests.support.commands import untouched
from zeekspy import session

pytestmark = pytest.mark.live
WARM = 30
"""Rounds after which caches are full and the allocator has what it wants."""
LOOPS = 170
GROWTH_KB = 3072
"""Of the resident memory, over LOOPS rounds: 18 KB each would be found; the allocator's own ups and downs would not."""
ROOT = Path(zeekspy.__file__).parent.parent


def held() -> dict[str, int]:
    """What this process has now."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    found = {name: len(os.listdir(f"/proc/self/{name}")) for name in ("fd", "task")}
    return {"resident_kb": resident, **found}


def once(pid: int, engine: str) -> None:
    found = session.Session(session.attach(pid), 2000, engine=engine)
    found.take(found.poll(2_000_000))
    assert found.profile.duration_ns > 0


def main(pid: int, engine: str, loops: int) -> None:
    """In a process of its own, whose memory no other test has been at."""
    found = []
    for rounds in (WARM, loops):
        for _ in range(rounds):
            once(pid, engine)
        found.append(held())
    print(json.dumps(found))


def test_nothing_grows(target: subprocess.Popen[bytes], engine: str, rounds: Callable[[int], int]) -> None:
    command = [sys.executable, "-m", "tests.faults.test_growth", str(target.pid), engine, str(rounds(LOOPS))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True)
    before, after = json.loads(done.stdout)
    assert after["resident_kb"] < before["resident_kb"] + GROWTH_KB
    assert after["fd"] <= before["fd"]
    assert after["task"] <= before["task"]
    assert untouched(target)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
