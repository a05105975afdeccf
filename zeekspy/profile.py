"""The Profile: what a recording saw, in the form every exporter reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeekspy.latency import Latency
    from zeekspy.timeline import Timeline

KINDS = ("event", "hook", "function", "bif")


@dataclass(frozen=True, slots=True)
class Body:
    """One body of a function, event or hook: the unit that time belongs to. ``file`` None: Zeek kept no location."""

    file: str | None
    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One level of a script stack. Unknown parts are None, never guessed."""

    name: str | None
    """Zeek's name of the function: ``connection_state_remove``, ``Log::write``, ``lambda_<…>``."""
    kind: str | None
    """One of KINDS, or None."""
    file: str | None
    line: int | None
    body: Body | None
    """The body that runs, None where it is not known (and for BiFs, which have none)."""
    bodies: int = 1
    """How many bodies the function has; with more than one, the body's place is part of its display name."""
    flags: frozenset[str] = frozenset()
    """Of: unreadable, top-level, call (the line is that of a call in progress), inlined, zam."""


Stack = tuple[Frame, ...]
"""Outermost frame first."""

CORE = Frame("<zeek core>", None, None, None, None)
"""Stands for an empty stack while the main thread was on the CPU: analyzers, I/O, logging in C++."""
IDLE = Frame("<idle>", None, None, None, None)
"""Stands for an empty stack while the main thread was blocked."""
UNREADABLE = "<unreadable>"
TOP_LEVEL = "<top-level statements>"


@dataclass(slots=True)
class Values:
    """What the samples of one stack add up to."""

    count: int = 0
    cpu_ns: int = 0
    wall_ns: int = 0

    def add(self, count: int, cpu_ns: int, wall_ns: int) -> None:
        self.count += count
        self.cpu_ns += cpu_ns
        self.wall_ns += wall_ns


Chain = tuple[tuple[str, str, int], ...]
"""A line in compiled code: (function, file, line) of the body, then of what is inlined into it; line 0 is unknown."""

Labels = tuple[tuple[str, str], ...]
"""Sorted (key, value) pairs of a sample: node, pid."""


@dataclass(slots=True)
class Profile:
    """Samples by stack and labels, with the recording's circumstances.

    ``meta`` holds what is known of it: exe, build_id, zeek_version, layout, engine, hz_asked, hz_achieved, command,
    zeekspy_version, and the counters of ``--stats`` (design.md section 6). Exporters may print it, never need it.
    """

    time_ns: int = 0
    """Wall-clock time of the first sample, nanoseconds since the epoch."""
    duration_ns: int = 0
    period_ns: int = 0
    """Nominal time between two samples."""
    samples: dict[tuple[Stack, Labels], Values] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    times: Timeline | None = None
    """When the samples were taken, where that was kept: all of them, or the latest."""
    calls: dict[Frame, int] = field(default_factory=dict)
    """How often bodies ran, counted by Zeek itself: exact. Keys as body_key makes them.

    A body that is not in it was not called or, if it has samples, cannot be counted: BiFs, inlined bodies, those
    compiled by ZAM before Zeek 9.0.
    """
    calls_ns: int = 0
    """The time over which calls were counted; 0 if they were not."""
    instructions: dict[Chain, int] = field(default_factory=dict)
    """How many ZAM instructions ran on a line, exact, from Zeek 9.0 on."""
    latency: Latency | None = None
    """How long events were being handled; None where dispatches cannot be told apart."""

    def add(self, stack: Stack, labels: Labels, count: int, cpu_ns: int, wall_ns: int) -> None:
        key = (stack, labels)
        values = self.samples.get(key)
        if values is None:
            values = self.samples[key] = Values()
        values.add(count, cpu_ns, wall_ns)

    def add_calls(self, other: Profile) -> None:
        """Adds what is known beside another profile's samples, of the same time as this one's."""
        for key, n in other.calls.items():
            self.calls[key] = self.calls.get(key, 0) + n
        for chain, n in other.instructions.items():
            self.instructions[chain] = self.instructions.get(chain, 0) + n
        self.calls_ns = max(self.calls_ns, other.calls_ns)
        if other.latency is not None:
            self.latency = other.latency.added_to(self.latency)

    def __iter__(self) -> Iterator[tuple[Stack, Labels, Values]]:
        for (stack, labels), values in self.samples.items():
            yield stack, labels, values

    def total(self) -> Values:
        """The sum over all stacks, ``<zeek core>`` and ``<idle>`` included."""
        total = Values()
        for values in self.samples.values():
            total.add(values.count, values.cpu_ns, values.wall_ns)
        return total


def display_name(frame: Frame) -> str:
    """The name under which a frame's body is shown and told apart from the function's other bodies.

    ``name``, ``name [dir/file.zeek:line]`` where the function has several bodies, ``lambda@file.zeek:line``.
    """
    if frame.name is None:
        return TOP_LEVEL if "top-level" in frame.flags else UNREADABLE
    body = frame.body
    if frame.name.startswith("lambda_<") and body is not None and body.file:
        return f"lambda@{short_file(body.file, 1)}:{body.first_line}"
    if frame.bodies > 1:
        if body is None or not body.file:
            return f"{frame.name} [?]"
        return f"{frame.name} [{short_file(body.file, 2)}:{body.first_line}]"
    return frame.name


def short_file(file: str, parts: int) -> str:
    """The last ``parts`` components of a script's path, ``.`` and empty ones left out: ``http/main.zeek``."""
    return "/".join([p for p in file.split("/") if p not in ("", ".")][-parts:])


def own_and_total(profile: Profile, value: str = "cpu_ns") -> Mapping[Frame, tuple[int, int]]:
    """Per body, ``(own, total)`` of ``value``: time in it, and in it or what it called (recursion counted once).

    Keys are frames with file, line and flags taken away, so that a key is one body.
    """
    result: dict[Frame, list[int]] = {}
    for stack, _, values in profile:
        amount = getattr(values, value)
        keys = [body_key(f) for f in stack]
        for key in set(keys):
            result.setdefault(key, [0, 0])[1] += amount
        if keys:
            result[keys[-1]][0] += amount
    return {frame: (own, total) for frame, (own, total) in result.items()}


def body_key(frame: Frame) -> Frame:
    """``frame`` without what differs from sample to sample within one body."""
    keep = frame.flags & {"unreadable", "top-level", "inlined"}
    return Frame(frame.name, frame.kind, None, None, frame.body, frame.bodies, keep)
