"""Attaching, sampling and letting go leave nothing behind in zeekspy, however often."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import untouched
from zeekspy import session

pytestmark = pytest.mark.live
WARM = 30
"""Rounds after which caches are full and the allocator has what it wants."""
LOOPS = 170
GROWTH_KB = 3072
"""Of the resident memory, over LOOPS rounds: 18 KB each would be found; the allocator's own ups and downs would not."""


def resident_kb() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def once(pid: int, engine: str) -> None:
    found = session.Session(session.attach(pid), 2000, engine=engine)
    found.take(found.poll(2_000_000))
    assert found.profile.duration_ns > 0


def test_nothing_grows(target: subprocess.Popen[bytes], engine: str, rounds: Callable[[int], int]) -> None:
    for _ in range(WARM):
        once(target.pid, engine)
    descriptors, memory, threads = len(os.listdir("/proc/self/fd")), resident_kb(), len(os.listdir("/proc/self/task"))
    for _ in range(rounds(LOOPS)):
        once(target.pid, engine)
    assert resident_kb() < memory + GROWTH_KB
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert len(os.listdir("/proc/self/task")) <= threads
    assert untouched(target)
