"""``zeekspy dump``: one script stack now, of a live Zeek or of every stop in a capture."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments

if TYPE_CHECKING:
    from zeekspy.profile import Frame, Stack
    from zeekspy.session import Attachment

TRIES = 100
"""Looks taken in search of one during which the stack stood still. A dump may do so; a profile never does."""


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "dump", help="show the script stack now", description="Shows the script stack of a Zeek as it is now."
    )
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("--pid", type=arguments.pid, help="a running Zeek process")
    source.add_argument("--capture", type=Path, metavar="FILE", help="a file made by zeekspy capture: every stop in it")
    p.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to use")
    p.add_argument("--json", action="store_true", help="one JSON object a stack, outermost frame first")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    if args.pid is not None:
        found: Iterator[tuple[str, Stack, int]] = iter([_live(args.pid, args.offsets)])
    else:
        found = _captured(args.capture, args.offsets)
    for number, (version, stack, stale) in enumerate(found):
        if args.json:
            print(json.dumps(as_json(args.pid, version, stack)))
            continue
        if number:
            print()
        where = f"process {args.pid}" if args.pid is not None else f"{args.capture}, stop {number + 1}"
        print(f"{where}: Zeek {version}, {len(stack)} frames" + (f", {stale} stale entries left out" if stale else ""))
        for line in as_text(stack):
            print(line)
    return 0


def _live(pid: int, offsets: Path | None) -> tuple[str, Stack, int]:
    from zeekspy import session
    from zeekspy.confine import confine

    attachment = session.attach(pid, offsets)
    confine([pid])
    return (attachment.target.version, *now(attachment))


def now(attachment: Attachment) -> tuple[Stack, int]:
    """The stack as it is now, and how many stale entries were left out of it."""
    from zeekspy._core import SAMPLE_FLAGS

    walker, table = attachment.walker(), attachment.stack_table()
    moving = SAMPLE_FLAGS["torn"] | SAMPLE_FLAGS["unreadable"]
    for _ in range(TRIES):
        number, flags, _, stale = walker.walk()
        if not flags & moving:
            break
    table.extend(walker.definitions())
    return table.stack(number) if number else (), stale


def _captured(path: Path, offsets: Path | None) -> Iterator[tuple[str, Stack, int]]:
    from zeekspy import capture, choice, zeek_types
    from zeekspy._core import Memory, Walker
    from zeekspy.layout import STDLIBS
    from zeekspy.stacks import StackTable

    header, stops = capture.read(path)
    table = choice.for_capture(header, offsets)
    for segments in stops:
        walker = Walker(
            Memory.image(segments),
            table.fields,
            STDLIBS.index(table.stdlib),
            call_stack=header.symbols["call_stack"],
            g_frame_stack=header.symbols.get("g_frame_stack", 0),
        )
        number, _, _, stale = walker.walk()
        stacks = StackTable(zeek_types.zam_tag(header.version))
        stacks.extend(walker.definitions())
        yield header.version, stacks.stack(number) if number else (), stale


def as_json(pid: int | None, version: str, stack: Stack) -> dict[str, Any]:
    """The object of design.md section 6; what is not known is null."""
    return {"pid": pid, "version": version, "frames": [_frame(f) for f in stack]}


def _frame(frame: Frame) -> dict[str, Any]:
    body = frame.body if frame.body is not None and frame.body.file is not None else None
    row: dict[str, Any] = {
        "name": frame.name,
        "kind": frame.kind,
        "file": frame.file,
        "line": frame.line,
        "body_file": body.file if body else None,
        "body_first_line": body.first_line if body else None,
        "body_last_line": body.last_line if body else None,
    }
    if flags := sorted(frame.flags - {"call"}):
        row["flags"] = flags
    return row


def as_text(stack: Stack) -> Iterator[str]:
    """As Zeek prints a backtrace: the innermost frame first, numbered from 0."""
    from zeekspy.profile import TOP_LEVEL, UNREADABLE

    if not stack:
        yield "  no script is running"
    for number, frame in enumerate(reversed(stack)):
        name = frame.name or (TOP_LEVEL if "top-level" in frame.flags else UNREADABLE)
        place = f" at {frame.file}:{frame.line}" if frame.file else ""
        body = f" [body at line {frame.body.first_line}]" if frame.bodies > 1 and frame.body else ""
        yield f"#{number} {frame.kind or ''} {name}{place}{body}".replace("  ", " ")
