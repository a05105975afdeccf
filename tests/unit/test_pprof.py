"""The pprof format: what is written is valid and can be read, by zeekspy and by ``go tool pprof``."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import subprocess
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profiles import (
    GOLDEN,
    HOOK,
    HTTP,
    LABELS,
    LAMBDA,
    SHARE,
    SITE,
    SMALL,
    VALUES,
    frame,
    plain_profiles,
    profiles,
    small_profile,
    utf8,
    written,
)
from zeekspy.errors import FileError
from zeekspy.export import pprof, pprof_read, pprof_times
from zeekspy.export.pprof_message import Message
from zeekspy.profile import CORE, IDLE, Body, Frame, Labels, Profile, Stack, display_name, own_and_total
from zeekspy.timeline import Timeline


def read_back(profile: Profile) -> Profile:
    return pprof_read.read(io.BytesIO(written(profile)))


def kept(stack: Stack) -> Stack:
    """What a pprof file keeps of a stack, as the module promises."""
    frames: list[Frame] = []
    for f in stack:
        body = f.body and replace(f.body, file=f.body.file and utf8(f.body.file))
        flags = f.flags - ({"call"} if frames else {"call", "inlined"})
        name = None if f.name is None else utf8(f.name)
        file, line = (utf8(f.file), f.line) if f.file and f.line else (None, None)
        frames.append(Frame(name, f.kind, file, line, body, f.bodies, flags))
    return tuple(frames)


def sums_by_name(profile: Profile) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    own: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for stack, _, values in profile:
        names = [utf8(display_name(f)) for f in stack] or [""]
        for value in VALUES:
            own[names[-1], value] += getattr(values, value)
            for name in set(names):
                total[name, value] += getattr(values, value)
    return own, total


# ---- pprof: what is written


def check_valid(message: Any) -> None:
    """The rules of pprof's own CheckValid, and ours on top (design: one mapping, no system names, three values)."""
    strings = list(message.string_table)
    assert strings[0] == ""
    assert strings.count("") == 1
    assert [(strings[t.type], strings[t.unit]) for t in message.sample_type] == pprof.SAMPLE_TYPES
    assert strings[message.default_sample_type] == "cpu"
    assert (strings[message.period_type.type], strings[message.period_type.unit]) == ("cpu", "nanoseconds")
    (mapping,) = message.mapping
    assert mapping.id == 1
    assert mapping.has_functions
    assert mapping.has_filenames
    assert mapping.has_line_numbers
    assert mapping.has_inline_frames
    assert max(mapping.filename, mapping.build_id) < len(strings)
    functions = {f.id for f in message.function}
    assert len(functions) == len(message.function)
    assert 0 not in functions
    for f in message.function:
        assert max(f.name, f.filename) < len(strings)
        assert f.start_line >= 0
        assert f.system_name == 0, "a system name goes through pprof's demangler"
    assert len({(f.name, f.filename, f.start_line) for f in message.function}) == len(functions)
    locations = {x.id for x in message.location}
    assert len(locations) == len(message.location)
    assert 0 not in locations
    for location in message.location:
        assert location.mapping_id == 1
        assert location.line
        assert all(line.function_id in functions and line.line >= 0 for line in location.line)
    for sample in message.sample:
        assert len(sample.value) == 3
        assert set(sample.location_id) <= locations
        keys = [strings[label.key] for label in sample.label]
        assert len(set(keys)) == len(keys)
        assert all(label.str and not label.num for label in sample.label)
    assert all(0 < c < len(strings) for c in message.comment)
    assert message.drop_frames == message.keep_frames == 0


@given(profiles())
def test_pprof_is_valid(profile: Profile) -> None:
    check_valid(Message.FromString(gzip.decompress(written(profile))))


def test_pprof_golden() -> None:
    assert dump(pprof.encode(small_profile())) == (GOLDEN / "small.pprof.txt").read_text()


def dump(message: Any) -> str:
    """``message`` for people, after the manner of ``pprof -raw``."""
    strings = message.string_table

    def lines_of(location: Any) -> str:
        functions = {f.id: f for f in message.function}
        found = ((functions[line.function_id], line.line) for line in location.line)
        return " < ".join(f"{strings[f.name]} {strings[f.filename]}:{n} start {f.start_line}" for f, n in found)

    text_lines = [f"comment {strings[c]}" for c in message.comment]
    text_lines += [f"type {strings[t.type]}/{strings[t.unit]}" for t in message.sample_type]
    text_lines.append(f"default {strings[message.default_sample_type]}")
    period = message.period_type
    text_lines.append(f"period {message.period} {strings[period.type]}/{strings[period.unit]}")
    text_lines.append(f"time {message.time_nanos} duration {message.duration_nanos}")
    text_lines += [f"mapping {m.id} {strings[m.filename]} {strings[m.build_id]}" for m in message.mapping]
    for s in message.sample:
        labels = " ".join(f"{strings[x.key]}={strings[x.str]}" for x in s.label)
        text_lines.append(f"sample {list(s.value)} at {list(s.location_id)} {labels}")
    text_lines += [f"location {x.id}: {lines_of(x)}" for x in message.location]
    return "\n".join(text_lines) + "\n"


def test_pprof_bytes_depend_on_the_profile_alone() -> None:
    assert written(small_profile()) == written(small_profile())
    assert written(small_profile())[4:8] == bytes(4), "gzip's time stamp"


def test_pprof_holds_names_that_are_not_utf8() -> None:
    odd = frame("f\udcff", "function", Body("/x/\udc80.zeek", 3, 4), 4)
    profile = Profile()
    profile.add((odd,), (("node", "\udcfe"),), 1, 1, 1)
    back = read_back(profile)
    ((stack, labels, _),) = back
    assert (stack, labels) == (kept((odd,)), (("node", "\\udcfe"),))
    assert (stack[0].name, stack[0].file) == ("f\\udcff", "/x/\\udc80.zeek")


def test_pprof_gives_bifs_no_file_and_leaves_out_empty_labels() -> None:
    profile = Profile()
    profile.add((Frame("fmt", "bif", "/x/y.zeek", 7, None),), (("node", ""), ("pid", "1")), 1, 1, 1)
    message = pprof.encode(profile)
    check_valid(message)
    assert (message.function[0].filename, message.location[0].line[0].line) == (0, 0)
    assert [message.string_table[label.key] for label in message.sample[0].label] == ["pid"]


def test_lines_that_cannot_be_are_not_written() -> None:
    profile = Profile()
    profile.add((Frame("f", "event", "/x/y.zeek", -7, Body("/x/y.zeek", -3, -2)),), (), 1, 1, 1)
    message = pprof.encode(profile)
    assert (message.function[0].start_line, message.location[0].line[0].line) == (0, 0)
    assert own_and_total(pprof_read.decode(message)) == own_and_total(profile)


def test_a_body_of_known_kind_speaks_for_one_of_unknown_kind() -> None:
    profile = Profile()
    for line, kind in enumerate((None, "hook", None), start=7):
        profile.add((replace(HOOK, line=line, kind=kind),), (), 1, 1, 1)
    assert [stack for stack, _, _ in read_back(profile)] == [(replace(HOOK, line=line),) for line in (7, 8, 9)]


def test_pprof_reads_what_compresses_very_well() -> None:
    profile = Profile(meta={"command": "x" * (5 << 20)})
    assert len(written(profile)) < 1 << 16
    assert read_back(profile).meta == profile.meta


def test_pprof_refuses_what_does_not_fit() -> None:
    profile = Profile()
    profile.add((CORE,), (), 1, 2**63, 1)
    with pytest.raises(FileError, match="does not fit"):
        written(profile)


# ---- pprof: what is read


@given(profiles())
def test_pprof_keeps_every_sum(profile: Profile) -> None:
    back = read_back(profile)
    assert sums_by_name(back) == sums_by_name(profile)
    assert back.total() == profile.total()
    assert (back.time_ns, back.duration_ns, back.period_ns) == (profile.time_ns, profile.duration_ns, profile.period_ns)
    assert back.meta == profile.meta


@given(plain_profiles())
def test_pprof_keeps_frames_and_labels(profile: Profile) -> None:
    expected = Profile()
    for stack, labels, values in profile:
        utf8_labels: Labels = tuple((k, utf8(v)) for k, v in labels)
        expected.add(kept(stack), utf8_labels, values.count, values.cpu_ns, values.wall_ns)
    back = read_back(profile)
    assert back.samples == expected.samples
    for value in VALUES:
        assert own_and_total(back, value) == own_and_total(expected, value)


def test_pprof_keeps_the_small_profile() -> None:
    back = read_back(small_profile())
    assert back.meta == small_profile().meta
    assert [f for f, _, _ in back][:4] == [kept(f) for f, _, _ in small_profile()][:4]
    assert written(back) == written(small_profile())


def test_inlined_frames_share_the_location_of_their_host() -> None:
    message = pprof.encode(small_profile())
    (location,) = [x for x in message.location if len(x.line) > 1]
    names = {f.id: message.string_table[f.name] for f in message.function}
    assert [names[line.function_id] for line in location.line] == ["Foo::small", "Foo::bar"]
    sample = next(s for s in message.sample if location.id in s.location_id)
    assert list(sample.location_id) == [location.id]


def test_names_alone_tell_most_of_a_body() -> None:
    message = pprof.encode(small_profile())
    del message.comment[:]
    back = pprof_read.decode(message)
    assert sums_by_name(back) == sums_by_name(small_profile())
    body = Body(f"{SHARE}/site/detect.zeek", 12, 0)
    assert (replace(SITE, kind=None, body=body),) in {stack for stack, _, _ in back}
    assert (IDLE,) in {stack for stack, _, _ in back}


def test_malformed_comments_say_nothing() -> None:
    message = pprof.encode(small_profile())
    del message.comment[:]
    for comment in (
        "#body",
        "#body [",
        "#body " + "[" * 100_000,
        '#body ["event","f",["x"],1,""]',
        '#body ["no kind","Foo::bar",null,1,""]',
        '#body ["event",7,null,1,""]',
        "#meta [1]",
        "#meta 1" + "0" * 5000,
    ):
        message.comment.append(len(message.string_table))
        message.string_table.append(comment)
    back = pprof_read.decode(message)
    assert sums_by_name(back) == sums_by_name(small_profile())
    assert back.meta == {"exe": "/opt/zeek/bin/zeek", "build_id": "5bd7a9f0"}


def damaged(change: str) -> bytes:
    """The small profile with one thing wrong, as the bytes of a file."""
    m = pprof.encode(small_profile())
    match change:
        case "string":
            m.sample[0].label[0].key = len(m.string_table)
        case "negative string":
            m.function[0].name = -1
        case "first string":
            m.string_table[0] = "x"
        case "location":
            m.sample[0].location_id[0] = 1000
        case "location id":
            m.location[0].id = 0
        case "location twice":
            m.location[1].id = m.location[0].id
        case "function":
            m.location[0].line[0].function_id = 1000
        case "function twice":
            m.function[1].id = m.function[0].id
        case "negative":
            m.sample[0].value[0] = -1
        case "value":
            m.sample[0].value.append(1)
        case "type":
            m.sample_type[0].type = 0
        case "types":
            del m.sample_type[:]
        case "concatenated":
            return gzip.compress(m.SerializeToString() * 2)
    return gzip.compress(m.SerializeToString())


GOOD = written(small_profile())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (GOOD[:1], "truncated"),
        (GOOD[:-1], "truncated"),
        (GOOD[:300], "truncated"),
        (b"http_request;Foo::bar 12\n", "not a pprof file"),
        (GOOD[:-8] + bytes(8), "damaged"),
        (GOOD + GOOD, "more than one profile"),
        (GOOD + b"\0", "more than one profile"),
        (gzip.compress(b"no protobuf at all"), "damaged"),
        (gzip.compress(b"\x32\x01\xff"), "damaged"),
        (gzip.compress(b""), "does not begin with the empty one"),
        (damaged("string"), "string that is not there"),
        (damaged("negative string"), "string that is not there"),
        (damaged("first string"), "does not begin with the empty one"),
        (damaged("location"), "location that is not there"),
        (damaged("location id"), "locations have one id, or one has none"),
        (damaged("location twice"), "locations have one id"),
        (damaged("function"), "function that is not there"),
        (damaged("function twice"), "functions have one id"),
        (damaged("value"), "too few or too many values"),
        (damaged("type"), "one of its values has no name"),
        (damaged("types"), "it has no values"),
        (damaged("concatenated"), "several profiles one after the other"),
        (damaged("negative"), "the difference of two profiles"),
    ],
)
def test_what_is_no_profile_is_refused_with_a_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(FileError, match=reason) as e:
        pprof_read.read(io.BytesIO(data), "some.pb.gz")
    assert str(e.value).startswith("some.pb.gz ")
    assert str(e.value).endswith(".")
    assert e.value.hint


@settings(max_examples=200)
@given(st.data())
def test_no_damage_gives_anything_but_a_file_error(data: st.DataObject) -> None:
    raw = bytearray(gzip.decompress(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    with contextlib.suppress(FileError):
        profile = pprof_read.read(io.BytesIO(gzip.compress(bytes(raw), 1)))
        assert sums_by_name(read_back(profile)) == sums_by_name(profile)


def test_a_bomb_is_refused_before_it_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pprof_read, "MAX_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(64 << 20), 1)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="more than 1 MiB"):
            pprof_read.read(io.BytesIO(bomb))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_frames_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    message = pprof.encode(small_profile())
    location = message.location[0]
    for _ in range(1000):
        location.line.add(function_id=1)
    sample = message.sample.add(value=(1, 1, 1))
    sample.location_id.extend([location.id] * 1000)
    monkeypatch.setattr(pprof_read, "MAX_FRAMES", 100_000)
    with pytest.raises(FileError, match="too many and too deep"):
        pprof_read.read(io.BytesIO(gzip.compress(message.SerializeToString())))


def test_an_unreadable_stream_is_a_file_error() -> None:
    with open(os.devnull, "wb") as unreadable, pytest.raises(FileError, match=f"{os.devnull} cannot be read"):
        pprof_read.read(unreadable)


# ---- go tool pprof


def go_pprof(tmp_path: Path, profile: Profile, *args: str) -> str:
    if not shutil.which("go"):
        pytest.skip("go tool pprof is not here: the package golang-go of Debian and Ubuntu has it")
    file = tmp_path / "zeek.pb.gz"
    file.write_bytes(written(profile))
    env = os.environ | {"HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}
    command = ["go", "tool", "pprof", "-nodecount=1000", "-nodefraction=0", *args, str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr in ("", f"Generating report in {tmp_path}/merged.pb.gz\n"), "pprof complained"
    return done.stdout


def test_go_pprof_shows_every_body_under_its_name(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-top", "-sample_index=samples")
    table = {line.split(maxsplit=5)[5]: line.split()[0] for line in out.partition("flat%")[2].splitlines()[1:]}
    assert table == {
        "<idle>": "9",
        "<top-level statements>": "6",
        "<unreadable>": "0",
        "<zeek core>": "7",
        "Foo::bar": "13",
        "Foo::small (inline)": "4",
        "Log::__write": "1",
        "http_request [http/main.zeek:100]": "0",
        "http_request [site/detect.zeek:12]": "12",
        "lambda@x.zeek:3": "3",
    }
    assert out.startswith("File: zeek\nBuild ID: 5bd7a9f0\nzeekspy 0.1.0, Zeek 8.0, layout zeek-8.0-libstdc++\n")
    assert "engine: preempt, asked 100 Hz, achieved 99.8765 Hz\n" in out
    assert "#" not in out, "comments that are not for people stay hidden"


def test_go_pprof_shows_cpu_unless_told_otherwise(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-top")
    assert "Type: cpu\n" in out
    assert "Duration: 2s, Total samples = 460ms (23.00%)" in out


def test_go_pprof_shows_lines(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-lines", "-top")
    for f in (HTTP, SITE, LAMBDA, HOOK):
        assert f"{display_name(f)} {f.file}:{f.line}\n" in out
    assert f"Foo::small {SMALL.file}:21 (inline)\n" in out


def test_go_pprof_reads_all_the_tables(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-raw")
    assert "samples/count cpu/nanoseconds[dflt] wall/nanoseconds\n" in out
    assert "PeriodType: cpu nanoseconds\nPeriod: 10000000\n" in out
    assert "node:[worker-1] pid:[42]" in out
    assert "node:[worker-2]" in out
    assert f"lambda@x.zeek:3 {LAMBDA.file}:4 s=3()" in out
    assert "/opt/zeek/bin/zeek 5bd7a9f0 [FN][FL][LN][IN]" in out


def test_go_pprof_tags_focus_on_a_node(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-top", "-sample_index=samples", "-tagfocus=node=worker-2")
    assert [line.split()[0] for line in out.splitlines() if "detect.zeek" in line] == ["10"]


def test_go_pprof_opens_an_empty_profile(tmp_path: Path) -> None:
    assert "0 total" in go_pprof(tmp_path, Profile(), "-top")


def test_a_merge_by_go_pprof_can_be_read(tmp_path: Path) -> None:
    other = small_profile()
    other.meta |= {"samples": 7, "engine": "ptrace"}
    other.add((LAMBDA, LAMBDA), LABELS, 1, 1, 1)
    (tmp_path / "other.pb.gz").write_bytes(written(other))
    merged = tmp_path / "merged.pb.gz"
    go_pprof(tmp_path, small_profile(), "-proto", f"-output={merged}", str(tmp_path / "other.pb.gz"))
    with merged.open("rb") as f:
        back = pprof_read.read(f)
    for profile in (small_profile(), read_back(other)):
        for stack, labels, values in profile:
            other.add(stack, labels, 0, 0, 0)
            back.add(kept(stack), labels, -values.count, -values.cpu_ns, -values.wall_ns)
    assert {(v.count, v.cpu_ns, v.wall_ns) for _, _, v in back} == {(0, 0, 0)}
    assert back.meta["zeek_version"] == "8.0"
    assert "engine" not in back.meta
    assert "samples" not in back.meta


# ---- when samples were taken


def timed(runs: list[tuple[int, int, int]]) -> Profile:
    """The small profile, some of its samples with times: (t_us, which stack, count)."""
    profile = small_profile()
    keys = list(profile.samples)
    profile.times = Timeline()
    for t_us, number, count in runs:
        profile.times.add(t_us, profile.times.slot(*keys[number]), count)
    return profile


TIMED = timed([(5, 3, 1), (10_000, 3, 2), (30_000_000, 1, 2), (7_200_000_000, 9, 10)])


def test_pprof_keeps_the_times_of_samples() -> None:
    times = read_back(TIMED).times
    assert times is not None
    assert TIMED.times is not None
    keys = list(read_back(TIMED).samples)
    assert [(t, keys.index(times.keys[s]), n) for t, s, n in times] == [
        (5, 3, 3),
        (30_000_000, 1, 2),
        (7_200_000_000, 9, 10),
    ]
    assert times.dropped == 0
    assert read_back(small_profile()).times is None
    assert written(read_back(TIMED)) == written(TIMED)


def test_the_oldest_times_are_left_out_where_a_file_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = timed([(i * 7919 % 1000 + i * 10_000_000, i % 10, 1) for i in range(400)])
    for values in profile.samples.values():
        values.count += 1000
    size = len(times_comment(profile))
    monkeypatch.setattr(pprof_times, "MAX_BASE64", size // 2)
    assert size // 4 < len(times_comment(profile)) < size // 2 + 200
    back = read_back(profile).times
    assert back is not None
    assert back.dropped + sum(back.samples()) == 400
    assert back.times[-1] == 399 * 7919 % 1000 + 3_990_000_000
    assert back.dropped > 100


def times_comment(profile: Profile) -> str:
    (found,) = [c for c in pprof.encode(profile).string_table if c.startswith(pprof_times.PREFIX)]
    return str(found)


def test_times_that_do_not_fit_the_samples_are_none() -> None:
    message = pprof.encode(TIMED)
    message.sample[0].value[0] += 1
    assert pprof_read.decode(message).times is None
    more = timed([(5, 0, 2)])  # that stack was seen once
    assert read_back(more).times is None


@given(st.data())
def test_damaged_times_are_none_or_within_the_samples(data: st.DataObject) -> None:
    message = pprof.encode(TIMED)
    at = next(i for i, text in enumerate(message.string_table) if text.startswith("#times"))
    text = message.string_table[at]
    cut = data.draw(st.integers(0, len(text)))
    message.string_table[at] = text[:cut] + data.draw(st.text(max_size=3)) + text[cut + data.draw(st.integers(0, 3)) :]
    back = pprof_read.decode(message)
    assert back.samples == read_back(TIMED).samples
    if back.times is not None:
        counts = dict(zip(back.times.keys, back.times.samples(), strict=True))
        assert all(n <= back.samples[key].count for key, n in counts.items())


def test_go_pprof_does_not_show_times(tmp_path: Path) -> None:
    assert "#" not in go_pprof(tmp_path, TIMED, "-top")
    go_pprof(tmp_path, TIMED, "-proto", f"-output={tmp_path}/merged.pb.gz")
    with (tmp_path / "merged.pb.gz").open("rb") as f:
        back = pprof_read.read(f)
    assert back.total() == TIMED.total()


# ---- profiles of other tools


def foreign(types: list[tuple[str, str]], *values: list[int], default: str = "", period: int = 0) -> Profile:
    strings = ["", "main.f", "/go/main.go", default, *(word for t in types for word in t)]
    message = Message(string_table=strings, default_sample_type=3 if default else 0, period=period)
    for i in range(len(types)):
        message.sample_type.add(type=4 + 2 * i, unit=5 + 2 * i)
    message.function.add(id=1, name=1, filename=2, start_line=10)
    message.location.add(id=1).line.add(function_id=1, line=12)
    message.location.add(id=2, address=0xBEEF)
    for row in values:
        message.sample.add(location_id=[1, 2], value=row)
    return pprof_read.read(io.BytesIO(gzip.compress(message.SerializeToString())))


def test_what_other_tools_measured_is_said_and_shown() -> None:
    go = foreign([("samples", "count"), ("cpu", "nanoseconds")], [3, 30_000_000], [1, 10_000_000])
    total = go.total()
    assert (total.count, total.cpu_ns, total.wall_ns) == (4, 40_000_000, 0)
    assert go.meta["sample_types"] == go.meta["shown"] == "samples/count, cpu/nanoseconds"
    ((stack, _, _),) = go
    assert [display_name(f) for f in stack] == ["0xbeef", "main.f"]
    assert (stack[1].file, stack[1].line) == ("/go/main.go", 12)

    heap = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_space", "bytes")]
    assert foreign(heap, [5, 500, 50]).total().count == 50
    shown = foreign(heap, [5, 500, 50], default="alloc_space")
    assert (shown.total().count, shown.total().cpu_ns) == (500, 0)
    assert shown.meta["shown"] == "alloc_space/bytes"

    assert foreign([("contentions", "count"), ("delay", "microseconds")], [2, 7]).total().wall_ns == 7000
    assert foreign([("cpu", "ms")], [50], period=10_000_000).total().count == 5


def test_foreign_values_that_no_file_of_ours_can_hold_are_refused() -> None:
    with pytest.raises(FileError, match="more time than can be"):
        foreign([("cpu", "seconds")], [1 << 62])
