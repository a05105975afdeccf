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
    from zeekspy._core import Walker
    from zeekspy.errors import UnknownBuild
    from zeekspy.profile import Stack
    from zeekspy.session import Attachment
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
        return Source(attachment.target, attachment.layout.fields, _Stops(attachment).take), None
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


class _Stops:
    """Takes stops of one target: stacks that stood still while they were read, or, after many tries, what there was."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self._steady = attachment.walker()  # has seen enough stacks to know which entries none will ever pop

    def take(self) -> tuple[bool, Any]:
        pieces: list[tuple[int, bytes]] = []
        for _ in range(TRIES):
            time.sleep(0.002)
            stale = self._steady.walk()[3]
            # A new walker has nothing cached, so it reads every byte that the stack needs.
            walker = self._attachment.walker()
            walker.memory.remember(LIMIT)
            try:
                frames, still, _ = _walked(self._attachment, walker)
                pieces = walker.memory.remembered()
            finally:
                walker.memory.remember(0)
            if frames and still and self._says(pieces, frames, stale):
                return True, pieces
        return bool(frames), pieces

    def _says(self, pieces: list[tuple[int, bytes]], frames: Stack, stale: int) -> bool:
        """Whether the pieces, which were not read at one instant, give the same stack when they stand alone."""
        from zeekspy._core import Memory
        from zeekspy.capture import coalesce

        replay = self._attachment.replay(Memory.image(coalesce(pieces)))
        saved, still, left_out = _walked(self._attachment, replay)
        return still and left_out == stale and bool(saved) and frames[-len(saved) :] == saved


def _walked(attachment: Attachment, walker: Walker) -> tuple[Stack, bool, int]:
    """The stack as the walker finds it now, whether nothing of it moved meanwhile or has gone, and stale entries."""
    from zeekspy._core import SAMPLE_FLAGS

    number, flags, _, stale = walker.walk()
    stacks = attachment.stack_table()
    stacks.extend(walker.definitions())
    stack = stacks.stack(number) if number else ()
    moved = SAMPLE_FLAGS["torn"] | SAMPLE_FLAGS["unreadable"] | SAMPLE_FLAGS["lineless"]
    return stack, not flags & moved, stale
