"""``zeekspy top`` as its users run it: once for programs, and on a terminal that it must give back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import zeekspy as package
from tests.support.commands import ZEEKSPY, refused, untouched, zeekspy
from tests.support.targets import running
from zeekspy import confine

pytestmark = pytest.mark.live
ALTERNATE, BACK = b"\x1b[?1049h", b"\x1b[?1049l"
SHOW_CURSOR = b"\x1b[?25h"


class Terminal:
    """A pseudo-terminal with ``zeekspy top`` on it, and all that was written to it."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, slave: int) -> None:
        self.process, self.master, self.slave = process, master, slave
        self.said = b""

    def reads(self, wanted: bytes, timeout: float = 60) -> bool:
        """Waits until ``wanted`` has been written since the last time."""
        start, deadline = len(self.said), time.monotonic() + timeout
        while wanted not in self.said[start:]:
            if not select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return False
            self.said += os.read(self.master, 1 << 16)
        return True

    def types(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def ends(self, timeout: float = 60) -> int:
        """Its exit code; what it still writes meanwhile is read."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                self.said += os.read(self.master, 1 << 16)
        while select.select([self.master], [], [], 0)[0]:
            self.said += os.read(self.master, 1 << 16)
        return self.process.wait(1)

    def settings(self) -> list[object]:
        return termios.tcgetattr(self.slave)


@contextmanager
def terminal(
    *args: object, size: tuple[int, int] = (80, 24), env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    root = str(Path(package.__file__).parent.parent)
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*ZEEKSPY, "top", *map(str, args)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**kept, "PYTHONPATH": root, "TERM": "xterm-256color", **(env or {})},
        start_new_session=True,
    )
    try:
        yield Terminal(process, master, slave)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def given_back(screen: Terminal, before: list[object]) -> bool:
    """Asserts that the terminal is as it was: its modes, its first screen, its cursor."""
    assert screen.settings() == before
    assert screen.said.count(ALTERNATE) == screen.said.count(BACK) == 1
    assert screen.said.rindex(SHOW_CURSOR) > screen.said.rindex(ALTERNATE)
    assert b"\x1b[?2004l" in screen.said
    assert b"Traceback" not in screen.said
    return True


def test_once_as_json(era: str) -> None:
    with running(era) as target:
        done = zeekspy("top", "--pid", target.pid, "--once", "--json", "--window", 2)
        assert untouched(target)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["pid"] == target.pid
    assert found["samples"] > 20
    assert found["script"] > 0.5
    assert found["script"] + found["core"] + found["idle"] == pytest.approx(1, abs=1e-5)
    assert 1.9 < found["window_s"] < 20
    names = {r["name"] for r in found["rows"]}
    assert any(name.startswith("http_header [http/main.zeek:297]") for name in names)
    assert sum(r["own"] for r in found["rows"]) == pytest.approx(1, abs=1e-4)
    assert any(r["calls_per_s"] for r in found["rows"])
    threads = {t["name"]: t for t in found["threads"]}
    assert {"zk.http/Log::W", "zk.dns/Log::W"} <= threads.keys()
    assert max(found["threads"], key=lambda t: t["cpu"])["main"]


def test_once_as_text_and_several_at_once() -> None:
    with running("1") as one, running("2") as two:
        pids = (one.pid, two.pid)
        done = zeekspy("top", "--once", "--window", 1, "--by", "file", "--limit", 3, "--pid", *pids)
        assert done.returncode == 0, done.stderr
        said = done.stdout.decode()
        assert [line.split()[2] for line in said.splitlines() if re.match(r"\d/2 pid ", line)] == [str(p) for p in pids]
        assert "\x1b" not in said
        assert said.count("more\n") == 2
        both = json.loads(zeekspy("top", "--once", "--json", "--window", 0.5, "--pid", *pids).stdout)
        assert [found["pid"] for found in both] == list(pids)
        assert all(untouched(target) for target in (one, two))


def test_what_is_no_terminal(era: str) -> None:
    with running(era) as target:
        refused(zeekspy("top", "--pid", target.pid), 2, "needs a terminal", hint="--once")
        refused(zeekspy("top", "--pid", target.pid, "--json"), 2, "--json goes with --once", hint="--once --json")
        with terminal("--pid", target.pid, env={"TERM": "dumb"}) as screen:
            assert screen.ends() == 2
            assert b"cannot place text" in screen.said


@pytest.mark.parametrize("how", ["q", "ctrl-c", "SIGTERM", "SIGINT", "target exits"])
def test_the_terminal_is_given_back(how: str) -> None:
    with running("2") as target, terminal("--pid", target.pid) as screen:
        before = screen.settings()
        assert screen.reads(b"own 5s"), screen.said
        assert screen.settings() != before
        status = Path(f"/proc/{screen.process.pid}/status").read_text()
        assert "\nSeccomp:\t2\n" in status or not confine.available()
        if how == "q":
            screen.types(b"q")
        elif how == "ctrl-c":
            screen.types(b"\x03")
        elif how == "target exits":
            target.kill()
            target.wait()
        else:
            screen.process.send_signal(signal.Signals[how])
        assert screen.ends() == 0
        assert given_back(screen, before)
        if how == "target exits":
            assert f"zeekspy: pid {target.pid}: the target has exited".encode() in screen.said.split(BACK)[1]
        else:
            assert untouched(target)


def test_the_end_of_one_target_does_not_end_the_other() -> None:
    with running("1") as one, running("2") as two, terminal("--pid", one.pid, two.pid, size=(160, 24)) as screen:
        assert screen.reads(f"pid {two.pid}".encode())
        one.kill()
        one.wait()
        assert screen.reads(b"the target has exited")
        assert screen.process.poll() is None
        screen.types(b"q")
        assert screen.ends() == 0
        assert f"zeekspy: pid {one.pid}: the target has exited".encode() in screen.said.split(BACK)[1]
        assert untouched(two)


def test_a_fault_of_ours_gives_the_terminal_back_too() -> None:
    program = (
        "from zeekspy import cli; from zeekspy.top import table\n"
        "def fault(*_): raise ZeroDivisionError('a fault')\n"
        "table.row = fault\n"
        "raise SystemExit(cli.main())"
    )
    with running("2") as target, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.integration.test_top.ZEEKSPY", [ZEEKSPY[0], "-c", program])
        with terminal("--pid", target.pid) as screen:
            before = screen.settings()
            assert screen.ends() == 1
            assert screen.settings() == before
            assert screen.said.count(ALTERNATE) == screen.said.count(BACK) == 1
            assert b"a fault" in screen.said.split(BACK)[1]
            assert untouched(target)


def test_without_colour() -> None:
    coloured = re.compile(rb"\x1b\[[0-9;]*\b(3[0-7]|4[0-7]|38;|48;)[0-9;]*m")
    with running("2") as target:
        for env, wanted in (({}, True), ({"NO_COLOR": "1"}, False)):
            with terminal("--pid", target.pid, env=env) as screen:
                assert screen.reads(b"own 5s")
                assert screen.reads(b"http_header")
                screen.types(b"q")
                assert screen.ends() == 0
                assert bool(coloured.search(screen.said)) == wanted


@pytest.mark.parametrize("size", [(20, 6), (200, 50)], ids=str)
def test_other_sizes(size: tuple[int, int]) -> None:
    with running("2") as target, terminal("--pid", target.pid, size=size) as screen:
        before = screen.settings()
        assert screen.reads(b"own 5s")
        fcntl.ioctl(screen.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        screen.process.send_signal(signal.SIGWINCH)
        assert screen.reads(b"calls/s" if size[0] < 80 else b"own 5s")
        screen.types(b"q")
        assert screen.ends() == 0
        assert given_back(screen, before)


def test_no_such_process() -> None:
    refused(zeekspy("top", "--once", "--pid", (1 << 22) - 1), 3, "there is no process", hint="pgrep")
