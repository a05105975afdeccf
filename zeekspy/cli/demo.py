"""``zeekspy demo``: records a busy target for some seconds and shows the result. Needs no Zeek."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from zeekspy.cli import arguments, summary


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "demo",
        help="record a bundled target, or an installed Zeek, and show the result",
        description="Starts an installed Zeek with a small busy script, or where there is none the bundled stand-in, "
        "records it, prints the bodies by their time and writes a profile.",
    )
    p.add_argument("--duration", type=arguments.seconds, default=5.0, metavar="S", help="seconds to record (5)")
    p.add_argument("--hz", type=arguments.hz, default=250.0, help="samples a second (250)")
    p.add_argument("-o", "--output", type=Path, default=Path("zeekspy-demo.pb.gz"), metavar="FILE")
    p.add_argument("--standin", choices=("1", "2"), help="the bundled target, in the shape of Zeek <= 8.0 or >= 8.1")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from zeekspy import export, session
    from zeekspy.cli.progress import Progress
    from zeekspy.cli.stop import Stop
    from zeekspy.confine import confine
    from zeekspy.export import text
    from zeekspy.output import Output

    output = Output(args.output)
    try:
        with Stop() as stop, _busy_target(args.standin, stop) as (what, attachment):
            print(f"recording {what} (Zeek {attachment.target.version}) for {args.duration:g} s at {args.hz:g} Hz")
            s = session.Session(attachment, args.hz, labels=(("pid", str(attachment.target.pid)),))
            pid = attachment.target.pid
            confine([pid], {s.stats()["engine"]}, folders=output.folders, child=pid)
            with Progress(sys.stderr) as progress:
                for elapsed in session.run([s], args.duration):
                    progress.show(elapsed, [s])
                    if stop.asked():
                        break
            s.finish()
        s.profile.meta["command"] = "zeekspy demo"
        form = export.by_path(args.output)
        written = output.write(lambda out: form.write(s.profile, out))
    finally:
        output.discard()
    print()
    print(text.table(s.profile, limit=20))
    print("\n".join(summary.lines([s])))
    print(f"{written}  open it with: {form.opens_with(written)}")
    return 1 if output.rescued else 0


@contextmanager
def _busy_target(standin: str | None, stop: Any) -> Iterator[tuple[str, Any]]:
    from zeekspy import spawn
    from zeekspy import standin as bundled
    from zeekspy.errors import ZeekspyError

    zeek = None if standin else installed_zeek()
    if zeek is not None:
        script = resources.files("zeekspy").joinpath("demo.zeek")
        with resources.as_file(script) as path:
            process = spawn.Spawned([str(zeek), "-b", str(path)])
            try:
                try:
                    found = process.attach(None, stop.asked)
                except ZeekspyError as e:
                    print(f"zeekspy: {zeek} cannot be recorded ({e}); using the bundled target", file=sys.stderr)
                else:
                    yield str(zeek), found
                    return
            finally:
                process.end()
    path = bundled.path(standin or "2")
    process = spawn.Spawned([str(path)], quiet=True)
    try:
        yield f"the bundled stand-in {path.name}", process.attach(None, stop.asked)
    finally:
        process.end()


def installed_zeek() -> Path | None:
    """A zeek on PATH or where its packages put it."""
    found = shutil.which("zeek")
    places = [Path(found)] if found else []
    places += [*sorted(Path("/opt").glob("zeek*/bin/zeek"), reverse=True), Path("/usr/local/zeek/bin/zeek")]
    return next((p for p in places if p.is_file()), None)
