"""``zeekspy watch``: the last minutes of every node in memory; what a trigger catches is written."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments, sampling, selecting

if TYPE_CHECKING:
    from types import FrameType

    from zeekspy.cli.stop import Stop
    from zeekspy.discovery import Node
    from zeekspy.rolling.grammar import Expression
    from zeekspy.rolling.keeper import Keeper
    from zeekspy.rolling.watching import Settings
    from zeekspy.session import Session

EPILOG = """\
triggers (--on), several of them or joined by and, or, not and parentheses:
  drops>0.1%  drops>100/s      packets dropped, as --drops-from says
  lag>2s                       network time behind the clock
  stall>200ms                  one event's dispatch takes longer
  cpu>90%/10s                  CPU of the main thread over that time
  rss>4GB  rss>+500MB/60s      resident memory, and how much it has grown in that time
  frame~REGEX>30%/10s          samples that have such a frame, of all in that time
  signal                       this process gets SIGUSR2

examples:
  zeekspy watch workers --on 'stall>200ms' --on 'cpu>95%/30s and drops>0.1%' \\
      --drops-from http://127.0.0.1:9991/metrics --out captures
  zeekspy watch --status captures
  zeekspy report captures
"""
SIZES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "watch",
        help="keep the last minutes in memory, and write them when a trigger is met",
        usage="zeekspy watch NODE ... --on TRIGGER [--on ...] --out DIR [options] | zeekspy watch --status DIR",
        description="Samples Zeeks for as long as you like and keeps the last samples in memory. When a trigger is\n"
        "met, those before and after it are written: a pprof file and a JSON file that says why.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    selecting.add_arguments(p, many=True, nodes=True)
    p.add_argument("--on", action="append", metavar="TRIGGER", default=[], help="when to write; see below")
    p.add_argument("--out", type=Path, metavar="DIR", help="folder for captures")
    p.add_argument("--ring", type=arguments.seconds, default=120.0, metavar="S", help="time kept before (120s)")
    p.add_argument("--keep-after", type=arguments.seconds, default=10.0, metavar="S", help="time after (10s)")
    p.add_argument("--max-captures", type=arguments.count, default=20, metavar="N", help="oldest ones go first (20)")
    p.add_argument("--max-size", type=_size, default=0, metavar="SIZE", help="of all captures: 500M, 2G (no bound)")
    p.add_argument("--all-nodes", action="store_true", help="one node's trigger writes every node's window")
    source = "a Zeek's http://…/metrics, a stats.log, or 'command:COMMAND' that prints DROPPED RECEIVED as counters"
    p.add_argument("--drops-from", action="append", default=[], metavar="SOURCE", help=source)
    p.add_argument("--status", type=Path, metavar="DIR", help="what the watch that writes there sees now")
    sampling.add_arguments(p)
    p.add_argument("--duration", type=arguments.seconds, metavar="S", help="stop after this time (never)")
    p.add_argument("--follow", action="store_true", help="also those that start meanwhile, as record does")
    p.set_defaults(func=run)


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([kMGT]?)B?", text, re.ASCII)
    value = int(float(match[1]) * SIZES[match[2]]) if match else 0
    if value < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size from 64 kB on; as in 500M or 2G")
    return value


def run(args: argparse.Namespace) -> int:
    from zeekspy.cli.stop import Stop
    from zeekspy.rolling import sources
    from zeekspy.rolling.keeper import Keeper
    from zeekspy.rolling.shelf import Shelf
    from zeekspy.rolling.watching import available_memory

    if args.status is not None:
        return _status(args.status)
    settings = _settings(args)
    asked = [sources.source(text) for text in args.drops_from]
    with Stop() as stop:
        nodes = selecting.nodes(selecting.selection(args), may_come=args.follow)
        settings.room(max(1, len(nodes)), available_memory())
        keeper = Keeper(Shelf(args.out, args.max_captures, args.max_size), asked)
        try:
            sessions, error = _watch(args, settings, nodes, keeper, stop)
        finally:
            written = keeper.close()
            _say(keeper)
    return _end(sessions, error, keeper, written)


def _settings(args: argparse.Namespace) -> Settings:
    from zeekspy.errors import UsageError
    from zeekspy.rolling.grammar import parse
    from zeekspy.rolling.watching import Settings

    chosen = selecting.selection(args)
    triggers: list[Expression] = [parse(text) for text in args.on]
    if not chosen:
        raise UsageError("say which Zeeks to watch: NODE or --pid PID", "zeekspy ps lists those of this host.")
    if args.follow and not chosen.searches:
        raise UsageError("--follow needs to know whom to look for", "Give a NODE, such as workers or all.")
    if not triggers:
        raise UsageError("say when to write: --on TRIGGER", "As in --on 'stall>200ms'; zeekspy watch --help has them.")
    if args.out is None:
        raise UsageError("say where captures go: --out DIR", "As in --out captures.")
    settings = Settings(
        tuple(triggers),
        args.ring,
        args.keep_after,
        args.hz,
        args.all_nodes,
        tuple(args.drops_from),
        shlex.join(["zeekspy", *sys.argv[1:]]),
    )
    settings.check()
    return settings


class _Signalled:
    """SIGUSR2 since the last question."""

    def __init__(self) -> None:
        self._got = False
        signal.signal(signal.SIGUSR2, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._got = True

    def take(self) -> bool:
        got, self._got = self._got, False
        return got


def _watch(
    args: argparse.Namespace, settings: Settings, nodes: list[Node], keeper: Keeper, stop: Stop
) -> tuple[list[Session], Exception | None]:
    from zeekspy import session
    from zeekspy.confine import confine
    from zeekspy.errors import FileError, LayoutError, ZeekspyError
    from zeekspy.follow import Follower
    from zeekspy.rolling.watching import Watching, available_memory

    among = sampling.among(nodes, more=args.follow)
    sessions: list[Session] = []

    def join(node: Node) -> Session:
        live = sum(s.ended is None for s in sessions)
        settings.room(live + 1, available_memory())
        return sampling.of_node(node, args, among)

    sampling.room_for(among)
    sampling.join(sessions, nodes, join, more=args.follow)
    signalled = _Signalled()
    engines = sampling.engines(sessions, args.engine, more=args.follow)
    confinement = confine([s.attachment.target.pid for s in sessions], engines, others=args.follow)
    keeper.start()
    watching = Watching(settings, keeper.keep, _note)
    watching.join(sessions)
    follower = Follower(selecting.selection(args), join, nodes) if args.follow else None
    if follower is not None:
        follower.start()
    _note(f"watching {len(sessions)} nodes; zeekspy watch --status {shlex.quote(str(args.out))} shows what is seen")
    if not confinement.confined:
        _note(f"not confined: {confinement.why}")
    error: Exception | None = None
    try:
        newcomers = follower.newcomers if follower is not None else None
        for _ in session.run(sessions, args.duration, args.max_cpu, newcomers=newcomers, again=True):
            watching.look(sessions, dict(keeper.readings), dict(keeper.failures), signalled.take())
            status = watching.status(time.monotonic())
            if status is not None:
                keeper.tell({**status, "sources": _sources(settings, keeper), "lost_before": keeper.lost})
            _say(keeper)
            for note in follower.notes() if follower is not None else ():
                _note(note)
            if args.follow:  # there may be any number of them in a week
                _let_go(sessions)
            if keeper.gone:
                raise FileError("the process that writes the captures has ended", "Start zeekspy watch again.")
            if stop.asked():
                break
    except (ZeekspyError, MemoryError) as e:
        if isinstance(e, LayoutError):
            raise
        error = e
    finally:
        if follower is not None:
            follower.stop()
        watching.finish("the watch ended")
    return sessions, error


def _let_go(sessions: list[Session]) -> None:
    for s in [s for s in sessions if s.ended is not None]:
        _note(f"{dict(s.labels).get('node', 'zeek')}, pid {s.attachment.target.pid}: {s.ended}")
        sessions.remove(s)


def _sources(settings: Settings, keeper: Keeper) -> list[dict[str, Any]]:
    now, found = time.monotonic(), []
    for number, name in enumerate(settings.sources):
        at = keeper.readings.get(number)
        age = None if at is None else round(now - at[0], 1)
        found.append({"source": name, "age_s": age, "error": keeper.failures.get(number)})
    return found


def _say(keeper: Keeper) -> None:
    for note in keeper.notes():
        _note(note)


def _note(text: str) -> None:
    from zeekspy.export.bodies import printable  # nodes' names and sources' answers are not ours

    print(printable(f"{time.strftime('%H:%M:%S')} {text}"), file=sys.stderr, flush=True)


def _end(sessions: list[Session], error: Exception | None, keeper: Keeper, written: bool) -> int:
    from zeekspy.errors import NoSuchTarget

    error = error or next((s.error for s in sessions if s.error is not None), None)
    if error is not None:
        raise error
    if sessions and all(s.ended and not s.progress()[0] for s in sessions):
        raise NoSuchTarget("the target exited before the first sample", "")
    for s in sessions:
        if s.ended:
            _note(f"{dict(s.labels).get('node', 'zeek')}, pid {s.attachment.target.pid}: {s.ended}")
    c = keeper.captures
    _note(f"{c.get('written', 0)} captures written, {c.get('lost', 0) + keeper.lost} lost, {c.get('kept', 0)} kept")
    return 0 if written and not (c.get("lost", 0) + keeper.lost) else 1


def _status(folder: Path) -> int:
    from zeekspy.rolling import status

    print(status.shown(status.read(folder), time.time()), end="")
    return 0
