"""``zeekspy record``: sample until told to stop, then write the profile."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import arguments

if TYPE_CHECKING:
    from zeekspy.cli.stop import Stop
    from zeekspy.confine import Confinement
    from zeekspy.output import Output
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
        "--engine",
        choices=("auto", "nonblocking", "preempt", "ptrace"),
        default="auto",
        help="nonblocking never stops the target; preempt and ptrace do for each look, and see it unchanged (auto)",
    )
    p.add_argument(
        "--max-cpu",
        type=arguments.percent,
        default=2.0,
        metavar="PERCENT",
        help="of a core, for each target: the rate is lowered where sampling costs more (2)",
    )
    p.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to use")
    p.add_argument("--stats", type=Path, metavar="FILE", help="also write the counters there, as JSON")
    p.add_argument("command", nargs="*", metavar="COMMAND", help="after --: a Zeek to start and profile")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from zeekspy import export
    from zeekspy.cli.stop import Stop
    from zeekspy.errors import NoSuchTarget, UsageError
    from zeekspy.output import Output

    if bool(args.pid) == bool(args.command):
        raise UsageError("say what to profile: --pid PID, or -- COMMAND", "pgrep -a zeek lists the Zeek processes.")
    pids = list(dict.fromkeys(args.pid or []))
    form = export.by_name(args.format) if args.format else export.by_path(args.output or "")
    path = Path(args.output or _dated_name(pids, form.endings[0]))
    with Stop() as stop:  # also while the file is written
        output, stats = Output(path, form.endings[0]), None
        try:
            stats = Output(args.stats, ".json") if args.stats else None
            recording = _record(args, pids, [o for o in (output, stats) if o is not None], stop)
            profile, sessions = recording.profile, recording.sessions
            if all(s.ended and not s.stats()["samples"] for s in sessions):
                raise recording.error or NoSuchTarget("the target exited before the first sample", "")
            written = output.write(lambda out: form.write(profile, out))
            if stats is not None:
                stats.write(lambda out: write_stats(recording, out))
        finally:
            output.discard()
            if stats is not None:
                stats.discard()
    print("\n".join(summary(profile, sessions)), file=sys.stderr)
    if not recording.confinement.confined:
        print(f"not confined: {recording.confinement.why}", file=sys.stderr)
    if str(written) != "-":
        print(f"{written}  open it with: {form.opens_with(written)}", file=sys.stderr)
    if recording.error is not None:
        raise recording.error
    return 1 if output.rescued or (stats is not None and stats.rescued) else 0


def _dated_name(pids: list[int], ending: str) -> str:
    who = str(pids[0]) if len(pids) == 1 else "zeek"
    return f"zeekspy-{who}-{time.strftime('%Y%m%d-%H%M%S')}{ending}"


@dataclass(frozen=True, slots=True)
class Recording:
    profile: Profile
    sessions: list[Session]
    confinement: Confinement
    error: Exception | None
    """What ended the sampling, or that of one target, before its time. What was sampled until then is there."""


def _record(args: argparse.Namespace, pids: list[int], outputs: list[Output], stop: Stop) -> Recording:
    from zeekspy import session
    from zeekspy.cli.progress import Progress
    from zeekspy.confine import confine
    from zeekspy.errors import LayoutError, ZeekspyError
    from zeekspy.spawn import Spawned

    spawned = Spawned(args.command) if args.command else None
    error: Exception | None = None
    try:
        attachments = [session.attach(pid, args.offsets) for pid in pids]
        if spawned is not None:
            attachments = [spawned.attach(args.offsets, stop.asked)]
        sessions = [
            session.Session(a, args.hz, engine=args.engine, labels=(("pid", str(a.target.pid)),)) for a in attachments
        ]
        confinement = confine(
            [a.target.pid for a in attachments],
            {engine for s in sessions for engine in s.choice.engines},
            folders=[folder for o in outputs for folder in o.folders],
            child=spawned.pid if spawned is not None else 0,
        )
        with Progress(sys.stderr) as progress:
            try:
                for elapsed in session.run(sessions, args.duration, args.max_cpu):
                    progress.show(elapsed, sessions)
                    if stop.asked():
                        break
            except LayoutError:
                raise
            except (ZeekspyError, MemoryError) as e:
                error = e
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
    if error is not None and not right:
        raise error
    profile = session.merge(right)
    profile.meta["command"] = shlex.join(["zeekspy", *sys.argv[1:]])
    return Recording(profile, right, confinement, error)


def write_stats(recording: Recording, out: Any) -> None:
    """One JSON object; for several targets a list of them."""
    import json

    c = recording.confinement
    common = {"confined": c.confined, "confined_why": c.why, "capabilities": c.capabilities}
    rows = [{**s.stats(), "pid": s.attachment.target.pid, **common} for s in recording.sessions]
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
            f"unreadable {c['unreadable']}, lineless {c['lineless']}, missed {c['missed']}; "
            f"{c['hz_achieved']:g} of {c['hz_asked']:g} Hz, "
            f"engine {c['engine']} ({c['engine_reason']})" + (f"; {s.ended}" if s.ended else "")
        )
        if c["hz_lowered_to"]:
            lines.append(
                f"  the rate was lowered to {c['hz_lowered_to']:.4g} Hz: sampling cost more than it may (--max-cpu) or "
                "could not keep up"
            )
        if not c["samples"]:
            lines.append("  no samples: the recording ended before the first one was due")
        elif not c["script"]:
            lines.append("  no script was running in any sample: the profile holds only core and idle time")
        elif c["layout_unproven"]:
            lines.append(
                f"  warning: no stack has shown that the offsets of {c['layout']} are right for "
                f"{', '.join(c['layout_unproven'])}: functions or lines may be wrong or missing"
            )
    return lines
