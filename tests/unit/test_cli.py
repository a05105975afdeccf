"""The command line as such: help, the bare form, arguments."""

from __future__ import annotations

import argparse
import subprocess
import time
from importlib import metadata

import pytest

from tests.support.commands import ZEEKSPY
from zeekspy import cli
from zeekspy.cli import arguments
from zeekspy.errors import AccessDenied, NoSuchTarget, UnknownBuild, ZeekspyError


@pytest.mark.parametrize("command", [(), *((c,) for c in cli.COMMANDS), ("offsets", "generate"), ("offsets", "show")])
def test_every_command_has_help(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: zeekspy")
    if command:
        assert command[-1] in said.splitlines()[0]
    else:
        assert all(f"    {name} " in said for name in cli.COMMANDS)
    assert max(map(len, said.splitlines())) <= 120


def test_help_comes_quickly() -> None:
    def took() -> float:
        began = time.monotonic()
        subprocess.run([*ZEEKSPY, "--help"], check=True, capture_output=True)
        return time.monotonic() - began

    # The best of some: the machine may be busy with something else. An import too many costs more than that.
    assert min(took() for _ in range(5)) < 0.3


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"zeekspy {metadata.version('zeekspy')}\n"


@pytest.mark.parametrize(
    ("words", "full"),
    [
        (["--pid", "1"], ["record", "--pid", "1"]),
        (["-o", "x", "--pid", "1"], ["record", "-o", "x", "--pid", "1"]),
        (["--", "zeek"], ["record", "--", "zeek"]),
        (["record", "--pid", "1"], ["record", "--pid", "1"]),
        (["dump", "--pid", "1"], ["dump", "--pid", "1"]),
        (["--help"], ["--help"]),
        (["-h"], ["-h"]),
        (["--version"], ["--version"]),
        ([], []),
    ],
)
def test_with_command(words: list[str], full: list[str]) -> None:
    assert cli.with_command(words) == full


def test_the_form_of_zeek_spy() -> None:
    line = "--pid 42 --hz 250 --profile zeek.pb.gz"
    args = cli.parser().parse_args(cli.with_command(line.split()))
    assert (args.pid, args.hz, args.output) == ([42], 250.0, "zeek.pb.gz")


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("1.5", 1.5), (".5", 0.5), ("90s", 90), ("5m", 300), ("1h", 3600)]
)
def test_durations(text: str, value: float) -> None:
    assert arguments.seconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1d", "nan", "inf", "1e3", "1 m", "s", "9" * 20])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        arguments.seconds(text)


@pytest.mark.parametrize(
    ("error", "code"), [(ZeekspyError, 1), (NoSuchTarget, 3), (AccessDenied, 4), (UnknownBuild, 5), (MemoryError, 1)]
)
def test_errors_are_sentences(
    error: type[Exception], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: argparse.Namespace) -> int:
        raise error("what happened")

    monkeypatch.setattr("zeekspy.cli.dump.run", fail)
    assert cli.main(["dump", "--pid", "1"]) == code
    said = capsys.readouterr().err
    assert said.startswith("zeekspy: ")
    assert "Traceback" not in said
