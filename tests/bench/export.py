"""How long a large profile takes to export, in every format, beside the bare minimum: ``python -m tests.bench.export``.

One million samples, 20,000 distinct stacks over 400 bodies, each sample with its time. The peer is what no exporter
can do without: going through the samples once and writing the same number of bytes. The goal is 5 s each.
"""

from __future__ import annotations

import argparse
import io
import platform
import random
import sys
import time
from collections.abc import Callable
from functools import partial

from zeekspy import export
from zeekspy.export import pprof_read
from zeekspy.profile import CORE, IDLE, Body, Frame, Profile, Stack
from zeekspy.timeline import Timeline

GOAL_S = 5.0
SAMPLES, STACKS, BODIES = 1_000_000, 20_000, 400
LABELS = (("pid", "4711"),)


def large_profile(samples: int = SAMPLES, stacks: int = STACKS) -> Profile:
    """The same every time: depths from 1 to 16, mostly 2 to 6, a third of the samples in scripts, short runs."""
    dice = random.Random(7)
    kinds = ("event", "hook", "function", "function", "bif")
    bodies = []
    for i in range(BODIES):
        kind = kinds[i % len(kinds)]
        file = f"/opt/zeek/share/zeek/base/protocols/p{i % 40}/main.zeek"
        body = None if kind == "bif" else Body(file, 10 * i + 1, 10 * i + 9)
        bodies.append((f"Module{i % 40}::name_{i}", kind, body))
    frames = [
        Frame(name, kind, body and body.file, body and body.first_line + line, body)
        for name, kind, body in bodies
        for line in range(1 if body is None else 5)
    ]
    distinct: dict[Stack, None] = {}
    while len(distinct) < stacks:
        depth = min(16, 1 + int(dice.expovariate(0.25)))
        distinct[tuple(dice.choice(frames) for _ in range(depth))] = None
    pool = list(distinct)
    profile = Profile(time_ns=1_790_000_000 * 10**9, period_ns=10_000_000)
    profile.meta = {"zeek_version": "9.1.0", "engine": "nonblocking", "hz_asked": 100.0}
    profile.times = Timeline()
    t_us, seen = 0, 0
    while seen < samples:
        which = dice.random()
        script = dice.choice(pool) if which < 0.33 else (CORE,) if which < 0.9 else (IDLE,)
        stack = pool[seen] if seen < stacks else script
        count = 1 if seen < stacks or which < 0.33 else min(dice.randint(1, 3), samples - seen)
        profile.add(stack, LABELS, count, 0 if stack == (IDLE,) else count * 9_900_000, count * 10_000_000)
        profile.times.add(t_us, profile.times.slot(stack, LABELS), count)
        t_us += count * 10_000 + dice.randint(-4000, 4000)
        seen += count
    profile.duration_ns = t_us * 1000
    return profile


def cost(action: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The best of some rounds: seconds of CPU time, and seconds."""
    best = (float("inf"), float("inf"))
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        action()
        best = min(best, (time.process_time() - cpu, time.perf_counter() - wall))
    return best


def floor(profile: Profile, size: int) -> bytes:
    """What cannot be done without: every sample and frame looked at, and as many bytes made."""
    looked = sum(len(stack) * values.count for stack, _, values in profile)
    looked += sum(count for _, _, count in profile.times or ())
    return b"x" * size if looked else b""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("formats", nargs="*", default=list(export.FORMATS))
    arguments.add_argument("--rounds", type=int, default=2)
    args = arguments.parse_args()
    profile = large_profile()
    samples, runs = profile.total().count, len(profile.times or ())
    print(f"{samples} samples, {len(profile.samples)} stacks, {runs} runs; Python {platform.python_version()}")
    print(f"{'format':16} {'CPU s':>8} {'s':>8} {'MB':>8} {'floor s':>8} {'ratio':>7}")
    slow = []
    for name in args.formats:
        data = written(profile, name)
        cpu, wall = cost(partial(written, profile, name), args.rounds)
        least, _ = cost(partial(floor, profile, len(data)), args.rounds)
        print(f"{name:16} {cpu:8.2f} {wall:8.2f} {len(data) / 1e6:8.1f} {least:8.2f} {cpu / least:7.1f}", flush=True)
        slow += [name] if cpu > GOAL_S else []  # not the wall time: the machine may be busy with something else
        if name == "pprof":
            cpu, wall = cost(lambda file=data: pprof_read.read(io.BytesIO(file)), 1)  # type: ignore[misc]
            print(f"{'  read back':16} {cpu:8.2f} {wall:8.2f}")
    print(f"{'NOT REACHED: ' + ', '.join(slow) if slow else 'ok'}: {GOAL_S:g} s allowed")
    return 1 if slow else 0


def written(profile: Profile, name: str) -> bytes:
    out = io.BytesIO()
    export.by_name(name).write(profile, out)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
