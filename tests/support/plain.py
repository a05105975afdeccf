"""A process that is no Zeek, with an empty call stack to look at: for what engines do to a target."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zeekspy.offsets import tables

from zeekspy import _core
from zeekspy.layout import STDLIBS

PROGRAM = """
import ctypes, os, signal, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
empty = ctypes.create_string_buffer(64)  # a std::vector of nothing

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def sleeps(n):
    failed, wait = 0, (ctypes.c_long * 2)(0, 1_000_000)
    for _ in range(n):
        failed += libc.nanosleep(wait, None) != 0
    return failed

def reads(n):
    r, w = os.pipe()
    def write():
        for _ in range(n):
            time.sleep(0.001)
            os.write(w, b"x")
    threading.Thread(target=write, daemon=True).start()
    byte = ctypes.create_string_buffer(1)
    return sum(libc.read(r, byte, 1) != 1 for _ in range(n))

def end_main_thread():
    threading.Thread(target=busy, args=(60,)).start()
    libc.syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)

signal.signal(signal.SIGUSR1, lambda *_: say("signal"))
say(ctypes.addressof(empty))
BODY
"""


class Plain:
    """The running process. ``BODY`` of it is Python, with what PROGRAM defines."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self.pid = process, process.pid
        self.empty = int(self.line())

    def line(self, timeout: float = 60) -> str:
        """The next line of what it prints."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            raise TimeoutError(f"the process said nothing within {timeout} s; it is in state {self.state()}")
        return self.process.stdout.readline().decode().strip()

    def state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def reaches(self, state: str, timeout: float = 30) -> bool:
        """Waits until it is in one of these states."""
        deadline = time.monotonic() + timeout
        while self.state() not in state:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def sampler(self, hz: float, engine: str, avoid: tuple[int, ...] = ()) -> _core.Sampler:
        table = next(t for t in tables() if "CallInfo.frame" in t.fields and t.stdlib == "libstdc++")
        walker = _core.Walker(
            _core.Memory.process(self.pid),
            table.fields,
            STDLIBS.index(table.stdlib),
            pid=self.pid,
            call_stack=self.empty,
        )
        return _core.Sampler(walker, self.pid, hz, 7, engine=engine, avoid=avoid)


@contextmanager
def plain(body: str) -> Iterator[Plain]:
    """Runs PROGRAM with that body; killed afterwards."""
    command = [sys.executable, "-c", PROGRAM.replace("BODY", body)]
    # Not buffered: select must see what has not been read.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        yield Plain(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
