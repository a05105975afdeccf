"""dump --core of the stand-in's cores, and --watch: gcore makes the cores, so a stopped view is at hand for both."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_dump import plausible
from tests.support.commands import refused, start, untouched, zeekspy
from tests.support.targets import running, truth
from zeekspy import standin
from zeekspy.elf import Elf

pytestmark = pytest.mark.live


def gcore(pid: int, place: Path) -> Path:
    found = shutil.which("gcore")
    if found is None:
        pytest.skip("gcore is not installed: apt-get install gdb")
    subprocess.run([found, "-o", place, str(pid)], check=True, capture_output=True)
    return place.with_name(f"{place.name}.{pid}")


@pytest.fixture
def core(target: subprocess.Popen[bytes], tmp_path: Path) -> Iterator[Path]:
    """Of a stand-in that has ended since."""
    made = gcore(target.pid, tmp_path / "core")
    target.kill()
    target.wait()
    yield made
    made.unlink()


def test_a_core(core: Path, era: str) -> None:
    done = zeekspy("dump", "--core", core, "--exe", standin.path(era), "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    stack = json.loads(done.stdout)
    assert list(stack) == ["pid", "version", "frames"]
    assert (stack["pid"], stack["version"]) == (int(core.suffix[1:]), truth(era)["version"])
    plausible(stack["frames"], era)
    assert zeekspy("dump", "--core", core, "--json").stdout == done.stdout  # the core names its executable
    text = zeekspy("dump", "--core", core).stdout.decode()
    assert text.startswith(f"{core}, process {stack['pid']}: Zeek {stack['version']}, {len(stack['frames'])} frames")


def test_of_another_build(core: Path, era: str, tmp_path: Path) -> None:
    with Elf(standin.path(era)) as elf:
        assert elf.build_id is not None
        own = bytes.fromhex(elf.build_id)
    other = tmp_path / "zeek"
    other.write_bytes(standin.path(era).read_bytes().replace(own, own[::-1]))
    refused(zeekspy("dump", "--core", core, "--exe", other), 1, "build-id", own.hex(), hint="--exe")


def test_of_no_zeek(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            place = gcore(process.pid, tmp_path / "core")
        finally:
            process.kill()
    refused(zeekspy("dump", "--core", place), 1, "there is no Zeek in", str(place), hint="--exe")


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    refused(zeekspy("dump", "--pid", os.getpid(), "--exe", "zeek"), 2, "--exe", hint="--core")
    refused(zeekspy("dump", "--core", "core", "--watch", 1), 2, "--watch", hint="--pid")
    refused(zeekspy("dump", "--capture", "file", "--args"), 2, "no values", hint="gcore")


def test_values_of_the_stand_in_are_not_known(target: subprocess.Popen[bytes]) -> None:
    refused(zeekspy("dump", "--pid", target.pid, "--args"), 1, "values are not available", hint="offsets generate")


def test_watch_ends_with_the_event(target: subprocess.Popen[bytes], era: str) -> None:
    done = zeekspy("dump", "--pid", target.pid, "--watch", "0.2")
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    heads = re.findall(rf"^process {target.pid}(?: after [\d.]+ s)?: Zeek ", text, re.MULTILINE)
    assert len(heads) >= 2
    assert untouched(target)


def test_watch_of_a_stopped_target_goes_on(target: subprocess.Popen[bytes]) -> None:
    target.send_signal(signal.SIGSTOP)
    try:
        with start("dump", "--pid", target.pid, "--watch", "0.1") as watch:
            assert watch.stdout is not None
            lines: list[bytes] = []
            while sum(b"unchanged for" in line for line in lines) < 3:
                lines.append(watch.stdout.readline())
                assert lines[-1], watch.communicate()
            watch.send_signal(signal.SIGINT)
            assert watch.wait(30) == 0
    finally:
        target.send_signal(signal.SIGCONT)
    assert sum(b": Zeek " in line for line in lines) == 1


def test_watch_says_when_the_target_exits(era: str) -> None:
    with running(era) as target:
        target.send_signal(signal.SIGSTOP)
        with start("dump", "--pid", target.pid, "--watch", "0.1") as watch:
            assert watch.stdout is not None
            while b"unchanged" not in watch.stdout.readline():
                pass
            target.kill()
            target.wait()
            out, _ = watch.communicate(timeout=30)
    assert watch.returncode == 0
    assert b"the target has exited" in out


def test_a_stale_entry_of_an_idle_target_is_left_out() -> None:
    """Era 2, as Zeek from 8.1 on: the entry's Frame lies where the C++ stack has no more part in use."""
    with running("2", "--stale", "--idle", "0.97") as target:
        until = time.monotonic() + 20
        texts: list[str] = []
        while time.monotonic() < until:
            texts.append(zeekspy("dump", "--pid", target.pid).stdout.decode())
            if "no script is running" in texts[-1]:
                break
    assert ", 0 frames, 1 stale entries left out\n" in texts[-1], texts
