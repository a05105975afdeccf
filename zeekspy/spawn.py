"""Starts a Zeek in order to profile it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from zeekspy import session
from zeekspy.errors import AccessDenied, NoSuchTarget, TargetError, UnknownBuild, UsageError
from zeekspy.session import Attachment

PATIENCE = 10.0
"""Seconds in which the command must have become a Zeek that the self-check accepts: the registry fills at start-up."""


class Spawned:
    """The running command. UsageError if it cannot be started."""

    def __init__(self, command: Sequence[str], *, quiet: bool = False) -> None:
        try:
            self._process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL if quiet else None
            )
        except OSError as e:
            raise UsageError(f"cannot start {command[0]}: {e.strerror}", "Give a command that runs Zeek.") from None
        self._name = command[0]

    @property
    def pid(self) -> int:
        return self._process.pid

    def attach(self, offsets: Path | None, stop: Callable[[], bool]) -> Attachment:
        """Attaches as soon as it is a Zeek in running order. NoSuchTarget if it ends before that."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                found = session.attach(self._process.pid, offsets)
                if len(found.checks) > 1 and "not there yet" not in found.checks[-1].evidence:
                    return replace(found, from_start=True)
                late: Exception | None = None
            except AccessDenied:
                raise
            except (UnknownBuild, TargetError) as e:  # between fork and exec nothing about it fits together
                late = e
            code = self._process.poll()
            if code is None and isinstance(late, NoSuchTarget):  # on its way out
                code = self._process.wait()
            if code is not None:
                raise NoSuchTarget(f"{self._name} ended with status {code} before it could be sampled", "")
            if time.monotonic() > until or stop():
                if late is not None:
                    raise late
                return found
            time.sleep(0.005)

    def end(self) -> None:
        """Asks the command to terminate, if it still runs, and waits for it."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
