"""CPU time and calls by node and body, as counters that never go back and are never too many.

A body has series of its own once it has shown that it matters, and keeps them: its counters begin at 0 then. Until
then, and when all BODIES places are taken, what it adds is OTHER's. So the series of a node add up to all its CPU time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from zeekspy.profile import CORE, IDLE, Frame, Stack, Values, body_key, display_name

BODIES = 200
"""With series of their own, ``<zeek core>`` among them."""
NODES = 256
"""Beyond that, the one that has been gone for the longest gives way."""
FORGOTTEN_S = 86400.0
"""After which a node that has gone has no series any more."""
LEAST, FEW = 0.001, 3
"""Of all CPU time of late, and samples: what a body must have shown."""
LATE_S = 60.0
"""After which what was shown counts half."""
MAX_BODIES, MAX_STACKS = 1 << 14, 1 << 15
"""Bodies that are told apart, and stacks whose bodies are remembered, so that they need not be found again."""
LONGEST = 200
"""Characters of a label: names are words of the target."""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """The labels of a body, as zeek-exporter calls them."""

    name: str
    type: str
    """event, hook, function, bif, core, other; empty where it is not known."""
    script: str
    """The file; empty for a BiF."""


OTHER = Name("other", "other", "")


@dataclass(slots=True)
class NodeSums:
    """What a node's series are made of, by Name. Times are nanoseconds of CPU time."""

    own_ns: dict[Name, int] = field(default_factory=dict)
    total_ns: dict[Name, int] = field(default_factory=dict)
    """In the body or in what it calls. OTHER's: while any body without series of its own was on the stack."""
    calls: dict[Name, int] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    """Of the sampler and of the session, over all processes that were this node."""
    attached: int = 0
    """Processes that are this node now."""
    hz: float = 0.0
    """The rate that is tried now."""
    left: float = 0.0
    """When it was last seen (monotonic), if there is none."""


class Series:
    """Filled by one thread; ``look`` is for any."""

    def __init__(self, bodies: int = BODIES, nodes: int = NODES) -> None:
        self._most, self._most_nodes = bodies, nodes
        core = name_of(CORE)
        self._shown: set[Name] = {OTHER, core}
        self._pending: dict[Name, list[float]] = {}
        self._all_ns, self._halved = 0.0, 0.0
        self._names: dict[Frame, Name] = {}
        self._stacks: dict[Stack, tuple[Name, frozenset[Name]]] = {}
        self._nodes: dict[str, NodeSums] = {}
        self._lock = threading.Lock()

    def look(self) -> dict[str, NodeSums]:
        """Copies of all sums there are, by node."""
        with self._lock:
            return {
                node: replace(
                    s, own_ns=dict(s.own_ns), total_ns=dict(s.total_ns), calls=dict(s.calls), counters=dict(s.counters)
                )
                for node, s in self._nodes.items()
            }

    @property
    def shown(self) -> int:
        """Bodies that have series of their own."""
        return len(self._shown) - 1

    def come(self, node: str, at: float) -> None:
        """One more process is this node now."""
        with self._lock:
            sums = self._nodes.get(node)
            if sums is None:
                gone = [(s.left, name) for name, s in self._nodes.items() if not s.attached]
                if len(self._nodes) >= self._most_nodes and gone:
                    del self._nodes[min(gone)[1]]
                sums = self._nodes[node] = NodeSums()
            sums.attached, sums.left = sums.attached + 1, at

    def go(self, node: str, at: float) -> None:
        """One less."""
        with self._lock:
            if node in self._nodes:
                self._nodes[node].attached -= 1
                self._nodes[node].left = at

    def add_samples(self, at: float, node: str, samples: Iterable[tuple[Stack, Values]]) -> None:
        """What was sampled of it since the last time; ``at`` is now, monotonic seconds."""
        with self._lock:
            sums = self._nodes.setdefault(node, NodeSums())
            for stack, values in samples:
                if stack == (IDLE,) or not stack:
                    continue
                own, bodies = self._bodies(stack)
                self._add(sums.own_ns, own, values.cpu_ns)
                for name in {name if name in self._shown else OTHER for name in bodies}:
                    self._add(sums.total_ns, name, values.cpu_ns)
                self._all_ns += values.cpu_ns
                for name in bodies:
                    if name not in self._shown:
                        pending = self._pending.setdefault(name, [0.0, 0.0])
                        pending[0] += values.count
                        pending[1] += values.cpu_ns
            self._show(at)

    def add_calls(self, node: str, calls: Mapping[Name, int]) -> None:
        """How often bodies have run since the last time."""
        with self._lock:
            sums = self._nodes.setdefault(node, NodeSums())
            for name, n in calls.items():
                if n > 0:
                    self._add(sums.calls, name, n)

    def add_counters(self, node: str, counters: Mapping[str, float]) -> None:
        """What the sampler's counters have gained since the last time."""
        with self._lock:
            sums = self._nodes.setdefault(node, NodeSums()).counters
            for key, n in counters.items():
                sums[key] = sums.get(key, 0) + max(n, 0)

    def set_rate(self, node: str, hz: float) -> None:
        """At which it is sampled."""
        with self._lock:
            self._nodes.setdefault(node, NodeSums()).hz = hz

    def name(self, frame: Frame) -> Name:
        """The labels of the body with this profile.body_key."""
        name = self._names.get(frame)
        if name is None:
            if len(self._names) >= MAX_BODIES:
                return OTHER
            name = self._names[frame] = name_of(frame)
        return name

    def _add(self, sums: dict[Name, int], name: Name, n: int) -> None:
        key = name if name in self._shown else OTHER
        sums[key] = sums.get(key, 0) + n

    def _bodies(self, stack: Stack) -> tuple[Name, frozenset[Name]]:
        found = self._stacks.get(stack)
        if found is None:
            names = [self.name(body_key(frame)) for frame in stack]
            found = names[-1], frozenset(names)
            if len(self._stacks) < MAX_STACKS:
                self._stacks[stack] = found
        return found

    def _show(self, at: float) -> None:
        """Gives places to those that have shown enough, the costliest first."""
        if len(self._shown) <= self._most and self._pending:
            enough = [(ns, name) for name, (n, ns) in self._pending.items() if n >= FEW and ns >= LEAST * self._all_ns]
            for _, name in sorted(enough, reverse=True)[: self._most + 1 - len(self._shown)]:
                self._shown.add(name)
                del self._pending[name]
        if at >= self._halved + LATE_S:
            self._halved = at
            self._all_ns /= 2
            for node in [n for n, s in self._nodes.items() if not s.attached and at - s.left > FORGOTTEN_S]:
                del self._nodes[node]
            self._pending = {name: [n / 2, ns / 2] for name, (n, ns) in self._pending.items() if n > 0.1}


def name_of(frame: Frame) -> Name:
    """A body's labels. What cannot be told apart by them is one body here."""
    if frame == CORE:
        return Name(CORE.name or "", "core", "")
    file = frame.body.file if frame.body is not None else None
    return Name(_label(display_name(frame)), frame.kind or "", _label(file or ""))


def _label(text: str) -> str:
    clean = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)
    return clean if len(clean) <= LONGEST else clean[: LONGEST - 1] + "…"
