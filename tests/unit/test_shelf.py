"""The folder of captures: what is kept, in which order it leaves, and what a full disk does."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy.errors import FileError, UsageError
from zeekspy.rolling import shelf
from zeekspy.rolling.shelf import Shelf


def put(to: Shelf, size: int = 100, node: str = "worker-1") -> str:
    return to.put(
        node, "stall", b"p" * size, lambda name: json.dumps({"format": shelf.FORMAT, "profile": name}).encode()
    )


def numbers(folder: Path) -> list[int]:
    return [kept.number for kept in shelf.listed(folder)]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=25), st.integers(1, 6), st.sampled_from([0, 4000, 10_000]))
def test_the_youngest_stay_as_many_as_may(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], most: int, most_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("shelf")
    kept = Shelf(folder, most, most_bytes)
    for size in sizes:
        put(kept, size)
        there = shelf.listed(folder)
        assert there[-1].number == kept._next - 1
        assert all(len(k.files) == 2 for k in there)
        assert len(there) <= most
        assert not most_bytes or sum(k.size for k in there) <= most_bytes
        assert [k.number for k in there] == list(range(there[0].number, there[-1].number + 1))
    # None has left that could have stayed.
    oldest = there[0].number - 1
    if oldest and len(there) < most:
        assert sum(k.size for k in there) + sizes[oldest - 1] + 60 > most_bytes
    assert kept.count == len(there)
    assert kept.size == sum(k.size for k in there)
    os.close(kept._lock)


def test_numbers_go_on_where_the_last_watch_ended(tmp_path: Path) -> None:
    first = Shelf(tmp_path, 3)
    for _ in range(4):
        put(first)
    os.close(first._lock)
    second = Shelf(tmp_path, 2)
    assert numbers(tmp_path) == [3, 4]
    put(second)
    assert numbers(tmp_path) == [4, 5]


def test_what_others_have_put_there_stays(tmp_path: Path) -> None:
    others = ["notes.txt", "12-worker-1-stall.json", "000001-x.txt", "000002.json", ".000003-worker-1-stall.json"]
    for name in others:
        (tmp_path / name).write_text("mine")
    (tmp_path / "000009-a-folder.json").mkdir()
    kept = Shelf(tmp_path, 1)
    put(kept)
    put(kept)
    assert all((tmp_path / name).read_text() == "mine" for name in others)
    assert len(numbers(tmp_path)) == 1


def test_one_writer(tmp_path: Path) -> None:
    first = Shelf(tmp_path, 1)
    with pytest.raises(UsageError, match="another zeekspy watch"):
        Shelf(tmp_path, 1)
    os.close(first._lock)
    Shelf(tmp_path, 1)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError):
        Shelf(tmp_path / "file" / "folder", 1)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", "..", "x" * 500, "né\n"])
def test_a_name_chooses_no_place(tmp_path: Path, name: str) -> None:
    put(Shelf(tmp_path / "out", 5), node=name)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len(numbers(tmp_path / "out")) == 1


class Disk:
    """os.write on a disk with so much room; files that go give theirs back."""

    def __init__(self, folder: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.room, self._write = folder, room, os.write
        monkeypatch.setattr(shelf.os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        used = sum(p.stat().st_size for p in self.folder.iterdir())
        free = self.room - used
        if free <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(fd, bytes(data[:free]))


def test_on_a_full_disk_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Shelf(tmp_path, 100)
    disk = Disk(tmp_path, 1000, monkeypatch)
    for _ in range(10):
        put(kept, 200)
    assert numbers(tmp_path) == [8, 9, 10] or numbers(tmp_path) == [7, 8, 9, 10]
    assert kept.removed == 10 - kept.count
    with pytest.raises(FileError, match="No space left"):
        put(kept, 2000)
    assert numbers(tmp_path) == []  # all made room, and it was not enough
    assert {p.name for p in tmp_path.iterdir()} == {shelf.LOCK}  # and nothing half-written is left
    disk.room = 5000
    put(kept, 2000)
    assert len(numbers(tmp_path)) == 1


def test_what_is_larger_than_all_may_be(tmp_path: Path) -> None:
    kept = Shelf(tmp_path, 100, 1000)
    put(kept, 200)
    with pytest.raises(FileError, match="larger than all may be"):
        put(kept, 2000)
    assert numbers(tmp_path) == [1]


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff", b"[" * 100_000, b"{" + b" " * (2 << 20)])
def test_a_file_that_is_no_sidecar(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(FileError):
        shelf.sidecar(tmp_path / "x.json")
