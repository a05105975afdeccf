"""Profiles out as folded stacks and as a table, and the registry of formats."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import GOLDEN, HOOK, LAMBDA, SHARE, SITE, frame, profiles, small_profile, written
from zeekspy import export
from zeekspy.errors import UsageError
from zeekspy.export import collapsed, text
from zeekspy.profile import CORE, IDLE, Body, Profile, display_name


def test_text_and_collapsed_golden() -> None:
    for name in ("text", "collapsed"):
        assert written(small_profile(), name).decode() == (GOLDEN / f"small.{name}.txt").read_text()


def test_collapsed_merges_lines_and_nodes() -> None:
    profile = Profile()
    for line, node in ((8, "a"), (9, "a"), (9, "b")):
        profile.add((SITE, replace(HOOK, line=line)), (("node", node),), 2, 5, 5)
    assert written(profile, "collapsed") == b"http_request [site/detect.zeek:12];Foo::bar 6\n"


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a;b", r"a\x3bb"),
        ("a\nb", r"a\nb"),
        ("a\\nb", r"a\\nb"),
        ("\x1b[2J\u2028", r"\x1b[2J\u2028"),
        ("ß 漢", "ß 漢"),
        ("", "?"),
    ],
)
def test_collapsed_escapes_what_ends_a_frame(name: str, escaped: str) -> None:
    assert collapsed.escape(name) == escaped


@given(profiles())
def test_collapsed_is_one_line_a_stack_whatever_the_names(profile: Profile) -> None:
    lines = written(profile, "collapsed").decode().split("\n")
    assert lines.pop() == ""
    stacks = [line.rpartition(" ")[0].split(";") for line in lines]
    expected: Counter[tuple[str, ...]] = Counter()
    for stack, _, values in profile:
        expected[tuple(display_name(f) for f in stack)] += values.count
    del expected[()]
    expected = +expected
    assert sorted(len(s) for s in stacks) == sorted(len(names) for names in expected)
    assert sorted(int(line.rpartition(" ")[2]) for line in lines) == sorted(expected.values())


def test_table_is_sorted_by_own_cpu() -> None:
    cpu = [r.own_cpu_ns for r in text.rows(small_profile())]
    assert cpu == sorted(cpu, reverse=True)
    assert len(cpu) == 10
    first = text.rows(small_profile())[0]
    assert (first.name, first.own_samples, first.total_samples, first.own_cpu_ns) == ("Foo::bar", 13, 18, 130_000_000)
    assert first.place == f"{SHARE}/site/foo.zeek:7"


def test_hottest_are_script_bodies() -> None:
    profile = Profile()
    profile.add((CORE,), (), 50, 500, 500)
    profile.add((IDLE,), (), 50, 0, 500)
    profile.add((HOOK, SITE), (), 30, 300, 300)
    profile.add((HOOK,), (), 15, 150, 150)
    profile.add((LAMBDA,), (), 5, 50, 50)
    assert text.hottest(profile, 2) == [("http_request [site/detect.zeek:12]", 0.3), ("Foo::bar", 0.15)]
    assert len(text.hottest(profile)) == 3
    assert text.hottest(Profile()) == []


@given(profiles(), st.integers(50, 160))
def test_table_stays_within_its_width(profile: Profile, width: int) -> None:
    lines = text.table(profile, width).splitlines()
    assert len(lines) == 1 + len(text.rows(profile)), "a name never breaks a line"
    assert max(len(line) for line in lines) <= width


def test_table_narrows_in_steps() -> None:
    wide, usual, narrow = (text.table(small_profile(), width) for width in (140, 95, 50))
    assert "samples" in wide
    assert f"{SHARE}/site/foo.zeek:7" in wide
    assert "samples" not in usual
    assert "foo.zeek:7" in usual
    assert f"{SHARE}/site/foo.zeek:7" not in usual
    assert "foo.zeek:7" not in narrow
    assert "Foo::bar" in narrow
    assert "lambda@x.zeek:3" in narrow


def test_table_says_how_much_it_leaves_out() -> None:
    lines = text.table(small_profile(), 100, limit=3).splitlines()
    assert len(lines) == 5
    assert lines[-1] == "and 7 more"
    assert "more" not in text.table(small_profile(), 100, limit=10)


def test_table_without_cpu_time_has_no_shares() -> None:
    profile = Profile()
    profile.add((IDLE,), (), 3, 0, 30)
    assert text.table(profile, 120).splitlines()[1].split() == ["-", "-", "0.0", "0.0", "3", "3", "<idle>"]


def test_names_cannot_steer_a_terminal() -> None:
    profile = Profile()
    profile.add((frame("\x1b]0;x\x07", "event", Body("/\r\u202e.zeek", 1, 2)),), (), 1, 1, 1)
    shown = written(profile, "text").decode()
    assert r"\x1b]0;x\x07" in shown
    assert r"/\r\u202e.zeek:1" in shown
    assert shown.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", export.FORMATS)
def test_every_format_writes_an_empty_profile(name: str) -> None:
    data = written(Profile(), name)
    assert data or name == "collapsed"


def test_an_ending_means_one_format() -> None:
    endings = [e for f in export.FORMATS.values() for e in f.endings]
    assert len(set(endings)) == len(endings)
    assert all(e.startswith(".") for e in endings)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("zeek.pb.gz", "pprof"),
        ("a/zeek.txt", "text"),
        ("zeek.FOLDED", "collapsed"),
        (Path("out/zeek.folded"), "collapsed"),
        ("zeek", "pprof"),
        ("out.folded/zeek", "pprof"),
    ],
)
def test_endings(path: str | Path, name: str) -> None:
    assert export.by_path(path).name == name


def test_the_longest_ending_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(export.FORMATS, "any", export.Format("any", (".gz", ".folded.txt"), "less {}"))
    assert export.by_path("zeek.pb.gz").name == "pprof"
    assert export.by_path("zeek.gz").name == "any"
    assert export.by_path("zeek.folded.txt").name == "any"


def test_an_unknown_format_is_a_usage_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="'svgz'") as e:
        export.by_name("svgz")
    assert all(name in e.value.hint for name in export.FORMATS)


def test_opens_with_is_ready_for_a_shell() -> None:
    assert export.by_name("pprof").opens_with("zeek.pb.gz") == "go tool pprof -http=: zeek.pb.gz"
    assert export.by_name("text").opens_with(Path("my zeek.txt")) == "less 'my zeek.txt'"


def test_formats_are_imported_when_they_are_used() -> None:
    program = "import sys, zeekspy.export; print([m for m in sys.modules if m.startswith(('google', 'gzip'))])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True, cwd=GOLDEN.parents[2]).strip() == "[]"
