"""Latency: what is kept of dispatches, what is estimated from samples, and how it is shown and stored."""

from __future__ import annotations

import io
import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import HOOK, HTTP, LABELS, SITE, small_profile, utf8, written
from zeekspy import latency, recording
from zeekspy.export import dispatches, pprof_latency, pprof_read
from zeekspy.latency import BUCKETS, OTHERS, SLOWEST, Dispatch, Latency, bucket, edges, rows
from zeekspy.profile import Frame, Profile, Stack, body_key

MS = 1_000_000
NAMES = st.sampled_from(["http_header", "dns_request", "connection_state_remove", "\x1b[2Jevil"]) | st.text()
STACKS = st.lists(
    st.builds(Frame, st.none() | NAMES, st.just("event"), st.just("a.zeek"), st.integers(1, 99), st.none()),
    min_size=1,
    max_size=4,
).map(tuple)
LENGTHS = st.integers(0, 10**12)
DISPATCHES = st.builds(
    Dispatch,
    st.integers(0, 1 << 62),
    LENGTHS,
    st.none() | LENGTHS,
    LENGTHS,
    st.integers(2, 1000),
    STACKS,
    st.sampled_from([(), LABELS]),
)


def latency_of(found: list[Dispatch]) -> Latency:
    result = Latency()
    for d in found:
        result.see(d.stack, d.samples)
        result.add(d)
    return result


@given(st.lists(DISPATCHES, max_size=60), st.integers(0, 60))
def test_parts_add_up_to_the_whole(found: list[Dispatch], cut: int) -> None:
    whole = latency_of(found)
    parts = latency_of(found[cut:]).added_to(latency_of(found[:cut]))
    assert parts.handled == whole.handled
    assert sum(h.long for h in whole.handled.values()) == len(found)
    assert [d.length_ns for d in whole.slowest] == sorted((d.length_ns for d in found), reverse=True)[:SLOWEST]
    assert [d.length_ns for d in parts.slowest] == [d.length_ns for d in whole.slowest]
    assert all(h.once == 0 for h in whole.handled.values())


@given(st.integers(0, 1 << 62))
def test_a_length_lies_within_its_bucket(ns: int) -> None:
    low, high = edges(bucket(ns))
    assert low <= ns
    assert high is None or ns < high
    assert (high is None) == (bucket(ns) == BUCKETS - 1)


@pytest.mark.parametrize(("most", "took"), [(None, 300), (302, 301), (320, 310), (5000, 310)])
def test_a_gap_in_the_samples_makes_no_dispatch_slow(most: int | None, took: int) -> None:
    assert latency.length(300 * MS, most and most * MS, 10 * MS) == took * MS


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "MAX_HANDLERS", 5)
    found = latency_of([Dispatch(0, 5, 9, 7, 2, (Frame(f"f{i}", None, None, None, None),)) for i in range(9)])
    assert list(found.handled) == ["f0", "f1", "f2", "f3", "f4", OTHERS]
    assert found.handled[OTHERS].long == 4


@pytest.mark.parametrize("seed", range(3))
def test_the_time_of_all_dispatches_is_estimated_without_bias(seed: int) -> None:
    """Lengths of a thousandth of the period to ten of it; one look at a random moment of each slot."""
    rng, period = random.Random(seed), 10 * MS
    spans, at = [], 0
    for _ in range(3000):
        at += rng.randrange(2 * period)
        end = at + round(period * 10 ** rng.uniform(-3, 1))
        spans.append((at, end))
        at = end
    looks = [slot * period + rng.randrange(period) for slot in range(at // period + 2)]
    profile, stack = Profile(period_ns=period, latency=Latency()), (replace(HTTP, body=None, bodies=1),)
    kept, i = profile.latency, 0
    assert kept is not None
    for begin, end in spans:
        while looks[i] < begin:
            i += 1
        first = i
        while i < len(looks) and looks[i] < end:
            i += 1
        if i > first:
            kept.see(stack, i - first)
        if i - first >= 2:
            after, before = looks[first - 1] if first else 0, looks[i] if i < len(looks) else end
            least, most = looks[i - 1] - looks[first], before - after
            kept.add(Dispatch(begin, least, most, latency.length(least, most, period), i - first, stack))
            assert kept.slowest
    profile.calls[body_key(stack[0])] = len(spans)
    profile.add(stack, (), len(looks), 0, len(looks) * period)
    (row,) = rows(profile)
    truth = [end - begin for begin, end in spans]
    assert abs(row.total_ns - sum(truth)) < 4 * row.error_ns
    assert row.dispatches == len(spans)
    assert row.long >= sum(1 for ns in truth if ns >= latency.PROVEN_PERIODS * period)
    # What is long takes as long as it takes, so the rest is what is left, and short.
    assert row.short_mean_ns is not None
    assert row.short_mean_ns < 2 * period
    assert abs(row.short_ns - (sum(truth) - kept.handled["http_request"].long_ns)) < 4 * row.error_ns
    assert row.error_ns == pytest.approx(period * math.sqrt(kept.handled["http_request"].samples))


def shown() -> Profile:
    profile = small_profile()
    profile.calls = {body_key(HTTP): 5, body_key(SITE): 40}
    profile.latency = latency_of(
        [
            Dispatch(profile.time_ns, 301 * MS, 312 * MS, 306 * MS, 31, (HTTP, HOOK), LABELS),
            Dispatch(profile.time_ns + 10**9, 20 * MS, 40 * MS, 30 * MS, 3, (SITE,), LABELS),
            Dispatch(profile.time_ns + 2 * 10**9, 50 * MS, None, 50 * MS, 6, (HOOK,) * 9, LABELS),
        ]
    )
    profile.latency.see((SITE,), 7)
    return profile


def test_the_text_says_what_was_slow_and_how_sure_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    import time

    time.tzset()
    try:
        text = dispatches.text(shown())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert text == (
        "slowest dispatches (one event, all its handlers)\n"
        "    301-312 ms  http_request [http/main.zeek:100]  at 22:13:20.0  worker-1\n"
        "                http_request http/main.zeek:120 > Foo::bar site/foo.zeek:8\n"
        "        >50 ms  Foo::bar  at 22:13:22.0  worker-1\n"
        "                Foo::bar site/foo.zeek:8 > …" + " > Foo::bar site/foo.zeek:8" * 6 + "\n"
        "      20-40 ms  http_request [site/detect.zeek:12]  at 22:13:21.0  worker-1\n"
        "                http_request site/detect.zeek:14\n"
        "\n"
        "dispatches by length: short ones were seen once at most; of those longer than 30 ms none is missing\n"
        "total ms  +-  dispatches  short ms  mean ms  16-32 ms  32-64 ms  256-512 ms  event\n"
        "     410  64          40        70    1.842         1         .           1  http_request\n"
        "      60  24           -         0        -         .         1           .  Foo::bar\n"
    )


def test_a_narrow_terminal_gets_what_fits() -> None:
    lines = dispatches.text(shown(), 60).splitlines()
    assert max(map(len, lines)) == 60
    assert not any("dispatches by length" in line for line in lines)


def test_names_cannot_steer_the_terminal() -> None:
    evil = Frame("\x1b[2Jevil\n", "event", None, None, None)
    profile = Profile(period_ns=10 * MS, latency=latency_of([Dispatch(0, 5, 9, 7, 2, (evil, evil))]))
    assert all(line.isprintable() for line in dispatches.text(profile).splitlines())
    assert "\\x1b[2Jevil\\n  at" in dispatches.text(profile)


def test_the_json_has_it_too() -> None:
    profile = shown()
    table = json.loads(written(profile, "json"))["latency"]
    assert table["proven_s"] == 0.03
    assert [d["longest_s"] for d in table["slowest"]] == [0.312, None, 0.04]
    assert table["slowest"][0]["labels"] == dict(LABELS)
    assert table["slowest"][0]["stack"][1] == {"name": "Foo::bar", "file": HOOK.file, "line": 8}
    first = table["events"][0]
    assert (first["name"], first["long"], first["dispatches"], first["total_s"]) == ("http_request", 2, 40, 0.41)
    assert first["lengths"] == [[0.016, 0.032, 1], [0.256, 0.512, 1]]
    profile.latency = None
    assert json.loads(written(profile, "json"))["latency"] is None
    assert dispatches.text(profile) == ""


def as_stored(found: Latency) -> Latency:
    """With the text that a file can hold."""

    def frame(f: Frame) -> Frame:
        return replace(f, name=None if f.name is None else utf8(f.name))

    stored = Latency({utf8(name): handled for name, handled in found.handled.items()})
    stored.slowest = [replace(d, stack=tuple(map(frame, d.stack))) for d in found.slowest]
    return stored


@given(st.lists(DISPATCHES, min_size=1, max_size=30))
def test_a_file_keeps_it(found: list[Dispatch]) -> None:
    profile = Profile(period_ns=10 * MS, latency=latency_of(found))
    assert profile.latency is not None
    again = pprof_read.read(io.BytesIO(written(profile)), "x").latency
    assert again == as_stored(profile.latency)


def test_recordings_are_put_together_with_it() -> None:
    one, two = shown(), shown()
    two.latency = None
    both = recording.merge([one, two, shown()], ["a", "b", "c"])
    assert both.latency is not None
    assert one.latency is not None
    assert both.latency.handled["http_request"].samples == 2 * one.latency.handled["http_request"].samples
    assert len(both.latency.slowest) == 6


GOOD = ["f", "event", 5, 2, 9, {"3": 1}]
SLOW = [1, 2, None, 2, 3, [["pid", "1"]], [["event", "f", ["a.zeek", 1, 2], 1, "", "a.zeek", 1]]]


@pytest.mark.parametrize(
    ("handled", "slowest"),
    [
        ([["f", "event", -1, 2, 9, {}]], []),
        ([["f", "event", 5, 2, 1 << 70, {}]], []),
        ([["f", "nonsense", 5, 2, 9, {}]], []),
        ([["f", "event", True, 2, 9, {}]], []),
        ([["f", "event", 5, 2, 9, {"1": "x"}]], []),
        ([[5], None, {}, "x"], []),
        ([], [[1, 2, None, 2, 3, [], []], [1, 2, None, 2, 3, [], [["event", "f", None, 1, "", "a"]]], 7]),
        ([], [[1, 2, None, 2, 3, [], [["event", "f", [], 1, "", None, None]]]]),
        ([], [[1, 2, "3", 2, 3, [], SLOW[6]], [-1, 2, 3, 2, 3, [], SLOW[6]]]),
        ([], [[1, 2, 3, 2, 3, [], SLOW[6] * 2000]]),
    ],
)
def test_what_is_not_well_formed_says_nothing(handled: list[object], slowest: list[object]) -> None:
    profile = Profile()
    text = pprof_latency.PREFIX + json.dumps({"handled": [GOOD, *handled], "slowest": [SLOW, *slowest]})
    pprof_latency.into(profile, [text, "#latency [1", "#latency {}", "#latency " + "[" * 100_000])
    assert profile.latency is not None
    stack: Stack = profile.latency.slowest[0].stack
    assert (list(profile.latency.handled), len(profile.latency.slowest), stack[0].name) == (["f"], 1, "f")
    handled_f = profile.latency.handled["f"]
    assert (handled_f.samples, handled_f.long, handled_f.buckets[3]) == (5, 1, 1)
