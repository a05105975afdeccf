"""Every format against every other: whatever the profile, the sums per body are the same, to the sample."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.profiles import HTTP, SHARE, SITE, VALUES, profiles, small_profile, utf8, written
from zeekspy import export
from zeekspy.export import collapsed, pprof_read, svg
from zeekspy.export.tree import main_value
from zeekspy.profile import CORE, IDLE, Body, Frame, Profile, Values, body_key, display_name, own_and_total
from zeekspy.timeline import Timeline

Sums = Counter[str]
NONE = "<no stack>"


@st.composite
def timed_profiles(draw: st.DrawFn) -> Profile:
    """Profiles with at most some hundred samples, some of them with times."""
    profile = draw(profiles())
    for values in profile.samples.values():
        values.count %= 40
    if draw(st.booleans()) and profile.samples:
        profile.times = Timeline()
        room = {key: values.count for key, values in profile.samples.items()}
        t_us = 0
        for _ in range(draw(st.integers(0, 12))):
            key = draw(st.sampled_from(list(room)))
            count = draw(st.integers(0, room[key]))
            t_us += draw(st.integers(0, 3_000_000))
            if count:
                room[key] -= count
                profile.times.add(t_us, profile.times.slot(*key), count)
    return profile


def own(profile: Profile, value: str, name: Callable[[Frame], str]) -> Sums:
    """By the innermost body's name, which is given by ``name``."""
    sums: Sums = Counter()
    for stack, _, values in profile:
        sums[name(stack[-1]) if stack else NONE] += getattr(values, value)
    return +sums


def marked(frame: Frame) -> str:
    return display_name(frame) + (" (inlined)" if "inlined" in frame.flags else "")


def marked_or_unknown(frame: Frame) -> str:
    return (display_name(frame) or "?") + (" (inlined)" if "inlined" in frame.flags else "")


def page_data(page: bytes) -> dict[str, Any]:
    (text,) = re.findall(rb'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


@settings(max_examples=40)
@given(profiles())
def test_collapsed_stacks_add_up(profile: Profile) -> None:
    sums: Sums = Counter()
    for line in written(profile, "collapsed").decode().splitlines():
        stack, _, count = line.rpartition(" ")
        sums[stack.split(";")[-1]] += int(count)
    expected = own(profile, "count", lambda f: collapsed.escape(display_name(f)))
    del expected[NONE]  # a sample without a stack has no line
    assert sums == expected


@settings(max_examples=40)
@pytest.mark.parametrize("name", ["flamegraph", "heatmap"])
@given(profile=timed_profiles())
def test_pages_add_up(name: str, profile: Profile) -> None:
    data = page_data(written(profile, name))
    names = [frame[0] for frame in data["frames"]]
    for (label, _), column in zip(data["values"], data["own"], strict=True):
        value = {"cpu": "cpu_ns", "wall": "wall_ns", "samples": "count"}[label]
        sums: Sums = Counter()
        for number, amount in zip(data["frame"], column, strict=True):
            sums[names[number]] += amount
        assert +sums == own(profile, value, marked)
    if name == "heatmap":
        times: Sums = Counter()
        for stack, count in zip(data["stack"], data["count"], strict=True):
            times[names[data["frame"][data["leaf"][stack]]]] += count
        part = own(profile, "count", marked)
        assert all(count <= part[body] for body, count in times.items())
        assert sum(times.values()) == (sum(profile.times.samples()) if profile.times else 0)


@settings(max_examples=40)
@given(timed_profiles())
def test_speedscope_adds_up(profile: Profile) -> None:
    data = json.loads(written(profile, "speedscope"))
    frames = data["shared"]["frames"]
    sums: dict[str, Sums] = {value: Counter() for value in VALUES}
    for part in data["profiles"]:
        kind = {"cpu": "cpu_ns", "wall": "wall_ns", "samples": "count", "empty": "count"}[part["name"].split(" ")[0]]
        assert part["endValue"] == sum(part["weights"])
        for stack, weight in zip(part["samples"], part["weights"], strict=True):
            sums[kind][frames[stack[-1]]["name"] if stack else NONE] += weight
    for value in VALUES:
        assert sums[value] == own(profile, value, marked_or_unknown)


@settings(max_examples=40)
@given(timed_profiles())
@example(Profile(samples={((), (("node", "#"),)): Values(1), ((), (("node", "%d"),)): Values(1)}))
def test_perf_script_adds_up(profile: Profile) -> None:
    sums: Sums = Counter()
    text = written(profile, "perf-script").decode()
    for event in re.split(r"\n\n", "\n".join(line for line in text.split("\n") if not line.startswith("#"))):
        head, *frames = event.strip("\n").split("\n")
        if not head:
            continue
        assert re.fullmatch(r"\S+ \d+ \d+\.\d{6}: zeekspy:", head)
        found = [re.fullmatch(r"\t *[0-9a-f]+ (.+) \((\S*)\)", frame) for frame in frames]
        assert all(found)
        sums[found[0][1] if found and found[0] else NONE] += 1
    shown = own(profile, "count", lambda f: printed(display_name(f)).replace(";", ":") or "?")
    assert sums == shown


def printed(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@settings(max_examples=40)
@given(profiles())
def test_svg_adds_up(profile: Profile) -> None:
    out = io.BytesIO()
    svg.write(profile, out, narrowest=0)
    root = ElementTree.fromstring(out.getvalue())
    value = main_value(profile)
    pattern = {
        "count": r"(?P<n>\d+) samples \((?P<own>\d+) own\)",
        "cpu_ns": r"cpu (?P<n>[\d.]+) ms \((?P<own>[\d.]+) own\)",
        "wall_ns": r"wall (?P<n>[\d.]+) ms \((?P<own>[\d.]+) own\)",
    }[value]
    sums: Counter[str] = Counter()
    for title in root.iter("{http://www.w3.org/2000/svg}title"):
        name, *_, said = str(title.text).split("\n")
        match = re.search(pattern, said)
        if match and name != "scripts":
            sums[name] += round(float(match["own"]) * (1 if value == "count" else 1e6))
    expected = own(profile, value, lambda f: printed(display_name(f)) + (" (inlined)" if "inlined" in f.flags else ""))
    for frame in (CORE, IDLE):  # these are in the bar
        alone = sum(getattr(v, value) for stack, _, v in profile if stack == (frame,))
        expected[display_name(frame)] -= alone
    expected.pop("scripts", None)
    sums.pop("scripts", None)
    tolerance = 0 if value == "count" else 500 * (len(sums) + len(profile.samples) + 1)
    assert set(+sums) <= set(expected)
    for name, amount in expected.items():
        assert abs(sums[name] - amount) <= tolerance + amount * 1e-9, name


@settings(max_examples=40)
@given(profiles())
def test_jsonl_adds_up(profile: Profile) -> None:
    sums: Sums = Counter()
    for line in written(profile, "jsonl").decode().splitlines():
        data = json.loads(line)
        for location in data["locations"]:
            sums[location["func"]] += location["direct_samples"]
            assert location["callees_cpu_ms"] >= location["direct_cpu_ms"]
        whole = sum(location["direct_cpu_ms"] for location in data["locations"])
        assert whole <= data["total_cpu_ms"] * (1 + 1e-9)
    expected = own(profile, "count", display_name)
    del expected[NONE]
    assert +sums == expected


@settings(max_examples=40)
@given(profiles())
def test_the_table_of_profile_scripts_adds_up(profile: Profile) -> None:
    lines = written(profile, "profile-scripts").decode().splitlines()
    fields = lines[0].split("\t")[1:]
    rows = [dict(zip(fields, line.split("\t"), strict=True)) for line in lines[2:]]
    bodies = rows[: rows.index(next(r for r in rows if r["function"] == "all-BiFs" and r["type"] == "BiF"))]
    bodies = [r for r in bodies if not r["location"].endswith("-locations")]
    own_s = sum(float(r["tot_CPU"]) - float(r["child_CPU"]) for r in bodies)
    expected = sum(v.cpu_ns for stack, _, v in profile if stack and stack[-1] not in (CORE, IDLE)) / 1e9
    assert own_s == pytest.approx(expected, abs=2e-6 * (len(bodies) + 1), rel=1e-9)
    core = sum(v.cpu_ns for stack, _, v in profile if stack and stack[-1] == CORE) / 1e9
    assert float(rows[-1]["tot_CPU"]) == pytest.approx(core, abs=1e-6, rel=1e-9)


def test_the_table_of_profile_scripts_has_calls() -> None:
    profile = small_profile()
    unseen = Frame("quiet", "event", None, None, Body("/x/quiet.zeek", 3, 9))
    profile.calls = {body_key(HTTP): 7, body_key(SITE): 5, unseen: 11}
    rows = [line.split("\t") for line in written(profile, "profile-scripts").decode().splitlines()]
    calls = {(row[0], row[1]): row[3] for row in rows}
    assert calls["http_request", f"{SHARE}/site/detect.zeek:12"] == "5"
    assert calls["http_request", "2-locations"] == "12"
    assert calls["Foo::bar", f"{SHARE}/site/foo.zeek:7"] == "-"
    assert ["quiet", "/x/quiet.zeek:3", "event", "11", "0.000000", "0.000000", "-", "-"] in rows
    (total,) = [row for row in rows if row[0] == "total"]
    assert total[1:4] == ["9-locations", "TOTAL", "23"]


@settings(max_examples=40)
@given(profiles())
def test_json_adds_up(profile: Profile) -> None:
    sums: Sums = Counter()
    for body in json.loads(written(profile, "json"))["bodies"]:
        sums[body["display"]] += body["own"]["samples"]
    expected = own(profile, "count", display_name)
    del expected[NONE]
    assert +sums == expected


@settings(max_examples=40)
@given(profiles())
def test_the_table_adds_up(profile: Profile) -> None:
    lines = written(profile, "text").decode().split("\n\n")[1].splitlines()
    column = re.split(r"  +", lines[0].strip()).index("samples")
    samples = [int(line.split()[column]) for line in lines[1:]]
    bodies = own_and_total(profile, "count")
    assert sorted(samples) == sorted(own_samples for own_samples, _ in bodies.values())


@settings(max_examples=50)
@given(timed_profiles())
def test_what_was_recorded_is_reported_alike(profile: Profile) -> None:
    """record -f FMT and report FILE -f FMT are the same but for what pprof does not keep."""
    back = pprof_read.read(io.BytesIO(written(profile)))
    for value in VALUES:
        assert own(back, value, display_name) == own(profile, value, lambda f: utf8(display_name(f)))
    if profile.times is not None and len(profile.times):
        assert back.times is not None
        assert sum(back.times.samples()) == sum(profile.times.samples())


@pytest.mark.parametrize("name", export.FORMATS)
def test_a_format_is_a_pure_function_of_the_profile(name: str) -> None:
    assert written(small_profile(), name) == written(small_profile(), name)


@pytest.mark.parametrize("name", [n for n in export.FORMATS if n not in ("collapsed", "pprof", "text", "json")])
def test_an_empty_profile_is_a_valid_file_that_says_why(name: str) -> None:
    text = written(Profile(), name).decode()
    if name == "profile-scripts":
        assert "total\t0-locations" in text
    else:
        assert "There are no samples" in text
