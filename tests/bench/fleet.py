"""What answers of ``zeekspy serve`` weigh and cost, from one window: ``python -m tests.bench.fleet FILE.pb.gz``.

The window of one node becomes that of several, each under a name of its own and with slightly different values, so that
they are not compressed as copies. The table of docs/fleet.md.
"""

from __future__ import annotations

import gzip
import io
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from zeekspy import recording
from zeekspy.export import pprof
from zeekspy.profile import Profile
from zeekspy.serve import metrics
from zeekspy.serve.series import FEW, Series

NODES = (1, 4, 16, 64)
T = TypeVar("T")


def timed(make: Callable[[], T]) -> tuple[T, float]:
    """What it makes, and milliseconds of CPU."""
    began = time.process_time()
    made = make()
    return made, 1000 * (time.process_time() - began)


def copies(window: Profile, nodes: int) -> Profile:
    result = Profile(time_ns=window.time_ns, duration_ns=window.duration_ns, period_ns=window.period_ns)
    for i in range(nodes):
        labels = (("node", f"worker-{i}"), ("role", "worker"))
        for stack, _, v in window:
            result.add(stack, labels, v.count, v.cpu_ns + 1001 * i, v.wall_ns + 77 * i)
    return result


def row(window: Profile, nodes: int) -> list[str]:
    profile, series = copies(window, nodes), Series()
    for at in range(FEW + 1):
        for i in range(nodes):
            series.add_samples(float(at), f"worker-{i}", [(stack, v) for stack, _, v in window])
    out = io.BytesIO()
    _, making = timed(lambda: pprof.write(profile, out))
    own = metrics.Own(1.0, 1.0, 1 << 26, 20, 1000, 0, series.shown, 0, 0.5)
    (text, _), exposing = timed(lambda: metrics.exposition(metrics.Collector(series.look, lambda: own), ""))
    return [
        str(nodes),
        f"{len(out.getvalue()) / 1000:.0f} KB",
        f"{making:.0f} ms",
        f"{len(gzip.compress(text, 6)) / 1000:.0f} KB",
        f"{len(text) / 1000:.0f} KB",
        f"{text.count(chr(10).encode() + b'zeek_')}",
        f"{exposing:.0f} ms",
    ]


def main(path: str) -> None:
    window = recording.read(path)
    stacks = len({stack for stack, _, _ in window})
    print(f"{window.duration_ns / 1e9:.1f} s, {window.total().count} samples, {stacks} stacks\n")
    print("| Zeeks on the host | a profile, gzipped | to make it | `/metrics`, gzipped | plain | series | to make it |")
    print("|---|---|---|---|---|---|---|")
    for nodes in NODES:
        print(f"| {' | '.join(row(window, nodes))} |")


if __name__ == "__main__":
    main(sys.argv[1])
