"""Which table is taken, and from whom."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from zeekspy.offsets import tables

from zeekspy import choice
from zeekspy.capture import Header
from zeekspy.errors import BadLayout, DebugInfoError, FileError, NoSuchTarget, UnknownBuild
from zeekspy.layout import Layout
from zeekspy.target import Target

TABLE: Layout = next(t for t in tables() if "CallInfo.frame" in t.fields and t.stdlib == "libstdc++")
VERSION = TABLE.since
TARGET = Target(
    pid=7,
    exe="/opt/zeek/bin/zeek",
    arch="x86_64",
    build_id="abcd",
    version=VERSION,
    stdlib=TABLE.stdlib,
    debug=False,
    bias=0,
    symbols={"call_stack": 4096, "version": 8192},
    sizes={"call_stack": 24, "version": 6},
    data=(0, 0),
    stack=(0, 0),
    start_time=1,
    exe_id=(1, 1),
)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in the cache that would be for TARGET."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "zeekspy" / "offsets").mkdir(parents=True)
    monkeypatch.setattr(choice, "_from_dwarf", lambda target: replace(TABLE, origin="dwarf", since=target.version))
    return tmp_path / "zeekspy" / "offsets" / "abcd.json"


def test_a_table_given_comes_first(kept: Path, tmp_path: Path) -> None:
    kept.write_text(TABLE.to_json())
    given = tmp_path / "given.json"
    given.write_text(TABLE.to_json())
    assert choice.choose(TARGET, given).origin == str(given)


@pytest.mark.parametrize(("alive", "expected"), [(True, FileError), (False, NoSuchTarget)])
def test_a_target_that_exits_meanwhile_is_gone(monkeypatch: pytest.MonkeyPatch, alive: bool, expected: type) -> None:
    def unreadable(target: Target) -> Layout:
        raise FileError("cannot open /proc/7/exe: No such file or directory")

    monkeypatch.setattr(choice, "_from_dwarf", unreadable)
    monkeypatch.setattr(Target, "alive", lambda target: alive)
    with pytest.raises(expected):
        choice.choose(replace(TARGET, version="99.0.0"))


def test_then_the_cache_then_what_is_shipped(kept: Path) -> None:
    kept.write_text(TABLE.to_json())
    assert choice.choose(TARGET).origin == "cache abcd.json"
    kept.unlink()
    assert choice.choose(TARGET).origin == TABLE.origin
    assert not kept.exists()


def test_debug_info_last_and_then_it_is_kept(kept: Path) -> None:
    unknown = replace(TARGET, version="99.0.0")
    assert choice.choose(unknown).origin == "dwarf"
    assert kept.exists()
    assert kept.stat().st_mode & 0o022 == 0


def test_a_debug_build_is_not_what_the_tables_are_of(kept: Path) -> None:
    assert choice.choose(replace(TARGET, debug=True)).origin == "dwarf"


@pytest.mark.parametrize("content", ["", "{", "[]", "\0", TABLE.to_json()[:-100]])
def test_a_damaged_cache_does_not_count(kept: Path, content: str) -> None:
    kept.write_text(content)
    assert choice.choose(TARGET).origin == TABLE.origin


def test_a_cached_table_of_another_version_does_not_count(kept: Path) -> None:
    kept.write_text(replace(TABLE, since="1.0.0", until="1.0.0").to_json())
    assert choice.choose(TARGET).origin == TABLE.origin


def test_a_cached_table_is_trusted_by_its_owner(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.write_text(TABLE.to_json())
    if os.geteuid() == 0:
        os.chown(kept, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: kept.stat().st_uid + 1)
    assert choice.choose(TARGET).origin == TABLE.origin


def test_a_build_without_id_is_not_cached(kept: Path) -> None:
    choice.choose(replace(TARGET, build_id=None, version="99.0.0"))
    assert not list(kept.parent.iterdir())


def test_an_unwritable_cache_is_no_reason_to_stop(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no/such")
    assert choice.choose(replace(TARGET, version="99.0.0")).origin == "dwarf"


def test_nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(target: Target) -> Layout:
        raise DebugInfoError("there is none")

    monkeypatch.setattr(choice, "_from_dwarf", fail)
    with pytest.raises(UnknownBuild, match=r"Zeek 99\.0\.0 with libstdc\+\+.* there is none") as caught:
        choice.choose(replace(TARGET, version="99.0.0", stdlib="libstdc++"))
    assert "zeekspy offsets generate" in caught.value.hint
    assert "--offsets" in caught.value.hint
    with pytest.raises(UnknownBuild, match="-DDEBUG"):
        choice.choose(replace(TARGET, debug=True))


def test_a_table_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        choice.load(tmp_path / "none")
    (tmp_path / "t").write_text("{}")
    with pytest.raises(BadLayout):
        choice.load(tmp_path / "t")


def test_for_captures(tmp_path: Path) -> None:
    symbols = {"call_stack": 4096}
    assert choice.for_capture(Header(VERSION, "x86_64", None, {}, symbols)).origin == TABLE.origin
    own = choice.for_capture(Header("99.0.0", "x86_64", "libstdc++", TABLE.fields, symbols))
    assert (own.fields, own.since) == (TABLE.fields, "99.0.0")
    with pytest.raises(BadLayout):
        choice.for_capture(Header("99.0.0", "x86_64", None, {}, symbols))
    (tmp_path / "t").write_text(TABLE.to_json())
    assert choice.for_capture(Header("99.0.0", "x86_64", None, {}, symbols), tmp_path / "t").origin == str(
        tmp_path / "t"
    )
