"""``zeekspy top``: what a running Zeek does now, as a table that keeps itself up to date."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments, sampling, selecting

if TYPE_CHECKING:
    from types import FrameType

    from zeekspy.background import Watch, Watched
    from zeekspy.live import Neighbours, View
    from zeekspy.profile import Frame
    from zeekspy.top.bars import Subject


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "top",
        help="a live table of what running Zeeks do",
        description="Shows the bodies of a running Zeek by their time in the last seconds and since the start, how "
        "often they are called, and what its threads do. Press ? for the keys.",
    )
    selecting.add_arguments(p, many=True, nodes=True)
    sampling.add_arguments(p, max_cpu=10.0, cost=", the picture included")
    p.add_argument("--window", type=arguments.seconds, default=5.0, metavar="S", help="length of the last seconds (5)")
    p.add_argument("--interval", type=_interval, default=1.0, metavar="S", help="between two pictures, from 0.2 (1)")
    p.add_argument("--once", action="store_true", help="sample for one window, print the table and end")
    p.add_argument("--json", action="store_true", help="with --once: print JSON, a list for several processes")
    p.add_argument("--by", choices=("body", "line", "file"), default="body", help="what a row is (body)")
    p.add_argument("--limit", type=arguments.count, metavar="N", help="with --once: rows of the text (20)", default=20)
    p.set_defaults(func=run)


def _interval(text: str) -> float:
    value = arguments.seconds(text)
    if value < 0.2:
        raise argparse.ArgumentTypeError(f"{text!r} is too short; give 0.2 seconds or more")
    return value


def run(args: argparse.Namespace) -> int:
    from zeekspy import session
    from zeekspy.background import Watch
    from zeekspy.confine import confine
    from zeekspy.errors import NoSuchTarget, UsageError

    if args.json and not args.once:
        raise UsageError("--json goes with --once", "zeekspy top --pid PID --once --json prints one window and ends.")
    if not args.once:
        _check_terminal()
    pids = selecting.several(args)
    sessions = [
        session.Session(session.attach(pid, args.offsets), args.hz, engine=args.engine, among=len(pids)) for pid in pids
    ]
    watch = Watch(
        sessions,
        window_s=args.window,
        interval=min(args.interval, args.window),
        max_cpu=args.max_cpu,
    )
    sources = [Source(w, i, len(watch.watched)) for i, w in enumerate(watch.watched, start=1)]
    pids, engines = [w.target.pid for w in watch.watched], {e for s in sessions for e in s.choice.engines}
    if args.once:
        confinement = confine(pids, engines)
        _once(args, watch, sources)
    else:
        from zeekspy.top.app import TopApp
        from zeekspy.top.loop import PipeLoop

        loop = PipeLoop()
        app = TopApp(sources, lambda: watch.done, args.interval, args.by)
        confinement = confine(pids, engines)
        if _live(watch, app, loop):
            return 1  # a fault of ours, which Textual has told of
    if not confinement.confined:
        print(f"not confined: {confinement.why}", file=sys.stderr)
    if watch.error is not None:
        raise watch.error
    if all(s.ended and not s.counters()["samples"] for s in sessions):
        raise NoSuchTarget("the target exited before the first sample", "")
    for w in watch.watched:
        if w.ended is not None:
            print(f"zeekspy: pid {w.target.pid}: {w.ended}", file=sys.stderr)
    error = next((s.error for s in sessions if s.error is not None), None)
    if error is not None:
        raise error
    return 0


class Source:
    """A background.Watched as the app's panes see it."""

    def __init__(self, watched: Watched, number: int, of: int) -> None:
        self._watched, self._number = watched, (number, of)

    def subject(self) -> Subject:
        from zeekspy.top.bars import Subject

        w = self._watched
        return Subject(w.target.pid, w.target.version, w.engine, w.hz, w.ended, self._number)

    def view(self, by: str, value: str) -> View:
        return self._watched.view(by, value)

    def neighbours(self, key: Frame, by: str, value: str) -> Neighbours:
        return self._watched.neighbours(key, by, value)

    def reset(self) -> None:
        self._watched.reset()


def _check_terminal() -> None:
    from zeekspy.errors import UsageError

    hint = "Add --once for one table, and --json for programs; zeekspy record writes a profile."
    if not all(stream is not None and stream.isatty() for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__)):
        raise UsageError("top needs a terminal as standard input, output and error", hint)
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        raise UsageError("this terminal cannot place text (TERM is not set, or dumb)", hint)


def _once(args: argparse.Namespace, watch: Watch, sources: list[Source]) -> None:
    import json
    import shutil
    import time

    from zeekspy.cli.stop import Stop
    from zeekspy.top import once, table

    with Stop() as stop:
        watch.start()
        end = time.monotonic() + args.window
        while not (watch.done or stop.asked()) and (left := end - time.monotonic()) > 0:
            watch.wait(min(left, 0.2))
        watch.stop()
    if watch.error is not None or not any(w.session.counters()["samples"] for w in watch.watched):
        return
    choice = table.Choice(by=args.by)
    found = [(s.subject(), s.view(args.by, choice.value)) for s in sources]
    if args.json:
        rows = [once.as_json(subject, view, choice) for subject, view in found]
        print(json.dumps(rows[0] if len(rows) == 1 else rows, indent=2))
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        print("\n".join(once.as_text(subject, view, choice, width, args.limit) for subject, view in found), end="")


def _live(watch: Watch, app: Any, loop: Any) -> int:
    """Runs the app until it ends by itself, by a key or by a signal. Textual gives the terminal back.

    The exit code: 0 unless the app has failed.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(app.stop)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        watch.start()
        app.run(mouse=False, loop=loop)
        return app.return_code or 0
    finally:
        watch.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
        loop.close()
