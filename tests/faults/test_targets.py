"""Targets that do what processes do: exec, fork, stop, and be traced by another. Zeekspy changes nothing of it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import checksum_after, profile_of, sampling, start, stats_of, untouched, zeekspy
from tests.support.targets import running
from zeekspy import standin
from zeekspy.profile import Profile

pytestmark = pytest.mark.live
SEIZE, DETACH, INTERRUPT = 0x4206, 17, 0x4207
WALL = 0x40000000


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def awaits(pid: int, wanted: str) -> bool:
    deadline = time.monotonic() + 20
    while state(pid) not in wanted:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def recorded(profiler: subprocess.Popen[bytes], out: Path) -> tuple[Profile, bytes]:
    _, err = profiler.communicate(timeout=60)
    assert profiler.returncode == 0, err
    profile = profile_of(out)
    assert profile.total().count == profile.meta["samples"] > 0
    return profile, err


@pytest.mark.parametrize("same", [True, False], ids=["itself", "another"])
def test_exec_ends_the_recording(an_era: str, engine: str, same: bool, tmp_path: Path) -> None:
    out = tmp_path / "z.pb.gz"
    program = "/proc/self/exe" if same else str(standin.path("1" if an_era == "2" else "2"))
    with running(an_era, "--exec", program) as target:
        profiler = start("record", "--pid", target.pid, "--hz", 250, "--engine", engine, "-o", out)
        assert sampling(profiler)
        time.sleep(0.3)
        target.send_signal(signal.SIGUSR1)
        _, err = recorded(profiler, out)
        assert b"the target has exited" in err
        assert target.wait(30) == 0  # the new program's


def test_children_are_no_business_of_ours(an_era: str, engine: str, tmp_path: Path) -> None:
    out = tmp_path / "z.pb.gz"
    with running(an_era, "--forks", "--steps") as target:
        done = zeekspy("--pid", target.pid, "--hz", 500, "--duration", 1.5, "--engine", engine, "-o", out)
        assert done.returncode == 0, done.stderr
        assert untouched(target)
        assert checksum_after(target)
    assert target.returncode == 0  # none of its children was kept from it


def test_a_stopped_target_stays_stopped_and_goes_on_when_told(an_era: str, engine: str, tmp_path: Path) -> None:
    out = tmp_path / "z.pb.gz"
    with running(an_era, "--steps") as target:
        profiler = start("record", "--pid", target.pid, "--hz", 250, "--engine", engine, "-o", out)
        assert sampling(profiler)
        for _ in range(3):
            time.sleep(0.1)
            target.send_signal(signal.SIGSTOP)
            assert awaits(target.pid, "T")
            time.sleep(0.2)
            assert state(target.pid) == "T"  # not continued by us
            target.send_signal(signal.SIGCONT)
            assert awaits(target.pid, "RS")
        profiler.send_signal(signal.SIGINT)
        recorded(profiler, out)
        assert untouched(target)
        assert checksum_after(target)
    assert target.returncode == 0


@contextmanager
def traced(pid: int) -> Iterator[None]:
    """By this process, which lets it run."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    deadline = time.monotonic() + 20
    while libc.ptrace(SEIZE, pid, None, None) != 0:  # the engine ptrace may have it for a moment
        assert time.monotonic() < deadline, ctypes.get_errno()
    try:
        yield
    finally:
        assert libc.ptrace(INTERRUPT, pid, None, None) == 0
        libc.waitpid(pid, None, WALL)
        assert libc.ptrace(DETACH, pid, None, None) == 0


def tracer(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("TracerPid:\t")[1].split()[0])


def test_a_target_that_another_traces(an_era: str, engine: str, tmp_path: Path) -> None:
    out, stats = tmp_path / "z.pb.gz", tmp_path / "stats.json"
    args = ("--hz", 250, "--duration", 1, "--engine", engine, "-o", out, "--stats", stats)
    with running(an_era, "--steps") as target:
        with traced(target.pid):
            done = zeekspy("--pid", target.pid, *args)
            assert tracer(target.pid) == os.getpid()
            if engine == "ptrace":
                assert done.returncode == 4, done.stderr
                assert b"Traceback" not in done.stderr
                assert not out.exists()
            else:
                assert done.returncode == 0, done.stderr
                assert stats_of(stats)["samples"] > 50
        profiler = start("record", "--pid", target.pid, *args)
        assert sampling(profiler)
        with traced(target.pid):  # in the middle of it
            time.sleep(0.3)
            assert tracer(target.pid) == os.getpid()
        profiler.communicate(timeout=60)
        assert profiler.returncode == 0
        assert untouched(target)
        assert checksum_after(target)
    assert target.returncode == 0


def test_memory_that_changes_into_nonsense(era: str, engine: str, tmp_path: Path) -> None:
    out, stats = tmp_path / "z.pb.gz", tmp_path / "stats.json"
    with running(era, "--scribble", "--steps") as target:
        args = ("--hz", 2000, "--max-cpu", 100, "--duration", 1, "--engine", engine, "-o", out, "--stats", stats)
        for _ in range(5):
            profiler = start("record", "--pid", target.pid, *args)
            _, err = profiler.communicate(timeout=60)
            assert untouched(target)
            if profiler.returncode == 0:
                break
            assert profiler.returncode == 5, err  # what the self-check came upon was nonsense
            assert b"does not fit" in err
        assert profile_of(out).total().count > 0
        seen = checksum_after(target)
    assert target.returncode == 0
    assert stats_of(stats)["script"] > 20
    alone = [str(standin.path(era)), "--micro", "--steps", "--iterations", seen.split()[1]]
    assert subprocess.run(alone, check=True, capture_output=True, text=True).stdout.splitlines()[-1] == seen
