"""The line that tells how a recording goes. Silent where standard error is no terminal."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from zeekspy.export.text import hottest

if TYPE_CHECKING:
    from zeekspy.session import Session

EVERY = 0.5
"""Seconds between two updates; more where the profile is so large that summing it up takes time."""


class Progress:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._due = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        if self._due:
            self._write("\r\x1b[K")

    def show(self, elapsed: float, sessions: Sequence[Session]) -> None:
        """Elapsed time, samples, script/core/idle shares and the three hottest bodies."""
        if not self._terminal or elapsed < self._due or not sessions:
            return
        stacks = sum(len(s.profile.samples) for s in sessions)
        self._due = elapsed + EVERY * (1 + stacks // 2000)
        counters = [s.stats() for s in sessions]
        samples = sum(c["samples"] for c in counters)
        shares = [100 * sum(c[k] for c in counters) / max(1, samples) for k in ("script", "core", "idle")]
        line = f"{elapsed:5.1f} s  {samples} samples  "
        line += f"script {shares[0]:.0f} % core {shares[1]:.0f} % idle {shares[2]:.0f} %"
        for name, share in hottest(sessions[0].profile):
            line += f"  {name} {100 * share:.0f} %"
        width = shutil.get_terminal_size().columns
        self._write("\r" + line[: max(1, width - 1)] + "\x1b[K")

    def note(self, text: str) -> None:
        """A line that stays."""
        self._write("\r\x1b[K")
        with suppress(OSError):
            print(text, file=self._out, flush=True)

    def _write(self, text: str) -> None:
        if not self._terminal:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError:  # the terminal has gone; what was sampled is still to be written
            self._terminal = False
