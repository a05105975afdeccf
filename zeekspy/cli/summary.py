"""What a recording says of itself at the prompt when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeekspy.session import Session

WARN_UNSEEN = 0.05
"""Of the target's CPU time, from which on it is worth a warning."""


def lines(sessions: Sequence[Session]) -> list[str]:
    """A line a target: samples, shares, what was lost, rates, engine; its slowest dispatch; why there is nothing."""
    from zeekspy.export import dispatches

    found = []
    for s in sessions:
        c, node = s.stats(), dict(s.labels).get("node")
        who = f"{node}, " if node else ""
        n = c["samples"] or 1
        slowest = s.profile.latency.slowest[:1] if s.profile.latency is not None else []
        slow = "".join(f"; slowest dispatch {dispatches.one(d)}" for d in slowest)
        shares = ", ".join(f"{k} {100 * c[k] / n:.1f} %" for k in ("script", "core", "idle"))
        found.append(
            f"{who}pid {s.attachment.target.pid}: {c['samples']} samples ({shares}), "
            f"torn {c['torn']}, stale {c['stale']}, "
            f"unreadable {c['unreadable']}, lineless {c['lineless']}, missed {c['missed']}; "
            f"{c['hz_achieved']:g} of {c['hz_asked']:g} Hz, "
            f"engine {c['engine']} ({c['engine_reason']}){slow}" + (f"; {s.ended}" if s.ended else "")
        )
        if c["hz_lowered_to"]:
            found.append(
                f"  the rate was lowered to {c['hz_lowered_to']:.4g} Hz: sampling cost more than it may (--max-cpu) or "
                "could not keep up"
            )
        if c["unseen"] > WARN_UNSEEN:
            found.append(
                f"  warning: {100 * c['unseen']:.0f} % of its CPU time was not seen: looking took a CPU from threads "
                "that it waited for. One CPU more, or --engine preempt, shows it right"
            )
        if not c["samples"]:
            found.append("  no samples: the recording ended before the first one was due")
        elif not c["script"]:
            found.append("  no script was running in any sample: the profile holds only core and idle time")
        elif c["layout_unproven"]:
            found.append(
                f"  warning: no stack has shown that the offsets of {c['layout']} are right for "
                f"{', '.join(c['layout_unproven'])}: functions or lines may be wrong or missing"
            )
    return found
