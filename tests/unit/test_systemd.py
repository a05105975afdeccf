"""The unit of systemd's: what systemd says of it, and that it forbids nothing that attaching takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zeekspy import cli

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "zeekspy.service"


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_it_starts_what_there_is() -> None:
    (command,) = settings()["ExecStart"]
    program, *words = command.split()
    assert program.endswith("/bin/zeekspy")
    args = cli.parse(words)
    assert args.func.__module__ == "zeekspy.cli.serve"
    assert args.listen.startswith("127.0.0.1:")


def test_it_leaves_what_reading_another_process_takes() -> None:
    found = settings()
    for key in ("CapabilityBoundingSet", "AmbientCapabilities"):
        assert set(found[key][0].split()) == {"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"}
    assert found["ProtectProc"] == ["default"]
    assert found["ProcSubset"] == ["all"]
    assert found["PrivateUsers"] == ["no"]
    assert not {"PrivateNetwork", "PrivatePIDs"} & found.keys()


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze: install systemd")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text()))
    verified = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in verified.stderr.splitlines() if UNIT.name in line]
    assert not said, verified.stderr
    done = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=30", unit], capture_output=True, text=True, check=False
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a unit that is not loaded: version 250 can")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
