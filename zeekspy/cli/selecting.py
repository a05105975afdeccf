"""The options that say which Zeeks are meant, for all commands that take a process."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments

if TYPE_CHECKING:
    from zeekspy.discovery import Node
    from zeekspy.selection import Selection

OPTIONS = ("--pid", "--node", "--cpu", "--unit", "--exe-glob")


def add_arguments(p: Any, *, many: bool, nodes: bool = False) -> None:
    """``many``: several Zeeks may be given. ``nodes``: also as words without an option."""
    more: dict[str, Any] = {"nargs": "+"} if many else {}
    what = "running Zeek processes" if many else "a running Zeek process"
    p.add_argument("--pid", type=arguments.pid, metavar="PID", help=what, **more)
    group = "their nodes: worker-1-3, 'worker-1-*', or workers, loggers, proxies, manager, all"
    p.add_argument("--node", metavar="NAME", help=group if many else "its node: worker-1-3, or a pattern", **more)
    p.add_argument("--cpu", type=_cpu, metavar="N", help="the Zeek pinned to this CPU", **more)
    p.add_argument("--unit", metavar="UNIT", help="the Zeek in this unit of systemd's, or a pattern", **more)
    p.add_argument("--exe-glob", metavar="PATTERN", help="the Zeek whose executable's path is like that", **more)
    if nodes:
        p.add_argument("nodes", nargs="*", metavar="NODE", help="as --node")


def _cpu(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise argparse.ArgumentTypeError(f"{text!r} is not the number of a CPU")
    return int(text)


def selection(args: argparse.Namespace) -> Selection:
    """What the line asks for."""
    from zeekspy.selection import Selection

    def given(name: str) -> tuple[Any, ...]:
        value = getattr(args, name, None)
        return tuple(dict.fromkeys(value if isinstance(value, list) else [] if value is None else [value]))

    names = dict.fromkeys((*given("nodes"), *given("node")))
    return Selection(given("pid"), tuple(names), given("cpu"), given("unit"), given("exe_glob"))


def several(args: argparse.Namespace) -> list[int]:
    """The pids that are meant, in order, each once. UsageError where nothing was given, NoSuchTarget where none is."""
    return _pids(selection(args))


def nodes(chosen: Selection, *, may_come: bool = False) -> list[Node]:
    """The nodes that are meant; a pid that no look at /proc takes for a Zeek's is a node as well, as far as is known.

    ``may_come``: that a word means none is no error.
    """
    from zeekspy.discovery import Discovery, unknown

    if not chosen:
        return []
    discovery = Discovery()
    if not chosen.searches:
        return [discovery.node(pid) or unknown(pid) for pid in chosen.pids]
    there = discovery.find()
    found = chosen.among(there) if may_come else chosen.of(there)
    return [unknown(pid) for pid in chosen.pids if pid not in {n.pid for n in found}] + found


def one(args: argparse.Namespace, instead: str = "") -> int:
    """The pid that is meant. UsageError where nothing was given, nor what may be given ``instead``, or several are."""
    pids = _pids(selection(args), instead)
    if len(pids) > 1:
        from zeekspy import selection as selections

        selections.one([n for n in _nodes() if n.pid in pids], "what was asked for")
    return pids[0]


def _pids(chosen: Selection, instead: str = "") -> list[int]:
    from zeekspy.errors import UsageError

    if not chosen:
        raise UsageError(
            "say which Zeek: --pid PID, --node NAME, --cpu N, --unit UNIT or --exe-glob PATTERN"
            + (f", {instead}" if instead else ""),
            "zeekspy ps lists the Zeeks of this host.",
        )
    if not chosen.searches:
        return list(chosen.pids)
    found = [node.pid for node in chosen.of(_nodes())]
    return list(dict.fromkeys([*chosen.pids, *found]))


def _nodes() -> list[Node]:
    from zeekspy.discovery import Discovery

    return Discovery().find()
