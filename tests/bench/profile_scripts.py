"""Our profile beside Zeek's own ``--profile-scripts`` of the same run: calls, and the costliest bodies.

    python -m tests.bench.profile_scripts ZEEK PCAP [HZ [ENGINE]]

Zeek's table measures the CPU time of each call with getrusage, which costs several microseconds a call. Because the
run is the same one, most of that is in both columns: it makes the run slower, not the comparison unfair. What lies
before the first reading and after the second is in ours alone, and in that of the handler which ran just before.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from tests.support.scripts_profile import Both, Place, rank_correlation, record


def main() -> None:
    zeek, trace, hz = sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 997.0
    engine = sys.argv[4] if len(sys.argv) > 4 else "auto"
    with tempfile.TemporaryDirectory() as folder:
        command = [zeek, "-C", "-r", trace, "local", f"Log::default_logdir={folder}"]
        both = record(command, Path(folder) / "table", hz, engine)
    meta = both.profile.meta
    rate = f"{meta['hz_achieved']} Hz, engine {meta['engine']}"
    print(f"Zeek {meta['zeek_version']}, {meta['samples']} samples at {rate}; {meta['script']} of them in scripts")
    differ = {p for p in both.ncall.keys() | both.calls.keys() if both.ncall.get(p) != both.calls.get(p)}
    print(f"bodies in Zeek's table: {len(both.ncall)}, with as many calls in ours: {len(both.ncall.keys() - differ)}")
    for place in sorted(differ)[:20]:
        print(f"  differs: {place[0]} {place[1]}: ncall {both.ncall.get(place)}, calls {both.calls.get(place)}")
    top = both.costliest()
    print("  tot_CPU s    total s     calls  body")
    for p in top:
        print(f"{both.tot_cpu[p]:11.3f}{both.total.get(p, 0):11.3f}{both.calls.get(p, 0):10}  {p[0]} {p[1]}")
    print(f"rank correlation of the ten costliest: {correlation(both, top):.3f}; {possible(both, top)}")
    least = 0.005 * both.profile.total().cpu_ns / 1e9
    many = [p for p in both.costliest(len(both.tot_cpu)) if both.tot_cpu[p] >= least]
    print(
        f"of the {len(many)} bodies with 0.5 % of the time and more: {correlation(both, many):.3f}; "
        + possible(both, many)
    )
    cost = measuring(both, many)
    for p in many:
        both.total[p] = both.total.get(p, 0.0) - cost * both.calls.get(p, 0)
    print(
        f"measuring a call takes {1e6 * cost:.1f} us that are in ours alone (fitted); without it: "
        f"ten costliest {correlation(both, top):.3f}, all {len(many)} {correlation(both, many):.3f}"
    )


def possible(both: Both, places: list[Place]) -> str:
    """What a sampler without any bias would reach with as many samples, were Zeek's times the truth."""
    draw = random.Random(1).gauss
    times, samples = [both.tot_cpu[p] for p in places], both.profile.meta["samples"] - both.profile.meta["idle"]
    per_second = samples / (both.profile.total().cpu_ns / 1e9)
    found = sorted(
        rank_correlation(times, [draw(t * per_second, (t * per_second) ** 0.5) for t in times]) for _ in range(1000)
    )
    return f"an unbiased sampler: {found[500]:.3f}, 19 times in 20 at least {found[50]:.3f}"


def measuring(both: Both, places: list[Place]) -> float:
    """Seconds a call: what Zeek's getrusage adds outside of what it measures, and a look at the stack sees.

    Least squares over ``places`` of our time less Zeek's against calls; where that would be negative, 0.
    """
    calls = [both.calls.get(p, 0) for p in places]
    more = [both.total.get(p, 0.0) - both.tot_cpu[p] for p in places]
    return max(0.0, sum(c * m for c, m in zip(calls, more, strict=True)) / max(1, sum(c * c for c in calls)))


def correlation(both: Both, places: list[Place]) -> float:
    return rank_correlation([both.tot_cpu[p] for p in places], [both.total.get(p, 0.0) for p in places])


if __name__ == "__main__":
    main()
