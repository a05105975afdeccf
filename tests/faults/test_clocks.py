"""Clocks that jump or race do no harm: sampling goes by the monotonic clock, and hours of it do not fill memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.conftest import SOAK
from tests.support.commands import profile_of, sampling, start, stats_of, zeekspy
from zeekspy.profile import Profile

pytestmark = pytest.mark.live
SOURCE = Path(__file__).parents[1] / "support" / "clock.c"
YEAR = 365 * 86400


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library to preload."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", library, SOURCE], check=True)
    return str(library)


def wall_s(profile: Profile) -> float:
    return profile.total().wall_ns / 1e9


def test_a_time_of_day_that_jumps(target: subprocess.Popen[bytes], engine: str, clock: str, tmp_path: Path) -> None:
    out = tmp_path / "z.pb.gz"
    args = ("--hz", 250, "--duration", 1.5, "--engine", engine, "-o", out)
    done = zeekspy("--pid", target.pid, *args, env={"LD_PRELOAD": clock, "JUMP": str(YEAR)})
    assert done.returncode == 0, done.stderr
    profile = profile_of(out)
    assert abs(profile.time_ns / 1e9 - time.time()) > YEAR / 2  # it did jump
    assert 1.4 < profile.duration_ns / 1e9 < 20
    assert wall_s(profile) == pytest.approx(profile.duration_ns / 1e9, rel=0.2, abs=0.2)


def test_a_day_of_sampling(target: subprocess.Popen[bytes], clock: str, tmp_path: Path) -> None:
    """In seconds, by a fast clock. After the first quarter, memory and descriptors stay as they are."""
    hours, fast = (24, 2000) if SOAK else (5, 5000)
    out, stats_file = tmp_path / "z.pb.gz", tmp_path / "stats.json"
    profiler = start(
        *("record", "--pid", target.pid, "--hz", 0.5, "--duration", f"{hours}h", "--max-cpu", 1000),
        *("-o", out, "--stats", stats_file),
        env={"LD_PRELOAD": clock, "FAST": str(fast)},
    )
    assert sampling(profiler)
    time.sleep(3600 * hours / fast / 4)
    before = footprint(profiler.pid)
    seen = [before]
    while profiler.poll() is None:
        try:
            seen.append(footprint(profiler.pid))
        except (OSError, KeyError):  # on its way out
            break
        time.sleep(0.05)
    _, err = profiler.communicate(timeout=60)
    assert profiler.returncode == 0, err
    seen = seen[: len(seen) * 3 // 4]  # not how it ends
    assert max(fds for fds, _ in seen) <= min(fds for fds, _ in seen) + 2  # one or two are open for a moment
    assert max(kb for _, kb in seen) < before[1] + 8192
    stats = stats_of(stats_file)
    took, stall = stats["duration_s"], 0.5 * fast  # half a second in which a busy machine does not run us
    assert hours * 3600 <= took < hours * 3600 + 10 * stall
    assert stats["samples"] + stats["missed"] == pytest.approx(took * 0.5, abs=stall)
    assert stats["samples"] > 500
    assert wall_s(profile_of(out)) == pytest.approx(took, abs=stall)


def footprint(pid: int) -> tuple[int, int]:
    """Open descriptors and resident kilobytes."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return len(os.listdir(f"/proc/{pid}/fd")), int(status["VmRSS"].split()[0])
