"""Whatever becomes of zeekspy, its target goes on as if it had never been looked at; and the other way round."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import checksum_after, profile_of, sampling, start, untouched
from tests.support.targets import running
from zeekspy import standin

pytestmark = pytest.mark.live

ENDINGS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGTERM)
"""SIGSTOP is followed by SIGCONT and SIGTERM."""


def test_whatever_ends_zeekspy_the_target_goes_on(
    era: str, engine: str, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    chance = random.Random(era + engine)
    complete = 0
    with running(era, "--steps") as target:
        for n in range(rounds(5)):
            out = tmp_path / f"{n}.pb.gz"
            ending = ENDINGS[n % len(ENDINGS)]
            args = ("--hz", 1000, "--max-cpu", 100, "--engine", engine, "-o", out)
            profiler = start("record", "--pid", target.pid, *args)
            late = n % 8 < len(ENDINGS) and sampling(profiler)  # the others at any moment of their start
            time.sleep(chance.uniform(0.0, 0.3))
            profiler.send_signal(ending)
            if ending == signal.SIGSTOP:
                time.sleep(chance.uniform(0.0, 0.1))
                profiler.send_signal(signal.SIGCONT)
                profiler.send_signal(signal.SIGTERM)
            _, err = profiler.communicate(timeout=60)
            assert untouched(target)
            assert [p for p in tmp_path.iterdir() if p != out] == []
            if ending == signal.SIGKILL:
                assert profiler.returncode == -9, err
                assert not out.exists()
            elif late or out.exists():
                assert profiler.returncode == 0, err
                profile = profile_of(out)
                assert profile.total().count == profile.meta["samples"]
                assert profile.meta["engine"] == engine
                complete += 1
                out.unlink()
        assert complete >= 2
        seen = checksum_after(target)
    assert target.returncode == 0
    count = seen.split()[1]
    # Without anyone looking. The work is spared, what it computes is not.
    alone = [str(standin.path(era)), "--micro", "--steps", "--iterations", count]
    assert subprocess.run(alone, check=True, capture_output=True, text=True).stdout.splitlines()[-1] == seen


def test_killed_at_any_moment_the_target_leaves_a_valid_profile(
    era: str, engine: str, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    chance = random.Random(era + engine)
    sampled = 0
    for n in range(rounds(4)):
        out = tmp_path / f"{n}.pb.gz"
        with running(era) as target:
            args = ("--hz", 1000, "--max-cpu", 100, "--engine", engine, "-o", out)
            profiler = start("record", "--pid", target.pid, *args)
            late = n % 2 == 0 and sampling(profiler)
            time.sleep(chance.uniform(0.1, 0.4) if late else chance.uniform(0.0, 0.5))
            target.kill()
            if n % 4 < 2:
                assert target.wait(10) == -9  # its status is its parent's, whatever traced it; else it stays a zombie
            _, err = profiler.communicate(timeout=60)
        assert b"Traceback" not in err
        if profiler.returncode == 0:
            profile = profile_of(out)
            assert profile.total().count == profile.meta["samples"] > 0
            assert b"the target has exited" in err
            sampled += 1
            out.unlink()
        else:
            assert profiler.returncode == 3, err
            assert err.startswith(b"zeekspy: ")
        assert list(tmp_path.iterdir()) == []
    assert sampled >= 1
