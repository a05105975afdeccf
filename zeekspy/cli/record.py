"""``zeekspy record``: sample until told to stop, then write the profile."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments

if TYPE_CHECKING:
    from zeekspy.profile import Profile
    from zeekspy.session import Session


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "record",
        help="profile a running Zeek, or start one, and write a profile",
        usage="zeekspy [record] (--pid PID [PID ...] | -- COMMAND [ARG ...]) [options]",
        description="Samples the script stack of a Zeek and writes a profile. Ends at Ctrl-C, SIGTERM, --duration or "
        "when the target exits, always with a complete file.",
    )
    p.add_argument("--pid", type=arguments.pid, nargs="+", metavar="PID", help="running Zeek processes")
    p.add_argument("--hz", type=arguments.hz, default=100.0, help="samples a second (100)")
    p.add_argument("--duration", type=arguments.seconds, metavar="S", help="stop after this time: 60, 5m, 1h")
    p.add_argument("-o", "--output", "--profile", dest="output", metavar="FILE", help="file to write (a dated name)")
    p.add_argument("-f", "--format", metavar="FMT", help="format, where the file name's ending does not say it")
    p.add_argument(
        "--engine", choices=("auto", "nonblocking"), default="auto", help="how to sample (auto); the target never stops"
    )
    p.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to use")
    p.add_argument("--stats", type=Path, metavar="FILE", help="also write the counters there, as JSON")
    p.add_argument("command", nargs="*", metavar="COMMAND", help="after --: a Zeek to start and profile")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from zeekspy import export
    from zeekspy.errors import NoSuchTarget, UsageError
    from zeekspy.output import Output

    if bool(args.pid) == bool(args.command):
        raise UsageError("say what to profile: --pid PID, or -- COMMAND", "pgrep -a zeek lists the Zeek processes.")
    pids = list(dict.fromkeys(args.pid or []))
    form = export.by_name(args.format) if args.format else export.by_path(args.output or "")
    path = Path(args.output or _dated_name(pids, form.endings[0]))
    output, stats = Output(path), None
    try:
        stats = Output(args.stats) if args.stats else None
        profile, sessions = _record(args, pids)
        if all(s.ended and not s.stats()["samples"] for s in sessions):
            raise NoSuchTarget("the target exited before the first sample", "")
        written = output.write(lambda out: form.write(profile, out))
        if stats is not None:
            stats.write(lambda out: write_stats(sessions, out))
    finally:
        output.discard()
        if stats is not None:
            stats.discard()
    print("\n".join(summary(profile, sessions)), file=sys.stderr)
    if str(path) != "-":
        print(f"{written}  open it with: {form.opens_with(written)}", file=sys.stderr)
    return 0


def _dated_name(pids: list[int], ending: str) -> str:
    who = str(pids[0]) if len(pids) == 1 else "zeek"
    return f"zeekspy-{who}-{time.strftime('%Y%m%d-%H%M%S')}{ending}"


def _record(args: argparse.Namespace, pids: list[int]) -> tuple[Profile, list[Session]]:
    from zeekspy import session
    from zeekspy.cli.progress import Progress
    from zeekspy.cli.stop import Stop
    from zeekspy.spawn import Spawned

    with Stop() as stop:
        spawned = Spawned(args.command) if args.command else None
        try:
            attachments = [session.attach(pid, args.offsets) for pid in pids]
            if spawned is not None:
                attachments = [spawned.attach(args.offsets, stop.asked)]
            sessions = [session.Session(a, args.hz, labels=(("pid", str(a.target.pid)),)) for a in attachments]
            with Progress(sys.stderr) as progress:
                try:
                    for elapsed in session.run(sessions, args.duration):
                        progress.show(elapsed, sessions)
                        if stop.asked():
                            break
                finally:
                    for s in sessions:
                        s.finish()
        finally:
            if spawned is not None:
                spawned.end()
    profile = session.merge(sessions)
    profile.meta["command"] = shlex.join(["zeekspy", *sys.argv[1:]])
    return profile, sessions


def write_stats(sessions: list[Session], out: Any) -> None:
    """One JSON object; for several targets a list of them."""
    import json

    rows = [{**s.stats(), "pid": s.attachment.target.pid} for s in sessions]
    out.write((json.dumps(rows[0] if len(rows) == 1 else rows, indent=2) + "\n").encode())


def summary(profile: Profile, sessions: list[Session]) -> list[str]:
    """A line a target: samples, shares, what was lost, rates, engine; and why there is nothing where that is so."""
    lines = []
    for s in sessions:
        c = s.stats()
        n = c["samples"] or 1
        shares = ", ".join(f"{k} {100 * c[k] / n:.1f} %" for k in ("script", "core", "idle"))
        lines.append(
            f"pid {s.attachment.target.pid}: {c['samples']} samples ({shares}), torn {c['torn']}, stale {c['stale']}, "
            f"unreadable {c['unreadable']}, missed {c['missed']}; {c['hz_achieved']:g} of {c['hz_asked']:g} Hz, "
            f"engine {c['engine']}" + (f"; {s.ended}" if s.ended else "")
        )
        if not c["samples"]:
            lines.append("  no samples: the recording ended before the first one was due")
        elif not c["script"]:
            lines.append("  no script was running in any sample: the profile holds only core and idle time")
    return lines
