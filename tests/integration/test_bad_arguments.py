"""Wrong command lines and captures: a clear error, and nothing is touched."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import refused, zeekspy

USAGE = [
    *(("--pid", "1", "--hz", hz) for hz in ("0", "-1", "nan", "inf", "1e9", "abc", "")),
    *(("--pid", "1", "--duration", s) for s in ("0", "-1", "nan", "5d", "1e3")),
    *(("--pid", pid) for pid in ("0", "-1", "abc", "1.5", "99999999", "+1", "\u0661")),
    ("--pid",),
    ("--pid", "1", "--format", "nonsense", "-o", "-"),
    ("--pid", "1", "--engine", "nonsense"),
    ("--hz", "100"),
    ("record",),
    ("record", "--pid", "1", "--", "true"),
    ("dump",),
    ("dump", "--pid", "0"),
    ("dump", "--pid", "1", "--capture", "x"),
    ("capture", "--pid", "1"),
    ("capture", "--pid", "1", "-n", "0", "-o", "x"),
    ("nonsense",),
    (),
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_usage(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    from zeekspy.cli import main

    try:
        code = main(list(arguments))
    except SystemExit as e:  # argparse
        code = int(e.code or 0)
    out, err = capsys.readouterr()
    refused(subprocess.CompletedProcess([], code, out.encode(), err.encode()), 2)


def test_a_command_that_ends_at_once(tmp_path: Path) -> None:
    out = tmp_path / "z.pb.gz"
    refused(zeekspy("record", "-o", out, "--", "true"), 3, "true ended with status 0 before it could be sampled")
    refused(zeekspy("record", "-o", out, "--", "false"), 3, "status 1")
    assert not list(tmp_path.iterdir())


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    args = ("record", "-o", tmp_path / "z.pb.gz", "--")
    refused(zeekspy(*args, "/no/such/zeek"), 2, "cannot start /no/such/zeek: No such file", hint="runs Zeek")
    refused(zeekspy(*args, tmp_path), 2, "Permission denied", hint="runs Zeek")
    assert not list(tmp_path.iterdir())


HEADER = {
    "format": "zeek-stack-capture/1",
    "version": "9.0.0",
    "arch": "x86_64",
    "fields": {},
    "symbols": {"call_stack": 4096},
}


def lines(*values: object) -> bytes:
    return b"".join(json.dumps(v).encode() + b"\n" for v in values)


CAPTURES = {
    "empty": b"",
    "not gzip": b"hello\n",
    "not JSON": gzip.compress(b"hello\n"),
    "not text": gzip.compress(b"\xff\xfe\xfd\n"),
    "deep": gzip.compress(b"[" * 100_000),
    "cut": gzip.compress(lines(HEADER, {"segments": [[4096, "00" * 24]]}))[:-30],
    "bad sum": gzip.compress(lines(HEADER))[:-8] + struct.pack("<II", 1, 1),
    "nothing in it": gzip.compress(b""),
    "a list": gzip.compress(lines([1])),
    "foreign": gzip.compress(lines({"format": "other/1"})),
    "no version": gzip.compress(lines({**HEADER, "version": None})),
    "no symbols": gzip.compress(lines({**HEADER, "symbols": {}})),
    "absurd symbol": gzip.compress(lines({**HEADER, "symbols": {"call_stack": -1}})),
    "absurd version": gzip.compress(lines({**HEADER, "version": "what"})),
    "unknown version, no fields": gzip.compress(lines({**HEADER, "version": "0.1.0"}, {"segments": []})),
    "absurd field": gzip.compress(lines({**HEADER, "version": "0.1.0", "fields": {"CallInfo.call": 1 << 40}})),
    "no segments": gzip.compress(lines(HEADER, {})),
    "odd segments": gzip.compress(lines(HEADER, {"segments": [[1, "zz"]]})),
    "beyond memory": gzip.compress(lines(HEADER, {"segments": [[(1 << 64) - 1, "0000"]]})),
    "infinite address": gzip.compress(b'%s{"segments": [[1e999, "00"]]}\n' % lines(HEADER)),
}


@pytest.mark.parametrize("content", CAPTURES.values(), ids=CAPTURES.keys())
def test_a_file_that_is_no_capture(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zeekspy.cli import main

    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(content)
    code = main(["dump", "--json", "--capture", str(file)])
    out, err = capsys.readouterr()
    assert code in (1, 5)
    refused(subprocess.CompletedProcess([], code, out.encode(), err.encode()), code)


def test_a_capture_that_is_not_there(tmp_path: Path) -> None:
    refused(zeekspy("dump", "--capture", tmp_path / "none"), 1, "No such file")
    refused(zeekspy("dump", "--capture", tmp_path), 1, "Is a directory")


def test_output_into_a_closed_pipe() -> None:
    command = f"{sys.executable} -m zeekspy offsets list --json | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
