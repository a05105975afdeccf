"""Sentences about a profile that several formats show: what it is of, and why there is nothing in it."""

from __future__ import annotations

import time

from zeekspy.profile import CORE, IDLE, Labels, Profile


def headline(profile: Profile) -> str:
    """What was profiled and how much: version, processes, rate, samples, times. Only what is known."""
    meta, total = profile.meta, profile.total()
    parts = []
    if meta.get("zeek_version"):
        parts.append(f"Zeek {meta['zeek_version']}")
    who = sorted({process(labels) for _, labels, _ in profile} - {""})
    if who:
        parts.append(", ".join(who[:4]) + (f" and {len(who) - 4} more" if len(who) > 4 else ""))
    if profile.time_ns > 0:
        parts.append(time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(min(profile.time_ns // 10**9, 253402300799))))
    parts.append(f"{total.count} samples")
    if total.cpu_ns or total.wall_ns:
        parts.append(f"{total.cpu_ns / 1e9:.3f} s on the CPU, {total.wall_ns / 1e9:.3f} s of wall time")
    if meta.get("engine"):
        parts.append(f"engine {meta['engine']}")
    if meta.get("sample_types"):
        parts.append(f"not from zeekspy: shows {meta.get('shown')} of {meta['sample_types']}")
    return ", ".join(parts)


def process(labels: Labels) -> str:
    """Whose samples they are: the node's name, else the process id, else nothing."""
    found = dict(labels)
    if found.get("node"):
        return found["node"]
    return f"pid {found['pid']}" if found.get("pid") else ""


def why_empty(profile: Profile) -> str:
    """The sentence that goes in the place of stacks where there are none; empty where there are some."""
    if not profile.total().count and not profile.samples:
        return "There are no samples: the recording ended before the first one was due."
    if not any(v.count or v.cpu_ns or v.wall_ns for _, _, v in profile):
        return "All samples of this profile have the value zero."
    if all(stack in ((CORE,), (IDLE,)) for stack, _, _ in profile):
        return "No script ran in any sample: there is only time in Zeek's core and idle time."
    return ""
