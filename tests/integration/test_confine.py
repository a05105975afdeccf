"""A confined zeekspy cannot write its target, by any way that works before it confines itself."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import zeekspy as package
from tests.support import attempts_names as names
from tests.support.commands import sampling, start, stats_of, zeekspy
from tests.support.targets import running
from zeekspy import access, confine

pytestmark = pytest.mark.live
ATTEMPTS = Path(__file__).parents[1] / "support" / "attempts.py"
REFUSED = errno.EPERM
KEPT = 1 << access.CAP_SYS_PTRACE


def tried(folder: Path, *flags: str) -> Any:
    root = str(Path(package.__file__).parent.parent)
    command = [sys.executable, str(ATTEMPTS), str(folder), *flags]
    done = subprocess.run(command, capture_output=True, timeout=60, env={"PYTHONPATH": root})
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def _needs_filters() -> None:
    if not confine.available():
        pytest.skip("this kernel has no seccomp filters")


def test_what_is_refused_and_what_is_not(tmp_path: Path) -> None:
    found = tried(tmp_path)
    seen = found["attempts"]
    refused = (*names.WORKS_BEFORE, *names.REACHED_BEFORE, *names.ANSWERS)
    assert set(seen) == {*refused, *names.NEVER, *names.ALLOWED, *names.UNKNOWN}
    for name in refused:
        before, after = seen[name]
        assert after == REFUSED, name
        # So that the refusal is the filter's: the same attempt does what it is meant to do, or comes as far as its
        # arguments, which are wrong on purpose where it would harm this machine. A container may forbid it anyway.
        assert before == 0 or name in names.REACHED_BEFORE or before in (errno.EPERM, errno.ENOSYS), name
    for name in ("process_vm_writev", "mem open O_RDWR", "mem open O_WRONLY", "mem openat", "kill", "fork", "create"):
        assert seen[name][0] == 0, name
    for name in names.UNKNOWN:
        assert seen[name][1] == errno.ENOSYS, name
    assert [seen[name][1] for name in names.NEVER] == [errno.EBADF]
    assert {seen[name][1] for name in names.ALLOWED} <= {0, errno.ENOSYS}
    assert found["unharmed"]


def test_the_kernel_says_so(tmp_path: Path) -> None:
    status = tried(tmp_path)["status"]
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    for name in ("CapPrm", "CapEff"):
        assert int(status[name], 16) & ~KEPT == 0, name
    assert {int(status[name], 16) for name in ("CapInh", "CapAmb")} == {0}


def test_the_engine_that_stops_may_stop_and_nothing_else(tmp_path: Path) -> None:
    found = tried(tmp_path, "stops", "publish")
    seen = found["attempts"]
    assert seen["ptrace seize"] == [0, 0]
    assert seen["publish"] == [0, 0]
    for name in ("ptrace exitkill", "ptrace seize and poke", "ptrace attach and poke", "process_vm_writev", "create"):
        assert seen[name] == [0, REFUSED], name
    assert found["unharmed"]


def test_a_server_may_answer_and_nothing_else(tmp_path: Path) -> None:
    found = tried(tmp_path, "serve")
    seen = found["attempts"]
    for name in names.ANSWERS:
        assert seen[name] == [0, 0], name
    for name in (*names.WORKS_BEFORE, *names.REACHED_BEFORE):
        assert seen[name][1] == REFUSED, name
    assert found["unharmed"]


def test_a_recording_is_confined(era: str, tmp_path: Path) -> None:
    stats_file = tmp_path / "stats.json"
    with running(era) as target:
        profiler = start(
            *("record", "--pid", target.pid, "--duration", 2, "-o", tmp_path / "z.pb.gz", "--stats", stats_file)
        )
        assert sampling(profiler)
        for task in Path(f"/proc/{profiler.pid}/task").iterdir():
            status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
            assert status["Seccomp"] == "2"
            kept = {name for name, n in confine.CAPABILITIES.items() if int(status["CapPrm"], 16) >> n & 1}
            assert sum(1 << confine.CAPABILITIES[name] for name in kept) == int(status["CapPrm"], 16)
            assert not int(status["CapBnd"], 16) or not access.capabilities()
        _, err = profiler.communicate(timeout=30)
        assert profiler.returncode == 0, err
    stats = stats_of(stats_file)
    assert stats["confined"] is True
    assert set(stats["capabilities"]) == kept
    assert b"not confined" not in err


def test_a_command_that_was_started_can_still_be_ended(era: str, tmp_path: Path) -> None:
    from zeekspy import standin

    done = zeekspy("record", "--duration", 0.5, "-o", tmp_path / "z.pb.gz", "--", standin.path(era), "--steps")
    assert done.returncode == 0, done.stderr
    assert b"checksum" in done.stdout  # by SIGTERM, not SIGKILL
