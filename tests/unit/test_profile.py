"""Names of bodies, and the sums that every report is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy.profile import CORE, IDLE, Body, Frame, Profile, body_key, display_name, own_and_total, short_file

HTTP = Body("/opt/zeek/share/zeek/base/protocols/http/main.zeek", 100, 140)
SITE = Body("/opt/zeek/share/zeek/site/./detect.zeek", 12, 30)


def frame(name: str | None, body: Body | None = None, bodies: int = 1, *flags: str, line: int | None = None) -> Frame:
    file = body.file if body and line else None
    return Frame(name, "event", file, line, body, bodies, frozenset(flags))


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (frame("Log::write", HTTP), "Log::write"),
        (frame("http_header", HTTP, 11), "http_header [http/main.zeek:100]"),
        (frame("http_header", SITE, 11), "http_header [site/detect.zeek:12]"),
        (frame("http_header", Body("detect.zeek", 3, 4), 2), "http_header [detect.zeek:3]"),
        (frame("http_header", None, 11), "http_header [?]"),
        (frame("http_header", Body(None, 0, 0), 11), "http_header [?]"),
        (frame("lambda_<8123>", SITE), "lambda@detect.zeek:12"),
        (frame("lambda_<8123>"), "lambda_<8123>"),
        (frame(None, None, 1, "unreadable"), "<unreadable>"),
        (frame(None, None, 1, "top-level"), "<top-level statements>"),
        (CORE, "<zeek core>"),
        (IDLE, "<idle>"),
    ],
)
def test_display_name(shown: Frame, expected: str) -> None:
    assert display_name(shown) == expected


@pytest.mark.parametrize(
    ("file", "parts", "expected"),
    [
        ("/a/b/c.zeek", 2, "b/c.zeek"),
        ("/a/b/c.zeek", 1, "c.zeek"),
        ("/a/./b//./c.zeek", 2, "b/c.zeek"),
        ("c.zeek", 2, "c.zeek"),
    ],
)
def test_short_file(file: str, parts: int, expected: str) -> None:
    assert short_file(file, parts) == expected


def test_bodies_of_one_event_are_told_apart() -> None:
    profile = Profile()
    profile.add((frame("http_header", HTTP, 2, line=110),), (), 3, 30, 300)
    profile.add((frame("http_header", SITE, 2, line=13),), (), 5, 50, 500)
    sums = {display_name(f): v for f, v in own_and_total(profile).items()}
    assert sums == {"http_header [http/main.zeek:100]": (30, 30), "http_header [site/detect.zeek:12]": (50, 50)}


def test_lines_and_calls_of_one_body_are_one() -> None:
    profile = Profile()
    profile.add((frame("f", HTTP, line=110),), (), 1, 10, 10)
    profile.add((frame("f", HTTP, 1, "call", line=111), frame("g", SITE)), (), 1, 20, 20)
    assert own_and_total(profile)[body_key(frame("f", HTTP))] == (10, 30)


def test_recursion_counts_once_in_the_total() -> None:
    profile = Profile()
    f, g = frame("f", HTTP), frame("g", SITE)
    profile.add((f, g, f, f), (), 7, 70, 700)
    assert own_and_total(profile) == {f: (70, 70), g: (0, 70)}
    assert own_and_total(profile, "count") == {f: (7, 7), g: (0, 7)}
    assert own_and_total(profile, "wall_ns") == {f: (700, 700), g: (0, 700)}


def test_equal_stacks_with_equal_labels_are_counted() -> None:
    profile = Profile()
    for labels in ((("node", "a"),), (("node", "a"),), (("node", "b"),)):
        profile.add((CORE,), labels, 1, 10, 100)
    assert [(labels[0][1], v.count, v.cpu_ns, v.wall_ns) for _, labels, v in profile] == [
        ("a", 2, 20, 200),
        ("b", 1, 10, 100),
    ]
    assert (profile.total().count, profile.total().cpu_ns, profile.total().wall_ns) == (3, 30, 300)


FRAMES = st.sampled_from([frame(n, b, 2, line=k) for n in "fgh" for b in (HTTP, SITE, None) for k in (None, 7, 8)])


@given(st.lists(st.tuples(st.lists(FRAMES, min_size=1, max_size=6), st.integers(1, 1000))))
def test_own_adds_up_to_everything(samples: list[tuple[list[Frame], int]]) -> None:
    profile = Profile()
    for stack, cpu_ns in samples:
        profile.add(tuple(stack), (), 1, cpu_ns, cpu_ns)
    everything = sum(cpu_ns for _, cpu_ns in samples)
    sums = own_and_total(profile).values()
    assert sum(own for own, _ in sums) == everything == profile.total().cpu_ns
    assert all(0 <= own <= total <= everything for own, total in sums)
