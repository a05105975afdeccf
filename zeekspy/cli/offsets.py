"""``zeekspy offsets``: the tables that say where each version of Zeek keeps its stack, and how to make one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from zeekspy import layout
from zeekspy.cli import selecting
from zeekspy.errors import BadLayout, FileError, UnknownBuild, UsageError
from zeekspy.layout import Layout, load

BAR_AFTER = 1.0
"""Seconds of work without a progress bar."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "offsets",
        help="tables of offsets: list, show, generate from debug info",
        description="The tables that say where each version of Zeek keeps its script stack.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    c = commands.add_parser("list", help="the tables shipped with zeekspy")
    c.add_argument("--json", action="store_true", help="as one JSON array")
    c.set_defaults(func=run, offsets_command=_list)

    c = commands.add_parser("show", help="one table, as text like pahole's")
    c.add_argument("file", nargs="?", metavar="FILE", help="a table in a file")
    c.add_argument("--zeek-version", metavar="V", help="the shipped table for this version of Zeek")
    selecting.add_arguments(c, many=False)
    c.add_argument(
        "--stdlib", choices=layout.STDLIBS, default="libstdc++", help="C++ library of the build (%(default)s)"
    )
    c.add_argument("--json", action="store_true", help="as the JSON of a table's file")
    c.set_defaults(func=run, offsets_command=_show)

    c = commands.add_parser("check", help="hold a table against a running Zeek, every check with its evidence")
    selecting.add_arguments(c, many=False)
    c.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to check")
    c.add_argument("--json", action="store_true", help="as one JSON object")
    c.set_defaults(func=run, offsets_command=_check)

    c = commands.add_parser("generate", help="a table from the debug info of a Zeek")
    c.add_argument("zeek", metavar="ZEEK", help="the executable, or an object file of it")
    c.add_argument("objects", nargs="*", metavar="OBJECT", help="further object files of the same build")
    c.add_argument("-o", "--output", metavar="FILE", help="write the table there instead of to standard output")
    c.add_argument("--debug-file", metavar="FILE", help="file that holds ZEEK's DWARF")
    c.add_argument("--zeek-version", metavar="V", help="which Zeek object files are of; executables know it")
    c.add_argument("--since", metavar="V", help="first version the table is to cover (that of ZEEK)")
    c.add_argument("--until", metavar="V", help="last version the table is to cover (that of ZEEK)")
    c.add_argument("--merge", metavar="TABLE", help="add ZEEK to this table, whose offsets must be the same")
    c.add_argument("--json", action="store_true", help="print the table even where -o names a file")
    c.set_defaults(func=run, offsets_command=_generate)


def run(args: argparse.Namespace) -> int:
    result: int = args.offsets_command(args)
    return result


def _list(args: argparse.Namespace) -> int:
    from zeekspy.offsets import tables

    shipped: tuple[Layout, ...] = tables()
    if args.json:
        rows = [
            {
                "file": t.origin,
                "since": t.since,
                "until": t.until,
                "stdlib": t.stdlib,
                "fields": len(t.fields),
                "provenance": [dict(p) for p in t.provenance],
            }
            for t in shipped
        ]
        print(json.dumps(rows, indent=2))
        return 0
    for t in shipped:
        print(f"{t.since + ' - ' + t.until if t.since != t.until else t.since:22} {t.stdlib:14} {t.origin}")
        for p in t.provenance:
            print(f"{'':22} {_seen(p)}")
    return 0


def _seen(p: Mapping[str, Any]) -> str:
    words = [f"{k} {p[k]}" for k in ("version", "arch", "compiler", "build_id") if p.get(k)]
    return "seen: " + ", ".join(words)


def _show(args: argparse.Namespace) -> int:
    if selecting.selection(args):
        args.pid = selecting.one(args)
    if (args.file, args.zeek_version, args.pid).count(None) != 2:
        raise UsageError(
            "say which table to show", "Give a FILE, --zeek-version V or --pid P; zeekspy offsets list names them."
        )
    if args.pid is not None:
        from zeekspy import choice, target

        table = choice.choose(target.find(args.pid))
    else:
        table = load(Path(args.file)) if args.file is not None else _shipped(args.zeek_version, args.stdlib)
    if args.json:
        sys.stdout.write(table.to_json())
    else:
        print("\n".join(describe(table)))
    return 0


def _check(args: argparse.Namespace) -> int:
    from zeekspy import choice, selfcheck, session, stackcheck, target

    args.pid = selecting.one(args)
    found = target.find(args.pid)
    memory = session.open_memory(args.pid)
    table = choice.choose(found, args.offsets)
    checks = stackcheck.everything(found, table, memory)
    failed = [c for c in checks if not c.passed]
    if args.json:
        rows = [{"what": c.what, "passed": c.passed, "proven": c.proven, "evidence": c.evidence} for c in checks]
        report = {"pid": args.pid, "zeek_version": found.version, "layout": table.origin, "passed": not failed}
        print(json.dumps({**report, "checks": rows}, indent=2))
    else:
        print(f"process {args.pid}: Zeek {found.version}, {found.stdlib}, offsets of {table.origin}")
        for c in checks:
            print(f"{c.verdict:8} {c.what}: {c.evidence}")
    if failed:
        raise UnknownBuild(
            f"the table of offsets ({table.origin}) does not fit this Zeek {found.version}: "
            f"{failed[0].what}: {failed[0].evidence}",
            selfcheck.HINT.format(exe=found.exe, pid=found.pid),
        )
    return 0


def _shipped(version: str, stdlib: str) -> Layout:
    from zeekspy.offsets import find

    table: Layout | None = find(version, stdlib)
    if table is None:
        raise UnknownBuild(
            f"no shipped table is for Zeek {version} with {stdlib}",
            "Make one where that Zeek has debug info: zeekspy offsets generate ZEEK -o FILE.",
        )
    return table


def describe(table: Layout) -> Iterator[str]:
    """Lines of text, class by class: each member with its offset, and its size where that differs by version."""
    yield f"/* Zeek {table.since} - {table.until}, {table.stdlib} */"
    for p in table.provenance:
        yield f"/* {_seen(p)} */"
    for name, symbol in table.symbols.items():
        yield f"/* {name}: {symbol or 'none'} */"
    classes: dict[str, list[tuple[int, str]]] = {}
    for name, offset in table.fields.items():
        if name.startswith("sizeof."):
            continue
        owner, _, member = name.rpartition(".")
        classes.setdefault(owner, []).append((offset, member))
    for owner, members in classes.items():
        yield ""
        yield f"class {owner.replace('.', '::')} {{" + " " * max(1, 32 - len(owner)) + "/* offset  size */"
        for offset, member in sorted(members):
            width = table.fields.get(f"sizeof.{owner}.{member}", "")
            yield f"        {member + ';':32}/* {offset:6}  {width:4} */"
        if f"sizeof.{owner}" in table.fields:
            yield f"        /* size: {table.fields[f'sizeof.{owner}']} */"
        yield "};"


def _generate(args: argparse.Namespace) -> int:
    from zeekspy import dwarf

    bar = _Bar(sys.stderr.isatty())
    try:
        table = dwarf.generate(
            args.zeek,
            args.debug_file,
            bar,
            objects=args.objects,
            version=args.zeek_version,
            since=args.since,
            until=args.until,
        )
    finally:
        bar.clear()
    if args.merge is not None:
        table = merge(load(Path(args.merge)), table, args.since, args.until)
    if args.output is not None:
        try:
            Path(args.output).write_text(table.to_json(), encoding="utf-8")
        except OSError as e:
            raise FileError(f"cannot write {args.output}: {e.strerror}") from None
        if not args.json:
            print(f"{args.output}: Zeek {table.since} - {table.until}, {table.stdlib}, {len(table.fields)} fields")
    if args.output is None or args.json:
        sys.stdout.write(table.to_json())
    return 0


def merge(table: Layout, seen: Layout, since: str | None, until: str | None) -> Layout:
    """``table`` with the build ``seen`` added to its provenance, and its range set to ``since`` and ``until`` if given.

    BadLayout if a field or symbol differs; UsageError if the build's version lies outside the range.
    """
    different = sorted(
        [k for k in table.fields.keys() | seen.fields.keys() if table.fields.get(k) != seen.fields.get(k)]
        + [k for k in table.symbols.keys() | seen.symbols.keys() if table.symbols.get(k) != seen.symbols.get(k)]
    )
    if table.stdlib != seen.stdlib:
        different.insert(0, "stdlib")
    version = str(seen.provenance[0]["version"])
    if different:
        raise BadLayout(
            f"Zeek {version} does not have the layout of {table.origin}: {', '.join(different)} differ",
            "Write a table of its own for it: leave --merge out.",
        )
    merged = replace(table, since=since or table.since, until=until or table.until)
    if not merged.covers(version):
        raise UsageError(
            f"{table.origin} is for Zeek {merged.since} - {merged.until}, this is {version}",
            f"Add --since {version} or --until {version} once you know that all versions between have this layout.",
        )
    new = tuple(p for p in seen.provenance if p not in table.provenance)
    return replace(merged, provenance=table.provenance + new)


class _Bar:
    """A progress bar on standard error, only on a terminal and only for work that takes long."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._started = time.monotonic()
        self._shown = False

    def __call__(self, done: float) -> None:
        if self._wanted and time.monotonic() - self._started > BAR_AFTER:
            self._shown = True
            sys.stderr.write(f"\rreading debug info [{'#' * int(30 * done):30}] {done:4.0%}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
