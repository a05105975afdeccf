"""How long events were being handled: what the samples tell of single dispatches.

A dispatch is one event with all its handlers, in wall time. Zeek counts them (csrc/dispatch.h), so samples of one can
be told from those of the next. What that is worth:

- A dispatch that k samples saw lasted between (k-1) and (k+1) periods; the samples around it say it exactly. Each slot
  of one period has one sample, so a dispatch of three periods or more is seen twice at least: of those none is missing,
  and each counts as one.
- A shorter one is seen with a probability of about its length over the period, and what was seen once has no length.
  But the number of samples in a dispatch has the expectation length / period whatever its length. So samples times
  period is an unbiased estimate of the time in all dispatches of an event, with a standard error of the period times
  the root of the samples or less; what was seen once gets what is not in the long ones. How many short ones there
  were is not estimated: Zeek counts the calls of the bodies (Profile.calls), and without that it stays unknown.

Calls from C++ outside of any event (an ``&expire_func``) are dispatches here too; several of one function in a row,
with no sample between them, may pass for one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from zeekspy.profile import Frame, Labels, Profile, Stack, display_name

SLOWEST = 20
"""Dispatches that are kept with their stacks."""
MAX_HANDLERS = 2048
"""Names, which come from the target's memory; the samples of more are in OTHERS."""
OTHERS = "<others>"
BUCKETS = 24
"""Of a factor of 2: the first is below FIRST_NS, the last has no end."""
FIRST_NS = 1_000_000
PROVEN_PERIODS = 3
"""Dispatches of that many periods are always seen at least twice."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One that at least two samples saw."""

    begin_ns: int
    """Of the first of them, nanoseconds since the epoch."""
    shortest_ns: int
    """From the first to the last of them."""
    longest_ns: int | None
    """From the sample before to the sample after; None if it was there when the recording began or ended."""
    length_ns: int
    """As far as is known (``length``)."""
    samples: int
    stack: Stack
    """That most of them saw."""
    labels: Labels = ()


@dataclass(slots=True)
class Handled:
    """The dispatches of one event, or of what else C++ has called."""

    kind: str | None = None
    samples: int = 0
    """That saw any of them."""
    long_samples: int = 0
    """Those of dispatches that at least two samples saw."""
    long_ns: int = 0
    """Of those dispatches, the lengths' sum."""
    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    """How many of those dispatches there were, by their length: FIRST_NS times a power of 2."""

    @property
    def long(self) -> int:
        return sum(self.buckets)

    @property
    def once(self) -> int:
        """Samples of dispatches that no other sample saw."""
        return max(0, self.samples - self.long_samples)

    def add(self, other: Handled) -> None:
        self.kind = self.kind or other.kind
        self.samples += other.samples
        self.long_samples += other.long_samples
        self.long_ns += other.long_ns
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]


@dataclass(slots=True)
class Latency:
    """All of a recording, within fixed memory."""

    handled: dict[str, Handled] = field(default_factory=dict)
    """By the name of the function at the stack's bottom."""
    slowest: list[Dispatch] = field(default_factory=list)
    """The SLOWEST longest, the longest first."""

    def see(self, stack: Stack, samples: int) -> None:
        """Samples that saw a script run."""
        self.of(stack[0]).samples += samples

    def add(self, dispatch: Dispatch) -> None:
        """One that is over; its samples are to be given to ``see`` too."""
        handled = self.of(dispatch.stack[0])
        handled.long_samples += dispatch.samples
        handled.long_ns += dispatch.length_ns
        handled.buckets[bucket(dispatch.length_ns)] += 1
        if len(self.slowest) < SLOWEST or dispatch.length_ns > self.slowest[-1].length_ns:
            self._keep(dispatch)

    def added_to(self, other: Latency | None) -> Latency:
        """A new one, of both."""
        result = Latency()
        for part in (other, self):
            if part is not None:
                for name, handled in part.handled.items():
                    result._named(name).add(handled)
                for dispatch in part.slowest:
                    result._keep(dispatch)
        return result

    def of(self, bottom: Frame) -> Handled:
        """What is known of the function that a stack has at its bottom."""
        handled = self._named(bottom.name or display_name(bottom))
        handled.kind = handled.kind or bottom.kind
        return handled

    def _named(self, name: str) -> Handled:
        found = self.handled.get(name)
        if found is None:
            name = name if len(self.handled) < MAX_HANDLERS else OTHERS
            found = self.handled.setdefault(name, Handled())
        return found

    def _keep(self, dispatch: Dispatch) -> None:
        self.slowest.append(dispatch)
        self.slowest.sort(key=lambda d: (-d.length_ns, d.begin_ns))
        del self.slowest[SLOWEST:]


@dataclass(frozen=True, slots=True)
class Row:
    """One event in a report."""

    name: str
    kind: str | None
    total_ns: float
    """Time in all its dispatches: an unbiased estimate."""
    error_ns: float
    """Its standard error, at most."""
    dispatches: int | None
    """How many there were, counted by Zeek; None if that is not known."""
    long: int
    """Of those, how many at least two samples saw: all that took PROVEN_PERIODS, and some shorter ones."""
    short_ns: float
    """Time in the others."""
    buckets: tuple[int, ...]
    """Of the long ones, as Handled has them."""

    @property
    def short_mean_ns(self) -> float | None:
        """Of the others; None if it is not known how many there were."""
        short = (self.dispatches or 0) - self.long
        return self.short_ns / short if short > 0 else None


def rows(profile: Profile) -> Iterator[Row]:
    """Every event of the profile, that with the longest dispatches first."""
    latency = profile.latency
    if latency is None:
        return
    total = profile.total()
    period = total.wall_ns / total.count if total.count and total.wall_ns else float(profile.period_ns)
    calls: dict[str, int] = {}
    for frame, n in profile.calls.items():  # a dispatch calls each body once
        if frame.kind == "event" and frame.name is not None:
            calls[frame.name] = max(calls.get(frame.name, 0), n)
    for name, h in sorted(
        latency.handled.items(), key=lambda item: (item[1].buckets[::-1], item[1].samples), reverse=True
    ):
        known = calls.get(name) if h.kind == "event" else None
        if (
            known is not None and known < h.long
        ):  # some went on when the counting began, or it was counted over less time
            known = h.long if 1.1 * known + 2 >= h.long else None
        spent, error = h.samples * period, math.sqrt(h.samples) * period
        yield Row(name, h.kind, spent, error, known, h.long, h.once * period, tuple(h.buckets))


def length(shortest_ns: int, longest_ns: int | None, period_ns: int) -> int:
    """How long a dispatch took that lasted so long at least and at most.

    The middle, but at most a period longer than at least: it is not to look slow because samples were missed.
    """
    return shortest_ns if longest_ns is None else shortest_ns + min((longest_ns - shortest_ns) // 2, period_ns)


def bucket(ns: int) -> int:
    """The bucket of a length."""
    return min((ns // FIRST_NS).bit_length(), BUCKETS - 1) if ns > 0 else 0


def edges(number: int) -> tuple[int, int | None]:
    """From which length on, and below which, a bucket holds dispatches, nanoseconds."""
    low = FIRST_NS << (number - 1) if number else 0
    return low, FIRST_NS << number if number < BUCKETS - 1 else None
