"""The last samples of one node, with their times, within fixed memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeekspy.profile import Stack

RUN_BYTES = 32
"""Of one run: a time, two counts of nanoseconds, a stack's number and a number of samples."""
SPARE = 0.125
"""Part of the capacity that may be used beyond it, so that forgetting is rare."""
STACKS = 1024
"""Stacks that are kept, whether they are in the ring or not, before those that are in no run are forgotten."""

Run = tuple[int, int, int, int, int]
"""Nanoseconds (CLOCK_MONOTONIC) of the first sample, index of the stack, samples, CPU time, wall time (ns)."""


Columns = tuple["array[int]", "array[int]", "array[int]", "array[int]", "array[int]"]


def columns() -> Columns:
    """Those of no run, in the order of Run."""
    return array("q"), array("I"), array("I"), array("q"), array("q")


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a ring's runs, in order of time, with their stacks. It takes as little memory as they do in the ring."""

    stacks: tuple[Stack, ...]
    columns: Columns

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def runs(self) -> Iterator[Run]:
        return self.slice(0, len(self))

    def slice(self, first: int, last: int) -> Iterator[Run]:
        """The runs from number ``first`` until before ``last``."""
        t, slots, counts, cpu, wall = (column[first:last] for column in self.columns)
        return zip(t, slots, counts, cpu, wall, strict=True)


class Ring:
    """At most ``runs`` runs and ``SPARE`` more of them. A run is as the core made it: equal neighbours of one poll."""

    def __init__(self, runs: int) -> None:
        self._limit = max(runs, 16)
        self._times, self._slots, self._counts, self._cpu, self._wall = columns()
        self._stacks: list[Stack] = []
        self._index: dict[Stack, int] = {}
        self._sweep_at = STACKS

    def __len__(self) -> int:
        return len(self._times)

    @property
    def begins(self) -> int | None:
        """The time of the oldest run there is."""
        return self._times[0] if self._times else None

    @property
    def stacks(self) -> int:
        """How many are kept."""
        return len(self._stacks)

    def add(self, t_ns: int, stack: Stack, count: int, cpu_ns: int, wall_ns: int) -> None:
        """A run that began at ``t_ns``; one that seems to be older than the one before it is taken to be as old."""
        if len(self._times) >= self._limit * (1 + SPARE):
            for column in self._columns():
                del column[: len(column) - self._limit]
        slot = self._index.get(stack)
        if slot is None:
            if len(self._stacks) >= self._sweep_at:
                self._sweep()
            slot = self._index[stack] = len(self._stacks)
            self._stacks.append(stack)
        self._times.append(max(t_ns, self._times[-1]) if self._times else t_ns)
        self._slots.append(slot)
        self._counts.append(count)
        self._cpu.append(cpu_ns)
        self._wall.append(wall_ns)

    def part(self, begin_ns: int, end_ns: int) -> Part:
        """The runs that began at ``begin_ns`` or later and before ``end_ns``."""
        first, last = bisect_left(self._times, begin_ns), bisect_left(self._times, end_ns)
        t, slots, counts, cpu, wall = (column[first:last] for column in self._columns())
        numbers: dict[int, int] = {}
        slots = array("I", [numbers.setdefault(slot, len(numbers)) for slot in slots])
        return Part(tuple(self._stacks[slot] for slot in numbers), (t, slots, counts, cpu, wall))

    def _columns(self) -> Columns:
        return self._times, self._slots, self._counts, self._cpu, self._wall

    def _sweep(self) -> None:
        """Forgets the stacks of no run; not again before as many new ones have come as there are left."""
        used = sorted(set(self._slots))
        self._stacks = [self._stacks[slot] for slot in used]
        self._index = {stack: number for number, stack in enumerate(self._stacks)}
        new = dict(zip(used, range(len(used)), strict=True))
        self._slots = array("I", [new[slot] for slot in self._slots])
        self._sweep_at = max(STACKS, 2 * len(self._stacks))


def capacity(seconds: float, hz: float) -> int:
    """Runs that a ring of so many seconds must have room for: at worst no two neighbouring samples are equal."""
    return int(seconds * hz * 1.02) + 64


def size(seconds: float, hz: float) -> int:
    """Bytes that such a ring can take, without its stacks."""
    return round(capacity(seconds, hz) * RUN_BYTES * (1 + SPARE))
