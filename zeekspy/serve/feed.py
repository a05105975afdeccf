"""The sampling of all sessions in one thread of its own, and where what it brings goes: Store and Series."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, MutableSequence, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zeekspy import several
from zeekspy.serve.series import OTHER, Name, Series
from zeekspy.serve.store import Store

if TYPE_CHECKING:
    from zeekspy.profile import Frame, Labels, Stack, Values
    from zeekspy.session import Session

TICK_S = 0.5
"""How fine windows are. With many targets, polls take longer (several.MOST_PATIENT), and so do ticks."""
CALLS_S, FEW = 15.0, 16
"""Between two readings of the calls of all bodies, at first less: some 5 ms each. With more sessions than FEW, more."""
STOPS_WITHIN_S = 5.0
COUNTERS = (
    "samples",
    "script",
    "core",
    "idle",
    "torn",
    "unreadable",
    "lineless",
    "truncated",
    "stale",
    "missed",
    "cpu_ns",
)


@dataclass(frozen=True, slots=True)
class Attached:
    """A process that is sampled now, as the page shows it."""

    node: str
    role: str
    pid: int
    version: str
    engine: str
    hz: float
    exe: str
    build_id: str


class _Member:
    """What was taken from a session so far, so that only what is new is taken the next time."""

    def __init__(self, session: Session) -> None:
        self.session = session
        found = dict(session.labels)
        target = session.attachment.target
        pid = target.pid
        self.node = found.get("node") or f"zeek-{pid}"
        # Without the pid: a node that starts again goes on with its series.
        parts = {"node": self.node, "role": found.get("role", "")}
        self.labels: Labels = tuple((key, value) for key, value in parts.items() if value)
        self.row = Attached(
            self.node,
            found.get("role", ""),
            pid,
            target.version,
            session.choice.engine,
            session.hz,
            target.exe,
            target.build_id or "",
        )
        self._counters = dict.fromkeys(COUNTERS, 0)
        self._calls: dict[Name, int] = {}

    def samples(self) -> dict[tuple[Stack, Labels], Values]:
        profile = self.session.profile
        samples, profile.samples = profile.samples, {}
        return samples

    def counters(self) -> dict[str, float]:
        now = self.session.counters()
        gained = {key: now[key] - n for key, n in self._counters.items()}
        self._counters = {key: now[key] for key in self._counters}
        return gained

    def calls(self, now: dict[Frame, int], name: Callable[[Frame], Name]) -> dict[Name, int]:
        sums: dict[Name, int] = {}
        for frame, n in now.items():
            key = name(frame)
            if key is not OTHER:
                sums[key] = sums.get(key, 0) + n
        gained = {key: n - self._calls.get(key, 0) for key, n in sums.items() if n != self._calls.get(key, 0)}
        self._calls = sums
        return gained


class Feed:
    """Samples ``sessions``, which it adds to and takes from, from ``start`` to ``stop``."""

    def __init__(
        self,
        sessions: MutableSequence[Session],
        store: Store,
        series: Series,
        *,
        max_cpu: float | None = None,
        newcomers: Callable[[], Sequence[Session]] | None = None,
        spent: Callable[[], float] = several.own_cpu,
    ) -> None:
        """``newcomers`` as several.run's; without it, the end of the last target ends it. ``spent`` is what sampling
        costs: this process's CPU time without that of answering requests.
        """
        self._sessions, self._store, self._series = sessions, store, series
        self._max_cpu, self._spent, self._follows = max_cpu, spent, newcomers is not None
        self._newcomers = newcomers or list
        self._members: dict[int, _Member] = {}
        self._calls_due, self._calls_s = 0.0, 0.5
        self._stop, self._done = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="zeekspy-sampling", daemon=True)
        self.on_tick: Callable[[], None] = lambda: None
        """Called from the sampling thread after each tick, and once at its end."""
        self.say: Callable[[str], None] = lambda text: None
        """Takes sentences about targets that end with an error."""
        self.error: BaseException | None = None
        """What ended the sampling of all."""
        self.attached: tuple[Attached, ...] = ()
        """Replaced as a whole, so that any thread may look."""

    @property
    def alive(self) -> bool:
        """Whether there is more to come."""
        return not self._done

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(STOPS_WITHIN_S)

    def _run(self) -> None:
        try:
            self._settle(time.monotonic())
            if not self._ends():
                self._sample()
        except BaseException as e:  # whatever it is, the main thread is to raise it
            self.error = e
        finally:
            self._done = True
            self.on_tick()

    def _sample(self) -> None:
        due = 0.0
        for elapsed in several.run(
            self._sessions, None, self._max_cpu, newcomers=self._newcomers, spent=self._spent, again=True
        ):
            if elapsed >= due or self._stop.is_set():
                due = elapsed + TICK_S - several.POLL_NS / 2e9
                self.tick()
            if self._ends():
                break

    def _ends(self) -> bool:
        return self._stop.is_set() or not (self._sessions or self._follows)

    def tick(self) -> None:
        """Moves what all sessions have brought since the last time to where it belongs."""
        now = time.monotonic()
        self._settle(now)
        taken = []
        calls_too = now >= self._calls_due
        for member in self._members.values():
            samples, ended = member.samples(), member.session.ended is not None
            taken += [(stack, member.labels, values) for (stack, _), values in samples.items()]
            self._series.add_samples(now, member.node, [(stack, values) for (stack, _), values in samples.items()])
            self._series.add_counters(member.node, member.counters())
            self._series.set_rate(member.node, member.session.lowered_to or member.session.hz)
            if ended:
                self._series.add_calls(member.node, member.calls(member.session.profile.calls, self._series.name))
            elif calls_too:
                self._series.add_calls(member.node, member.calls(member.session.calls()[1], self._series.name))
        if calls_too:
            self._calls_s = min(2 * self._calls_s, CALLS_S)
            self._calls_due = now + self._calls_s * max(1.0, len(self._members) / FEW)
        self._store.add(now, time.time_ns(), taken, {member.node for member in self._members.values()})
        self._let_go(now)
        self.on_tick()

    def _settle(self, now: float) -> None:
        """Takes in sessions that were not there before."""
        for session in self._sessions:
            if id(session) not in self._members:
                member = self._members[id(session)] = _Member(session)
                self._series.come(member.node, now)
                self._series.add_counters(member.node, {"attaches": 1})
        self._show()

    def _let_go(self, now: float) -> None:
        """Forgets sessions that have ended: there may be any number of them in a week."""
        for key, member in list(self._members.items()):
            session = member.session
            if session.ended is None:
                continue
            if session.error is not None:
                self.say(f"{member.node} (pid {member.row.pid}): {session.error}")
            self._series.go(member.node, now)
            del self._members[key]
            with suppress(ValueError):
                self._sessions.remove(session)
        self._show()

    def _show(self) -> None:
        self.attached = tuple(m.row for m in self._members.values())
