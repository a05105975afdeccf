"""What a profile says of each body: time of its own and in all, how sure that is, and how often it ran."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from zeekspy.profile import CORE, IDLE, Frame, Profile, body_key, display_name, own_and_total

Z95 = 1.959964
"""Of the normal distribution: 95 % lie within this many standard deviations."""

Interval = tuple[float, float]
"""Lowest and highest share, 0 … 1."""


@dataclass(frozen=True, slots=True)
class Row:
    """One body: what was spent in it (own), and in it or what it called (total)."""

    frame: Frame
    """As profile.body_key makes it."""
    own_cpu_ns: int
    total_cpu_ns: int
    own_samples: int
    total_samples: int
    own_ci95: Interval | None = None
    """Where the share of all CPU time lies, with 95 % confidence; None where there was no CPU time."""
    total_ci95: Interval | None = None
    calls: int | None = None
    """How often it ran, exact; None if that was not counted."""
    calls_ns: int = 0
    """The time over which calls were counted."""
    zam: bool = False
    """Compiled by ZAM."""

    @property
    def name(self) -> str:
        """The display name, safe for a terminal."""
        name = printable(display_name(self.frame))
        marks = [m for m, there in (("inlined", "inlined" in self.frame.flags), ("zam", self.zam)) if there]
        return f"{name} ({', '.join(marks)})" if marks else name

    @property
    def place(self) -> str:
        """``file:line`` of the body's beginning, empty where there is none."""
        body = self.frame.body
        return f"{printable(body.file)}:{body.first_line}" if body is not None and body.file else ""

    @property
    def calls_per_s(self) -> float | None:
        return None if self.calls is None or self.calls_ns <= 0 else self.calls / (self.calls_ns / 1e9)

    @property
    def own_us_per_call(self) -> float | None:
        """Microseconds of CPU time of its own; None without calls. A call can only be as exact as the samples are."""
        return self.own_cpu_ns / 1000 / self.calls if self.calls else None

    @property
    def total_us_per_call(self) -> float | None:
        """Microseconds of CPU time in it or what it called."""
        return self.total_cpu_ns / 1000 / self.calls if self.calls else None


def rows(profile: Profile, *, unsampled: bool = False) -> list[Row]:
    """Every body of the profile, ``<zeek core>`` and ``<idle>`` too, by own CPU time, then by total.

    ``unsampled``: also the bodies that were called but not seen in any sample.
    """
    cpu, count = own_and_total(profile, "cpu_ns"), own_and_total(profile, "count")
    all_cpu = profile.total().cpu_ns
    running = sum(values.count for stack, _, values in profile if stack != (IDLE,))
    compiled = {body_key(f) for stack, _, _ in profile for f in stack if "zam" in f.flags}
    calls: Mapping[Frame, int] = profile.calls
    nothing = (0, 0)
    found = []
    for frame in [*cpu, *(f for f in calls if unsampled and f not in cpu)]:
        own, total = cpu.get(frame, nothing)
        found.append(
            Row(
                frame,
                own,
                total,
                *count.get(frame, nothing),
                own_ci95=interval(own / all_cpu, running) if all_cpu > 0 else None,
                total_ci95=interval(total / all_cpu, running) if all_cpu > 0 else None,
                calls=calls.get(frame),
                calls_ns=profile.calls_ns,
                zam=frame in compiled,
            )
        )
    return sorted(
        found,
        key=lambda r: (
            -r.own_cpu_ns,
            -r.total_cpu_ns,
            -r.own_samples,
            -r.total_samples,
            -(r.calls or 0),
            r.name,
            r.place,
        ),
    )


def interval(share: float, samples: int) -> Interval:
    """Wilson's 95 % confidence interval of a share that ``samples`` samples have shown.

    It is that of the share in the recorded time, not of what another day would show. Each sample is taken at a random
    moment of a slot of its own (csrc/clock.c), so that, given what the target did, samples are independent of each
    other however long the body runs at a time: the variance of their sum is that of p(1 - p) over the slots, which is
    at most the binomial one used here. Long runs make the interval too wide, never too narrow. ``samples`` leaves out
    those of an idle target, which no CPU time belongs to.
    """
    p, n = min(max(share, 0.0), 1.0), samples
    if n <= 0:
        return 0.0, 1.0
    z2n = Z95 * Z95 / n
    middle = (p + z2n / 2) / (1 + z2n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2n / (4 * n)) / (1 + z2n)
    return max(0.0, middle - half), min(1.0, middle + half)


def hottest(profile: Profile, n: int = 3) -> list[tuple[str, float]]:
    """The ``n`` script bodies with the most CPU time of their own, as ``(name, share of all CPU time)``, 0 … 1."""
    total = profile.total().cpu_ns
    if total <= 0:
        return []
    hot = [r for r in rows(profile) if r.own_cpu_ns > 0 and r.frame not in (CORE, IDLE)]
    return [(r.name, r.own_cpu_ns / total) for r in hot[:n]]


def printable(text: str) -> str:
    """``text`` with everything that could steer a terminal escaped: names come from the target's memory."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
