"""Files that are complete or absent, and known to be writable before there is anything to write."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
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


@pytest.fixture(params=["nameless", "hidden"])
def no_tmpfile(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Also as on a file system that has no files without a name."""
    if request.param == "hidden":
        really = os.open

        def refusing(path: object, flags: int, *args: object, **more: object) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return really(path, flags, *args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", refusing)
    return bool(request.param == "hidden")


def test_nothing_is_seen_before_and_discard_leaves_nothing(tmp_path: Path, no_tmpfile: bool) -> None:
    output = Output(tmp_path / "z")
    assert len(list(tmp_path.iterdir())) == int(no_tmpfile)
    output.discard()
    output.discard()
    assert not list(tmp_path.iterdir())


def test_a_file_is_made_or_replaced(tmp_path: Path, no_tmpfile: bool) -> None:
    for _ in range(2):
        output = Output(tmp_path / "z")
        assert output.write(hello) == tmp_path / "z"
        assert not output.rescued
        assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"hello"]
        (tmp_path / "z").write_bytes(b"other")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "z").symlink_to(tmp_path / "there" / "real")
    Output(tmp_path / "z").write(hello)
    assert (tmp_path / "z").is_symlink()
    assert (tmp_path / "there" / "real").read_bytes() == b"hello"


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="it is a directory"):
        Output(tmp_path)
    with pytest.raises(FileError, match="No such file"):
        Output(tmp_path / "no" / "z")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="Not a directory"):
        Output(tmp_path / "file" / "z")
    with pytest.raises(FileError, match="File name too long"):
        Output(tmp_path / ("z" * 256))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_full_disk_is_no_reason_to_lose_a_recording(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(Path("/dev/full"))
    written = output.write(hello)
    assert output.rescued
    assert written.parent == elsewhere
    assert written.read_bytes() == b"hello"
    assert stat.S_IMODE(written.stat().st_mode) & 0o077 == 0
    assert capsys.readouterr().err == f"zeekspy: cannot write /dev/full: No space left on device; it is in {written}\n"


def test_nor_is_a_folder_that_has_gone(
    tmp_path: Path, elsewhere: Path, no_tmpfile: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    output = Output(tmp_path / "gone" / "zeek.1.pb.gz")
    shutil.rmtree(tmp_path / "gone")
    written = output.write(hello)
    assert output.rescued
    assert written.parent == elsewhere
    assert written.name.endswith(".pb.gz")
    assert written.read_bytes() == b"hello"
    assert "zeek.1.pb.gz: No such file or directory; it is in " in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == [written]


def test_nor_is_a_reader_that_has_left(elsewhere: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    output = Output(tmp_path / "pipe")
    os.close(reader)
    assert output.write(hello).read_bytes() == b"hello"
    assert output.rescued


def test_closed_standard_output_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(FileError, match="standard output: it is closed"):
        Output(Path("-"))


def test_devices_and_pipes_are_written_directly(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert Output(Path("/dev/null")).write(hello) == Path("/dev/null")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert Output(pipe).write(hello) == pipe
    assert os.read(reader, 99) == b"hello"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
