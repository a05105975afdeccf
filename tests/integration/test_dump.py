"""zeekspy dump of a live target: the JSON of the contract, and what a person reads."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.support.commands import untouched, zeekspy
from tests.support.targets import running, truth

pytestmark = pytest.mark.live

FRAME = ["name", "kind", "file", "line", "body_file", "body_first_line", "body_last_line"]


def plausible(frames: list[dict[str, Any]], era: str) -> None:
    """Asserts that the frames are those of a stack of the stand-in, outermost first."""
    table = truth(era)
    known = {(b["name"], b["kind"], b["file"], b["first_line"], b["last_line"]) for b in table["bodies"]}
    for frame in frames:
        assert [k for k in frame if k != "flags"] == FRAME
        if "unreadable" in frame.get("flags", []):
            continue
        body = tuple(frame[k] for k in ("name", "kind", "body_file", "body_first_line", "body_last_line"))
        assert body in known
        if frame["kind"] == "bif":
            assert (frame["file"], frame["line"], frame["body_file"]) == (None, None, None)
        else:
            begun = frame["line"] is not None or frame is not frames[-1]  # else it has just been called
            assert not begun or frame["file"] == frame["body_file"]
            assert not begun or frame["body_first_line"] <= frame["line"] <= frame["body_last_line"]
    if frames and "flags" not in frames[0]:
        assert frames[0]["name"] in table["events"]


@pytest.mark.parametrize("no_vm_readv", ["", "1"], ids=["process_vm_readv", "proc_mem"])
def test_json(target: subprocess.Popen[bytes], era: str, no_vm_readv: str) -> None:
    env = {"ZEEKSPY_NO_VM_READV": no_vm_readv} if no_vm_readv else {}
    seen = 0
    for _ in range(20):  # on a busy machine the target may just be waiting, between two events, for a CPU
        done = zeekspy("dump", "--pid", target.pid, "--json", env=env)
        assert (done.returncode, done.stderr) == (0, b"")
        (line,) = done.stdout.splitlines()
        stack = json.loads(line)
        assert list(stack) == ["pid", "version", "frames"]
        assert (stack["pid"], stack["version"]) == (target.pid, truth(era)["version"])
        plausible(stack["frames"], era)
        seen += bool(stack["frames"])
        if seen == 2:
            break
    assert seen == 2
    assert untouched(target)


def test_text(target: subprocess.Popen[bytes], era: str) -> None:
    for _ in range(10):
        done = zeekspy("dump", "--pid", target.pid)
        assert done.returncode == 0
        head, *lines = done.stdout.decode().splitlines()
        if "no script is running" not in lines[0]:
            break
    assert head == f"process {target.pid}: Zeek {truth(era)['version']}, {len(lines)} frames"
    for number, line in enumerate(lines):
        assert re.fullmatch(rf"#{number} \S+\(\)( at \S+:\d+)?( \[body at line \d+\])?", line), line
    assert lines[-1].split()[1].removesuffix("()") in truth(era)["events"]


def test_an_empty_stack(era: str) -> None:
    with running(era, "--idle", "0.97") as target:
        texts = [zeekspy("dump", "--pid", target.pid).stdout.decode() for _ in range(4)]
        stacks = [json.loads(zeekspy("dump", "--pid", target.pid, "--json").stdout)["frames"] for _ in range(4)]
    assert f"process {target.pid}: Zeek {truth(era)['version']}, 0 frames\n  no script is running\n" in texts
    assert [] in stacks


def test_stale_entries_are_left_out(era: str) -> None:
    with running(era, "--stale") as target:
        texts = [zeekspy("dump", "--pid", target.pid).stdout.decode() for _ in range(8)]
    assert any("frames, 1 stale entries left out\n" in text for text in texts), texts
    events = "|".join(map(re.escape, truth(era)["events"]))
    assert all(len(re.findall(rf"^#\d+ ({events})\(\)", text, re.MULTILINE)) <= 1 for text in texts), texts
