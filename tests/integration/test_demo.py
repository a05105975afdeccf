"""zeekspy demo: the first thing a new user runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import profile_of, zeekspy
from tests.support.targets import truth

pytestmark = pytest.mark.live


def test_the_stand_in_is_recorded_and_shown(era: str, tmp_path: Path) -> None:
    out = tmp_path / "demo.pb.gz"
    done = zeekspy("demo", "--standin", era, "--duration", 1, "-o", out)
    assert (done.returncode, done.stderr) == (0, b"")
    said = done.stdout.decode().splitlines()
    assert said[0] == f"recording the bundled stand-in standin-{era} (Zeek {truth(era)['version']}) for 1 s at 250 Hz"
    assert said[-1] == f"{out}  open it with: go tool pprof -http=: {out}"
    assert "samples (script " in said[-2]
    assert any("Conn::set_conn" in line and "function" in line for line in said[2:-2])
    profile = profile_of(out)
    assert profile.total().count > 50
    assert profile.meta["command"] == "zeekspy demo"
    assert not Path(f"/proc/{profile.meta['pid']}").exists()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = zeekspy("demo", "--standin", "2", "-o", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(b"zeekspy: cannot write ")
    assert done.stdout == b""
