"""``zeekspy record``: sample until told to stop, then write the profile."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments, sampling, selecting, summary

if TYPE_CHECKING:
    from zeekspy.cli.stop import Stop
    from zeekspy.confine import Confinement
    from zeekspy.discovery import Node
    from zeekspy.export import Format
    from zeekspy.node_files import NodeFiles
    from zeekspy.output import Output
    from zeekspy.profile import Profile
    from zeekspy.session import Session

OUTPUT = "file to write (a dated name); with {node} in its name, or a folder, a file for each node and one for all"


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "record",
        help="profile a running Zeek, or start one, and write a profile",
        usage="zeekspy [record] (NODE ... | --pid PID ... | -- COMMAND [ARG ...]) [options]",
        description="Samples the script stack of a Zeek and writes a profile. Ends at Ctrl-C, SIGTERM, --duration or "
        "when the target exits, always with a complete file.",
    )
    selecting.add_arguments(p, many=True, nodes=True)
    sampling.add_arguments(p)
    p.add_argument("--duration", type=arguments.seconds, metavar="S", help="stop after this time: 60, 5m, 1h")
    p.add_argument("-o", "--output", "--profile", dest="output", metavar="FILE", help=OUTPUT)
    p.add_argument("-f", "--format", metavar="FMT", help="format, where the file name's ending does not say it")
    p.add_argument("--stats", type=Path, metavar="FILE", help="also write the counters there, as JSON")
    p.add_argument(
        "--follow",
        action="store_true",
        help="also those that start meanwhile and are meant by NODE, --cpu, --unit or --exe-glob; wait for them",
    )
    p.set_defaults(func=run, command=[])


def run(args: argparse.Namespace) -> int:
    from zeekspy import export, node_files
    from zeekspy.cli.stop import Stop
    from zeekspy.errors import NoSuchTarget, UsageError
    from zeekspy.output import Output

    chosen = selecting.selection(args)
    if bool(chosen) == bool(args.command):
        raise UsageError(
            "say what to profile: --pid PID, NODE, or -- COMMAND", "zeekspy ps lists the Zeek processes of this host."
        )
    if args.follow and not chosen.searches:
        raise UsageError("--follow needs to know whom to look for", "Give a NODE, such as workers or all.")
    form = export.by_name(args.format) if args.format else export.by_path(args.output or "")
    with Stop() as stop:  # also while the file is written
        nodes = selecting.nodes(chosen, may_come=args.follow)
        path, files = args.output or _dated_name(nodes, form.endings[0]), None
        if node_files.wanted(path):
            spares = node_files.SPARES if args.follow else 0
            files = node_files.NodeFiles(path, form.endings[0], [n.name for n in nodes], spares)
        output, stats = files.all if files else Output(Path(path), form.endings[0]), None
        try:
            stats = Output(args.stats, ".json") if args.stats else None
            outputs = [*(files.outputs if files else [output]), *([stats] if stats else [])]
            recording = _record(args, nodes, outputs, stop)
            profile, sessions = recording.profile, recording.sessions
            if all(s.ended and not s.progress()[0] for s in sessions):
                raise recording.error or NoSuchTarget("the target exited before the first sample", "")
            written = output.write(lambda out: form.write(profile, out))
            if files is not None:
                _write_nodes(files, sessions, form, profile.meta["command"])
            if stats is not None:
                stats.write(lambda out: write_stats(recording, out))
        finally:
            for o in (output, files, stats):
                if o is not None:
                    o.discard()
    print("\n".join(summary.lines(sessions)), file=sys.stderr)
    if not recording.confinement.confined:
        print(f"not confined: {recording.confinement.why}", file=sys.stderr)
    if str(written) != "-":
        print(f"{written}  open it with: {form.opens_with(written)}", file=sys.stderr)
    if recording.error is not None:
        raise recording.error
    return 1 if output.rescued or (stats is not None and stats.rescued) else 0


def _dated_name(nodes: list[Node], ending: str) -> str:
    who = str(nodes[0].pid) if len(nodes) == 1 else "zeek"
    return f"zeekspy-{who}-{time.strftime('%Y%m%d-%H%M%S')}{ending}"


def _write_nodes(files: NodeFiles, sessions: list[Session], form: Format, command: str) -> None:
    from zeekspy import session

    by_node: dict[str, list[Session]] = {}
    for s in sessions:
        by_node.setdefault(dict(s.labels).get("node", "zeek"), []).append(s)
    for node, those in by_node.items():
        profile = session.merge(those)
        profile.meta["command"] = command
        if files.write(node, partial(form.write, profile)) is None:
            print(f"zeekspy: {node} has no file of its own: more nodes came than were foreseen", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Recording:
    profile: Profile
    sessions: list[Session]
    confinement: Confinement
    error: Exception | None
    """What ended the sampling, or that of one target, before its time. What was sampled until then is there."""


def _record(args: argparse.Namespace, nodes: list[Node], outputs: list[Output], stop: Stop) -> Recording:
    from zeekspy import session
    from zeekspy.cli.progress import Progress
    from zeekspy.confine import confine
    from zeekspy.errors import LayoutError, NoSuchTarget, ZeekspyError
    from zeekspy.spawn import Spawned

    spawned = Spawned(args.command) if args.command else None
    error: Exception | None = None
    among = sampling.among(nodes, more=args.follow)

    def join(node: Node) -> Session:
        return sampling.of_node(node, args, among)

    follower = None
    try:
        if spawned is not None:
            attachment = spawned.attach(args.offsets, stop.asked)
            labels = (("pid", str(attachment.target.pid)),)
            sessions = [session.Session(attachment, args.hz, engine=args.engine, labels=labels)]
        else:
            sampling.room_for(among)
            sessions = []
            sampling.join(sessions, nodes, join, more=args.follow)
        confinement = confine(
            [s.attachment.target.pid for s in sessions],
            sampling.engines(sessions, args.engine, more=args.follow),
            folders=[folder for o in outputs for folder in o.folders],
            child=spawned.pid if spawned is not None else 0,
            others=args.follow,
        )
        if args.follow:
            from zeekspy.follow import Follower

            follower = Follower(selecting.selection(args), join, nodes)
            follower.start()
        with Progress(sys.stderr) as progress:
            try:
                newcomers = follower.newcomers if follower is not None else None
                for elapsed in session.run(sessions, args.duration, args.max_cpu, newcomers=newcomers):
                    progress.show(elapsed, sessions)
                    for note in follower.notes() if follower is not None else ():
                        progress.note(f"{elapsed:.1f} s: {note}")
                    if stop.asked():
                        break
            except LayoutError:
                raise
            except (ZeekspyError, MemoryError) as e:
                error = e
            if follower is not None:
                follower.stop()
            for s in sessions:
                try:
                    s.finish()
                except LayoutError as e:
                    s.error = s.error or e
    finally:
        if spawned is not None:
            spawned.end()
    right = [s for s in sessions if not isinstance(s.error, LayoutError)]
    error = error or next((s.error for s in sessions if s.error is not None), None)
    if not right:
        raise error or NoSuchTarget("no Zeek came that was asked for", "zeekspy ps lists those that are there.")
    profile = session.merge(right)
    profile.meta["command"] = shlex.join(["zeekspy", *sys.argv[1:]])
    return Recording(profile, right, confinement, error)


def write_stats(recording: Recording, out: Any) -> None:
    """One JSON object; for several targets a list of them."""
    import json

    c = recording.confinement
    common = {"confined": c.confined, "confined_why": c.why, "capabilities": c.capabilities}
    rows = [{**s.stats(), **dict(s.labels), "pid": s.attachment.target.pid, **common} for s in recording.sessions]
    out.write((json.dumps(rows[0] if len(rows) == 1 else rows, indent=2) + "\n").encode())
