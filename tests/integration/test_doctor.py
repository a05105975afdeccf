"""zeekspy doctor and zeekspy offsets check: every step with its evidence, and the first failure's exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from zeekspy.offsets import tables

from tests.support.commands import refused, untouched, zeekspy

pytestmark = pytest.mark.live

STEPS = (
    *("process", "permissions", "namespaces", "binary", "build-id", "version", "C++ library", "build", "symbols"),
    *("table", "self-check", "read method", "engines", "confinement", "script stack"),
)


def steps(pid: int, code: int, *args: object, nobody: bool = False) -> dict[str, Any]:
    done = zeekspy("doctor", "--pid", pid, "--json", *args, nobody=nobody)
    assert done.returncode == code, done.stderr
    report = json.loads(done.stdout)
    assert (report["pid"], report["exit_code"]) == (pid, code)
    return {s["step"]: s for s in report["steps"]}


@pytest.fixture
def wrong(tmp_path: Path, target: subprocess.Popen[bytes]) -> Path:
    """The target's own table with the functions' names at another place."""
    table = json.loads(zeekspy("offsets", "show", "--pid", target.pid, "--json").stdout)
    table["fields"]["Func.name"] += 8
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(table))
    return path


def test_all_is_well(target: subprocess.Popen[bytes]) -> None:
    seen = steps(target.pid, 0)
    assert tuple(seen) == STEPS
    assert all(s["ok"] and s["evidence"] for s in seen.values())
    assert seen["process"]["evidence"].startswith(f"{target.pid} (standin-")
    assert seen["namespaces"]["evidence"] == "pid as ours, mnt as ours, user as ours"
    assert any(line.startswith("call_stack: 0x") and line.endswith(" 24 bytes") for line in seen["symbols"]["details"])
    assert any("(taken)" in line for line in seen["table"]["details"])
    assert "ok event registry: 4 handlers, 4 functions and 6 bodies look right" in seen["self-check"]["details"]
    assert untouched(target)


def test_as_text(target: subprocess.Popen[bytes]) -> None:
    done = zeekspy("doctor", "--pid", target.pid)
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == ["ok"] * len(STEPS)
    assert [line[8:].partition(":")[0] for line in lines if line[0] != " "] == list(STEPS)


def test_a_wrong_table_fails_the_self_check_and_the_rest_goes_on(target: subprocess.Popen[bytes], wrong: Path) -> None:
    seen = steps(target.pid, 5, "--offsets", wrong)
    assert "script stack" not in seen
    assert [name for name, s in seen.items() if not s["ok"]] == ["self-check"]
    assert seen["engines"]["ok"]
    assert "Func.name" in seen["self-check"]["evidence"]
    assert "zeekspy offsets generate" in seen["self-check"]["hint"]


def test_a_table_that_is_none(target: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{}")
    seen = steps(target.pid, 5, "--offsets", tmp_path / "t.json")
    assert "not an offset table" in seen["table"]["evidence"]
    assert seen["read method"]["ok"]
    assert "self-check" not in seen


def test_a_process_that_is_no_zeek() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        seen = steps(other.pid, 1)
        assert "is not a Zeek" in seen["binary"]["evidence"]
        assert seen["permissions"]["ok"]
        assert seen["engines"]["ok"]
        assert "table" not in seen
        other.kill()


def test_no_process() -> None:
    seen = steps(4194303, 3)
    assert list(seen) == ["process"]
    assert "no process" in seen["process"]["evidence"]


def test_without_permission(target: subprocess.Popen[bytes]) -> None:
    if os.geteuid():
        pytest.skip("only root can become another user: run the tests as root")
    seen = steps(target.pid, 4, nobody=True)
    assert "not permitted" in seen["permissions"]["evidence"]
    assert seen["permissions"]["hint"]


def test_check(target: subprocess.Popen[bytes]) -> None:
    done = zeekspy("offsets", "check", "--pid", target.pid)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert f"process {target.pid}: Zeek 0." in lines[0]
    assert all(line.startswith("ok ") for line in lines[1:])
    assert any("Frame.function: right in" in line for line in lines)
    report = json.loads(zeekspy("offsets", "check", "--pid", target.pid, "--json").stdout)
    assert report["passed"] is True
    assert {"stacks", "event registry", "Func.name", "Location"} <= {c["what"] for c in report["checks"]}


def test_check_that_fails_names_the_field_and_the_bytes(target: subprocess.Popen[bytes], wrong: Path) -> None:
    done = zeekspy("offsets", "check", "--pid", target.pid, "--offsets", wrong, "--json")
    assert done.returncode == 5
    report = json.loads(done.stdout)
    assert report["passed"] is False
    failed = [c for c in report["checks"] if not c["passed"]]
    assert [c["what"] for c in failed] == ["Func.name"]
    assert "bytes" in failed[0]["evidence"]
    said = done.stderr.decode()
    assert "Func.name" in said
    assert "zeekspy offsets generate" in said
    assert "zeekspy capture" in said


def test_check_by_tables_of_other_zeeks(target: subprocess.Popen[bytes], tmp_path: Path) -> None:
    for table in (tables()[0], tables()[-1]):
        path = tmp_path / table.origin
        path.write_text(table.to_json())
        done = zeekspy("offsets", "check", "--pid", target.pid, "--offsets", path)
        assert done.returncode == 5
        assert "Traceback" not in done.stderr.decode()
        assert "FAILED" in done.stdout.decode()


def test_check_and_show_without_a_process() -> None:
    refused(zeekspy("offsets", "check", "--pid", 4194303), 3, "no process", hint="pgrep")
    refused(zeekspy("offsets", "show", "--pid", 4194303), 3, "no process", hint="pgrep")
    refused(zeekspy("offsets", "show", "--pid", 1, "--zeek-version", "8.0.0"), 2, "which table", hint="--pid")
