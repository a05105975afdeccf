"""``zeekspy report``: a recording in another format, several in one, or what has changed between two."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from zeekspy.export import Format
    from zeekspy.profile import Profile

BY = ("body", "line", "file")
"""As regroup.BY, which would take longer to import than the help may."""


FILES_HELP = "recordings, - for standard input; several become one; or the folder of zeekspy watch: what was caught"
BY_HELP = "what a row or a frame is (body); node: which node of a cluster differs from the others, and in what"


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "report",
        help="show a recording, convert it, put several together or compare two",
        usage="zeekspy report (FILE [FILE ...] | DIR) [-f FMT] [-o OUT] [--diff BASE] [--by body|line|file|node]",
        description="Reads recordings of zeekspy, and what can be shown of other pprof files and of collapsed stacks. "
        "Without -o and -f it prints a table of bodies.",
    )
    p.add_argument("files", nargs="+", metavar="FILE", help=FILES_HELP)
    p.add_argument("-f", "--format", metavar="FMT", help="format, where the name of OUT does not say it (text)")
    p.add_argument("-o", "--output", metavar="OUT", help="file to write (standard output, or a dated name)")
    p.add_argument("--diff", metavar="BASE", help="show what has changed since this recording")
    p.add_argument("--by", choices=(*BY, "node"), default="body", help=BY_HELP)
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from zeekspy import export, recording, regroup
    from zeekspy.export.words import why_empty
    from zeekspy.output import Output

    if any(Path(path).is_dir() for path in args.files):
        return _captures(args)
    if args.by == "node":
        return _nodes(args)
    form = export.by_name(args.format) if args.format else export.by_path(args.output or "report.txt")
    if args.diff and not form.compares:
        form.refuse_diff()
    profiles = [recording.read(path) for path in args.files]
    profile = regroup.regrouped(recording.merge(profiles, args.files), args.by)
    base = regroup.regrouped(recording.read(args.diff), args.by) if args.diff else None
    for name, part in ((", ".join(args.files), profile), (args.diff, base)):
        for said in _said(name, part) if part is not None else ():
            print(said, file=sys.stderr)
    if base is not None:
        recording.merge([profile, base], [args.files[0], args.diff])  # refuses what cannot be compared
    path = Path(args.output or ("-" if form.is_text else _dated_name(form.endings[0])))
    if str(path) == "-":
        _print(lambda out: _write(form, profile, base, out, _width(form)))
    else:
        output = Output(path)
        try:
            written = output.write(lambda out: _write(form, profile, base, out, 0))
        finally:
            output.discard()
        print(f"{written}  open it with: {form.opens_with(written)}", file=sys.stderr)
    if base is None and form.name == "text" and why_empty(profile):
        print(why_empty(profile), file=sys.stderr)
    return 0


def _captures(args: argparse.Namespace) -> int:
    """What zeekspy watch has written into a folder."""
    from zeekspy import recording
    from zeekspy.errors import UsageError
    from zeekspy.rolling import digest

    if len(args.files) > 1 or args.output or args.by != "body" or args.format not in (None, "text", "json"):
        raise UsageError(
            "of a folder of captures there is a table, or JSON with -f json, and nothing else",
            "Give its *.pb.gz files for everything else that report does.",
        )
    found, problems = digest.read(Path(args.files[0]))
    for problem in problems:
        print(f"zeekspy: {problem}", file=sys.stderr)
    base = digest.counted(recording.read(args.diff)) if args.diff else None
    shared = digest.common(found, base)
    shown = digest.as_json(found, shared) if args.format == "json" else digest.text(found, shared, args.diff or "")
    _print(lambda out: _give(out, shown))
    return 0


def _nodes(args: argparse.Namespace) -> int:
    from zeekspy import recording
    from zeekspy.errors import UsageError
    from zeekspy.export import nodes

    if args.diff or args.output or args.format not in (None, "text"):
        raise UsageError("--by node prints a table of nodes, and nothing else", "Leave -f, -o and --diff out.")
    profile = recording.merge([recording.read(path) for path in args.files], args.files)
    _print(lambda out: _give(out, nodes.table(profile)))
    return 0


def _give(out: BinaryIO, text: str) -> None:
    out.write(text.encode("utf-8", "backslashreplace"))


def _write(form: Format, profile: Profile, base: Profile | None, out: BinaryIO, width: int) -> None:
    from zeekspy.export import diff_text, text

    if base is not None and width:
        out.write(diff_text.table(profile, base, width).encode("utf-8", "backslashreplace"))
    elif base is not None:
        form.write_diff(profile, base, out)
    elif width:
        out.write(text.report(profile, width).encode("utf-8", "backslashreplace"))
    else:
        form.write(profile, out)


def _print(content: Callable[[BinaryIO], None]) -> None:
    """Writes to standard output. No buffer of Python's holds anything that it would try to write again at exit."""
    from zeekspy.errors import FileError

    if sys.stdout is None:  # Python found descriptor 1 closed
        raise FileError("cannot write to standard output: it is closed", "Give a file with -o.")
    sys.stdout.flush()
    try:
        with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as raw:
            whole = io.BytesIO()
            content(whole)
            rest = memoryview(whole.getvalue())
            while rest:
                rest = rest[raw.write(rest) :]
    except BrokenPipeError:
        raise
    except OSError as e:
        raise FileError(f"cannot write to standard output: {e.strerror}", "Give a file with -o.") from None


def _width(form: Format) -> int:
    """Columns of the terminal that the table goes to; 0 where standard output is no terminal."""
    if form.name != "text" or not sys.stdout.isatty():
        return 0
    return shutil.get_terminal_size().columns


def _said(name: str, profile: Profile) -> list[str]:
    meta = profile.meta
    if meta.get("sample_types"):
        return [f"{name}: not a recording of zeekspy; it has {meta['sample_types']}, shown are {meta['shown']}"]
    return []


def _dated_name(ending: str) -> str:
    return f"zeekspy-report-{time.strftime('%Y%m%d-%H%M%S')}{ending}"
