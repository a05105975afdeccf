"""An event loop that other threads can wake in a process that may not use sockets any more (csrc/confine.c)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from typing import TypeVarTuple, Unpack

Arguments = TypeVarTuple("Arguments")


class PipeLoop(asyncio.SelectorEventLoop):
    """Make it before the process is confined: asyncio's own socket pair is made then, and cannot be written to later.

    What is written there fails without a word and wakes nobody; a pipe beside it does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._wake_read, self._wake_write = os.pipe()
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        self.add_reader(self._wake_read, self._woken)

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Arguments]], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        with suppress(BlockingIOError):  # full: it will wake
            os.write(self._wake_write, b"\0")
        return handle

    def close(self) -> None:
        if not self.is_closed():
            self.remove_reader(self._wake_read)
            os.close(self._wake_read)
            os.close(self._wake_write)
        super().close()

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
