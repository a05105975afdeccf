"""The report on a folder of captures: what was hot, what they share, and files that cannot be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zeekspy.errors import FileError
from zeekspy.export import pprof
from zeekspy.profile import CORE, IDLE, Body, Frame, Profile, Stack
from zeekspy.rolling import digest, shelf
from zeekspy.timeline import Timeline

S = 10**9
USUAL: Stack = (Frame("http_reply", "event", "h.zeek", 5, Body("h.zeek", 1, 9)),)
GUILTY: Stack = (
    Frame("Site::reload", "event", "s.zeek", 5, Body("s.zeek", 1, 9)),
    Frame("slow\x1b[31m", "function", "s.zeek", 25, Body("s.zeek", 20, 29)),
)


def capture(folder: Path, number: int, episode: Stack, **about: Any) -> Path:
    """Sixty seconds before, half of them idle, then two with ``episode`` alone, and ten after."""
    profile = Profile(time_ns=1_700_000_000 * S, duration_ns=72 * S, period_ns=10_000_000)
    profile.times = Timeline()
    for t_s in range(72):
        stack = episode if 60 <= t_s < 62 else [USUAL, (IDLE,), (CORE,), (IDLE,)][t_s % 4]
        profile.times.add(t_s * 10**6, profile.times.slot(stack, ()), 100)
        profile.add(stack, (), 100, S, S)
    name = f"{number:06d}-worker-{number}-stall"
    with (folder / f"{name}.pb.gz").open("wb") as f:
        pprof.write(profile, f)
    said = {
        "format": shelf.FORMAT,
        "profile": f"{name}.pb.gz",
        "node": f"worker-{number}",
        "trigger": "stall>200ms",
        "values": {"stall>200ms": {"value": 0.25, "unit": "s"}},
        "highest": {"stall>200ms": 1.9},
        "fired": "2026-11-21T13:00:00.000Z",
        "begin_ns": 100 * S,
        "since_ns": 160 * S,
        "fired_ns": 160 * S + S // 4,
        "end_ns": 172 * S,
        **about,
    }
    (folder / f"{name}.json").write_text(json.dumps(said))
    return folder / f"{name}.json"


def test_what_all_have_in_common(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        capture(tmp_path, number, GUILTY if number < 3 else USUAL)
    found, problems = digest.read(tmp_path)
    assert problems == []
    assert [c.episode.samples for c in found] == [200, 200, 200]  # the stall went on after it was noticed
    assert [c.before.samples for c in found] == [3000, 3000, 3000]  # idle time left out
    shared = digest.common(found)
    assert {(c.key[0], c.captures) for c in shared} == {
        ("Site::reload", 2),
        ("slow\x1b[31m", 2),
        ("http_reply", 1),
    }
    slow = next(c for c in shared if c.key[0].startswith("slow"))
    assert (slow.own, slow.own_before) == (pytest.approx(2 / 3), 0.0)
    assert {c.key[0] for c in shared[:2]} == {"Site::reload", "slow\x1b[31m"}
    text = digest.text(found, shared)
    assert "\x1b" not in text
    assert "2 of 3" in text
    assert "1900 ms" in text
    assert "worker-2" in text
    both = json.loads(digest.as_json(found, shared))
    assert len(both["captures"]) == 3
    assert both["common"][0]["captures"] == 2


def test_against_a_baseline_of_its_own(tmp_path: Path) -> None:
    capture(tmp_path, 1, GUILTY)
    found, _ = digest.read(tmp_path)
    quiet = Profile()
    for stack in (GUILTY, (IDLE,)):
        quiet.add(stack, (), 1000, 0, 0)
    assert digest.common(found, digest.counted(quiet)) == []
    assert "Nothing takes more" in digest.text(found, [], "quiet.pb.gz")
    usual = Profile()
    usual.add(USUAL, (), 1000, 0, 0)
    assert {c.key[0] for c in digest.common(found, digest.counted(usual))} == {"Site::reload", "slow\x1b[31m"}


def test_what_cannot_be_read_is_said_and_left_out(tmp_path: Path) -> None:
    capture(tmp_path, 1, GUILTY)
    capture(tmp_path, 2, GUILTY).unlink()
    capture(tmp_path, 3, GUILTY, begin_ns="soon")
    capture(tmp_path, 4, GUILTY, highest=[1])
    capture(tmp_path, 5, GUILTY).with_name("000005-worker-5-stall.pb.gz").write_bytes(b"\x1f\x8bnonsense")
    capture(tmp_path, 6, GUILTY).write_text("{")
    found, problems = digest.read(tmp_path)
    assert len(found) == 1
    assert len(problems) == 5


@pytest.mark.parametrize(
    "about",
    [
        {"values": None},
        {"values": [1], "highest": {}},
        {"values": {"stall>200ms": 5}},
        {"values": {"stall>200ms": {"value": "x", "unit": 3}}, "highest": {}},
        {"node": None, "trigger": {"a": 1}, "fired": None},
        {"since_ns": 10**30, "highest": {"stall>200ms": 1e300}},
        {"since_ns": -(10**30)},
    ],
)
def test_a_sidecar_that_lies_breaks_nothing(tmp_path: Path, about: dict[str, Any]) -> None:
    capture(tmp_path, 1, GUILTY, **about)
    found, _ = digest.read(tmp_path)
    assert digest.text(found, digest.common(found)).startswith("WHEN")


def test_a_folder_without_captures(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no captures"):
        digest.read(tmp_path)
    with pytest.raises(FileError):
        digest.read(tmp_path / "nowhere")
