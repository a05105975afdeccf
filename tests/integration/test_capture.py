"""zeekspy capture, and dump --capture of what it wrote: the same stacks as a look at the live target gives."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_dump import plausible
from tests.support.commands import refused, untouched, zeekspy
from tests.support.targets import running, truth
from zeekspy import standin
from zeekspy._core import LAYOUT_FIELDS

pytestmark = pytest.mark.live


def test_round_trip(target: subprocess.Popen[bytes], era: str, tmp_path: Path) -> None:
    file = tmp_path / "stacks.jsonl.gz"
    done = zeekspy("capture", "--pid", target.pid, "-n", 12, "-o", file)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"{file}: 12 stops, 12 with a script stack\n"
    assert untouched(target)

    header, *stops = [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
    assert header["format"] == "zeek-stack-capture/1"
    assert header["version"] == truth(era)["version"]
    assert header["arch"]
    assert header["symbols"]["call_stack"] > 0
    assert (header["symbols"].get("g_frame_stack") is not None) == (era == "1")
    needed = {"sizeof.CallInfo", "Frame.function", "Location.first_line", "Func.bodies"}
    assert needed <= header["fields"].keys() & set(LAYOUT_FIELDS)
    assert len(stops) == 12
    for stop in stops:
        ends = 0
        for address, data in stop["segments"]:
            assert address >= ends
            ends = address + len(bytes.fromhex(data))

    target.kill()  # the file stands for itself
    shown = zeekspy("dump", "--capture", file, "--json")
    assert (shown.returncode, shown.stderr) == (0, b"")
    stacks = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(stacks) == 12
    for stack in stacks:
        assert stack["pid"] is None
        assert stack["version"] == header["version"]
        assert stack["frames"]
        plausible(stack["frames"], era)
    assert len({json.dumps(s["frames"]) for s in stacks}) > 1
    text = zeekspy("dump", "--capture", file).stdout.decode()
    assert text.count("stop ") == 12
    assert f"{file}, stop 12: Zeek {header['version']}, {len(stacks[11]['frames'])} frames" in text


def test_stale_entries_are_in_the_capture_and_not_in_its_stacks(era: str, tmp_path: Path) -> None:
    file = tmp_path / "stacks.jsonl.gz"
    with running(era, "--stale") as target:
        assert zeekspy("capture", "--pid", target.pid, "-n", 5, "-o", file).returncode == 0
    for line in zeekspy("dump", "--capture", file, "--json").stdout.splitlines():
        frames = json.loads(line)["frames"]
        plausible(frames, era)
        assert [f["kind"] for f in frames].count("event") <= 1


def test_the_end_of_the_target_keeps_what_there_is(era: str, tmp_path: Path) -> None:
    file = tmp_path / "stacks.jsonl.gz"
    with running(era, "--duration", "5") as target:
        done = zeekspy("capture", "--pid", target.pid, "-n", 999999, "-o", file)
    assert done.returncode == 0, done.stderr
    stops = len(gzip.decompress(file.read_bytes()).splitlines()) - 1
    assert 0 < stops < 999999
    assert done.stderr.decode().startswith(f"{file}: {stops} stops, ")


def test_cut_anywhere_it_is_damaged_and_says_so(target: subprocess.Popen[bytes], tmp_path: Path) -> None:
    file = tmp_path / "stacks.jsonl.gz"
    assert zeekspy("capture", "--pid", target.pid, "-n", 2, "-o", file).returncode == 0
    file.write_bytes(file.read_bytes()[:-200])
    done = zeekspy("dump", "--capture", file, "--json")
    for line in done.stdout.splitlines():  # the stops before the cut are shown
        assert json.loads(line)["frames"]
    done.stdout = b""
    refused(done, 1, str(file))


def test_of_a_build_that_no_table_fits(era: str, tmp_path: Path) -> None:
    """The memory is saved all the same, and a table made later finds the stacks in it."""
    if shutil.which("strip") is None:
        pytest.skip("strip is missing: install binutils")
    exe, file, table = tmp_path / "zeek", tmp_path / "raw.jsonl.gz", tmp_path / "table.json"
    shutil.copy(standin.path(era), exe)
    subprocess.run(["strip", exe], check=True)
    with subprocess.Popen([exe], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        empty = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = zeekspy("capture", "--pid", process.pid, "-n", 20, "-o", file, env=empty)
        assert untouched(process)
        process.kill()
    refused(done, 5, "-standin", str(file), hint="values of script variables")
    refused(zeekspy("dump", "--capture", file), 5, "no layout fitted", hint="--offsets")

    assert zeekspy("offsets", "generate", standin.path(era), "-o", table).returncode == 0
    shown = zeekspy("dump", "--capture", file, "--offsets", table, "--json")
    assert shown.returncode == 0, shown.stderr
    stacks = [json.loads(line) for line in shown.stdout.splitlines()]
    frames = [frame for stack in stacks for frame in stack["frames"]]
    assert len(stacks) == 20
    # The target runs while its memory is read, so not every frame is whole.
    assert 2 * sum(frame["name"] is not None for frame in frames) > len(frames) > 0
    assert any(frame["file"] and frame["line"] for frame in frames)
