"""What has changed between two profiles, body by body, and which changes are more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from zeekspy.export.tree import main_value
from zeekspy.profile import IDLE, Frame, Profile, display_name, own_and_total

FALSE_DISCOVERIES = 0.05
"""Of the changes that are called significant, that part may be chance."""

FEWEST = 5


@dataclass(frozen=True, slots=True)
class Change:
    """One body in both profiles. Shares are of a profile's CPU time (what main_value says of the new one), 0 … 1."""

    frame: Frame
    """As profile.body_key makes it, of the new profile where both have it."""
    own: float
    base_own: float
    total: float
    base_total: float
    own_samples: int
    base_own_samples: int
    p: float
    """Probability of a difference as large as that between the own shares of the samples, had nothing changed."""
    significant: bool = False

    @property
    def gain(self) -> float:
        return self.own - self.base_own


def changes(profile: Profile, base: Profile) -> list[Change]:
    """Every body of either profile but ``<idle>``, the one whose own share has grown most first.

    A two-proportion z-test on the own samples among all samples that were not idle gives ``p``. With hundreds of
    bodies some differ by chance, so what is significant is chosen by Benjamini and Hochberg's procedure.
    Bodies are matched by kind, display name and file, so that moved lines change no body with a name of its own.
    """
    value = main_value(profile)
    sums = [_sums(part, value) for part in (profile, base)]
    running = [sum(v.count for stack, _, v in part if stack != (IDLE,)) for part in (profile, base)]
    found = []
    for key in dict.fromkeys([*sums[0], *sums[1]]):
        frame = (sums[0].get(key) or sums[1][key]).frame
        if frame == IDLE:
            continue
        new, old = (s.get(key) or _Sums(frame) for s in sums)
        p = two_proportions(new.own_samples, running[0], old.own_samples, running[1])
        found.append(Change(frame, new.own, old.own, new.total, old.total, new.own_samples, old.own_samples, p))
    limit = _limit(sorted(c.p for c in found))
    marked = [replace(c, significant=c.p <= limit) for c in found]
    return sorted(marked, key=lambda c: (-c.gain, -c.own, display_name(c.frame)))


def two_proportions(a: int, of_a: int, b: int, of_b: int) -> float:
    """Two-sided p of the z-test that ``a`` of ``of_a`` and ``b`` of ``of_b`` are of the same proportion.

    1 where there are too few samples to tell: the test holds from about FEWEST expected on.
    """
    if of_a <= 0 or of_b <= 0:
        return 1.0
    both = (a + b) / (of_a + of_b)
    if both * min(of_a, of_b) < FEWEST:
        return 1.0
    spread = both * (1 - both) * (1 / of_a + 1 / of_b)
    if spread <= 0:
        return 1.0
    return math.erfc(abs(a / of_a - b / of_b) / math.sqrt(2 * spread))


@dataclass(slots=True)
class _Sums:
    frame: Frame
    own: float = 0.0
    total: float = 0.0
    own_samples: int = 0


_Key = tuple[str, str | None, str | None]


def _sums(profile: Profile, value: str) -> dict[_Key, _Sums]:
    whole = getattr(profile.total(), value) or 1
    amounts, counts = own_and_total(profile, value), own_and_total(profile, "count")
    result: dict[_Key, _Sums] = {}
    for frame, (own, total) in amounts.items():
        key = (display_name(frame), frame.kind, frame.body.file if frame.body else None)
        sums = result.setdefault(key, _Sums(frame))
        sums.own += own / whole
        sums.total += total / whole
        sums.own_samples += counts[frame][0]
    return result


def _limit(ps: list[float]) -> float:
    """The largest p that is still significant."""
    return max((p for i, p in enumerate(ps, start=1) if p <= FALSE_DISCOVERIES * i / len(ps)), default=-1.0)
