"""Recordings read, put together, regrouped and compared; zeekspy report."""

from __future__ import annotations

import gzip
import io
import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profiles import HOOK, HTTP, LABELS, SHARE, SITE, SMALL, profiles, small_profile, written
from zeekspy import cli, export, recording
from zeekspy.cli import report
from zeekspy.errors import FileError, UsageError
from zeekspy.export import diff_text, difference, pprof, tree
from zeekspy.profile import CORE, IDLE, Body, Profile, display_name, own_and_total
from zeekspy.regroup import BY, regrouped
from zeekspy.timeline import Timeline


def saved(tmp_path: Path, profile: Profile, name: str = "zeek.pb.gz") -> str:
    path = tmp_path / name
    path.write_bytes(written(profile))
    return str(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PERFILE2\0\0", "perf's binary recording"),
        (b"FLR\0\0\x02", "a Java flight recording"),
        (b'<?xml version="1.0"?><svg>', "already drawn"),
        (b"<!DOCTYPE html>\n<html>", "already drawn"),
        (b'{"$schema":"https://www.speedscope.app/file-format-schema.json"}', "a speedscope profile"),
        (b'[{"ph":"X"}]', "JSON"),
        (b"# callgrind format\nevents: Ticks\n", "a callgrind profile"),
        (b"heap_v2/524288\n  t*: 1: 2 [0: 0]\n", "a heap profile of jemalloc"),
        (b"#fields\tfunction\tlocation\ttype\n", "--profile-scripts"),
        (b"#separator \\x09\n", "a Zeek log"),
        (b"\x7fELF\x02\x01\x01", "an executable or a core file"),
        (b"zeek 1 1.000001: cycles:\n\tff f (x)\n", "perf script text"),
        (written(small_profile(), "perf-script"), "perf script text"),
        (written(small_profile(), "profile-scripts"), "--profile-scripts"),
        (written(small_profile(), "speedscope"), "a speedscope profile"),
        (written(small_profile(), "flamegraph"), "already drawn"),
        (written(small_profile(), "svg"), "already drawn"),
        (b"root:x:0:0:root\n", "not a profile of a kind that is known"),
        (b"a;b 3\nno count\n", "line 2 is no stack with a count"),
        (b"a;b 3\na;b 99999999999999999999\n", "line 2 is no stack"),
        (b"\x00\xff" * 50, "not a profile of a kind that is known"),
        (b"", "is empty"),
        (written(small_profile())[:200], "is truncated"),
    ],
)
def test_what_cannot_be_read_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(FileError, match=said) as e:
        recording.read(str(path))
    assert str(e.value).startswith(str(path))
    assert e.value.hint


def test_a_file_that_is_not_there_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        recording.read(str(tmp_path / "none"))
    with pytest.raises(FileError, match="Is a directory"):
        recording.read(str(tmp_path))


def test_pprof_may_be_uncompressed(tmp_path: Path) -> None:
    path = tmp_path / "zeek.pb"
    path.write_bytes(gzip.decompress(written(small_profile())))
    assert recording.read(str(path)).total() == small_profile().total()


def test_collapsed_stacks_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.folded"
    path.write_bytes(b"# a comment\nmain;f;g 3\nmain;f 2\n\n")
    profile = recording.read(str(path))
    assert {tuple(map(display_name, s)): v.count for s, _, v in profile} == {("main", "f", "g"): 3, ("main", "f"): 2}
    assert profile.meta["sample_types"] == "collapsed stacks"


def test_shares_are_of_samples_where_another_tool_knows_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.folded"
    path.write_bytes(b"main;f;g 3\nmain;f 1\n")
    assert cli.main(["report", str(path)]) == 0
    said = capfd.readouterr()
    rows = {line.split()[-1]: line.split()[:3:2] for line in said.out.splitlines()[3:]}
    assert rows == {"g": ["75.0", "75.0"], "f": ["25.0", "100.0"], "main": ["0.0", "100.0"]}
    assert "it has collapsed stacks" in said.err


def test_collapsed_stacks_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.folded"
    path.write_bytes(b"a" * 50 + b";b" * 100 + b" 3\n")
    monkeypatch.setattr(recording.pprof_read, "MAX_FRAMES", 50)
    with pytest.raises(FileError, match="too many and too deep"):
        recording.read(str(path))
    monkeypatch.setattr(recording.pprof_read, "MAX_BYTES", 50)
    with pytest.raises(FileError, match="too large"):
        recording.read(str(path))


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_give_anything_but_a_profile_or_a_file_error(content: bytes) -> None:
    with suppress(FileError):
        profile = recording._read(io.BufferedReader(io.BytesIO(content)), "x")  # type: ignore[arg-type]
        assert profile.total().count >= 0


@settings(max_examples=50)
@given(profiles(), profiles())
def test_merged_recordings_add_up(one: Profile, two: Profile) -> None:
    both = recording.merge([one, two], ["1", "2"])
    for value in ("count", "cpu_ns", "wall_ns"):
        sums = Counter({f: own for f, (own, _) in own_and_total(one, value).items()})
        sums.update({f: own for f, (own, _) in own_and_total(two, value).items()})
        assert {f: own for f, (own, _) in own_and_total(both, value).items()} == sums
    assert both.duration_ns >= max(one.duration_ns, two.duration_ns)
    assert both.time_ns == min(one.time_ns, two.time_ns)


def test_merged_recordings_keep_what_both_say_and_their_times() -> None:
    one, two = small_profile(), small_profile()
    two.time_ns += 60 * 10**9
    two.meta |= {"engine": "ptrace"}
    for part in (one, two):
        part.times = Timeline()
        part.times.add(1000, part.times.slot((CORE,), LABELS), 3)
    both = recording.merge([one, two], ["1", "2"])
    assert both.meta["zeek_version"] == "8.0"
    assert "engine" not in both.meta
    assert both.meta["samples"] == 110
    assert both.duration_ns == 4 * 10**9
    assert both.times is not None
    assert [(t, n) for t, _, n in both.times] == [(1000, 3), (60_001_000, 3)]


def test_recordings_of_different_things_are_not_put_together() -> None:
    other = Profile(meta={"sample_types": "inuse_space/bytes", "shown": "inuse_space/bytes"})
    with pytest.raises(UsageError, match=r"zeek.pb.gz and heap.pb.gz cannot be put together: .* inuse_space/bytes"):
        recording.merge([small_profile(), other], ["zeek.pb.gz", "heap.pb.gz"])


@settings(max_examples=50)
@given(profiles(), st.sampled_from(BY))
def test_regrouping_keeps_every_sum(profile: Profile, by: str) -> None:
    assert regrouped(profile, by).total() == profile.total()


def test_by_line_and_by_file() -> None:
    profile = Profile()
    profile.add((HTTP, HOOK, replace(SMALL, line=22)), (), 1, 10, 10)
    profile.add((HTTP, replace(HOOK, line=9)), (), 2, 20, 20)
    profile.add((CORE,), (), 3, 30, 30)
    by_line = {display_name(f): sums for f, sums in own_and_total(regrouped(profile, "line")).items()}
    assert by_line == {
        "http_request [http/main.zeek:100]:120": (0, 30),
        "Foo::bar:8": (0, 10),
        "Foo::bar:9": (20, 20),
        "Foo::small:22": (10, 10),
        "<zeek core>": (30, 30),
    }
    by_file = {display_name(f): sums for f, sums in own_and_total(regrouped(profile, "file")).items()}
    assert by_file == {"protocols/http/main.zeek": (0, 30), "zeek/site/foo.zeek": (30, 30), "<zeek core>": (30, 30)}


def test_regrouping_keeps_times() -> None:
    profile = Profile()
    profile.times = Timeline()
    for line in (8, 9):
        stack = (replace(HOOK, line=line),)
        profile.add(stack, (), 1, 1, 1)
        profile.times.add(line * 2_000_000, profile.times.slot(stack, ()), 1)
    times = regrouped(profile, "file").times
    assert times is not None
    assert [(t, n) for t, _, n in times] == [(16_000_000, 1), (18_000_000, 1)]
    assert times.samples() == [2]


def two_profiles(more: int, of: int) -> tuple[Profile, Profile]:
    """SITE had 100 of 1000 samples and has ``more`` of ``of`` now."""
    base, profile = Profile(), Profile()
    for part, site, whole in ((base, 100, 1000), (profile, more, of)):
        part.add((SITE,), (), site, site * 10, site * 10)
        part.add((HOOK,), (), whole - site, (whole - site) * 10, (whole - site) * 10)
        part.add((IDLE,), (), 5000, 0, 50_000)
    return profile, base


@pytest.mark.parametrize(
    ("more", "of", "significant"), [(100, 1000, False), (115, 1000, False), (160, 1000, True), (4, 10, False)]
)
def test_what_is_more_than_chance(more: int, of: int, significant: bool) -> None:
    found = {display_name(c.frame): c for c in difference.changes(*two_profiles(more, of))}
    assert set(found) == {"http_request [site/detect.zeek:12]", "Foo::bar"}
    site = found["http_request [site/detect.zeek:12]"]
    assert site.significant is significant
    assert site.gain == pytest.approx(more / of - 0.1)
    assert site.base_own_samples == 100


def test_the_test_of_two_proportions() -> None:
    # By hand: both = 0.125, standard error = sqrt(0.125 * 0.875 * 0.002) = 0.01479, z = 3.381.
    assert difference.two_proportions(100, 1000, 150, 1000) == pytest.approx(0.000722, rel=0.01)
    assert difference.two_proportions(0, 0, 5, 10) == 1
    assert difference.two_proportions(4, 10, 0, 1000) == 1, "too few to tell"
    assert difference.two_proportions(0, 10, 0, 10) == 1
    assert difference.two_proportions(10, 10, 10, 10) == 1


def test_many_bodies_are_not_significant_by_chance() -> None:
    """Of hundreds of tests some have a small p; the procedure takes that into account."""
    assert difference._limit([0.04, *[0.5] * 99]) < 0.04
    assert difference._limit([0.0004, *[0.5] * 99]) == 0.0004
    assert difference._limit([]) < 0


@given(profiles(), profiles())
@settings(max_examples=50)
def test_gains_and_losses_even_out(one: Profile, two: Profile) -> None:
    found = difference.changes(one, two)
    assert [c.gain for c in found] == sorted((c.gain for c in found), reverse=True)
    assert all(0 <= c.p <= 1 and -1.0001 <= c.gain <= 1.0001 for c in found)
    same = difference.changes(one, one)
    assert all(c.gain == 0 and not c.significant for c in same)


def test_moved_lines_are_no_change() -> None:
    base, profile = Profile(), Profile()
    for part, line in ((base, 7), (profile, 70)):
        part.add((replace(HOOK, body=Body(f"{SHARE}/site/foo.zeek", line, line + 2)),), (), 10, 10, 10)
    (change,) = difference.changes(profile, base)
    assert change.gain == 0


def test_the_difference_as_text() -> None:
    profile, base = two_profiles(160, 1000)
    text = diff_text.table(profile, base).splitlines()
    (gain,) = [line for line in text if "http_request" in line]
    assert gain.split()[:5] == ["*", "+6.00", "10.00", "16.00", "16.00"]
    (loss,) = [line for line in text if "Foo::bar" in line]
    assert loss.split()[:2] == ["*", "-6.00"]
    assert text.index("more than before") < text.index(gain) < text.index("less than before") < text.index(loss)
    assert "No body takes another share than before." in diff_text.table(base, base)


@pytest.mark.parametrize("width", [49, 60, 80])
def test_the_difference_fits_a_terminal(width: int) -> None:
    lines = diff_text.table(*two_profiles(160, 1000), width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("…" in line and line.endswith("12") for line in lines)


def test_the_difference_as_a_picture() -> None:
    out = io.BytesIO()
    export.by_name("svg").write_diff(*two_profiles(160, 1000), out)
    root = ElementTree.fromstring(out.getvalue())
    titles = [str(t.text) for t in root.iter("{http://www.w3.org/2000/svg}title")]
    (site,) = [t for t in titles if t.startswith("http_request")]
    assert site.endswith("before 10.00 %, change +6.00 points")


def test_a_format_without_a_difference_refuses() -> None:
    with pytest.raises(UsageError, match="heatmap cannot show a difference"):
        export.by_name("heatmap").write_diff(Profile(), Profile(), io.BytesIO())


@pytest.mark.parametrize("name", export.FORMATS)
def test_report_writes_every_format_by_its_ending(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    form = export.by_name(name)
    out = tmp_path / f"out{form.endings[0]}"
    assert cli.main(["report", saved(tmp_path, small_profile()), "-o", str(out)]) == 0
    expected = written(recording.read(str(tmp_path / "zeek.pb.gz")), name)
    assert out.read_bytes() == expected
    assert f"{out}  open it with: " in capfd.readouterr().err


def test_what_report_takes_for_by() -> None:
    assert report.BY == BY


def test_a_picture_has_bounded_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MOST_NODES", 5)
    with pytest.raises(FileError, match="more than 5 distinct callers"):
        written(small_profile(), "svg")


def test_report_prints_the_table(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", saved(tmp_path, small_profile())]) == 0
    said = capfd.readouterr()
    assert "Foo::bar" in said.out
    assert said.err == ""


def test_report_puts_several_together(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = (saved(tmp_path, small_profile(), name) for name in ("1.pb.gz", "2.pb.gz"))
    assert cli.main(["report", one, two, "-f", "jsonl"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["process"], line["total_samples"]) for line in lines] == [("worker-1", 90), ("worker-2", 20)]


def test_report_compares(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    new, base = (saved(tmp_path, p, n) for p, n in zip(two_profiles(160, 1000), ("new.pb.gz", "b.pb.gz"), strict=True))
    assert cli.main(["report", new, "--diff", base]) == 0
    assert "more than before" in capfd.readouterr().out
    assert cli.main(["report", new, "--diff", base, "-o", str(tmp_path / "d.html")]) == 0
    assert b"compared" in (tmp_path / "d.html").read_bytes()


def test_report_says_what_it_was_given(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    message = pprof.encode(small_profile())
    message.string_table[message.sample_type[0].type] = "objects"
    path = tmp_path / "go.pb.gz"
    path.write_bytes(gzip.compress(message.SerializeToString()))
    assert cli.main(["report", str(path)]) == 0
    said = capfd.readouterr()
    assert "not a recording of zeekspy; it has objects/count, cpu/nanoseconds, wall/nanoseconds" in said.err
    assert "Foo::bar" in said.out


def test_report_of_an_empty_recording_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", saved(tmp_path, Profile())]) == 0
    assert "There are no samples: the recording ended before the first one was due." in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none.pb.gz"], 1, "No such file"),
        (["FILE", "-f", "svgz"], 2, "There is no format 'svgz'"),
        (["FILE", "-f", "heatmap", "--diff", "FILE"], 2, "cannot show a difference"),
        (["FILE", "FOLDED"], 2, "cannot be put together"),
        (["FILE", "--diff", "FOLDED"], 2, "cannot be put together"),
        (["FILE", "-o", "/nonexistent/x.svg"], 1, "cannot write"),
    ],
)
def test_report_refuses_with_a_sentence(
    arguments: list[str], code: int, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.folded").write_bytes(b"a;b 3\n")
    files = {"FILE": saved(tmp_path, small_profile()), "FOLDED": str(tmp_path / "x.folded")}
    assert cli.main(["report", *(files.get(a, a) for a in arguments)]) == code
    captured = capfd.readouterr()
    assert said in captured.err
    assert captured.out == ""
