"""What sampling many targets costs beside one: python -m tests.bench.many [--targets 64] [--hz 100] [--minutes 0.5].

The targets are stand-ins that sleep nearly always, and together take a few percent of a core. One and many are measured
in the same run, after attaching, all threads. Printed are percent of a core, memory at the beginning and the end, and
the rate; exit code 1 where a goal is missed.
With --minutes 60 it is the long form, which says every five minutes how things stand.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack

from tests.support import targets
from zeekspy import session
from zeekspy.several import own_cpu

IDLE = "0.999"
ONE_MINUTES = 0.5
"""Of one target alone, however long the many are measured."""
REPORT_S = 300.0
SETTLE_S = 15.0
"""Before measuring: targets read their scripts, and are looked at more closely, in their first seconds."""
CPU_PERCENT = 5.0
GROWTH_MB = 20.0
"""Most of it when each sample was taken, which has a bound."""


def rss() -> float:
    """Memory of this process, MB."""
    with open("/proc/self/status", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1]) / 1024


def measure(n: int, hz: float, seconds: float, settle: float = SETTLE_S) -> tuple[float, float, float, float]:
    """Percent of a core, MB at the beginning and the end, samples a second of each target."""
    with ExitStack() as stack:
        lifetime = str(round(seconds + settle + 600))
        processes = [
            stack.enter_context(targets.running("2", "--alone", "--idle", IDLE, "--duration", lifetime))
            for _ in range(n)
        ]
        sessions = [session.Session(session.attach(p.pid), hz, among=n) for p in processes]
        began = cpu = memory = 0.0
        taken = 0
        report = settle + REPORT_S
        for elapsed in session.run(sessions, settle + seconds):
            if not began and elapsed >= settle:
                began, cpu, memory = time.monotonic(), own_cpu(), rss()
                taken = sum(s.progress()[0] for s in sessions)
            if elapsed >= report:
                report += REPORT_S
                percent = 100 * (own_cpu() - cpu) / (time.monotonic() - began)
                print(f"  {(elapsed - settle) / 60:5.1f} min: {percent:.2f} %, {rss():.1f} MB", flush=True)
        ended = [s for s in sessions if s.ended is not None]
        if ended:
            raise RuntimeError(f"{len(ended)} of {n} targets ended: {ended[0].ended}")
        spent = time.monotonic() - began
        rate = (sum(s.progress()[0] for s in sessions) - taken) / spent / n
        return 100 * (own_cpu() - cpu) / spent, memory, rss(), rate


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--targets", type=int, default=64)
    p.add_argument("--hz", type=float, default=100.0)
    p.add_argument("--minutes", type=float, default=0.5)
    args = p.parse_args()
    rows = {}
    for n in (1, args.targets):
        minutes = min(args.minutes, ONE_MINUTES) if n == 1 else args.minutes
        rows[n] = measure(n, args.hz, 60 * minutes)
        cpu, before, after, rate = rows[n]
        print(
            f"{n:4} targets: {cpu:5.2f} % of a core, {before:.1f} MB, {after:.1f} MB after {minutes:g} min, "
            f"{rate:.1f} of {args.hz:g} Hz",
            flush=True,
        )
    one, many = rows[1], rows[args.targets]
    print(f"{args.targets} targets cost {many[0] / max(one[0], 0.01):.1f} times what one costs")
    kept = many[3] >= 0.95 * args.hz
    good = kept and many[0] <= CPU_PERCENT and many[2] - many[1] <= GROWTH_MB
    print(
        f"{'ok' if good else 'NOT REACHED'}: at most {CPU_PERCENT:g} % and {GROWTH_MB:g} MB more, at 95 % of the rate"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
