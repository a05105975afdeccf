"""What cannot be done is refused with one sentence, the remedy and the exit code; no target is harmed by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
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
