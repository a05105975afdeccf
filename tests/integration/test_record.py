"""zeekspy record on the stand-in of both eras: what the file holds is what the stand-in was built to do."""

from __future__ import annotations

import gzip
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ZEEKSPY, profile_of, sampling, start, stats_of, untouched, zeekspy
from tests.support.targets import running, truth
from zeekspy import standin
from zeekspy.profile import CORE, IDLE, Frame, Profile

pytestmark = pytest.mark.live

STATS = {
    "engine": str,
    "zeek_version": str,
    "layout": str,
    "hz_asked": float,
    "hz_achieved": float,
    "duration_s": float,
    "samples": int,
    "script": int,
    "core": int,
    "idle": int,
    "torn": int,
    "stale": int,
    "unreadable": int,
    "missed": int,
    "cpu_s": float,
    "profiler_cpu_s": float,
    "sample_us": dict,
    "reads_per_sample": float,
}
"""Of design.md section 6."""

Key = tuple[str | None, str | None, str | None, int | None, int | None]


def key(frame: Frame) -> Key:
    body = frame.body
    return (frame.name, frame.kind, *((body.file, body.first_line, body.last_line) if body else (None, None, None)))


def bodies(table: dict[str, Any]) -> dict[Key, dict[str, Any]]:
    return {(b["name"], b["kind"], b["file"], b["first_line"], b["last_line"]): b for b in table["bodies"]}


def in_scripts(profile: Profile) -> Profile:
    """What was seen while a script ran."""
    result = Profile()
    for stack, labels, v in profile:
        if stack not in ((CORE,), (IDLE,)):
            result.add(stack, labels, v.count, v.cpu_ns, v.wall_ns)
    return result


def assert_shares(profile: Profile, era: str, hz: float) -> None:
    """Own CPU time per body and per line of it agrees with the truth, in 4 sigma of the samples on the CPU."""
    expected = bodies(truth(era))
    scripts = in_scripts(profile)
    total = scripts.total().cpu_ns
    own: Counter[tuple[Key, int | None]] = Counter()
    for stack, _, values in scripts:
        own[key(stack[-1]), stack[-1].line] += values.cpu_ns
    samples = total / 1e9 * hz
    assert samples > 300, "the stand-in got too little CPU time to say anything"

    def close(share: float, wanted: float) -> bool:
        # A point more, because samples a few milliseconds apart fall into one iteration.
        return abs(share - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / samples) + 0.01

    known = 0.0
    for body, row in expected.items():
        shares = {line: cpu / total for (at, line), cpu in own.items() if at == body}
        known += sum(shares.values())
        assert close(sum(shares.values()), row["share"]), (body, shares, row["share"], samples)
        for line, wanted in row["lines"].items():
            if era == "1" and body[0] == "DNS::walk_labels":
                continue  # recursion until Zeek 8.0: a known limit, see ARCHITECTURE.md
            assert close(shares.get(int(line), 0.0), wanted), (body, line, shares, samples)
        if body[1] == "bif":
            assert set(shares) <= {None}
    assert known > 0.97  # the rest had gone when it was looked at, or was between two statements


@pytest.mark.parametrize("no_vm_readv", ["", "1"], ids=["process_vm_readv", "proc_mem"])
def test_shares_bodies_and_lines(era: str, no_vm_readv: str, tmp_path: Path) -> None:
    out, stats_file = tmp_path / "zeek.pb.gz", tmp_path / "stats.json"
    with running(era) as target:
        done = zeekspy(
            *("--pid", target.pid, "--hz", 500, "--profile", out, "--duration", 3, "--stats", stats_file),
            env={"ZEEKSPY_NO_VM_READV": no_vm_readv} if no_vm_readv else {},
        )
        assert done.returncode == 0, done.stderr
        assert untouched(target)
    assert done.stdout == b""
    profile, stats = profile_of(out), stats_of(stats_file)
    assert_shares(profile, era, 500)

    deepest = max(Counter(f.name for f in stack)["DNS::walk_labels"] for stack, _, _ in profile)
    assert 6 <= deepest <= 12
    assert max(len(stack) for stack, _, _ in profile) <= 13  # dns_request, and the twelve
    assert {labels for _, labels, _ in profile} == {(("pid", str(target.pid)),)}
    assert profile.meta["read_method"] == ("/proc/PID/mem" if no_vm_readv else "process_vm_readv")

    for name, kind in STATS.items():
        assert isinstance(stats[name], kind), name
    assert stats["zeek_version"] == truth(era)["version"]
    assert stats["hz_asked"] == 500
    assert stats["samples"] == stats["script"] + stats["core"] + stats["idle"] == profile.total().count
    assert 2.8 < stats["duration_s"] < 4
    # What was due was taken or counted as missed; a sample or two may be under way at either end.
    assert stats["samples"] + stats["missed"] == pytest.approx(500 * stats["duration_s"], rel=0.06)
    assert stats["hz_achieved"] == pytest.approx(stats["samples"] / stats["duration_s"], rel=0.05)
    assert stats["cpu_s"] == pytest.approx(profile.total().cpu_ns / 1e9, rel=0.01)
    assert 0 < stats["profiler_cpu_s"] < 1.5
    assert list(stats["sample_us"]) == ["p50", "p90", "p99", "max"]
    assert sorted(stats["sample_us"].values()) == list(stats["sample_us"].values())
    assert 1 <= stats["reads_per_sample"] < (100 if no_vm_readv else 6)  # /proc/PID/mem is read piece by piece
    assert stats["stale"] == 0
    assert stats["unreadable"] + stats["torn"] < 0.2 * stats["samples"]

    last = done.stderr.decode().splitlines()
    assert f"pid {target.pid}: {stats['samples']} samples (script " in last[0]
    assert "engine nonblocking" in last[0]
    assert last[1] == f"{out}  open it with: go tool pprof -http=: {out}"


def test_micro_functions_are_not_seen_less_often(era: str, tmp_path: Path) -> None:
    """Functions of microseconds: a reader that waits for a stack that stands still would lose the short ones."""
    out = tmp_path / "zeek.pb.gz"
    with running(era, "--micro") as target:
        assert zeekspy("--pid", target.pid, "--hz", 1000, "-o", out, "--duration", 2).returncode == 0
    profile = in_scripts(profile_of(out))
    events: Counter[str | None] = Counter()
    for stack, _, values in profile:
        events[stack[0].name] += values.cpu_ns
    total = profile.total().cpu_ns
    for name, share in truth(era)["events"].items():
        assert events[name] / total == pytest.approx(share, abs=0.06), name


def test_stale_entries_are_counted_and_left_out(era: str, tmp_path: Path) -> None:
    out, stats_file = tmp_path / "zeek.pb.gz", tmp_path / "stats.json"
    with running(era, "--stale", "--core", "0.3") as target:
        args = ("--hz", 250, "-o", out, "--duration", 2, "--stats", stats_file)
        assert zeekspy("--pid", target.pid, *args).returncode == 0
    profile, stats = profile_of(out), stats_of(stats_file)
    assert stats["stale"] > 0.9 * stats["samples"]
    assert stats["core"] > 0.1 * stats["samples"]  # the stale entry alone is an empty stack
    outermost: Counter[str | None] = Counter()
    for stack, _, values in in_scripts(profile):
        outermost[stack[0].name] += values.count
    live = {name: n for name, n in outermost.items() if name in truth(era)["events"]}
    assert len(live) >= 3
    # It takes some looks to prove that an entry is stale.
    assert sum(outermost.values()) - sum(live.values()) <= 0.05 * stats["samples"], outermost
    assert_no_event_below_another(profile)


def assert_no_event_below_another(profile: Profile) -> None:
    """Events are never nested in the stand-in: one below another is the stale entry."""
    nested = sum(v.count for stack, _, v in profile if [f.kind for f in stack].count("event") > 1)
    assert nested <= 0.02 * profile.total().count


def test_core_and_idle_are_told_apart(era: str, tmp_path: Path) -> None:
    out, stats_file = tmp_path / "zeek.pb.gz", tmp_path / "stats.json"
    with running(era, "--idle", "0.4", "--core", "0.5") as target:
        args = ("--hz", 500, "-o", out, "--duration", 3, "--stats", stats_file)
        assert zeekspy("--pid", target.pid, *args).returncode == 0
    profile, stats = profile_of(out), stats_of(stats_file)
    total = profile.total()
    cpu = {stack: sum(v.cpu_ns for s, _, v in profile if s == stack) / total.cpu_ns for stack in ((CORE,), (IDLE,))}
    assert cpu[(CORE,)] == pytest.approx(0.5, abs=0.1)
    assert cpu[(IDLE,)] < 0.1
    # A busy machine makes the work take longer, not the sleep: less is idle then.
    assert 0.05 < stats["idle"] / stats["samples"] < 0.5


def test_a_busy_target_is_not_idle(era: str, tmp_path: Path) -> None:
    stats_file = tmp_path / "stats.json"
    with running(era) as target:
        args = ("--hz", 250, "-o", tmp_path / "zeek.pb.gz", "--duration", 1, "--stats", stats_file)
        assert zeekspy("--pid", target.pid, *args).returncode == 0
    stats = stats_of(stats_file)
    assert stats["script"] > 0.9 * stats["samples"] > 0


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_in_a_complete_file(
    target: subprocess.Popen[bytes], ending: signal.Signals, tmp_path: Path
) -> None:
    out = tmp_path / "zeek.pb.gz"
    for _ in range(3):  # more than once only where something else keeps the machine busy
        out.unlink(missing_ok=True)
        recording = start("record", "--pid", target.pid, "--hz", 1, "-o", out)  # the next sample is far away
        assert sampling(recording)
        recording.send_signal(ending)
        asked = time.monotonic()
        _, err = recording.communicate(timeout=20)
        took = time.monotonic() - asked
        assert (recording.returncode, b"Traceback" in err) == (0, False), err
        assert profile_of(out).meta["pid"] == target.pid
        assert [p.name for p in tmp_path.iterdir()] == [out.name]
        assert untouched(target)
        within = 0.5 * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))
        if took < within:
            break
    assert took < within


@pytest.mark.parametrize(("ignored", "ends"), [(signal.SIGINT, True), (signal.SIGHUP, False)])
def test_what_a_script_or_nohup_ignores(
    target: subprocess.Popen[bytes], ignored: signal.Signals, ends: bool, tmp_path: Path
) -> None:
    out = tmp_path / "zeek.pb.gz"
    before = signal.signal(ignored, signal.SIG_IGN)  # as `command &` in a script inherits it
    try:
        recording = start("record", "--pid", target.pid, "--hz", 50, "-o", out)
    finally:
        signal.signal(ignored, before)
    assert sampling(recording)
    recording.send_signal(ignored)
    if not ends:
        time.sleep(0.3)
        assert recording.poll() is None
        recording.terminate()
    _, err = recording.communicate(timeout=20)
    assert recording.returncode == 0, err
    assert profile_of(out).meta["pid"] == target.pid


def test_the_end_of_the_target_is_the_end_of_the_recording(era: str, tmp_path: Path) -> None:
    out = tmp_path / "zeek.pb.gz"
    with running(era, "--duration", "3") as target:
        done = zeekspy("--pid", target.pid, "--hz", 250, "-o", out)
        assert target.wait(10) == 0
    assert done.returncode == 0, done.stderr
    assert b"the target has exited" in done.stderr
    assert profile_of(out).total().count > 5


def test_a_command_is_started_recorded_and_ended(era: str, tmp_path: Path) -> None:
    out = tmp_path / "zeek.pb.gz"
    done = zeekspy("record", "--hz", 250, "--duration", 1, "-o", out, "--", standin.path(era), "--steps")
    assert done.returncode == 0, done.stderr
    assert b"checksum" in done.stdout  # it was asked to end, not killed
    profile = profile_of(out)
    assert profile.total().count > 50
    assert profile.meta["command"].startswith("zeekspy record --hz 250 --duration 1 -o ")
    pid = int(profile.meta["pid"])
    assert not os.path.exists(f"/proc/{pid}")


def test_several_targets_in_one_profile(tmp_path: Path) -> None:
    out, stats_file = tmp_path / "zeek.pb.gz", tmp_path / "stats.json"
    with running("1") as one, running("2") as two:
        args = ("--hz", 250, "--duration", 1, "-o", out, "--stats", stats_file)
        done = zeekspy("record", "--pid", one.pid, two.pid, one.pid, *args)
        assert done.returncode == 0, done.stderr
    profile, stats = profile_of(out), stats_of(stats_file)
    assert [row["pid"] for row in stats] == [one.pid, two.pid]
    counts: Counter[str] = Counter()
    for _, labels, values in profile:
        counts[dict(labels)["pid"]] += values.count
    assert dict(counts) == {str(row["pid"]): row["samples"] for row in stats}
    assert min(counts.values()) > 50


def test_standard_output(target: subprocess.Popen[bytes]) -> None:
    done = zeekspy("--pid", target.pid, "--hz", 250, "--duration", 0.5, "-o", "-", "-f", "collapsed")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert any("connection_state_remove" in line for line in lines)
    assert all(int(line.rpartition(" ")[2]) > 0 for line in lines)
    assert b"open it with" not in done.stderr


def test_a_dated_name_where_none_is_given(target: subprocess.Popen[bytes], tmp_path: Path) -> None:
    script = shutil.which("zeekspy", path=str(Path(sys.executable).parent))
    command = [script] if script else ZEEKSPY  # the installed script, where the package is installed
    args = ["--pid", str(target.pid), "--duration", "0.3"]
    done = subprocess.run([*command, *args], cwd=tmp_path, capture_output=True, timeout=30, check=True)
    (file,) = tmp_path.iterdir()
    assert file.name.startswith(f"zeekspy-{target.pid}-2")
    assert file.name.endswith(".pb.gz")
    assert f"{file.name}  open it with: go tool pprof -http=: {file.name}".encode() in done.stderr
    assert profile_of(file).total().count > 0


@pytest.mark.parametrize(("name", "begins"), [("z.folded", b""), ("z.txt", b""), ("z.pprof", b"\x1f\x8b")])
def test_the_ending_of_the_name_chooses_the_format(
    target: subprocess.Popen[bytes], tmp_path: Path, name: str, begins: bytes
) -> None:
    out = tmp_path / name
    assert zeekspy("--pid", target.pid, "--duration", 0.3, "-o", out).returncode == 0
    data = out.read_bytes()
    assert data.startswith(begins)
    assert b"http" in (gzip.decompress(data) if begins else data)
