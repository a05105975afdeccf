"""A heat map of the samples over time, FlameScope's picture, with the flame graph of any range, as one HTML page.

A column is a second, from the bottom to the top; a cell is as dark as it has samples. Recordings of more than an hour
have columns of ten seconds, a minute and so on. It needs the times of samples (Profile.times); what has none is only in
the flame graph of everything.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, BinaryIO

from zeekspy.export import page
from zeekspy.export.flamegraph import content, title
from zeekspy.export.sequence import untimed
from zeekspy.export.tree import tree
from zeekspy.export.words import why_empty
from zeekspy.profile import Labels, Profile


def write(profile: Profile, out: BinaryIO) -> None:
    """One HTML file. Without times it says so and has the flame graph alone."""
    drawn = tree([profile])
    data = content(drawn, profile) | {"title": title(profile).replace("flame graph", "heat map")}
    data |= {"time_ms": profile.time_ns // 1_000_000, "period_us": profile.period_ns / 1000, "leaf": drawn.leaf}
    data["said"] = why_empty(profile) or _without(profile)
    out.write(page.filled("heatmap.html", data | _runs(profile)))


def _runs(profile: Profile) -> dict[str, Any]:
    """Runs as three columns: microseconds since the run before, stack (an index into ``leaf``), samples."""
    labels: dict[Labels, int] = {}
    group = [labels.setdefault(key[1], len(labels)) for key in profile.samples]
    times = profile.times
    if times is None or not len(times):
        return {"dt": [], "stack": [], "count": [], "group": group}
    index = {key: number for number, key in enumerate(profile.samples)}
    stacks = [index.get(key, -1) for key in times.keys]
    dt = [times.times[0], *(after - before for before, after in pairwise(times.times))]
    return {"dt": dt, "stack": [stacks[slot] for slot in times.slots], "count": list(times.counts), "group": group}


def _without(profile: Profile) -> str:
    without, count = untimed(profile), profile.total().count
    if not without:
        return ""
    if without == count:
        return (
            "This profile does not have the times of its samples, so there is no heat map; the flame graph shows all."
        )
    return f"{without} of {count} samples came without their times: they are in the flame graph of everything alone."
