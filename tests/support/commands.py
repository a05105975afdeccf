"""The command line as its users run it: a process of its own, with what it printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zeekspy as package
from zeekspy.export import pprof_read
from zeekspy.profile import Profile

NOBODY = 65534
ZEEKSPY = [sys.executable, "-m", "zeekspy"]
AS_NOBODY = f"""
import concurrent.futures.thread, functools, importlib, os, pkgutil, sys
from importlib import metadata
# All that may lie in folders only root can enter is looked at before root is left.
metadata.version = functools.cache(metadata.version)
import zeekspy
for found in pkgutil.walk_packages(zeekspy.__path__, "zeekspy."):
    if not found.name.startswith(("zeekspy.top", "zeekspy.__main__")):
        importlib.import_module(found.name)
from zeekspy import cli
from zeekspy.offsets import tables
cli.parser(), tables()
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
sys.exit(cli.main())
"""


def zeekspy(
    *args: object, env: Mapping[str, str] | None = None, nobody: bool = False, timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Runs ``zeekspy ARGS`` to its end; ``nobody`` runs it as an unprivileged user, for which root is needed."""
    with start(*args, env=env, nobody=nobody) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start(*args: object, env: Mapping[str, str] | None = None, nobody: bool = False) -> subprocess.Popen[bytes]:
    """A running ``zeekspy ARGS`` with its output in pipes."""
    command: Sequence[str] = [sys.executable, "-c", AS_NOBODY] if nobody else ZEEKSPY
    root = str(Path(package.__file__).parent.parent)
    return subprocess.Popen(
        [*command, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root, **(env or {})},
    )


def refused(done: subprocess.CompletedProcess[bytes], code: int, *words: str, hint: str = "") -> str:
    """Asserts that a command ended with ``code``, one sentence with these words and a remedy with ``hint`` in it."""
    said = done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    lines = said.splitlines()
    if code == 2 and lines[0].startswith("usage: "):
        assert "error: " in lines[-1]
    else:
        assert lines[0].startswith("zeekspy: ")
        assert len(lines) == (2 if hint else len(lines)) <= 2, said
        assert hint in lines[-1]
    for word in words:
        assert word in said, said
    assert not done.stdout
    return said


def profile_of(path: Path) -> Profile:
    with path.open("rb") as f:
        return pprof_read.read(f)


def stats_of(path: Path) -> Any:
    """What --stats has written: an object, or a list of them for several targets."""
    return json.loads(path.read_text())


def untouched(target: subprocess.Popen[bytes]) -> bool:
    """Asserts that a target runs on, traced by no one and with no thread of it stopped."""
    assert target.poll() is None, f"the target has ended with {target.returncode}"
    for status in Path(f"/proc/{target.pid}/task").glob("*/status"):
        try:
            text = status.read_text()
        except (FileNotFoundError, ProcessLookupError):  # a thread that ended by itself meanwhile
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert fields["TracerPid"] == "0"
        assert fields["State"][0] not in "Tt", fields["State"]
    return True


def sampling(profiler: subprocess.Popen[bytes], timeout: float = 30) -> bool:
    """Waits until zeekspy has attached and confined itself; False if it ends before that."""
    deadline = time.monotonic() + timeout
    while profiler.poll() is None and time.monotonic() < deadline:
        try:
            if "\nSeccomp:\t2\n" in Path(f"/proc/{profiler.pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            break
        time.sleep(0.002)
    return False


def checksum_after(target: subprocess.Popen[bytes]) -> str:
    """Ends a stand-in that runs with --steps; its last line: the iterations and what they computed."""
    target.send_signal(signal.SIGTERM)
    out, _ = target.communicate(timeout=30)
    return out.decode().splitlines()[-1]
