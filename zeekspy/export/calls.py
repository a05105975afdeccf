"""How often bodies ran, where the recording counted that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zeekspy.profile import Frame, Profile, own_and_total


@dataclass(frozen=True, slots=True)
class Known:
    """Of one body, in the whole recording."""

    calls: int
    us_per_call: float | None
    """CPU time in it and what it called, in microseconds; None without calls or samples."""


def calls_of(profile: Profile) -> Mapping[Frame, Known]:
    """By body, as profile.body_key makes it; without the bodies of which it is not known."""
    if not profile.calls:
        return {}
    cpu = own_and_total(profile, "cpu_ns")
    return {
        frame: Known(calls, cpu[frame][1] / 1000 / calls if calls and frame in cpu else None)
        for frame, calls in profile.calls.items()
    }
