"""Our profile beside Zeek's own ``--profile-scripts`` of the same run: calls, and the costliest bodies.

    python tests/bench_profile_scripts.py ZEEK PCAP [HZ [ENGINE]]

Zeek's table measures the CPU time of each call with getrusage, which costs several microseconds a call. Because the run
is the same one, that is in both columns: it makes the run slower, not the comparison unfair.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.support.scripts_profile import rank_correlation, record


def main() -> None:
    zeek, trace, hz = sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 997.0
    engine = sys.argv[4] if len(sys.argv) > 4 else "auto"
    with tempfile.TemporaryDirectory() as folder:
        command = [zeek, "-C", "-r", trace, "local", f"Log::default_logdir={folder}"]
        both = record(command, Path(folder) / "table", hz, engine)
    meta = both.profile.meta
    print(
        f"Zeek {meta['zeek_version']}, {meta['samples']} samples at {meta['hz_achieved']} Hz ({meta['engine']}), {meta['script']} script"
    )
    differ = {p for p in both.ncall.keys() | both.calls.keys() if both.ncall.get(p) != both.calls.get(p)}
    print(f"bodies in Zeek's table: {len(both.ncall)}, with as many calls in ours: {len(both.ncall.keys() - differ)}")
    for place in sorted(differ)[:20]:
        print(f"  differs: {place[0]} {place[1]}: ncall {both.ncall.get(place)}, calls {both.calls.get(place)}")
    top = both.costliest()
    print("  tot_CPU s    total s     calls  body")
    for p in top:
        print(f"{both.tot_cpu[p]:11.3f}{both.total.get(p, 0):11.3f}{both.calls.get(p, 0):10}  {p[0]} {p[1]}")
    rho = rank_correlation([both.tot_cpu[p] for p in top], [both.total.get(p, 0.0) for p in top])
    print(f"rank correlation of the ten costliest: {rho:.3f}")


if __name__ == "__main__":
    main()
