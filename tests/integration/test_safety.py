"""Whatever becomes of zeekspy, its target goes on as if it had never been looked at; and the other way round."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.commands import checksum_after, profile_of, start, untouched
from tests.support.targets import running
from zeekspy import standin

pytestmark = pytest.mark.live

KILLS = 26
"""Of zeekspy, for each era."""
DEATHS = 10
"""Of the target, for each era."""


def begun(profiler: subprocess.Popen[bytes], out: Path) -> bool:
    """Waits until zeekspy is about to attach: its temporary file is there."""
    deadline = time.monotonic() + 20
    while not any(out.parent.glob(f".{out.name}.*")):
        if profiler.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_killed_at_any_moment_zeekspy_leaves_the_target_as_it_was(era: str, tmp_path: Path) -> None:
    chance = random.Random(era)
    late = 0
    with running(era, "--steps") as target:
        for n in range(KILLS):
            out = tmp_path / f"{n}.pb.gz"
            command = [("record", "--hz", 2000, "-o", out), ("capture", "-n", 9999, "-o", out)][n % 5 == 4]
            profiler = start(*command, "--pid", target.pid)
            if n % 2:
                late += begun(profiler, out)
            time.sleep(chance.uniform(0.01, 0.5))
            profiler.kill()
            profiler.communicate()
            assert profiler.returncode == -9
            assert untouched(target)
            assert not out.exists()  # complete or absent
        assert late == KILLS // 2  # the others were killed at any moment of their start
        seen = checksum_after(target)
    assert target.returncode == 0
    count = seen.split()[1]
    # Without anyone looking. The work is spared, what it computes is not.
    alone = [str(standin.path(era)), "--micro", "--steps", "--iterations", count]
    assert subprocess.run(alone, check=True, capture_output=True, text=True).stdout.splitlines()[-1] == seen


def test_killed_at_any_moment_the_target_leaves_a_valid_profile(era: str, tmp_path: Path) -> None:
    chance = random.Random(era)
    sampled = 0
    for n in range(DEATHS):
        out = tmp_path / f"{n}.pb.gz"
        with running(era) as target:
            profiler = start("record", "--pid", target.pid, "--hz", 1000, "-o", out)
            late = n % 2 and begun(profiler, out)
            time.sleep(chance.uniform(0.2, 1.4) if late else chance.uniform(0.05, 0.6))
            target.kill()
            if n % 4 < 2:
                target.wait()  # else it stays a zombie
            _, err = profiler.communicate(timeout=20)
        assert b"Traceback" not in err
        if profiler.returncode == 0:
            profile = profile_of(out)
            assert profile.total().count == profile.meta["samples"] > 0
            assert b"the target has exited" in err
            sampled += 1
        else:
            assert profiler.returncode == 3, err
            assert err.startswith(b"zeekspy: ")
            assert not out.exists()
        assert not list(tmp_path.glob(".*"))
    assert sampled >= DEATHS // 5
