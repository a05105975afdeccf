"""What the values of a pprof profile mean for a Profile, also where another tool has measured something else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zeekspy.export.pprof import SAMPLE_TYPES

NANOSECONDS = {
    **dict.fromkeys(("nanoseconds", "nanosecond", "ns"), 1),
    **dict.fromkeys(("microseconds", "microsecond", "us"), 1_000),
    **dict.fromkeys(("milliseconds", "millisecond", "ms"), 1_000_000),
    **dict.fromkeys(("seconds", "second", "s"), 1_000_000_000),
}
"""By unit, as pprof writes them."""
LONGEST = 1 << 63


@dataclass(frozen=True, slots=True)
class Meaning:
    """Which of a sample's values are its count, cpu_ns and wall_ns, and by what they are multiplied."""

    types: tuple[tuple[str, str], ...]
    ours: bool
    count: int | None
    cpu: tuple[int, int] | None
    wall: tuple[int, int] | None
    period_ns: int

    def of(self, values: Sequence[int]) -> tuple[int, int, int]:
        """(count, cpu_ns, wall_ns) of one sample. Raises ValueError for what no 64 bits hold."""
        cpu_ns, wall_ns = (values[at[0]] * at[1] if at else 0 for at in (self.cpu, self.wall))
        if self.count is not None:
            count = values[self.count]
        else:
            count = (cpu_ns or wall_ns) // self.period_ns if self.period_ns > 0 else 1
        if max(cpu_ns, wall_ns) >= LONGEST:
            raise ValueError("a sample stands for more time than can be")
        return count, cpu_ns, wall_ns

    def meta(self) -> dict[str, Any]:
        """For Profile.meta: nothing for our own files."""
        if self.ours:
            return {}
        shown = [self.count, self.cpu and self.cpu[0], self.wall and self.wall[0]]
        return {
            "sample_types": ", ".join("/".join(t) for t in self.types),
            "shown": ", ".join("/".join(self.types[i]) for i in shown if i is not None),
        }


def values_of(types: list[tuple[str, str]], default: str, period: int) -> Meaning:
    """What ``types`` (name, unit) mean. Raises ValueError where there are none, or some twice."""
    if not types:
        raise ValueError("it has no values")
    if len(set(types)) < len(types):
        raise ValueError("it is several profiles one after the other (pprof -proto FILE... merges profiles into one)")
    if not all(name and unit for name, unit in types):
        raise ValueError("one of its values has no name or no unit")
    timed = [i for i, (_, unit) in enumerate(types) if unit in NANOSECONDS]
    cpu = next((i for i in timed if "cpu" in types[i][0] and "off" not in types[i][0]), None)
    wall = next((i for i in timed if i != cpu), None)
    counts = [i for i, (_, unit) in enumerate(types) if unit == "count"]
    count: int | None
    if timed:
        count = counts[0] if counts else None
    else:
        by_name = [i for i, (name, _) in enumerate(types) if name == default]
        count = by_name[0] if by_name else len(types) - 1
    return Meaning(
        types=tuple(types),
        ours=types == SAMPLE_TYPES,
        count=count,
        cpu=None if cpu is None else (cpu, NANOSECONDS[types[cpu][1]]),
        wall=None if wall is None else (wall, NANOSECONDS[types[wall][1]]),
        period_ns=period,
    )
