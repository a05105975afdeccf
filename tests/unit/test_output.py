"""Files that are complete or absent, and known to be writable before there is anything to write."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO

import pytest

from zeekspy.errors import FileError
from zeekspy.output import Output


def hello(out: BinaryIO) -> None:
    out.write(b"hello")


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "z.pb.gz"
    path.write_bytes(b"before")
    output = Output(path)
    assert path.read_bytes() == b"before"
    assert output.write(hello) == path
    output.discard()
    assert path.read_bytes() == b"hello"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        path = Output(tmp_path / "z").write(hello)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    output = Output(tmp_path / "z")
    assert len(list(tmp_path.iterdir())) == 1
    output.discard()
    output.discard()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="it is a directory"):
        Output(tmp_path)
    with pytest.raises(FileError, match="No such file"):
        Output(tmp_path / "no" / "z")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="Not a directory"):
        Output(tmp_path / "file" / "z")


def test_a_full_disk_is_no_reason_to_lose_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    output = Output(tmp_path / "z.pb.gz")

    def content(out: BinaryIO) -> None:
        if Path(out.name).parent == tmp_path:
            raise OSError(errno.ENOSPC, "No space left on device")
        hello(out)

    written = output.write(content)
    assert written.parent == tmp_path / "elsewhere"
    assert written.name.endswith(".pb.gz")
    assert written.read_bytes() == b"hello"
    assert f"cannot write {tmp_path / 'z.pb.gz'}: No space left on device" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["elsewhere"]


def test_devices_and_pipes_are_written_directly(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert Output(Path("/dev/null")).write(hello) == Path("/dev/null")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert Output(pipe).write(hello) == pipe
    assert os.read(reader, 99) == b"hello"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
