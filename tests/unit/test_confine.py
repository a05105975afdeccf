"""Which capabilities are kept. What confinement does is tested live, in a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from zeekspy import _core, access, confine
from zeekspy.errors import CoreError

ALL = (1 << 41) - 1
NONE: frozenset[str] = frozenset()
PLAIN = {"Uid": "1000\t1000\t1000\t1000", "Gid": "100\t100\t100\t100", "CapPrm": "0000000000000000"}


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """We are uid 1000 with every capability there is; the process 42 is one of ours."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(access, "capabilities", lambda: ALL)
    monkeypatch.setattr(access, "status", lambda pid: PLAIN if pid in (42, "self") else {})
    monkeypatch.setattr(access, "yama", lambda: 0)
    monkeypatch.setattr(access, "hidden", lambda pid: False)
    monkeypatch.setattr(confine, "_enterable", lambda place: True)


@pytest.mark.usefixtures("user")
def test_nothing_for_a_process_of_our_own() -> None:
    assert confine.needed([42], NONE, (), 0) == ()
    assert confine.needed([42], frozenset({"nonblocking", "ptrace"}), (), 0) == ()


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("yama", lambda: 1),
        ("hidden", lambda pid: True),
        ("status", lambda pid: {} if pid == 42 else PLAIN),
        ("status", lambda pid: {**PLAIN, "Uid": "1000\t0\t0\t0"} if pid == 42 else PLAIN),
        ("status", lambda pid: {**PLAIN, "Gid": "100\t100\t7\t7"} if pid == 42 else PLAIN),
        ("status", lambda pid: {**PLAIN, "CapPrm": "0000000000002000"} if pid == 42 else PLAIN),
    ],
)
def test_to_read_a_process_that_is_not_like_us(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setattr(access, name, value)
    assert confine.needed([42], NONE, (), 0) == ("CAP_SYS_PTRACE",)
    monkeypatch.setattr(access, "capabilities", lambda: 0)
    assert confine.needed([42], NONE, (), 0) == ()  # what we have not got cannot be kept


@pytest.mark.usefixtures("user")
def test_to_schedule_to_end_a_child_and_to_write(tmp_path: Path) -> None:
    assert confine.needed([42], frozenset({"preempt"}), (), 0) == ("CAP_SYS_NICE",)
    assert confine.needed([42], NONE, (), 42) == ("CAP_KILL",)
    tmp_path.chmod(0o755)
    ours = tmp_path.stat().st_uid == 1000
    assert confine.needed([42], NONE, [tmp_path], 0) == (() if ours else ("CAP_DAC_OVERRIDE",))
    tmp_path.chmod(0o777)
    assert confine.needed([42], NONE, [tmp_path, tmp_path / "gone"], 0) == ()
    tmp_path.chmod(0o500)
    assert confine.needed([42], NONE, [tmp_path], 0) == ("CAP_DAC_OVERRIDE",)


@pytest.mark.usefixtures("user")
def test_to_attach_to_others_that_come_later() -> None:
    assert confine.needed([42], NONE, (), 0, True) == ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")


@pytest.mark.usefixtures("user")
def test_to_import_late_from_a_place_that_is_closed_to_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "_enterable", lambda place: False)
    assert confine.needed([42], NONE, (), 0) == ("CAP_DAC_READ_SEARCH",)


def test_what_can_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "home" / "lib"
    inner.mkdir(parents=True)
    for folder in (inner, *inner.parents):
        if folder.stat().st_uid == os.geteuid() and tmp_path in (folder, *folder.parents):
            folder.chmod(0o755)
    allowed = [p for p in tmp_path.parents if not p.stat().st_mode & 0o001]
    monkeypatch.setattr(os, "geteuid", lambda: 1 << 20)  # nobody's
    assert confine._enterable(inner) is (not allowed)
    (tmp_path / "home").chmod(0o700)
    assert not confine._enterable(inner)
    assert confine._enterable(tmp_path / "gone")


def test_whether_the_kernel_has_filters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "FILTERS", tmp_path / "actions_avail")
    assert not confine.available()
    (tmp_path / "actions_avail").write_text("kill_process trap errno log allow\n")
    assert confine.available()


def test_a_kernel_without_filters_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(**what: object) -> None:
        asked.append(what)
        raise CoreError("seccomp: Invalid argument")

    monkeypatch.setattr(_core, "confine", refuse)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setattr(confine, "needed", lambda *args: ("CAP_KILL", "CAP_SYS_PTRACE"))
    found = confine.confine([42], {"ptrace", "nonblocking"}, child=7)
    assert asked == [{"stops": True, "publish": False, "serve": False, "child": 7, "capabilities": 1 << 5 | 1 << 19}]
    assert not found.confined
    assert found.why == "the kernel refuses a seccomp filter (seccomp: Invalid argument)"
