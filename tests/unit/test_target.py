"""What /proc says of a process, written here: mappings, load bias, start time."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from zeekspy import target
from zeekspy.elf import Elf
from zeekspy.errors import NoSuchTarget, TargetError
from zeekspy.target import Mapping, load_bias, read_maps, start_time

EXE = "/opt/zeek/bin/zeek"
PIE = """\
55d0c8a00000-55d0c9000000 r--p 00000000 08:01 42 {exe}
55d0c9000000-55d0ca000000 r-xp 00600000 08:01 42 {exe}
7f0000000000-7f0000021000 rw-p 00000000 00:00 0
7f0000100000-7f0000200000 r--p 00000000 08:01 77   /lib/a name with  blanks
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
"""


def with_proc(monkeypatch: pytest.MonkeyPatch, folder: Path, **files: str) -> None:
    """What the module reads of /proc/7/NAME is these texts."""
    for name, text in files.items():
        (folder / name).write_text(text)

    def there(path: str) -> Path:
        return folder / path.removeprefix("/proc/7/")

    monkeypatch.setattr(target, "Path", there)
    monkeypatch.setattr(target, "open", lambda path, mode: there(path).open(mode), raising=False)


def segments(*rows: tuple[int, int]) -> Any:
    """Loaded segments with these (vaddr, offset)."""
    return tuple(SimpleNamespace(vaddr=vaddr, offset=offset) for vaddr, offset in rows)


def maps(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> list[Mapping]:
    with_proc(monkeypatch, folder, maps=text)
    return read_maps(7)


def test_maps_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = maps(monkeypatch, tmp_path, PIE.format(exe=EXE) + "garbage\n")
    assert len(found) == 5
    assert found[1] == Mapping(0x55D0C9000000, 0x55D0CA000000, 0x600000, (8, 1), 42, EXE)
    assert [m.path for m in found[2:]] == ["", "/lib/a name with  blanks", "[stack]"]


@pytest.mark.parametrize("exe", [EXE, EXE + " (deleted)"])
@pytest.mark.parametrize("numbers", [((8, 1), 42), ((0, 55), 9)], ids=["same", "overlay"])
def test_bias_of_a_pie(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exe: str, numbers: tuple[tuple[int, int], int]
) -> None:
    found = maps(monkeypatch, tmp_path, PIE.format(exe=exe))
    loads = segments((0, 0), (0x600000, 0x600000))
    assert load_bias(loads, found, *numbers, EXE) == 0x55D0C8A00000


def test_bias_of_what_is_no_pie_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = maps(monkeypatch, tmp_path, f"00400000-00900000 r-xp 00000000 08:01 42 {EXE}\n")
    assert load_bias(segments((0x400040, 0x40)), found, (8, 1), 42, EXE) == 0


def test_a_file_mapped_twice_counts_where_it_was_loaded_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    again = f"7f1000000000-7f1000001000 r--p 00000000 08:01 42 {EXE}\n"
    found = maps(monkeypatch, tmp_path, PIE.format(exe=EXE) + again)
    assert load_bias(segments((0, 0)), found, (8, 1), 42, EXE) == 0x55D0C8A00000


def test_an_executable_that_is_not_mapped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = maps(monkeypatch, tmp_path, PIE.format(exe="/other"))
    with pytest.raises(TargetError, match="is not mapped"):
        load_bias(segments((0, 0)), found, (0, 5), 9, EXE)
    with pytest.raises(NoSuchTarget):  # an exiting process has no mappings any more
        load_bias(segments((0, 0)), [], (0, 5), 9, EXE)


STAT = "7 ({comm}) {state} 1 7 7 0 -1 {flags} 0 0 0 0 5 6 0 0 20 0 3 0 987654 1000 50 0 0"


@pytest.mark.parametrize("comm", ["zeek", "a b", "x) R 1 (y", ")))", "", "\n"])
def test_start_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, comm: str) -> None:
    with_proc(monkeypatch, tmp_path, stat=STAT.format(comm=comm, state="S", flags=4194560))
    assert start_time(7) == 987654
    assert not target.is_kernel_thread(7)


@pytest.mark.parametrize("state", ["Z", "X"])
def test_what_has_exited_is_no_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str) -> None:
    with_proc(monkeypatch, tmp_path, stat=STAT.format(comm="zeek", state=state, flags=0))
    with pytest.raises(NoSuchTarget, match="already exited"):
        start_time(7)


def test_threads_of_the_kernel_are_known_by_their_flag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_proc(monkeypatch, tmp_path, stat=STAT.format(comm="kthreadd", state="S", flags=2129984))
    assert target.is_kernel_thread(7)


def test_this_very_process() -> None:
    assert start_time(os.getpid()) > 0
    with Elf(Path("/proc/self/exe")) as elf:
        status = os.stat("/proc/self/exe")
        device = os.major(status.st_dev), os.minor(status.st_dev)
        mapped = read_maps(os.getpid())
        bias = load_bias(elf.loads, mapped, device, status.st_ino, os.readlink("/proc/self/exe"))
    assert any(m.start == bias + min(s.vaddr for s in elf.loads) // 4096 * 4096 for m in mapped)
