"""The options that say how to sample, for all commands that do so for a while."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments

if TYPE_CHECKING:
    from zeekspy.discovery import Node
    from zeekspy.session import Session

ENGINES = ("auto", "nonblocking", "preempt", "ptrace")
CHOSEN_LATER = ("nonblocking", "preempt")
"""What auto may choose for targets that come later."""
MANY = 32
"""Targets that memory and CPU are shared out for at least, where more may come."""


def add_arguments(p: Any, *, max_cpu: float = 2.0, cost: str = "") -> None:
    """``max_cpu``: percent of a core that are the default; ``cost``: what counts as such, where that is not plain."""
    p.add_argument("--hz", type=arguments.hz, default=100.0, help="samples a second (100)")
    p.add_argument(
        "--engine",
        choices=ENGINES,
        default="auto",
        help="nonblocking never stops the target; preempt and ptrace do for each look, and see it unchanged (auto)",
    )
    p.add_argument(
        "--max-cpu",
        type=arguments.percent,
        default=max_cpu,
        metavar="PERCENT",
        help=f"of a core, for each target{cost}: the rate is lowered where sampling costs more ({max_cpu:g})",
    )
    p.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to use")


def among(nodes: Sized, *, more: bool) -> int:
    """How many targets memory and CPU are shared out for; ``more``: that some may come later."""
    return max(len(nodes), MANY) if more else len(nodes)


def of_node(node: Node, args: argparse.Namespace, sharers: int) -> Session:
    """Attaches to a node, one of ``sharers``, to sample it as the line asks for. Any ZeekspyError."""
    from zeekspy import session

    labels = {"node": node.name, "pid": str(node.pid), "role": node.role}
    return session.Session(
        session.attach(node.pid, args.offsets),
        args.hz,
        engine=args.engine,
        labels=tuple((k, v) for k, v in labels.items() if v),
        among=sharers,
    )


def join(sessions: list[Session], nodes: Iterable[Node], of: Callable[[Node], Session], *, more: bool) -> None:
    """Adds the session ``of`` each node. ``more``: one that ends just now is no error, it may come again."""
    from zeekspy.errors import NoSuchTarget

    for node in nodes:
        try:
            sessions.append(of(node))
        except NoSuchTarget:
            if not more:
                raise


def engines(sessions: Iterable[Session], asked: str, *, more: bool) -> set[str]:
    """All that may sample: what ``confine`` is to leave possible. ``more``: that targets may come later."""
    later = (CHOSEN_LATER if asked == "auto" else (asked,)) if more else ()
    return {engine for s in sessions for engine in s.choice.engines} | set(later)


def room_for(targets: int) -> None:
    """Asks for as many open files as that takes; where it may not have them, it goes as far as it goes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 256 + 16 * targets
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
