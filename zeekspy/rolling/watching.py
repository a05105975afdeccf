"""Nodes with their rings and triggers: which trigger has just been met, and which window is ready to be written."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.errors import UsageError
from zeekspy.process import network_time
from zeekspy.profile import Stack, display_name
from zeekspy.rolling import ring
from zeekspy.rolling.grammar import Condition, Expression, conditions, truth
from zeekspy.rolling.measures import Clock, Drops, Measured, Measures, began_ns, met
from zeekspy.rolling.ring import Ring
from zeekspy.rolling.sources import Reading
from zeekspy.rolling.window import Window

if TYPE_CHECKING:
    from zeekspy._core import Batch
    from zeekspy.session import Session

STATUS_S = 1.0
"""Between two statuses."""
PART_OF_MEMORY = 0.5
"""Of what is free that all rings may take."""
LOOKS_A_STALL = 3
"""Samples that must fall into a stall for it to be seen as one that long, with one to spare."""
MOST_ALSO = 20


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for."""

    triggers: tuple[Expression, ...]
    ring_s: float = 120.0
    after_s: float = 10.0
    hz: float = 100.0
    all_nodes: bool = False
    """A trigger of one node writes every node's window."""
    sources: tuple[str, ...] = ()
    """Names of the sources of drops."""
    command: str = ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return tuple(dict.fromkeys(c for t in self.triggers for c in conditions(t)))

    def check(self) -> None:
        """UsageError for what cannot work."""
        for c in self.conditions:
            if c.kind == "drops" and not self.sources:
                raise UsageError(f"{c} needs a source of packet drops", "Give --drops-from, see zeekspy watch --help.")
            if c.kind == "stall" and c.limit * self.hz < LOOKS_A_STALL:
                wanted = LOOKS_A_STALL / c.limit if c.limit else 0
                remedy = f"Give --hz {wanted:.0f} or more." if 0 < wanted <= 20000 else "Give a longer time."
                raise UsageError(f"{c} is too short to be seen with {self.hz:g} samples a second", remedy)

    def room(self, nodes: int, available: int) -> None:
        """UsageError where the rings of so many nodes do not fit into the memory that is ``available``."""
        wanted = nodes * 2 * ring.size(self.ring_s + self.after_s, self.hz)  # and each one's window, at worst
        if wanted > available * PART_OF_MEMORY:
            raise UsageError(
                f"rings of {self.ring_s:g} s at {self.hz:g} Hz for {nodes} nodes take up to {wanted / 1e6:.0f} MB, "
                f"and there are {available * PART_OF_MEMORY / 1e6:.0f} MB for them",
                "Give a shorter --ring, a lower --hz, or fewer nodes.",
            )


def available_memory() -> int:
    """Bytes that this process may still take: of the machine, of its control group, of its own limit."""
    found = [1 << 62]
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) << 10)
    with suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text().split("::", 1)[1].splitlines()[0]
        folder = Path("/sys/fs/cgroup") / group.lstrip("/")
        for place in (folder, *folder.parents):
            with suppress(OSError, ValueError):
                most = (place / "memory.max").read_text().strip()
                found.append(max(0, int(most) - int((place / "memory.current").read_text())))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        found.append(soft)
    return min(found)


@dataclass(slots=True)
class _Pending:
    """A window that waits for its end."""

    fired_ns: int
    since_ns: int
    clock_ns: int
    about: dict[str, Any]
    highest: dict[str, float]
    """Of the values, until the window's end: a stall goes on after it was seen to be one."""


@dataclass(slots=True)
class _Trigger:
    expression: Expression
    state: bool | None = False
    fired: int = 0


@dataclass(frozen=True, slots=True)
class Fired:
    """A trigger that has just been met."""

    text: str
    word: str
    since_ns: int
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    stack: Stack = ()


class Node:
    """One session with its ring, its triggers and the window that waits."""

    def __init__(self, session: Session, settings: Settings, among: int) -> None:
        self.session = session
        self.labels = session.labels
        self.name = dict(session.labels).get("node") or f"pid {session.attachment.target.pid}"
        self._settings = settings
        self._ring = Ring(ring.capacity(settings.ring_s + settings.after_s, settings.hz))
        self._began_ns = time.monotonic_ns()
        self._triggers = [_Trigger(t) for t in settings.triggers]
        wanted = settings.conditions
        kinds = {c.kind for c in wanted}
        keep_s = max((c.over_s for c in wanted if c.kind == "drops"), default=0.0)
        drops = Drops(self.name, settings.sources, keep_s, among == 1) if "drops" in kinds else None
        self._measures = Measures(wanted, session.profile.period_ns, session.attachment.target.pid, drops)
        self._lag = "lag" in kinds
        self._values: dict[Condition, Measured] = {}
        self._peaks: dict[Condition, float] = {}
        self._recent: dict[Condition, float] = {}
        self.pending: _Pending | None = None
        self.captures = 0
        self.lowered_to: float | None = None
        """The lowered rate that was last spoken of."""
        session.tap = self.take

    def take(self, batch: Batch, stacks: Sequence[Stack], stack_of: Callable[[int], Stack]) -> None:
        """A session's tap."""
        for (t_ns, _, _, count, cpu_ns, wall_ns), stack in zip(batch.runs, stacks, strict=True):
            self._ring.add(t_ns, stack, count, cpu_ns, wall_ns)
        self._measures.add(batch, stacks, stack_of)

    def look(
        self,
        now_ns: int,
        clock: Clock,
        readings: Mapping[int, tuple[float, Reading]],
        failures: Mapping[int, str],
        signalled: bool,
    ) -> list[Fired]:
        """The triggers that are met now and were not at the last look."""
        attachment = self.session.attachment
        behind = None
        if self._lag and self.session.ended is None:
            behind = network_time(attachment.memory, attachment.target.symbols.get("network_time", 0))
        self._values = self._measures.values(
            now_ns,
            (now_ns + clock.offset_ns) / 1e9,
            network_time=behind,
            settled=clock.settled(now_ns),
            readings=readings,
            failures=failures,
            signalled=signalled,
        )
        for c, m in self._values.items():
            if m.value is not None:
                self._peaks[c] = max(self._peaks.get(c, m.value), m.value)
                self._recent[c] = max(self._recent.get(c, m.value), m.value)
                if self.pending is not None and str(c) in self.pending.highest:
                    self.pending.highest[str(c)] = max(self.pending.highest[str(c)], m.value)
        known = {c: met(c, m) for c, m in self._values.items()}
        found = []
        for trigger in self._triggers:
            state = truth(trigger.expression, known)
            if state and not trigger.state:
                trigger.fired += 1
                found.append(self._fired(trigger.expression, now_ns))
            trigger.state = state
        return found

    def _fired(self, expression: Expression, now_ns: int) -> Fired:
        mine = list(dict.fromkeys(conditions(expression)))
        those = [(c, self._values[c]) for c in mine if met(c, self._values[c])]
        stack = next((m.stack for _, m in those if m.stack), ())
        values = {str(c): _value(c, self._values[c]) for c in mine}
        word = those[0][0].kind if those else "not"
        return Fired(str(expression), word, began_ns(those, now_ns), values, stack)

    def catch(self, fired: Fired, now_ns: int, clock: Clock, by: str = "") -> None:
        """A window is to be written around this moment; ``by`` names the node whose trigger it was, if another's."""
        if self.pending is not None:
            also: list[str] = self.pending.about["also"]
            if len(also) < MOST_ALSO:
                also.append(f"{by}: {fired.text}" if by else fired.text)
            return
        about: dict[str, Any] = {
            "trigger": fired.text,
            "of": by or self.name,
            "word": fired.word,
            "values": fired.values,
            "stack": [display_name(frame) for frame in fired.stack],
            "also": [],
            "cut": None,
        }
        mine = {} if by else {name: v["value"] for name, v in fired.values.items() if v["value"] is not None}
        self.pending = _Pending(now_ns, fired.since_ns, clock.offset_ns, about, mine)

    def ready(self, now_ns: int, cut: str = "") -> Window | None:
        """The window, once all of it has been sampled or, for the reason ``cut``, no more is to come."""
        p, s = self.pending, self._settings
        if p is None or not (cut or now_ns >= p.fired_ns + s.after_s * 1e9):
            return None
        self.pending = None
        self.captures += 1
        oldest = self._ring.begins
        begin_ns = max(p.fired_ns - round(s.ring_s * 1e9), self._began_ns if oldest is None else oldest)
        end_ns = min(p.fired_ns + round(s.after_s * 1e9), now_ns)
        session, stats = self.session, self.session.stats()
        target = session.attachment.target
        p.about["cut"] = cut or None
        p.about["highest"] = {name: round(value, 9) for name, value in p.highest.items()}
        kept = ("zeek_version", "layout", "engine", "engine_reason", "hz_asked", "hz_lowered_to")
        facts = {k: stats[k] for k in kept}
        p.about.update(version=stats["zeek_version"], engine=stats["engine"], hz=stats["hz_lowered_to"] or session.hz)
        p.about["meta"] = {
            **facts,
            "zeekspy_version": _version(),
            "exe": target.exe,
            "build_id": target.build_id or "",
            "pid": target.pid,
            "command": s.command,
            "trigger": p.about["trigger"],
        }
        period_ns = round(1e9 / (session.lowered_to or session.hz))
        part = self._ring.part(begin_ns, end_ns)
        return Window(
            part, self.labels, begin_ns, end_ns, p.fired_ns, min(p.since_ns, p.fired_ns), p.clock_ns, period_ns, p.about
        )

    def status(self) -> dict[str, Any]:
        """What ``--status`` shows of it. The values of stalls are the longest since the last status."""
        shown = {
            c: Measured(self._recent[c]) if c.kind == "stall" and c in self._recent else m
            for c, m in self._values.items()
        }
        self._recent.clear()
        samples, missed = self.session.progress()
        return {
            "node": self.name,
            "pid": self.session.attachment.target.pid,
            "version": self.session.attachment.target.version,
            "samples": samples,
            "missed": missed,
            "hz": self.session.lowered_to or self.session.hz,
            "captures": self.captures,
            "pending": self.pending is not None,
            "runs": len(self._ring),
            "resets": self._measures.resets,
            "counted": self._measures.counted,
            "triggers": [{"trigger": str(t.expression), "met": t.state, "fired": t.fired} for t in self._triggers],
            "conditions": {str(c): {**_value(c, m), "peak": self._peaks.get(c)} for c, m in shown.items()},
        }

    def close(self) -> None:
        self._measures.close()


class Watching:
    """All nodes. ``keep`` gets windows that are ready, ``note`` sentences for the user."""

    def __init__(self, settings: Settings, keep: Callable[[Window], None], note: Callable[[str], None]) -> None:
        self._settings, self._keep, self._note = settings, keep, note
        self._clock = Clock(time.monotonic_ns(), time.time_ns())
        self._started = time.time()
        self._nodes: dict[int, Node] = {}
        self._due = 0.0
        self._failing: dict[int, str] = {}
        self.captures = 0

    def look(
        self,
        sessions: Sequence[Session],
        readings: Mapping[int, tuple[float, Reading]] | None = None,
        failures: Mapping[int, str] | None = None,
        signalled: bool = False,
    ) -> None:
        """After each poll: triggers are looked at, and what is ready is kept."""
        self.join(sessions)
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        jumped = self._clock.look(now_ns, wall_ns)
        if jumped:
            self._note(f"the clock of this host has jumped by {jumped:+.1f} s; times of captures are as it says now")
        readings, failures = readings or {}, failures or {}
        self._say_failures(failures)
        for node in list(self._nodes.values()):
            self._say_rate(node)
            gone = node.session.ended
            for fired in node.look(now_ns, self._clock, readings, failures, signalled):
                for one in self._nodes.values() if self._settings.all_nodes else [node]:
                    one.catch(fired, now_ns, self._clock, "" if one is node else node.name)
            self._write(node, now_ns, f"the target has gone: {gone}" if gone is not None else "")
            if gone is not None:
                node.close()
                del self._nodes[id(node.session)]

    def join(self, sessions: Sequence[Session]) -> None:
        """Those that are new get a ring."""
        for s in sessions:
            if s.ended is None and id(s) not in self._nodes:
                self._nodes[id(s)] = Node(s, self._settings, len(sessions))

    def finish(self, why: str) -> None:
        """What waits is written as it is."""
        for node in self._nodes.values():
            self._write(node, time.monotonic_ns(), why)

    def status(self, now_s: float) -> dict[str, Any] | None:
        """What is to be shown, once in STATUS_S."""
        if now_s < self._due:
            return None
        self._due = now_s + STATUS_S
        s = self._settings
        return {
            "running": True,
            "time": time.time(),
            "started": self._started,
            "ring_s": s.ring_s,
            "after_s": s.after_s,
            "hz": s.hz,
            "jumps": self._clock.jumps,
            "nodes": [node.status() for node in self._nodes.values()],
        }

    def _write(self, node: Node, now_ns: int, cut: str) -> None:
        window = node.ready(now_ns, cut)
        if window is not None:
            self.captures += 1
            self._keep(window)

    def _say_rate(self, node: Node) -> None:
        lowered = node.session.lowered_to
        if lowered != node.lowered_to:
            node.lowered_to = lowered
            why = "sampling cost more than it may (--max-cpu) or could not keep up"
            what = "raised again" if lowered is None else f"lowered to {lowered:.4g} Hz: {why}"
            self._note(f"{node.name}: the rate was {what}")

    def _say_failures(self, failures: Mapping[int, str]) -> None:
        for number, why in failures.items():
            if number not in self._failing:
                self._note(f"packet drops are not known: {why}")
        for number in self._failing.keys() - failures.keys():
            self._note(f"packet drops are known again: {self._settings.sources[number]} answers")
        self._failing = dict(failures)


def _value(condition: Condition, measured: Measured) -> dict[str, Any]:
    value = measured.value
    return {
        "value": None if value is None else round(value, 9),
        "limit": condition.limit,
        "unit": condition.unit,
        "met": met(condition, measured),
        "why": measured.why or None,
    }


def _version() -> str:
    from importlib import metadata

    return metadata.version("zeekspy")
