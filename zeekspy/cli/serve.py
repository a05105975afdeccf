"""``zeekspy serve``: sample all the time, for continuous-profiling systems, Prometheus and browsers to ask."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments, sampling, selecting

if TYPE_CHECKING:
    from zeekspy.discovery import Node
    from zeekspy.session import Session

ADDRESS = "127.0.0.1:6060"
FILES = 640
"""For connections and what belongs to no target."""


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "serve",
        help="profile all the time, and answer Pyroscope, Parca, pprof, Prometheus and browsers",
        description="Samples as long as it runs and answers HTTP: /debug/pprof/profile?seconds=N for continuous "
        "profiling and go tool pprof, /metrics for Prometheus, /healthz, and a page at /.",
    )
    selecting.add_arguments(p, many=True, nodes=True)
    p.add_argument("--listen", default=ADDRESS, metavar="ADDRESS:PORT", help=f"where to answer ({ADDRESS})")
    p.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="ask for Authorization: Bearer with the token in FILE; needed for any address that is not loopback",
    )
    sampling.add_arguments(p, cost=", answers aside")
    p.add_argument(
        "--follow",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also those that start meanwhile and are meant by NODE, --cpu, --unit or --exe-glob (yes)",
    )
    p.add_argument(
        "--bodies",
        type=arguments.count,
        default=200,
        metavar="N",
        help="bodies that have series of their own in /metrics; all others are one series a node (200)",
    )
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    import time
    from importlib import metadata

    from zeekspy.cli.stop import Stop
    from zeekspy.confine import Confinement, confine
    from zeekspy.errors import UsageError
    from zeekspy.follow import Follower
    from zeekspy.serve import guard

    chosen = selecting.selection(args)
    if not chosen:
        raise UsageError("say which Zeeks: all, workers, NODE or --pid PID", "zeekspy ps lists those of this host.")
    follow = args.follow and chosen.searches
    address, port = guard.parse_address(args.listen)
    token = guard.read_token(args.token_file) if args.token_file is not None else None
    if token is None and not guard.is_loopback(address):
        raise UsageError(
            f"{address} can be reached from other hosts, and whoever asks would get an answer",
            "Give a token with --token-file FILE, or listen on 127.0.0.1.",
        )
    try:
        from zeekspy.serve import server
        from zeekspy.serve.feed import Feed
        from zeekspy.serve.series import Series
        from zeekspy.serve.store import Store
        from zeekspy.serve.web import LONGEST_S
    except ModuleNotFoundError as e:
        raise UsageError(f"serve needs the package {e.name} of Python", "pip install 'zeekspy[serve]'") from None
    with Stop() as stop, server.listen(address, port) as sock:
        nodes = selecting.nodes(chosen, may_come=follow)
        if not nodes:
            _wait_for(chosen)
        among = sampling.among(nodes, more=follow)
        sampling.room_for(among + FILES // 16)

        def join(node: Node) -> Session:
            return sampling.of_node(node, args, among)

        sessions, known = _join(nodes, join, follow)
        about = {
            "zeekspy_version": metadata.version("zeekspy"),
            "command": shlex.join(["zeekspy", *sys.argv[1:]]),
            "hz_asked": args.hz,
        }
        series = Series(args.bodies)
        store = Store(time.monotonic(), time.time_ns(), keep_s=LONGEST_S + 60)
        service = server.Service(store, series, about, token)
        follower = Follower(chosen, join, known, held=lambda: len(sessions)) if follow else None

        def newcomers() -> list[Session]:
            assert follower is not None
            for note in follower.notes():
                _say(note)
            return follower.newcomers()

        feed = Feed(
            sessions,
            store,
            series,
            max_cpu=args.max_cpu,
            newcomers=newcomers if follower is not None else None,
            spent=service.sampling_cpu,
        )
        feed.say = _say
        host = f"[{address}]" if ":" in address else address
        pids = [s.attachment.target.pid for s in sessions]
        engines = sampling.engines(sessions, args.engine, more=follow)

        def give_up() -> None:
            found: Confinement = confine(pids, engines, others=follow, serves=True)
            if not found.confined:
                _say(f"not confined: {found.why}")
            if follower is not None:
                follower.start()
            _say(f"{len(pids)} sampled; listening on http://{host}:{sock.getsockname()[1]}/")

        if not stop.asked():
            service.run(feed, sock, give_up, stop.asked)
        if follower is not None:
            follower.stop()
    if feed.error is not None:
        raise feed.error
    return 0


def _join(nodes: list[Node], join: Callable[[Node], Session], follow: bool) -> tuple[list[Session], list[Node]]:
    """The sessions of those that could be attached to. With ``follow``, one that could not be is tried again later.

    Raises what has gone wrong where no other could be attached to, unless it has just ended.
    """
    from zeekspy.errors import NoSuchTarget, ZeekspyError

    sessions, known = [], []
    wrong: ZeekspyError | None = None
    for node in nodes:
        try:
            sessions.append(join(node))
            known.append(node)
        except ZeekspyError as e:
            if not follow:
                raise
            if not isinstance(e, NoSuchTarget):
                wrong = wrong or e
    if wrong is not None and not sessions:
        raise wrong
    return sessions, known


def _wait_for(chosen: Any) -> None:
    """Says who is waited for, and who there is: it may be a slip of the pen."""
    from zeekspy.discovery import Discovery
    from zeekspy.errors import NoSuchTarget

    try:
        chosen.of(Discovery().find())
    except NoSuchTarget as e:
        _say(f"{e}, and one that comes will be sampled. {e.hint}")


def _say(text: str) -> None:
    with suppress(OSError):  # a terminal that has gone is no reason to end
        print(f"zeekspy: {text}", file=sys.stderr, flush=True)
