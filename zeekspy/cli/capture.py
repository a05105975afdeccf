"""``zeekspy capture``: the raw bytes that a walk of the script stack needs, for bug reports and tests."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zeekspy.cli import arguments, selecting

if TYPE_CHECKING:
    from zeekspy.errors import UnknownBuild
    from zeekspy.target import Target

TRIES = 200
"""Looks taken for one stop that is whole and not empty."""
LIMIT = 1 << 26
"""Bytes kept of one stop."""
RAW = (
    "What surrounds the stacks was saved as it is in {file}: it may hold values of script variables. With a table of "
    "this build (zeekspy offsets generate {exe} -o TABLE), zeekspy dump --capture FILE --offsets TABLE shows them."
)


class Source(NamedTuple):
    target: Target
    fields: Mapping[str, int]
    stop: Callable[[], tuple[bool, Any]]


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "capture",
        help="save the raw memory of some stacks",
        description="Saves the bytes of memory that some script stacks consist of: names, places in scripts and "
        "addresses, no values of variables. zeekspy dump --capture FILE shows them. Of a Zeek of an unknown build the "
        "memory around the stack is saved as it is.",
    )
    selecting.add_arguments(p, many=False)
    p.add_argument("-n", type=arguments.count, default=10, metavar="N", help="how many stacks (10)")
    p.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write, *.jsonl.gz")
    p.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to use")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from zeekspy import capture
    from zeekspy.cli.stop import Stop
    from zeekspy.confine import confine
    from zeekspy.errors import NoSuchTarget, UnknownBuild
    from zeekspy.output import Output

    args.pid = selecting.one(args)
    output = Output(args.output, ".jsonl.gz")
    try:
        with Stop() as stop:
            source, unknown = _source(args)
            confine([args.pid], folders=output.folders)
            stops: list[tuple[bool, capture.Segments]] = []
            try:
                while len(stops) < args.n and not stop.asked():
                    stops.append(source.stop())
            except NoSuchTarget:
                if not stops:
                    raise
        t = source.target
        symbols = {k: v for k, v in t.symbols.items() if k in ("call_stack", "g_frame_stack", "version")}
        header = capture.Header(t.version, t.arch, t.stdlib, source.fields, symbols, raw=unknown is not None)

        def content(out: Any) -> None:
            writer = capture.Writer(out, header)
            for _, segments in stops:
                writer.stop(segments)
            writer.close()

        written = output.write(content)
    finally:
        output.discard()
    busy = sum(1 for non_empty, _ in stops if non_empty)
    if unknown is not None:
        raise UnknownBuild(str(unknown), RAW.format(file=written, exe=t.exe))
    print(f"{written}: {len(stops)} stops, {busy} with a script stack", file=sys.stderr)
    return 1 if output.rescued else 0


def _source(args: argparse.Namespace) -> tuple[Source, UnknownBuild | None]:
    """What stops are made from, by the layout or, where none fits and none was given, without; then also why none."""
    from zeekspy import session, target
    from zeekspy.errors import UnknownBuild
    from zeekspy.reach import reach

    try:
        attachment = session.attach(args.pid, args.offsets)
        return Source(attachment.target, attachment.layout.fields, lambda: _stop(attachment)), None
    except UnknownBuild as e:
        if args.offsets is not None:
            raise
        found, memory, reason = target.find(args.pid), session.open_memory(args.pid), e

    def surroundings() -> tuple[bool, Any]:
        time.sleep(0.002)
        pieces = reach(found, memory)
        header = next((data for at, data in pieces if at == found.symbols["call_stack"]), b"")
        return header[:8] != header[8:16], pieces

    return Source(found, {}, surroundings), reason


def _stop(attachment: Any) -> tuple[bool, Any]:
    """One stop: a stack that stood still while it was read, or, after many tries, what there was."""
    from zeekspy._core import SAMPLE_FLAGS

    moving = SAMPLE_FLAGS["torn"] | SAMPLE_FLAGS["unreadable"]
    for _ in range(TRIES):
        time.sleep(0.002)
        # A new walker has nothing cached, so it reads every byte that the stack needs.
        walker = attachment.walker()
        attachment.memory.remember(LIMIT)
        try:
            number, flags, _, _ = walker.walk()
            pieces = attachment.memory.remembered()
        finally:
            attachment.memory.remember(0)
        if number and not flags & moving:
            return True, pieces
    return bool(number), pieces
