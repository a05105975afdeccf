"""The command line: one module a command, errors as a sentence with the remedy and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from zeekspy.errors import ZeekspyError

COMMANDS = ("record", "ps", "top", "watch", "serve", "report", "dump", "capture", "offsets", "doctor", "demo")

EPILOG = """\
examples:
  zeekspy --pid 4711                            profile until Ctrl-C, then say how to open the file
  zeekspy --pid 4711 --hz 250 --profile zeek.pb.gz --duration 60
  zeekspy record -- zeek -r trace.pcap local    start a Zeek and profile it
  zeekspy record workers --duration 60          all workers of a cluster; zeekspy ps lists what there is
  zeekspy dump --node worker-1-3                the script stack now
  zeekspy top --pid 4711                        what it does, live
"""


class _Version(argparse.Action):
    """Looks the version up when it is asked for: what reads it takes longer to import than all of ours."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        print(f"zeekspy {metadata.version('zeekspy')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="zeekspy",
        description="Profiles the script stacks of a running Zeek, from outside and without stopping it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = result.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name in COMMANDS:
        import_module(f"zeekspy.cli.{name}").add_parser(subparsers)
    return result


def with_command(arguments: Sequence[str]) -> list[str]:
    """``zeekspy --pid P …`` records: the command may be left out where options begin the line."""
    words = list(arguments)
    if words and words[0] not in ("-h", "--help", "--version") and words[0].startswith("-"):
        return ["record", *words]
    return words


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The line's options. Of ``record``, what stands behind ``--`` is a command to run, whatever it looks like."""
    words, command = with_command(arguments), []
    if words[:1] == ["record"] and "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    args = parser().parse_args(words)
    if command:
        args.command = command
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code (design.md section 6)."""
    try:
        args = parse(sys.argv[1:] if arguments is None else arguments)
        code: int = args.func(args)
        sys.stdout.flush()
        return code
    except ZeekspyError as e:
        print(f"zeekspy: {e}", file=sys.stderr)
        if e.hint:
            print(f"         {e.hint}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left; Python would complain once more when it flushes at exit. A pipe takes the
        # rest: a confined process cannot open /dev/null for writing.
        os.dup2(os.pipe()[1], sys.stdout.fileno())
        return 1
    except MemoryError:
        print("zeekspy: out of memory", file=sys.stderr)
        return 1
