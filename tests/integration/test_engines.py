"""zeekspy record with every engine: the same shares, the reason for the choice, a target that goes on in any case."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.core.test_engines import TRACER
from tests.support.commands import checksum_after, profile_of, refused, sampling, start, stats_of, untouched, zeekspy
from tests.support.targets import running, truth
from zeekspy import standin
from zeekspy.profile import CORE, IDLE

pytestmark = pytest.mark.live
ENGINES = ("nonblocking", "preempt", "ptrace")
STOPPING = ("preempt", "ptrace")
WITHOUT_SYS_NICE = """
import ctypes, os, resource, sys
assert ctypes.CDLL(None).prctl(24, 23, 0, 0, 0) == 0  # PR_CAPBSET_DROP, CAP_SYS_NICE
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
os.execv(sys.executable, [sys.executable, "-m", "zeekspy", "record", *sys.argv[1:]])
"""
KILLS = 8
"""Of zeekspy, for each era and engine."""


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_sees_the_same_shares(engine: str, era: str, tmp_path: Path) -> None:
    out, stats = tmp_path / "zeek.pb.gz", tmp_path / "stats.json"
    with running(era) as target:
        done = zeekspy(
            *("--pid", target.pid, "--hz", 500, "-o", out, "--duration", 3, "--stats", stats),
            *("--engine", engine, "--max-cpu", 100),
        )
        assert done.returncode == 0, done.stderr
        assert untouched(target)
    counters = stats_of(stats)
    assert (counters["engine"], counters["engine_reason"].partition(";")[0]) == (engine, "asked for")
    assert f"engine {engine} (asked for".encode() in done.stderr
    if engine in STOPPING:
        assert counters["unreadable"] <= 0.001 * counters["script"]
    profile = profile_of(out)
    assert profile.meta["engine"] == engine
    events: Counter[str | None] = Counter()
    for stack, _, values in profile:
        if stack[0] not in (CORE, IDLE):
            events[stack[0].name] += values.count
    total = sum(events.values())
    assert total > 200
    for name, share in truth(era)["events"].items():
        # 4 standard errors, and what a run of a few seconds has more of than another.
        assert events[name] / total == pytest.approx(share, abs=4 * (share * (1 - share) / total) ** 0.5 + 0.02), name


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_auto_says_why(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    with running("2") as target:
        os.sched_setaffinity(target.pid, {cpu})
        options = ("--pid", target.pid, "--hz", 1000, "--duration", 0.5, "-o", tmp_path / "x.pb.gz")
        done = zeekspy(*options)
        assert b"engine nonblocking (" in done.stderr
        assert b"free of the target" in done.stderr
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {cpu})
            done = zeekspy(*options)
        finally:
            os.sched_setaffinity(0, before)
        assert f"engine preempt (zeekspy may run on CPU {cpu} alone, where the target runs".encode() in done.stderr
        assert "where the target runs" in profile_of(tmp_path / "x.pb.gz").meta["engine_reason"]
        assert untouched(target)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give up CAP_SYS_NICE")
def test_preempt_without_the_right_to_realtime(tmp_path: Path) -> None:
    with running("2") as target:
        options = (
            "--engine",
            "preempt",
            "--pid",
            str(target.pid),
            "--duration",
            "0.5",
            "-o",
            str(tmp_path / "x.pb.gz"),
        )
        done = subprocess.run([sys.executable, "-c", WITHOUT_SYS_NICE, *options], capture_output=True)
        assert untouched(target)
    assert done.returncode == 0, done.stderr
    assert b"engine preempt (asked for; at normal priority, SCHED_FIFO is not permitted)" in done.stderr


def test_a_traced_target_is_refused_by_name(tmp_path: Path) -> None:
    with running("2") as target:
        with subprocess.Popen([sys.executable, "-c", TRACER, str(target.pid)], stdout=subprocess.PIPE) as tracer:
            assert tracer.stdout is not None
            assert tracer.stdout.readline() == b"traces\n"
            options = ("--pid", target.pid, "--duration", 1, "-o", tmp_path / "x.pb.gz")
            refused(
                zeekspy("record", "--engine", "ptrace", *options),
                4,
                f"process {target.pid} is traced by process {tracer.pid} (",
                hint="--engine preempt",
            )
            assert zeekspy("record", "--engine", "preempt", *options).returncode == 0
            tracer.kill()
        assert untouched(target)


@pytest.mark.parametrize("engine", STOPPING)
def test_killed_at_any_moment_the_target_goes_on(engine: str, era: str, tmp_path: Path) -> None:
    chance = random.Random(era)
    with running(era, "--steps") as target:
        for n in range(KILLS):
            out = tmp_path / f"{n}.pb.gz"
            options = ("--hz", 10000, "--max-cpu", 100, "--engine", engine)
            profiler = start("record", *options, "--pid", target.pid, "-o", out)
            assert sampling(profiler)
            time.sleep(chance.uniform(0.0, 0.2))
            profiler.kill()
            profiler.communicate()
            assert untouched(target)
        seen = checksum_after(target)
    assert target.returncode == 0
    alone = [str(standin.path(era)), "--micro", "--steps", "--iterations", seen.split()[1]]
    assert subprocess.run(alone, check=True, capture_output=True, text=True).stdout.splitlines()[-1] == seen
