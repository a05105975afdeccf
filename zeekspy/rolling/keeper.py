"""The process beside the sampler that may write files, use the network and run commands: it sees no Zeek.

The sampler is confined (``confine.py``), and nothing that hangs, a disk, a socket, a command, is to hang its sampling.
So before anything is attached to, a process is forked that gets windows and the status through one pipe, as lines of
JSON, and gives what it has read and written through another. It ends when the first is closed. Of root's capabilities
it keeps the one to write files, and all where it has commands to run.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

from zeekspy.confine import keep_files_alone
from zeekspy.errors import FileError
from zeekspy.rolling import shelf as shelves
from zeekspy.rolling import window as windows
from zeekspy.rolling.shelf import Shelf
from zeekspy.rolling.sources import Asking, Command, Counted, Reading, Source
from zeekspy.rolling.window import Arriving, Window

LINE = 16 << 20
"""Bytes of a line that are read."""
WAITING = 64
"""Windows that may wait for a disk; what comes when there are so many is lost, and counted."""
ENDS_S = 60.0
"""What the keeper gets to write what it has when the watch ends."""


class Keeper:
    """The sampler's end. Make it before threads are started and anything is attached to; ``start`` after confining."""

    def __init__(self, shelf: Shelf, sources: Sequence[Source]) -> None:
        theirs, to_keeper = os.pipe()
        from_keeper, answers = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(to_keeper)
            os.close(from_keeper)
            _live(theirs, answers, shelf, sources)
        os.close(theirs)
        os.close(answers)
        self._to, self._from = to_keeper, from_keeper
        self._work: SimpleQueue[Window | dict[str, Any] | None] = SimpleQueue()
        self._said: SimpleQueue[str] = SimpleQueue()
        self._threads = [threading.Thread(target=t, daemon=True) for t in (self._send, self._hear)]
        self.lost = 0
        """Windows that had to be dropped because so many were waiting."""
        self.gone = False
        """Whether the process has ended before its time: nothing can be written any more."""
        self.captures: dict[str, Any] = {}
        """What the folder holds, as the status says it."""
        self.readings: dict[int, tuple[float, Reading]] = {}
        """By source: when it last answered (monotonic), and what."""
        self.failures: dict[int, str] = {}
        """By source: why it did not, the last time it was asked."""

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def keep(self, window: Window) -> None:
        """To be written, when there is time."""
        if self._work.qsize() >= WAITING:
            self.lost += 1
        else:
            self._work.put(window)

    def tell(self, status: dict[str, Any]) -> None:
        """The status to be shown; left out while the keeper is behind."""
        if self._work.qsize() < 2:
            self._work.put(status)

    def notes(self) -> list[str]:
        """Sentences for the user since the last call."""
        found = []
        with suppress(Empty):
            while True:
                found.append(self._said.get_nowait())
        return found

    def close(self) -> bool:
        """Waits until all is written; False where that took too long or the process had ended before."""
        self._work.put(None)
        for thread in self._threads:
            thread.join(ENDS_S)
        return not (self.gone or any(t.is_alive() for t in self._threads))

    def _send(self) -> None:
        try:
            while (item := self._work.get()) is not None:
                pieces = windows.lines(item) if isinstance(item, Window) else [_line("status", item)]
                for piece in pieces:
                    _write_all(self._to, piece.encode())
            _write_all(self._to, _line("bye", None).encode())
        except OSError:
            self.gone = True
        finally:
            os.close(self._to)

    def _hear(self) -> None:
        bye = False
        with os.fdopen(self._from, "rb") as stream:
            for tag, content in _messages(stream):
                if tag == "read":
                    number, nodes = content
                    self.readings[number] = time.monotonic(), {n: Counted(*c) for n, c in nodes.items()}
                    self.failures.pop(number, None)
                elif tag == "failed":
                    self.failures[content[0]] = content[1]
                elif tag == "captures":
                    self.captures = content
                elif tag == "note":
                    self._said.put(content)
                elif tag == "bye":
                    bye = True
        self.gone = self.gone or not bye
        with suppress(OSError, ChildProcessError):
            os.waitpid(self._pid, 0)


def _live(read: int, write: int, shelf: Shelf, sources: Sequence[Source]) -> None:
    """The whole life of the keeper's process; it never returns."""
    code = 1
    try:
        # Whoever ends the watch, all that is caught is still to be written. Handlers, so that commands inherit none.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        if not any(isinstance(source, Command) for source in sources):  # which may need what whoever gave it has
            keep_files_alone()
        _Process(write, shelf).run(read, sources)
        code = 0
    except BaseException as e:
        with suppress(Exception):
            print(f"zeekspy: what keeps the captures has failed: {type(e).__name__}: {e}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


class _Process:
    def __init__(self, write: int, shelf: Shelf) -> None:
        self._write, self._shelf = write, shelf
        self._lock = threading.Lock()
        self._written = self._lost = 0
        self._last: str | None = None
        self._status_failed = False
        self._told: dict[str, Any] = {}

    def run(self, read: int, sources: Sequence[Source]) -> None:
        self._count()
        Asking(sources, self._answered)
        arriving: Arriving | None = None
        with os.fdopen(read, "rb") as stream:
            for tag, content in _messages(stream):
                if tag == "status":
                    self._status(content)
                elif tag == "window":
                    arriving = Arriving(content)
                elif tag == "end" and arriving is not None:
                    self._keep(arriving.whole())
                    arriving = None
                elif tag == "bye":
                    self._status({"running": False})  # before whoever waits for us looks at it
                    self._say("bye", None)
                    return
                elif arriving is not None:
                    arriving.add(tag, content)
        self._status({"running": False})  # also where the sampler was killed

    def _answered(self, number: int, found: Reading | str) -> None:
        if isinstance(found, str):
            self._say("failed", [number, found])
        else:
            self._say("read", [number, {n: [c.dropped, c.received, c.at] for n, c in found.items()}])

    def _keep(self, window: Window) -> None:
        profile = window.profile()
        hot = windows.top(window.profile(window.since_ns, max(window.fired_ns, window.since_ns + 1)))
        about = {k: v for k, v in window.about.items() if k != "meta"}
        node, word = _name(window), str(about.get("word", "capture"))
        out = io.BytesIO()
        try:
            from zeekspy.export import pprof

            pprof.write(profile, out)

            def beside(name: str) -> bytes:
                return (json.dumps(_sidecar(window, about, profile.meta, hot, name), indent=1) + "\n").encode()

            removed = self._shelf.removed
            name = self._shelf.put(node, word, out.getvalue(), beside)
        except FileError as e:
            self._lost += 1
            self._say("note", f"a capture of {node} is lost: {e}")
        else:
            self._written, self._last = self._written + 1, name
            more = self._shelf.removed - removed
            gone = f" (the oldest {more} made room)" if more else ""
            self._say("note", f"{node}: {about.get('trigger')}: {self._shelf.path / name}{gone}")
        self._count()

    def _count(self) -> None:
        s = self._shelf
        found = {"kept": s.count, "bytes": s.size, "written": self._written, "removed": s.removed}
        self._captures = {**found, "lost": self._lost, "last": self._last}
        self._say("captures", self._captures)

    def _status(self, status: dict[str, Any]) -> None:
        self._told = {**self._told, **status, "captures": self._captures}
        try:
            self._shelf.publish(shelves.STATUS, (json.dumps(self._told, indent=1) + "\n").encode())
            self._status_failed = False
        except OSError as e:
            if not self._status_failed:  # once, not every second
                self._say("note", f"the status cannot be written: {e.strerror}")
            self._status_failed = True

    def _say(self, tag: str, content: Any) -> None:
        # A sampler that was killed does not listen; what it has sent is still to be written.
        with self._lock, suppress(BrokenPipeError):
            _write_all(self._write, _line(tag, content).encode())


def _name(window: Window) -> str:
    labels = dict(window.labels)
    return labels.get("node") or f"zeek-{labels.get('pid', '')}"


def _sidecar(
    window: Window, about: Mapping[str, Any], meta: Mapping[str, Any], hot: list[dict[str, Any]], name: str
) -> dict[str, Any]:
    def wall(ns: int) -> str:
        seconds, rest = divmod(ns + window.clock_ns, 10**9)
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 10**6:03d}Z"

    return {
        "format": shelves.FORMAT,
        "profile": name,
        **dict(window.labels),
        **about,
        "fired": wall(window.fired_ns),
        "since": wall(window.since_ns),
        "begin": wall(window.begin_ns),
        "end": wall(window.end_ns),
        "before_s": round((window.fired_ns - window.begin_ns) / 1e9, 3),
        "after_s": round((window.end_ns - window.fired_ns) / 1e9, 3),
        "episode_s": round((window.fired_ns - window.since_ns) / 1e9, 3),
        "fired_ns": window.fired_ns,
        "begin_ns": window.begin_ns,
        "end_ns": window.end_ns,
        "since_ns": window.since_ns,
        **{k: meta[k] for k in ("samples", "script", "core", "idle")},
        "bodies": hot,
    }


def _messages(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Until the other side closes its end. FileError for what is no line of ours."""
    while line := stream.readline(LINE):
        try:
            tag, content = json.loads(line)
        except (ValueError, TypeError, RecursionError) as e:
            if not line.endswith(b"\n"):
                return  # the other side was killed while it wrote
            raise FileError(f"a message arrived damaged ({e})") from None
        yield tag, content


def _line(tag: str, content: Any) -> str:
    return json.dumps([tag, content], separators=(",", ":")) + "\n"


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
