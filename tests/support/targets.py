"""Processes to profile: the stand-in target, started with a handshake, and the real Zeeks of this machine."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from zeekspy import standin

READY = b"ready\n"
LONGEST = 300
"""Seconds after which a stand-in ends by itself, should the test run be killed."""


@contextmanager
def running(era: str, *args: str, timeout: float = 20) -> Iterator[subprocess.Popen[bytes]]:
    """A stand-in of that era with these options, past its first iteration; killed afterwards.

    Its standard output is a pipe that has nothing in it but what the options print: "ready" goes elsewhere.
    """
    ready, say_ready = os.pipe()
    try:
        command = [str(standin.path(era)), "--ready-fd", str(say_ready), "--duration", str(LONGEST), *args]
        target = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[say_ready])
    finally:
        os.close(say_ready)
    try:
        with os.fdopen(ready, "rb", buffering=0) as pipe:
            _await_ready(pipe.fileno(), target, timeout)
        yield target
    finally:
        if target.poll() is None:
            target.kill()
        target.communicate()


def _await_ready(fd: int, target: subprocess.Popen[bytes], timeout: float) -> None:
    said = b""
    deadline = time.monotonic() + timeout
    while said != READY:
        if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"the stand-in was not ready within {timeout} s")
        more = os.read(fd, len(READY))
        if not more:
            raise RuntimeError(f"the stand-in ended before it was ready, with {target.wait(timeout)}")
        said += more


def truth(era: str, *args: str) -> dict[str, Any]:
    """The shares that a stand-in with these options was built to show: its --truth."""
    out = subprocess.run([standin.path(era), *args, "--truth"], check=True, capture_output=True, text=True).stdout
    table: dict[str, Any] = json.loads(out)
    return table


def zeeks() -> list[Path]:
    """Real Zeeks to test with: those of ZEEKSPY_TEST_ZEEK (colons between), else on PATH and under /opt/zeek*."""
    named = os.environ.get("ZEEKSPY_TEST_ZEEK")
    if named is not None:
        return [Path(p) for p in named.split(":") if p]
    on_path = shutil.which("zeek")
    found = [Path(on_path)] if on_path else []
    return sorted({p.resolve() for p in [*found, *Path("/opt").glob("zeek*/bin/zeek")] if os.access(p, os.X_OK)})


@cache
def why_not_live() -> str | None:
    """Why the memory of a child cannot be read here and what would allow it; None if it can."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        start = int(Path(f"/proc/{child.pid}/maps").read_text().split("-", 1)[0], 16)
        if _vm_read(child.pid, start) == 1:
            return None
        error = os.strerror(ctypes.get_errno())
    except OSError as e:
        error = str(e)
    finally:
        child.kill()
        child.communicate()
    return (
        f"the memory of a child process cannot be read here ({error}): run as root or with CAP_SYS_PTRACE "
        "(docker run --cap-add SYS_PTRACE), or sysctl kernel.yama.ptrace_scope=1"
    )


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


def _vm_read(pid: int, address: int) -> int:
    """How many bytes of one at that address process_vm_readv could read; -1 and errno if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    byte = ctypes.create_string_buffer(1)
    local = _Iovec(ctypes.cast(byte, ctypes.c_void_p), 1)
    remote = _Iovec(address, 1)
    libc.process_vm_readv.restype = ctypes.c_ssize_t
    got: int = libc.process_vm_readv(
        pid, ctypes.byref(local), ctypes.c_ulong(1), ctypes.byref(remote), ctypes.c_ulong(1), ctypes.c_ulong(0)
    )
    return got
