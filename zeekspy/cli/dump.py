"""``zeekspy dump``: one script stack now, of a live Zeek, of a core file, or of every stop in a capture."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments, selecting

if TYPE_CHECKING:
    from zeekspy.cli.stop import Stop
    from zeekspy.profile import Frame, Stack
    from zeekspy.session import Attachment
    from zeekspy.snapshot import Group, Looker, Snapshot, Wanted

Shown = dict[str, Any]
MAX_DEPTH = 16


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "dump",
        help="show the script stack now",
        description="Shows the script stack of a Zeek as it is now, innermost frame first, as Zeek's backtraces do.",
    )
    selecting.add_arguments(p, many=False)
    source = p.add_mutually_exclusive_group()
    source.add_argument("--core", type=Path, metavar="CORE", help="a core file of a Zeek: gcore's or the kernel's")
    source.add_argument("--capture", type=Path, metavar="FILE", help="a file made by zeekspy capture: every stop in it")
    p.add_argument(
        "--exe", type=Path, metavar="ZEEK", help="with --core: the executable that ran (what the core names)"
    )
    p.add_argument("--args", action="store_true", help="the arguments of every function, with their values")
    p.add_argument("--locals", action="store_true", help="the local variables of every function, with their values")
    p.add_argument(
        "--depth", type=_depth, default=1, metavar="N", help="records within records shown with their fields (1)"
    )
    p.add_argument(
        "--watch", type=arguments.seconds, metavar="S", help="look again every S seconds until another event runs"
    )
    p.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to use")
    p.add_argument("--json", action="store_true", help="one JSON object a stack, outermost frame first")
    p.set_defaults(func=run)


def _depth(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_DEPTH:
        raise argparse.ArgumentTypeError(f"0 to {MAX_DEPTH}")
    return number


def run(args: argparse.Namespace) -> int:
    from zeekspy.errors import UsageError
    from zeekspy.snapshot import Wanted
    from zeekspy.values.value import Limits

    if args.exe is not None and args.core is None:
        raise UsageError("--exe names the executable of a core file", "Give the core file with --core.")
    saved = args.core if args.core is not None else args.capture
    if saved is not None and selecting.selection(args):
        raise UsageError(f"{saved} is no running process, and one was asked for too", "Give one of them.")
    if saved is None:
        args.pid = selecting.one(args, "or --core CORE, or --capture FILE")
    if args.watch is not None and args.pid is None:
        raise UsageError("--watch needs a running process", "Give one with --pid.")
    if args.capture is not None and (args.args or args.locals):
        raise UsageError("a capture has no values of variables in it", "A core file has them: gcore PID, then --core.")
    wanted = Wanted(args.args, args.locals, Limits(depth=args.depth))
    if args.capture is not None:
        _captured(args)
    elif args.core is not None:
        looker, version, pid = _of_core(args.core, args.exe, args.offsets)
        _show(args, f"{args.core}, process {pid}", pid, version, looker.look(wanted), wanted)
    else:
        looker, version = _live(args.pid, args.offsets)
        if args.watch is not None:
            return _watch(args, looker, version, wanted)
        _show(args, f"process {args.pid}", args.pid, version, looker.look(wanted), wanted)
    return 0


def _live(pid: int, offsets: Path | None) -> tuple[Looker, str]:
    from zeekspy import session
    from zeekspy.confine import confine
    from zeekspy.snapshot import Looker, stack_pointer

    a = session.attach(pid, offsets)
    looker = Looker(a.target, a.layout, a.memory, lambda: stack_pointer(pid))
    confine([pid])
    return looker, a.target.version


def _of_core(core: Path, exe: Path | None, offsets: Path | None) -> tuple[Looker, str, int]:
    from zeekspy import choice, core_file, selfcheck
    from zeekspy._core import Memory
    from zeekspy.errors import NotZeek
    from zeekspy.snapshot import Looker

    try:
        target, segments = core_file.open_core(core, exe)
    except NotZeek as e:
        raise core_file.not_in(core, e) from None
    layout, memory = choice.choose(target, offsets), Memory.image(segments)
    selfcheck.check(target, layout, memory)
    return Looker(target, layout, memory, lambda: target.sp), target.version, target.pid


def _captured(args: argparse.Namespace) -> None:
    from zeekspy import capture, choice, zeek_types
    from zeekspy._core import Memory, Walker
    from zeekspy.layout import STDLIBS
    from zeekspy.snapshot import Wanted, bare
    from zeekspy.stacks import StackTable

    header, stops = capture.read(args.capture)
    table = choice.for_capture(header, args.offsets)
    for number, segments in enumerate(stops):
        walker = Walker(
            Memory.image(segments),
            table.fields,
            STDLIBS.index(table.stdlib),
            call_stack=header.symbols["call_stack"],
            g_frame_stack=header.symbols.get("g_frame_stack", 0),
        )
        found, _, _, stale = walker.walk()
        stacks = StackTable(zeek_types.zam_tag(header.version))
        stacks.extend(walker.definitions())
        stack = stacks.stack(found) if found else ()
        if number and not args.json:
            print()
        _show(args, f"{args.capture}, stop {number + 1}", None, header.version, bare(stack, stale), Wanted())


def _watch(args: argparse.Namespace, looker: Looker, version: str, wanted: Wanted) -> int:
    """Shows the stack, then every ``--watch`` seconds how long it has been there; ends with the event it is of."""
    from zeekspy.cli.stop import Stop
    from zeekspy.errors import NoSuchTarget
    from zeekspy.values.variables import unchanged

    with Stop() as stop:
        first = last = looker.look(wanted)
        began = time.monotonic()
        _show(args, f"process {args.pid}", args.pid, version, first, wanted)
        while _sleep(args.watch, stop):
            try:
                now = looker.look(wanted)
            except NoSuchTarget:
                print(f"the target has exited, {time.monotonic() - began:.0f} s after the first look", flush=True)
                return 0
            seconds = time.monotonic() - began
            same = unchanged(first.entries, now.entries)
            over = first.dispatched != now.dispatched or (not same and bool(first.entries or now.entries))
            if args.json or over or now.stack != last.stack:
                _show(args, f"process {args.pid} after {seconds:.1f} s", args.pid, version, now, wanted)
            if over:
                return 0
            if not args.json:
                what = f"the outermost {same} of {len(now.stack)} frames are" if now.stack else "no script is running:"
                print(f"-- {what} unchanged for {seconds:.1f} s", flush=True)
            last = now
    return 0


def _sleep(seconds: float, stop: Stop) -> bool:
    """False if it was to stop meanwhile."""
    until = time.monotonic() + seconds
    while not stop.asked() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
    return not stop.asked()


def _show(args: argparse.Namespace, where: str, pid: int | None, version: str, s: Snapshot, wanted: Wanted) -> None:
    if args.json:
        print(json.dumps(as_json(pid, version, s, wanted)), flush=True)
        return
    stale = f", {s.stale} stale entries left out" if s.stale else ""
    moved = ", which changed while they were read" if s.moved and s.stack else ""
    print(f"{where}: Zeek {version}, {len(s.stack)} frames{moved}{stale}")
    for line in lines(version, s, wanted):
        print(line)
    print(end="", flush=True)


def as_json(pid: int | None, version: str, s: Snapshot, wanted: Wanted) -> Shown:
    """The object of design.md section 6; what is not known is null."""
    frames = [_frame(f) for f in s.stack]
    for frame, passed, own in zip(frames, s.arguments, s.locals, strict=True):
        if wanted.arguments:
            frame["args"] = _variables(passed, version, wanted)
        if wanted.locals:
            frame["locals"] = _variables(own, version, wanted)
    more = {"stale": s.stale} if s.stale else {}
    return {"pid": pid, "version": version, "frames": frames, **more}


def _variables(group: Group, version: str, wanted: Wanted) -> list[Shown] | None:
    if group is None:
        return None
    return [
        {
            "name": v.name,
            "type": v.type,
            "value": None if v.value.tag == "unreadable" else _text(v.value, version, wanted),
        }
        for v in group
    ]


def _frame(frame: Frame) -> Shown:
    body = frame.body if frame.body is not None and frame.body.file is not None else None
    row: Shown = {
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


def lines(version: str, s: Snapshot, wanted: Wanted) -> Iterator[str]:
    """As Zeek prints a backtrace: the innermost frame first, numbered from 0."""
    from zeekspy.profile import TOP_LEVEL, UNREADABLE
    from zeekspy.values.text import printable

    if not s.stack:
        yield "  no script is running"
    frames = zip(s.stack, s.arguments, s.locals, strict=True)
    for number, (frame, passed, own) in enumerate(reversed(list(frames))):
        name = frame.name or (TOP_LEVEL if "top-level" in frame.flags else UNREADABLE)
        inside = ""
        if wanted.arguments and passed is None and frame.name:
            inside = UNREADABLE
        elif passed:
            inside = ", ".join(_declared(v.name, v.type, _text(v.value, version, wanted)) for v in passed)
        called = f"({inside})" if frame.name else ""
        place = f" at {printable(frame.file)}:{frame.line}" if frame.file else ""
        body = f" [body at line {frame.body.first_line}]" if frame.bodies > 1 and frame.body else ""
        yield f"#{number} {printable(name)}{called}{place}{body}"
        for v in own or ():
            yield f"     {_declared(v.name, v.type, _text(v.value, version, wanted))}"
        if wanted.locals and own is None and frame.kind in ("event", "hook", "function"):
            yield f"     {'compiled by -O ZAM: no local variables' if 'zam' in frame.flags else UNREADABLE}"


def _declared(name: str, type_: str | None, value: str) -> str:
    from zeekspy.values.text import printable

    return f"{printable(name)}: {type_ or '?'} = {value}"


def _text(value: Any, version: str, wanted: Wanted) -> str:
    from zeekspy import zeek_types
    from zeekspy.values.text import text

    return text(value, wanted.limits.text, doubles=zeek_types.containers(version).doubles)


def now(attachment: Attachment) -> tuple[Stack, int]:
    """The stack as it is now, and how many stale entries were left out of it."""
    from zeekspy.snapshot import Looker, Wanted, stack_pointer

    t = attachment.target
    found = Looker(t, attachment.layout, attachment.memory, lambda: stack_pointer(t.pid)).look(Wanted())
    return found.stack, found.stale


def as_text(stack: Stack) -> Iterator[str]:
    """The lines for a stack alone."""
    from zeekspy.snapshot import Wanted, bare

    return lines("", bare(stack, 0), Wanted())
