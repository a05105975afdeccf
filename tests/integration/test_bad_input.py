"""What cannot be done is refused with one sentence, the remedy and the exit code; no target is harmed by it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from zeekspy.offsets import find

from tests.support.commands import NOBODY, profile_of, refused, untouched, zeekspy
from tests.support.targets import running
from zeekspy import choice, standin, target
from zeekspy.layout import Layout

live = pytest.mark.live
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user: run the tests as root")

ATTACHING = [("record", "--duration", "1", "-o", "-", "-f", "text"), ("dump",), ("capture", "-o", "/dev/null")]


@pytest.fixture
def unused_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


# ---- the process


@pytest.mark.parametrize("command", ATTACHING, ids=lambda c: c[0])
def test_no_such_process(command: tuple[str, ...], unused_pid: int) -> None:
    refused(zeekspy(*command, "--pid", unused_pid), 3, f"there is no process {unused_pid}", hint="pgrep -a zeek")


def test_a_zombie() -> None:
    process = subprocess.Popen(["true"])
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    refused(zeekspy("dump", "--pid", process.pid), 3, "already exited", hint="pgrep -a zeek")
    process.wait()


@live
@pytest.mark.parametrize("command", ATTACHING, ids=lambda c: c[0])
def test_not_a_zeek(command: tuple[str, ...]) -> None:
    with subprocess.Popen(["sleep", "60"]) as sleep:
        refused(zeekspy(*command, "--pid", sleep.pid), 1, f"process {sleep.pid}", "is not a Zeek", hint="pgrep -a zeek")
        assert untouched(sleep)
        sleep.kill()


def test_a_thread_of_the_kernel() -> None:
    try:
        kernel = target.is_kernel_thread(2)
    except Exception:
        kernel = False
    if not kernel:
        pytest.skip("process 2 is no thread of the kernel here: run the tests outside a container")
    refused(zeekspy("dump", "--pid", 2), 1, "a thread of the kernel", hint="pgrep -a zeek")


@live
@pytest.mark.parametrize("version", [b"\xff.9.0-standin", b"\0" * 13, b"a.9.0-standin"])
def test_an_executable_without_a_version(place: Path, version: bytes) -> None:
    exe = place / "zeek"
    data = standin.path("2").read_bytes()
    assert data.count(b"0.9.0-standin\0") >= 1
    exe.write_bytes(data.replace(b"0.9.0-standin\0", version + b"\0"))
    exe.chmod(0o755)
    with subprocess.Popen([exe], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        refused(zeekspy("dump", "--pid", process.pid), 5, "does not hold a version", hint="-rdynamic")
        assert untouched(process)
        process.kill()


@live
@pytest.mark.parametrize("version", [b"99.99-standin", b"0.0.0-standin", b"9.9.9.9.9.9.9"])
def test_a_version_of_no_table(place: Path, tmp_path: Path, version: bytes) -> None:
    """Debug info is taken only where it is there: a stripped one has none."""
    if shutil.which("strip") is None:
        pytest.skip("strip is missing: install binutils")
    exe = place / "zeek"
    exe.write_bytes(standin.path("2").read_bytes().replace(b"0.9.0-standin\0", version + b"\0"))
    exe.chmod(0o755)
    subprocess.run(["strip", exe], check=True)
    with subprocess.Popen([exe], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        empty = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        for command in ATTACHING:
            said = refused(zeekspy(*command, "--pid", process.pid, env=empty), 5, version.decode(), hint="--offsets")
            assert "zeekspy offsets generate" in said
        assert untouched(process)
        process.kill()


# ---- the layout


@live
def test_an_unknown_build(era: str, place: Path, tmp_path: Path) -> None:
    """Without debug info, and of a version that no shipped table covers."""
    if shutil.which("strip") is None:
        pytest.skip("strip is missing: install binutils")
    exe = place / "zeek"
    shutil.copy(standin.path(era), exe)
    subprocess.run(["strip", exe], check=True)
    out = tmp_path / "out.pb.gz"
    with subprocess.Popen([exe], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        empty = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        said = refused(zeekspy("--pid", process.pid, "-o", out, env=empty), 5, "-standin", hint="--offsets")
        assert "zeekspy offsets generate" in said
        assert not out.exists()
        assert untouched(process)

        # The remedy works: a table made where the debug info is.
        table = tmp_path / "table.json"
        assert zeekspy("offsets", "generate", standin.path(era), "-o", table).returncode == 0
        done = zeekspy("--pid", process.pid, "-o", out, "--duration", 0.5, "--offsets", table, env=empty)
        assert done.returncode == 0, done.stderr
        assert profile_of(out).meta["layout"] == str(table)
        process.kill()


def own_table(process: subprocess.Popen[bytes]) -> Layout:
    return choice.choose(target.find(process.pid))


def shipped(version: str) -> Layout:
    table: Layout | None = find(version, "libstdc++")
    assert table is not None
    return table


@live
def test_a_table_of_another_version(era: str, tmp_path: Path) -> None:
    """Each shipped table of the other era, and the oldest: all are refused by the self-check."""
    with running(era) as process:
        for version in ("3.0.0", "5.0.0", "9.0.0" if era == "1" else "8.0.3"):
            file = tmp_path / f"{version}.json"
            file.write_text(shipped(version).to_json())
            done = zeekspy("--pid", process.pid, "-o", tmp_path / "out", "--offsets", file)
            said = refused(done, 5, f"{version}.json", hint="zeekspy offsets generate")
            assert "does not fit this Zeek" in said
        assert untouched(process)
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json"] * 3


@live
@pytest.mark.parametrize("field", ["Func.name", "Func.bodies", "Obj.location", "FuncType.flavor", "Location.last_line"])
def test_a_table_with_one_field_wrong(era: str, field: str, tmp_path: Path) -> None:
    """A sample through the command line; tests/unit/test_selfcheck.py has each field."""
    with running(era) as process:
        table = own_table(process)
        file = tmp_path / "bad.json"
        wrong = -8 if field == "Obj.location" else 8
        file.write_text(replace(table, fields={**table.fields, field: table.fields[field] + wrong}).to_json())
        refused(zeekspy("dump", "--pid", process.pid, "--offsets", file), 5, "bad.json", hint="generate")
        assert untouched(process)


TABLES = {
    "empty": b"",
    "not JSON": b"{",
    "not text": b"\xff\xfe\0",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "foreign": b'{"format": "something/1"}',
    "bare": b'{"format": "zeekspy-offsets/1"}',
    "no fields": json.dumps(
        {
            "format": "zeekspy-offsets/1",
            "zeek": {"since": "8.0.0", "until": "8.0.0"},
            "stdlib": "libstdc++",
            "pointer_size": 8,
            "symbols": {},
            "fields": {},
        }
    ).encode(),
}


@live
@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES.keys())
def test_a_file_that_is_no_table(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_bytes(content)
    with running("2") as process:
        done = zeekspy("dump", "--pid", process.pid, "--offsets", file)
        assert done.returncode in (1, 5)
        refused(done, done.returncode)
        assert untouched(process)


@live
def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with running("2") as process:
        refused(zeekspy("dump", "--pid", process.pid, "--offsets", tmp_path / "none"), 1, "No such file")
        refused(zeekspy("dump", "--pid", process.pid, "--offsets", tmp_path), 1, "Is a directory")


# ---- permission


@live
@root
@pytest.mark.parametrize("command", ATTACHING, ids=lambda c: c[0])
def test_another_users_process(command: tuple[str, ...]) -> None:
    with running("2") as process:
        done = zeekspy(*command, "--pid", process.pid, nobody=True)
        refused(done, 4, "uid 0", f"zeekspy runs as uid {NOBODY}", hint="sudo")
        assert untouched(process)


@live
@root
def test_a_protected_process_of_ones_own(place: Path) -> None:
    """The kernel protects what runs from a file its user may not read, as it does with file capabilities."""
    exe = place / "zeek"
    shutil.copy(standin.path("2"), exe)
    exe.chmod(0o711)
    with subprocess.Popen([exe], stdout=subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=[]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        refused(zeekspy("dump", "--pid", process.pid, nobody=True), 4, "file capabilities", hint="sudo")
        assert untouched(process)
        process.kill()


@live
@root
def test_ones_own_process_needs_no_root(place: Path) -> None:
    exe = place / "zeek"
    shutil.copy(standin.path("2"), exe)
    os.chown(place, NOBODY, NOBODY)
    with subprocess.Popen([exe], stdout=subprocess.PIPE, user=NOBODY, group=NOBODY, extra_groups=[]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        env = {"XDG_CACHE_HOME": str(place)}
        try:
            done = zeekspy(*("--pid", process.pid, "--duration", 0.5, "-o", place / "o.pb.gz"), nobody=True, env=env)
        finally:
            process.kill()
        yama = Path("/proc/sys/kernel/yama/ptrace_scope")
        if yama.exists() and int(yama.read_text()) >= 1:
            refused(done, 4, "ptrace_scope", hint="sudo")
        else:
            assert done.returncode == 0, done.stderr
            assert profile_of(place / "o.pb.gz").total().count > 0


# ---- where to write


@live
@pytest.mark.parametrize("command", [("record",), ("capture",)], ids=lambda c: c[0])
def test_what_cannot_be_written_is_found_out_before_sampling(command: tuple[str, ...], tmp_path: Path) -> None:
    with running("2") as process:
        began = time.monotonic()
        at = (*command, "--pid", process.pid, "-o")
        refused(zeekspy(*at, tmp_path / "no" / "such" / "z.pb.gz"), 1, "No such file", hint="another folder")
        refused(zeekspy(*at, tmp_path), 1, "it is a directory", hint="a file's name")
        assert time.monotonic() - began < 10  # record had no --duration
        assert untouched(process)
    assert not list(tmp_path.iterdir())


@live
@root
def test_a_folder_of_someone_else(place: Path) -> None:
    refused(zeekspy("--pid", os.getpid(), "-o", place / "z.pb.gz", nobody=True), 1, "Permission denied", hint="folder")
    (place / "mine").touch(0o644)
    refused(zeekspy("--pid", os.getpid(), "-o", place / "mine", nobody=True), 1, "permission denied", hint="file")


@live
def test_counters_that_cannot_be_written(tmp_path: Path) -> None:
    with running("2") as process:
        done = zeekspy("--pid", process.pid, "-o", tmp_path / "z.pb.gz", "--stats", tmp_path / "no" / "s.json")
        refused(done, 1, "s.json", hint="another folder")
    assert not list(tmp_path.iterdir())


# ---- the command line


USAGE = [
    *(("--pid", "1", "--hz", hz) for hz in ("0", "-1", "nan", "inf", "1e9", "abc", "")),
    *(("--pid", "1", "--duration", s) for s in ("0", "-1", "nan", "5d", "1e3")),
    *(("--pid", pid) for pid in ("0", "-1", "abc", "1.5", "99999999", "+1", "\u0661")),
    ("--pid",),
    ("--pid", "1", "--format", "nonsense", "-o", "-"),
    ("--pid", "1", "--engine", "nonsense"),
    ("--hz", "100"),
    ("record",),
    ("record", "--pid", "1", "--", "true"),
    ("dump",),
    ("dump", "--pid", "0"),
    ("dump", "--pid", "1", "--capture", "x"),
    ("capture", "--pid", "1"),
    ("capture", "--pid", "1", "-n", "0", "-o", "x"),
    ("nonsense",),
    (),
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    from zeekspy.cli import main

    try:
        code = main(list(arguments))
    except SystemExit as e:  # argparse
        code = int(e.code or 0)
    out, err = capsys.readouterr()
    refused(subprocess.CompletedProcess([], code, out.encode(), err.encode()), 2)


def test_a_command_that_ends_at_once(tmp_path: Path) -> None:
    out = tmp_path / "z.pb.gz"
    refused(zeekspy("record", "-o", out, "--", "true"), 3, "true ended with status 0 before it could be sampled")
    refused(zeekspy("record", "-o", out, "--", "false"), 3, "status 1")
    assert not list(tmp_path.iterdir())


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    args = ("record", "-o", tmp_path / "z.pb.gz", "--")
    refused(zeekspy(*args, "/no/such/zeek"), 2, "cannot start /no/such/zeek: No such file", hint="runs Zeek")
    refused(zeekspy(*args, tmp_path), 2, "Permission denied", hint="runs Zeek")
    assert not list(tmp_path.iterdir())


# ---- captures

HEADER = {
    "format": "zeek-stack-capture/1",
    "version": "9.0.0",
    "arch": "x86_64",
    "fields": {},
    "symbols": {"call_stack": 4096},
}


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(v).encode() + b"\n" for v in values)


CAPTURES = {
    "empty": b"",
    "not gzip": b"hello\n",
    "not JSON": gzip.compress(b"hello\n"),
    "not text": gzip.compress(b"\xff\xfe\xfd\n"),
    "deep": gzip.compress(b"[" * 100_000),
    "cut": gzip.compress(lines(HEADER, {"segments": [[4096, "00" * 24]]}))[:-30],
    "bad sum": gzip.compress(lines(HEADER))[:-8] + struct.pack("<II", 1, 1),
    "nothing in it": gzip.compress(b""),
    "a list": gzip.compress(lines([1])),
    "foreign": gzip.compress(lines({"format": "other/1"})),
    "no version": gzip.compress(lines({**HEADER, "version": None})),
    "no symbols": gzip.compress(lines({**HEADER, "symbols": {}})),
    "absurd symbol": gzip.compress(lines({**HEADER, "symbols": {"call_stack": -1}})),
    "absurd version": gzip.compress(lines({**HEADER, "version": "what"})),
    "unknown version, no fields": gzip.compress(lines({**HEADER, "version": "0.1.0"}, {"segments": []})),
    "absurd field": gzip.compress(lines({**HEADER, "version": "0.1.0", "fields": {"CallInfo.call": 1 << 40}})),
    "no segments": gzip.compress(lines(HEADER, {})),
    "odd segments": gzip.compress(lines(HEADER, {"segments": [[1, "zz"]]})),
    "beyond memory": gzip.compress(lines(HEADER, {"segments": [[(1 << 64) - 1, "0000"]]})),
    "infinite address": gzip.compress(b'%s{"segments": [[1e999, "00"]]}\n' % lines(HEADER)),
}


@pytest.mark.parametrize("content", CAPTURES.values(), ids=CAPTURES.keys())
def test_a_file_that_is_no_capture(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zeekspy.cli import main

    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(content)
    code = main(["dump", "--json", "--capture", str(file)])
    out, err = capsys.readouterr()
    assert code in (1, 5)
    refused(subprocess.CompletedProcess([], code, out.encode(), err.encode()), code)


def test_a_capture_that_is_not_there(tmp_path: Path) -> None:
    refused(zeekspy("dump", "--capture", tmp_path / "none"), 1, "No such file")
    refused(zeekspy("dump", "--capture", tmp_path), 1, "Is a directory")


def test_output_into_a_closed_pipe() -> None:
    command = f"{sys.executable} -m zeekspy offsets list --json | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
