"""``python -m tests.bench [--quick] [NAME...]``: measures, prints and, unless quick, writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.bench import accuracy, cost, page, profiler, rate, slowdown

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="accuracy, slowdown, cost, rate, profiler (all)")
    parser.add_argument("--quick", action="store_true", help="shorter runs, and no file")
    parser.add_argument("--minutes", type=float, default=30, help="of the profiler's run (30)")
    parser.add_argument("-o", "--output", type=Path, help="file to write (docs/benchmarks.md)")
    args = parser.parse_args()
    benches: dict[str, Callable[[bool], page.Section]] = {
        "accuracy": accuracy.measure,
        "slowdown": slowdown.measure,
        "cost": cost.measure,
        "rate": rate.measure,
        "profiler": partial(profiler.measure, minutes=args.minutes),
    }
    if unknown := set(args.names) - benches.keys():
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    output = args.output or (None if args.quick else PAGE)
    for name, measure in benches.items():
        if args.names and name not in args.names:
            continue
        load = page.load_average()
        section = measure(args.quick).text(load)
        print(section, flush=True)
        if output is not None:
            page.put(output, section)
    return 0


if __name__ == "__main__":
    sys.exit(main())
