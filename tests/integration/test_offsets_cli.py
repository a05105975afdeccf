"""zeekspy offsets as a process: the table it makes is the one that a live target then is read with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import profile_of, refused, zeekspy
from tests.support.targets import running
from zeekspy import standin

pytestmark = pytest.mark.live


def test_generate_then_record(era: str, tmp_path: Path) -> None:
    table, out = tmp_path / "table.json", tmp_path / "zeek.pb.gz"
    made = zeekspy("offsets", "generate", standin.path(era), "-o", table)
    assert (made.returncode, made.stderr) == (0, b"")
    assert made.stdout.decode().startswith(f"{table}: Zeek 0.{7 + int(era)}.0-standin")
    with running(era) as target:
        args = ("--pid", target.pid, "--duration", 0.5, "-o", out, "--offsets", table)
        assert zeekspy(*args).returncode == 0
    assert profile_of(out).meta["layout"] == str(table)
    shown = zeekspy("offsets", "show", table)
    assert ("CallInfo" in shown.stdout.decode(), shown.returncode) == (True, 0)


def test_list_names_the_shipped_tables() -> None:
    rows = json.loads(zeekspy("offsets", "list", "--json").stdout)
    assert {"3.0.0-rc1", "9.0.0-rc1"} <= {row["since"] for row in rows}
    text = zeekspy("offsets", "list").stdout.decode()
    assert all(row["file"] in text for row in rows)


def test_generate_from_what_is_no_zeek(tmp_path: Path) -> None:
    refused(zeekspy("offsets", "generate", tmp_path / "none"), 1, "No such file")
    (tmp_path / "text").write_text("hello\n" * 100)
    done = zeekspy("offsets", "generate", tmp_path / "text")
    assert done.returncode in (1, 5)
    refused(done, done.returncode, str(tmp_path / "text"))
    assert zeekspy("offsets", "generate", "/bin/true").returncode in (1, 5)
