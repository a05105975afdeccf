"""Which stack was seen when: runs of equal samples in order of time, within fixed memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from heapq import merge
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeekspy.profile import Labels, Stack

LIMIT = 1 << 20
"""Runs that are kept, 16 bytes each. At 100 Hz and without any two equal neighbours that is close to three hours."""
MOST = (1 << 32) - 1
"""Samples of a run, what 32 bits hold."""
LONGEST_US = 1_000_000
"""Equal neighbours become one run until it is that long, so that samples missed in between shift no other by more."""


class Timeline:
    """Runs ``(t_us, slot, count)``: microseconds since Profile.time_ns, an index into ``keys``, samples.

    Beyond LIMIT the oldest runs are forgotten; ``dropped`` counts their samples.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.keys: list[tuple[Stack, Labels]] = []
        """Keys of Profile.samples."""
        self.dropped = 0
        self.times = array("q")
        self.slots = array("I")
        self.counts = array("I")
        self._limit = limit
        self._index: dict[tuple[Stack, Labels], int] = {}

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        return zip(self.times, self.slots, self.counts, strict=True)

    def slot(self, stack: Stack, labels: Labels) -> int:
        """The number that stands for this stack under these labels."""
        key = stack, labels
        number = self._index.get(key)
        if number is None:
            number = self._index[key] = len(self.keys)
            self.keys.append(key)
        return number

    def add(self, t_us: int, slot: int, count: int) -> None:
        """A run that began at ``t_us``, not before the one before it."""
        if self.times and self.slots[-1] == slot and 0 <= t_us - self.times[-1] < LONGEST_US:
            together = self.counts[-1] + count
            if together <= MOST:
                self.counts[-1] = together
                return
        if len(self.times) >= self._limit + self._limit // 8 + 1:
            self.forget(self._limit // 8 + 1)
        self.times.append(t_us)
        self.slots.append(slot)
        self.counts.append(count)

    def forget(self, runs: int) -> None:
        """Drops the oldest ``runs`` runs."""
        self.dropped += sum(self.counts[:runs])
        for column in (self.times, self.slots, self.counts):
            del column[:runs]

    def samples(self) -> list[int]:
        """How many samples of each slot have a time."""
        result = [0] * len(self.keys)
        for slot, count in zip(self.slots, self.counts, strict=True):
            result[slot] += count
        return result

    def gaps(self, period_us: float) -> Iterator[tuple[int, int, int, float]]:
        """The runs with the time between two samples of each, ``(t_us, slot, count, step_us)``.

        That is ``period_us``, or less where the next run of the same labels begins before.
        """
        following: dict[Labels, int] = {}
        steps = array("d", bytes(8 * len(self)))
        for i in range(len(self) - 1, -1, -1):
            labels, t_us, count = self.keys[self.slots[i]][1], self.times[i], self.counts[i]
            room = (following.get(labels, t_us + LONGEST_US + count * period_us) - t_us) / max(count, 1)
            steps[i] = max(0.0, min(period_us, room))
            following[labels] = t_us
        return zip(self.times, self.slots, self.counts, steps, strict=True)


def merged(parts: list[tuple[Timeline, int]]) -> Timeline:
    """One timeline of several, each with the microseconds that its beginning is later than the new one's."""
    result = Timeline()
    slots = [[result.slot(*key) for key in part.keys] for part, _ in parts]
    result.dropped = sum(part.dropped for part, _ in parts)
    for t_us, number, slot, count in merge(*(_numbered(i, *part) for i, part in enumerate(parts))):
        result.add(t_us, slots[number][slot], count)
    return result


def _numbered(number: int, part: Timeline, later: int) -> Iterator[tuple[int, int, int, int]]:
    return ((t_us + later, number, slot, count) for t_us, slot, count in part)
