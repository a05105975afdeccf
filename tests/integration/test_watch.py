"""zeekspy watch of stand-ins that stall when they are told to, and the report on what it has caught."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import stalls
from tests.support import targets
from tests.support.commands import ZEEKSPY, profile_of, refused, sampling, zeekspy
from tests.support.targets import running
from zeekspy import standin
from zeekspy.rolling import shelf

pytestmark = pytest.mark.live

STALL_MS = 1500
"""Much longer than what a busy machine does to a process, as is the limit."""
ON = "stall>700ms"


@contextmanager
def watch(out: Path, pid: int, *args: str) -> Iterator[subprocess.Popen[str]]:
    """A watch that samples; it has ended when the block ends."""
    command = [*ZEEKSPY, "watch", "--pid", str(pid), "--out", str(out), *args]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert sampling(process), process.communicate()[1]  # type: ignore[arg-type]
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def ended(process: subprocess.Popen[str]) -> str:
    """Tells it to end, and what it has said."""
    process.terminate()
    return process.communicate(timeout=60)[1]


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def sidecars(out: Path) -> list[dict[str, Any]]:
    return [shelf.sidecar(p) for p in sorted(out.glob("0*.json"))]


def status(out: Path) -> dict[str, Any]:
    until((out / "status.json").exists)
    found: dict[str, Any] = json.loads((out / "status.json").read_text())
    return found


@pytest.mark.parametrize("era", ["1", "2"])
def test_a_stall_is_caught_with_its_stack(era: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        running(era, "--stall", str(STALL_MS), "--idle", "0.3") as target,
        watch(out, target.pid, "--on", ON, "--ring", "20s", "--keep-after", "1s") as process,
    ):
        time.sleep(1)
        assert sidecars(out) == []
        target.send_signal(signal.SIGUSR2)
        until(lambda: len(sidecars(out)) == 1)
        shown = zeekspy("watch", "--status", out).stdout.decode()
        said = ended(process)
    assert process.returncode == 0, said
    (found,) = sidecars(out)
    assert found["trigger"] == ON
    assert found["stack"] == ["Site::reload", "slow_lookup"]
    assert found["bodies"][0]["body"] == "slow_lookup"
    assert 0.7 < found["highest"][ON] < 60
    assert found["cut"] is None
    profile = profile_of(out / found["profile"])
    assert profile.total().count == found["samples"] == found["script"] + found["core"] + found["idle"]
    seen_ns = sum(v.wall_ns for stack, _, v in profile if stack[-1].name == "slow_lookup")
    assert seen_ns > 0.5e9  # at whatever rate a busy machine allows
    assert "watching for" in shown
    assert ON in shown
    assert status(out)["running"] is False

    if era == "1":
        return  # what follows knows no eras
    report = zeekspy("report", out)
    assert report.returncode == 0, report.stderr
    text = report.stdout.decode()
    assert "slow_lookup 100 %" in text
    assert "1 of 1" in text
    assert "Site::reload" in text
    both = json.loads(zeekspy("report", out, "-f", "json").stdout)
    assert {c["body"] for c in both["common"]} >= {"Site::reload", "slow_lookup"}
    base = zeekspy("report", out, "--diff", out / found["profile"])
    assert f"than in {out / found['profile']}" in base.stdout.decode()
    refused(zeekspy("report", out, "-f", "svg"), 2, "a table, or JSON", hint="pb.gz")
    refused(zeekspy("report", out, out), 2, "a table, or JSON", hint="pb.gz")


def test_a_signal_a_source_that_hangs_and_a_target_that_goes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--on", "signal", "--on", "drops>1% or lag>1s", "--drops-from", "command:sleep 1000", "--ring", "10s"]
    with running("2") as target:
        with watch(out, target.pid, *options, "--keep-after", "600s") as process:
            until(lambda: status(out)["nodes"][0]["samples"] > 200)
            process.send_signal(signal.SIGUSR2)
            until(lambda: status(out)["nodes"][0]["pending"])
            node = status(out)["nodes"][0]
            drops = node["conditions"]["drops>1%"]
            assert (drops["value"], drops["met"]) == (None, None)
            assert "sleep 1000" in drops["why"]
            target.kill()
            said = process.communicate(timeout=60)[1]
        assert process.returncode == 0, said
    (found,) = sidecars(out)
    assert found["trigger"] == "signal"
    assert found["cut"].startswith("the target has gone")
    assert profile_of(out / found["profile"]).total().count == found["samples"] > 100


def test_drops_and_rotation(tmp_path: Path) -> None:
    out, counts = tmp_path / "out", tmp_path / "counts"
    counts.write_text("0 1000\n")
    options = ["--on", "drops>5%", "--drops-from", f"command:cat {counts}", "--ring", "5s", "--keep-after", "100ms"]
    with (
        running("2", "--idle", "0.5") as target,
        watch(out, target.pid, *options, "--max-captures", "1") as process,
    ):

        def value() -> float | None:
            return status(out)["nodes"][0]["conditions"]["drops>5%"]["value"]  # type: ignore[no-any-return]

        until(lambda: value() == 0.0)
        counts.write_text("100 1100\n")
        until(lambda: [c["values"]["drops>5%"]["value"] for c in sidecars(out)] == [0.5])
        until(lambda: value() == 0.0)
        counts.write_text("10 100\n")  # the Zeek has started again: that is no drop
        until(lambda: status(out)["nodes"][0]["resets"] == 1 and value() == 0.0)
        counts.write_text("20 190\n")
        until(lambda: [c["values"]["drops>5%"]["value"] for c in sidecars(out)] == [0.1])
        said = ended(process)
    assert process.returncode == 0, said
    assert [p.name for p in sorted(out.glob("0*"))] == [
        f"000002-zeek-{target.pid}-drops{e}" for e in (".json", ".pb.gz")
    ]
    assert "2 captures written, 0 lost, 1 kept" in said


def test_one_that_starts_again_is_watched_again(tmp_path: Path) -> None:
    out, exe, name = tmp_path / "out", tmp_path / "zeek", f"t{os.getpid()}-watched"
    shutil.copy(standin.path("2"), exe)

    def begun() -> subprocess.Popen[bytes]:
        command = [exe, "--idle", "0.5", "--duration", "120", "--stall", str(STALL_MS)]
        env = {**os.environ, "CLUSTER_NODE": name}
        return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)

    target = begun()
    command = [*ZEEKSPY, "watch", name, "--follow", "--on", ON, "--out", str(out), "--keep-after", "200ms"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: [n["pid"] for n in status(out)["nodes"] if n["samples"]] == [target.pid])
        target.kill()
        target.wait()
        until(lambda: status(out)["nodes"] == [])
        target = begun()
        until(lambda: [n["pid"] for n in status(out)["nodes"] if n["samples"]] == [target.pid])
        target.send_signal(signal.SIGUSR2)
        until(lambda: len(sidecars(out)) == 1)
        said = ended(process)
    finally:
        for one in (target, process):
            one.kill()
            one.communicate()
    assert process.returncode == 0, said
    (found,) = sidecars(out)
    assert (found["node"], found["pid"]) == (name, str(target.pid))
    assert found["stack"] == ["Site::reload", "slow_lookup"]
    assert "started again" in said


def test_what_writes_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("2", "--idle", "0.5") as target, watch(out, target.pid, "--on", ON) as process:
        until(lambda: (out / "status.json").exists())
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 1
        assert "the process that writes the captures has ended" in said
        assert "Traceback" not in said


def test_bad_words(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running("2", "--idle", "0.9") as target:
        pid = str(target.pid)

        def asked(*args: object) -> subprocess.CompletedProcess[bytes]:
            return zeekspy("watch", "--pid", pid, "--out", out, *args)

        refused(asked(), 2, "say when to write", hint="--on")
        refused(asked("--on", "stall>"), 2, "not understood", hint="stall>200ms")
        refused(asked("--on", "stall>10ms"), 2, "too short", hint="--hz 300")
        refused(asked("--on", "signal", "--ring", "100000h"), 2, "MB", hint="--ring")
        refused(zeekspy("watch", "--pid", pid, "--on", "signal"), 2, "where captures go", hint="--out")
        refused(zeekspy("watch", "no-such-node", "--on", "signal", "--out", out), 3, "no-such-node", hint="ps")
        refused(zeekspy("watch", "--status", tmp_path), 1, "no zeekspy watch writes", hint="--out")
        refused(zeekspy("report", tmp_path), 1, "no captures", hint="zeekspy watch")
        (tmp_path / "file").write_text("")
        refused(
            zeekspy("watch", "--pid", pid, "--on", "signal", "--out", tmp_path / "file"), 1, "cannot keep", hint="--out"
        )
        with watch(out, target.pid, "--on", "signal") as process:
            refused(asked("--on", "signal"), 2, "another zeekspy watch", hint="--out")
            ended(process)


def test_a_full_disk_loses_captures_and_nothing_else(tmp_path: Path) -> None:
    """No file may grow beyond so much: what a full disk says, of one process alone."""
    out = tmp_path / "out"
    limit = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}));"
    code = (
        limit
        + "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from zeekspy.cli import main; sys.exit(main())"
    )
    with running("2") as target:
        command = [sys.executable, "-c", code, "watch", "--pid", str(target.pid), "--on", "signal", "--out", str(out)]
        process = subprocess.Popen([*command, "--keep-after", "200ms"], stderr=subprocess.PIPE, text=True)
        try:
            assert sampling(process)  # type: ignore[arg-type]
            time.sleep(0.5)
            process.send_signal(signal.SIGUSR2)
            time.sleep(1)
            said = ended(process)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "is lost: cannot write" in said
    assert "0 captures written, 1 lost, 0 kept" in said
    assert {p.name for p in out.iterdir()} <= {"status.json", shelf.LOCK}


@pytest.mark.skipif(not os.environ.get("ZEEKSPY_SOAK"), reason="most of an hour: ZEEKSPY_SOAK=1 runs it")
@pytest.mark.parametrize("zeek", targets.zeeks(), ids=str)
def test_stalls_of_a_real_zeek(zeek: Path) -> None:
    with stalls.web():
        assert stalls.trials(zeek, 20) == 0
        assert stalls.quiet(zeek, 600) == 0
