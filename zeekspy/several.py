"""Several targets sampled side by side: a thread for some of them together, newcomers meanwhile, one Profile of all."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from zeekspy._core import Batch, Crew
from zeekspy.errors import LayoutError, ZeekspyError
from zeekspy.limit import WINDOW, Limit
from zeekspy.profile import Profile
from zeekspy.timeline import merged

if TYPE_CHECKING:
    from zeekspy.session import Session

POLL_NS = 100_000_000
"""How long the core samples before Python has its turn: how late Ctrl-C can be with few targets."""
CREW, LOOKS_S = 32, 3200
"""Targets that one thread looks at in turn at most, and looks that it takes a second: an awakening costs ten looks."""
EXACT = 16
"""Targets up to which auto may go over to engines that stop them: those need a thread for each."""
PATIENT = 8
"""With more targets than that, Python's turns are rarer in proportion: they cost as much for each target."""
MOST_PATIENT = 8
"""How much rarer at most: with POLL_NS, how late Ctrl-C can be with many targets."""
_SUMS = ("samples", "script", "core", "idle", "torn", "stale", "unreadable", "lineless", "missed", "cpu_s", "overflow")


def run(
    sessions: MutableSequence[Session],
    duration: float | None = None,
    max_cpu: float | None = None,
    poll_ns: int = POLL_NS,
    newcomers: Callable[[], Sequence[Session]] | None = None,
    spent: Callable[[], float] | None = None,
    again: bool = False,
) -> Iterator[float]:
    """Samples all sessions, side by side, and yields the seconds gone by after every ``poll_ns``, about.

    Ends when ``duration`` seconds are over or all targets have gone; the caller may stop asking at any time. The rate
    is lowered when it costs more than ``max_cpu`` percent of a core for each target, and with ``again`` the one asked
    for is tried again after a while. What goes wrong with one of several targets ends only that one's session and is
    its ``error``. ``newcomers`` is asked after each poll who else is to be sampled; then it goes on without any target
    too, sessions are added to ``sessions``, and those that have ended are finished and let go of what they hold; the
    caller may then take them out. ``spent`` says what sampling has cost so far (CPU seconds), where that is not all
    that this process does.
    """
    from concurrent import futures

    began = time.monotonic()
    limit, spent = None, spent or own_cpu
    if max_cpu is not None:
        limit = Limit(sessions[0].hz if sessions else 0.0, max_cpu * len(sessions), began, spent(), again)
    crews: list[_Crew] = []
    with futures.ThreadPoolExecutor(max_workers=64) as pool:
        while True:
            live = [s for s in sessions if s.ended is None]
            elapsed = time.monotonic() - began
            if (not live and newcomers is None) or (duration is not None and elapsed >= duration):
                break
            budget = poll_ns * min(max(1, len(live) // PATIENT), MOST_PATIENT)
            if duration is not None:
                budget = min(budget, max(1, round((duration - elapsed) * 1e9)))
            parts = _parts(live, crews)
            # The first in this thread, where a signal cuts the poll short.
            others = [pool.submit(part.poll, budget) for part in parts[1:]]
            found = [parts[0].poll(budget)] if parts else []
            found += [future.result() for future in others]
            if not parts:
                time.sleep(budget / 1e9)
            for part, batches in zip(parts, found, strict=True):
                for session, batch in zip(part.members, batches, strict=True):
                    _take(session, batch, alone=len(sessions) == 1 and newcomers is None)
            if limit is not None:
                limit.percent = max_cpu * max(1, len(live)) if max_cpu is not None else limit.percent
                _keep(limit, live, crews, spent)
            if newcomers is not None:
                _let_go(live)
                for session in newcomers():
                    sessions.append(session)
                    if limit is not None:
                        _join(limit, session, spent())
            yield time.monotonic() - began


class _Part:
    """One session that has a thread of its own."""

    def __init__(self, member: Session) -> None:
        self.members = [member]

    def poll(self, budget_ns: int) -> list[Batch]:
        return [self.members[0].poll(budget_ns)]


class _Crew:
    """Some sessions that share a thread and a clock."""

    def __init__(self, hz: float) -> None:
        self.members: list[Session] = []
        self.core = Crew(hz, random.getrandbits(64))

    def poll(self, budget_ns: int) -> list[Batch]:
        return self.core.poll([s.sampler for s in self.members], budget_ns)


def _parts(live: list[Session], crews: list[_Crew]) -> list[_Part | _Crew]:
    """Who polls whom. A session stays in its crew; empty crews end, new ones begin."""
    sharing = [s for s in live if s.shares]
    if len(sharing) < 2 and not crews:
        return [_Part(s) for s in live]
    there = {id(s) for s in sharing}
    for crew in crews:
        crew.members = [s for s in crew.members if id(s) in there]
        there -= {id(s) for s in crew.members}
    crews[:] = [crew for crew in crews if crew.members]
    for session in (s for s in sharing if id(s) in there):
        size = max(4, min(CREW, int(LOOKS_S / session.hz)))
        room = next((crew for crew in crews if len(crew.members) < size), None)
        if room is None:
            room = _Crew(session.lowered_to or session.hz)
            crews.append(room)
        room.members.append(session)
    return [*crews, *(_Part(s) for s in live if not s.shares)]


def _take(session: Session, batch: Batch, *, alone: bool) -> None:
    try:
        session.take(batch)
    except ZeekspyError as e:
        if alone:
            raise
        session.error, session.ended = e, str(e)


def _let_go(live: Sequence[Session]) -> None:
    for session in live:
        if session.ended is not None:
            with suppress(LayoutError):  # the session has it
                session.finish()
            session.release()


def _join(limit: Limit, session: Session, spent: float) -> None:
    limit.at, limit.cpu = time.monotonic(), spent  # attaching is no sampling
    if not limit.hz:
        limit.hz = limit.asked = session.hz
    elif limit.hz < session.hz:
        session.change_hz(limit.hz)


def _keep(limit: Limit, live: Sequence[Session], crews: Sequence[_Crew], spent: Callable[[], float]) -> None:
    now = time.monotonic()
    if now - limit.at < WINDOW or not live:
        return
    counters = [s.progress() for s in live]
    hz = limit.change(now, spent(), sum(samples for samples, _ in counters), sum(missed for _, missed in counters))
    if hz is not None:
        for crew in crews:
            crew.core.set_hz(hz)
        for s in live:
            s.change_hz(hz)


def own_cpu() -> float:
    """CPU time of this process so far, seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def merge(sessions: Sequence[Session]) -> Profile:
    """One Profile of all sessions. Its ``meta`` is the first one's, counters that are sums added up."""
    first = sessions[0].profile
    if len(sessions) == 1:
        return first
    result = Profile(time_ns=min(s.profile.time_ns for s in sessions), period_ns=first.period_ns)
    result.duration_ns = max(s.profile.time_ns + s.profile.duration_ns for s in sessions) - result.time_ns
    result.meta = dict(first.meta)
    for key in _SUMS:
        result.meta[key] = sum(s.profile.meta[key] for s in sessions)
    for s in sessions:
        for stack, labels, values in s.profile:
            result.add(stack, labels, values.count, values.cpu_ns, values.wall_ns)
        result.add_calls(s.profile)
    timed = [(s.profile.times, (s.profile.time_ns - result.time_ns) // 1000) for s in sessions if s.profile.times]
    result.times = merged(timed) if timed else None
    return result
