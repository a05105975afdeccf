"""The pprof format: what is written is valid and can be read, by zeekspy and by ``go tool pprof``."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tracemalloc
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profiles import (
    GOLDEN,
    HOOK,
    SHARE,
    SITE,
    VALUES,
    frame,
    kept,
    plain_profiles,
    profiles,
    read_back,
    small_profile,
    utf8,
    written,
)
from zeekspy.errors import FileError
from zeekspy.export import pprof, pprof_read
from zeekspy.export.pprof_message import Message
from zeekspy.profile import CORE, IDLE, Body, Frame, Labels, Profile, display_name, own_and_total


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
