"""Sessions that go on in the background, and what is to be seen of their targets at any moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zeekspy import session
from zeekspy.live import Live, Neighbours, Tick, View
from zeekspy.process import Threads, network_time

if TYPE_CHECKING:
    from zeekspy.profile import Frame
    from zeekspy.session import Session

CALLS_PER_WINDOW = 3
"""How often calls are looked up: a Zeek has thousands of bodies."""
POLL_S = 0.5
"""More than session.POLL_NS: no signal waits for this thread, and every poll has its price."""
STOPS_WITHIN_S = 5.0
"""More than a poll takes, where the machine is busy."""


class Watched:
    """One target, its session and its Live. Only what has a lock may be called from another thread than Watch's."""

    def __init__(self, s: Session, window_s: float, lock: threading.Lock) -> None:
        self.session, self.target = s, s.attachment.target
        self._memory = session.open_memory(self.target.pid)  # before files can no longer be opened for it
        self._threads = Threads(self.target.pid)
        self._calls_every = window_s / CALLS_PER_WINDOW
        self._calls: tuple[float, Mapping[Frame, int]] = (0.0, {})
        self._calls_due = 0.0
        self._live = Live(self.target.pid, window_s, self._seen())
        self._lock = lock

    @property
    def ended(self) -> str | None:
        """Why there is no more to come of this one; None while there is."""
        return self.session.ended

    @property
    def engine(self) -> str:
        return self.session.choice.engine

    @property
    def engine_reason(self) -> str:
        return self.session.choice.reason

    @property
    def hz(self) -> float:
        """The rate that is tried for now."""
        return self.session.lowered_to or self.session.hz

    def begin(self) -> None:
        """Just before the first poll: what comes from now on counts."""
        self._calls_due = 0.0
        self.tick()
        self.reset()

    def tick(self) -> None:
        """Moves what the session has brought since the last time into the Live; the session keeps no samples."""
        seen = self._seen()
        with self._lock:
            self._live.add(seen)

    def _seen(self) -> Tick:
        profile = self.session.profile
        samples, profile.samples = profile.samples, {}
        now = time.monotonic()
        if now >= self._calls_due:
            self._calls, self._calls_due = self.session.calls(), now + self._calls_every
        return Tick(
            now,
            samples,
            self.session.counters(),
            self._calls[1],
            self._calls[0],
            self._threads.look(),
            network_time(self._memory, self.target.symbols.get("network_time", 0)),
            time.time(),
        )

    def view(self, by: str = "body", value: str = "cpu") -> View:
        with self._lock:
            return self._live.view(by, value)

    def neighbours(self, key: Frame, by: str = "body", value: str = "cpu") -> Neighbours:
        with self._lock:
            return self._live.neighbours(key, by, value)

    def reset(self) -> None:
        with self._lock:
            self._live.reset()


class Watch:
    """Samples all of ``sessions`` in a thread of its own from ``start`` on; a Tick each every ``interval`` seconds."""

    def __init__(
        self, sessions: Sequence[Session], *, window_s: float = 5.0, interval: float = 1.0, max_cpu: float | None = None
    ) -> None:
        lock = threading.Lock()
        self.watched = tuple(Watched(s, window_s, lock) for s in sessions)
        self._interval, self._max_cpu = interval, max_cpu
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zeekspy-sampling", daemon=True)
        self.error: BaseException | None = None
        """What ended the sampling of all."""

    @property
    def done(self) -> bool:
        """Whether there is no more to come."""
        return not self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(STOPS_WITHIN_S)

    def wait(self, seconds: float) -> None:
        """Until that time is over or the sampling has ended."""
        self._thread.join(seconds)

    def _run(self) -> None:
        due, poll_ns = self._interval, round(1e9 * min(POLL_S, self._interval / 2))
        try:
            for watched in self.watched:
                watched.begin()
            for elapsed in session.run([w.session for w in self.watched], None, self._max_cpu, poll_ns):
                if elapsed >= due:
                    # An interval that was missed as a whole is not made up for.
                    due = max(due + self._interval, elapsed)
                    self._tick()
                if self._stop.is_set():
                    break
            self._tick()
        except BaseException as e:  # whatever it is, the main thread is to raise it
            self.error = e

    def _tick(self) -> None:
        for watched in self.watched:
            if watched.ended is None or watched.session.profile.samples:
                watched.tick()
