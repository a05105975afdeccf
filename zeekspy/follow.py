"""Zeeks that start while others are sampled: found, attached to and handed over by a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from typing import Any

from zeekspy.discovery import Discovery, Node
from zeekspy.errors import NoSuchTarget, ZeekspyError
from zeekspy.selection import Selection
from zeekspy.session import Session

EVERY_S = 0.8
"""Between two looks: a Zeek is to be sampled two seconds after its start, and attaching takes part of one."""
RESTING = 20
"""A look is followed by so many times its length without one: a host may have very many processes."""
STARTING_S = 15.0
"""For how long attaching is tried again: a Zeek that is starting has nothing yet that could be checked."""
MOST = 4096
"""Sessions in all: each keeps what it has sampled."""


class Follower:
    """Looks for what ``selection`` means, apart from those ``known``; ``join`` makes their sessions."""

    def __init__(
        self,
        selection: Selection,
        join: Callable[[Node], Session],
        known: Iterable[Node],
        discovery: Discovery | None = None,
        held: Callable[[], int] | None = None,
    ) -> None:
        """``held`` says how many sessions are kept, where those that have ended are not."""
        self._selection, self._join, self._discovery = selection, join, discovery or Discovery()
        self._known: dict[tuple[int, int], float | None] = {}
        """When each process was first seen; None once there is nothing more to do about it."""
        self._pids: dict[str, int] = {}
        for node in known:
            self._known[node.pid, node.start_time] = None
            self._pids[node.name] = node.pid
        self._joined, self._held = 0, held
        self._found: SimpleQueue[Session] = SimpleQueue()
        self._said: SimpleQueue[str] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zeekspy-follow", daemon=True)

    def start(self) -> None:
        """After ``confine``: threads have the capabilities of those that start them."""
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5.0)

    def newcomers(self) -> list[Session]:
        """Sessions made since the last call."""
        return _drained(self._found)

    def notes(self) -> list[str]:
        """Sentences about who came, came again, or could not be attached to, since the last call."""
        return _drained(self._said)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.thread_time()
            self.look()
            self._stop.wait(max(EVERY_S, RESTING * (time.thread_time() - began)))

    def look(self) -> None:
        """Attaches to those that are there and were not before."""
        nodes = self._discovery.find()
        here = {(node.pid, node.start_time) for node in nodes}
        self._known = {key: since for key, since in self._known.items() if key in here}
        for node in self._selection.among(nodes):
            key = node.pid, node.start_time
            since = self._known.setdefault(key, time.monotonic())
            if since is not None and not self._stop.is_set():
                self._attach(node, key, since)

    def _attach(self, node: Node, key: tuple[int, int], since: float) -> None:
        if (self._joined if self._held is None else self._held()) >= MOST:
            self._known[key] = None
            self._said.put(f"{node.name} (pid {node.pid}) is not sampled: {MOST} have been")
            return
        try:
            session = self._join(node)
        except NoSuchTarget:
            self._known[key] = None
            self._said.put(f"{node.name} (pid {node.pid}) was gone before it could be sampled")
        except (ZeekspyError, OSError) as e:
            if time.monotonic() - since > STARTING_S:
                self._known[key] = None
                self._said.put(f"{node.name} (pid {node.pid}) cannot be sampled: {e}")
        else:
            self._known[key] = None
            self._joined += 1
            before = self._pids.get(node.name)
            self._pids[node.name] = node.pid
            while len(self._pids) > MOST:
                del self._pids[next(iter(self._pids))]
            again = "" if before is None else f", started again: it was pid {before}"
            self._said.put(f"{node.name} (pid {node.pid}) is sampled from now on{again}")
            self._found.put(session)


def _drained(queue: SimpleQueue[Any]) -> list[Any]:
    found: list[Any] = []
    try:
        while True:
            found.append(queue.get_nowait())
    except Empty:
        return found
