"""How much of a core the profiler may cost: when to change the rate, and to what. Numbers in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass, field

WINDOW = 5.0
"""Seconds over which the cost is taken: short peaks, as when many new stacks appear at once, are no reason."""
BEHIND = 0.2
"""Part of the due samples that may be missed in a window."""
PATIENCE = 2
"""Windows in a row with so many missed before that counts: a profiler that was stopped once is not too slow."""
MARGIN = 0.9
"""Of what would just do."""
LOWEST = 1.0
"""Hz below which no rate is lowered."""
AGAIN = 300.0
"""Seconds at a lowered rate after which the one asked for may be tried again: the machine may have been busy."""


@dataclass(slots=True)
class Limit:
    """For samplers that share one rate: ``hz`` now, ``percent`` of a core in all at most.

    ``at`` (seconds) and ``cpu`` (the profiler's own, seconds) are those of the beginning. ``again``: that the rate
    asked for is tried again after a while.
    """

    hz: float
    percent: float
    at: float
    cpu: float
    again: bool = False
    asked: float = field(init=False)
    """The rate of the beginning."""
    _lowered_at: float = field(default=0.0, init=False)
    _samples: int = field(default=0, init=False)
    _missed: int = field(default=0, init=False)
    _behind: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.asked = self.hz

    def change(self, at: float, cpu: float, samples: int, missed: int) -> float | None:
        """The new rate if there is to be one now, else None. The counters are all samplers' since the beginning."""
        seconds = at - self.at
        if seconds < WINDOW:
            return None
        cost = 100 * (cpu - self.cpu) / seconds
        due = samples - self._samples + missed - self._missed
        late = (missed - self._missed) / due if due else 0.0
        self.at, self.cpu, self._samples, self._missed = at, cpu, samples, missed
        self._behind = self._behind + 1 if late > BEHIND else 0
        factor = 1.0
        if cost > self.percent:
            factor = MARGIN * self.percent / cost
        if self._behind >= PATIENCE:
            factor = min(factor, MARGIN * (1 - late))
        wanted = max(LOWEST, self.hz * factor)
        if wanted < self.hz:
            self._lowered_at = at
        elif self.again and self.hz < self.asked and at - self._lowered_at >= AGAIN:
            wanted = self.asked
        else:
            return None
        self.hz = wanted
        self._behind = 0
        return wanted
