"""Profiles for the tests of the exporters: one that has one of everything, and what hypothesis draws."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from hypothesis import strategies as st

from zeekspy import export
from zeekspy.export import pprof_read
from zeekspy.profile import CORE, IDLE, KINDS, Body, Frame, Profile, Stack, display_name
from zeekspy.timeline import Timeline

GOLDEN = Path(__file__).parent.parent / "golden" / "profiles"
SHARE = "/opt/zeek/share/zeek"
VALUES = ("count", "cpu_ns", "wall_ns")


def frame(name: str | None, kind: str | None, body: Body | None, line: int = 0, bodies: int = 1, *flags: str) -> Frame:
    file = body.file if body and line else None
    return Frame(name, kind, file, line or None, body, bodies, frozenset(flags))


HTTP = frame("http_request", "event", Body(f"{SHARE}/base/protocols/http/main.zeek", 100, 140), 120, 2, "call")
SITE = frame("http_request", "event", Body(f"{SHARE}/site/detect.zeek", 12, 30), 14, 2)
LAMBDA = frame("lambda_<1234>", "function", Body(f"{SHARE}/site/x.zeek", 3, 5), 4)
HOOK = frame("Foo::bar", "hook", Body(f"{SHARE}/site/foo.zeek", 7, 9), 8)
SMALL = frame("Foo::small", "function", Body(f"{SHARE}/site/foo.zeek", 20, 22), 21, 1, "inlined", "zam")
BIF = frame("Log::__write", "bif", None)
UNREADABLE = frame(None, None, None, 0, 1, "unreadable")
TOP_LEVEL = Frame(None, None, f"{SHARE}/init.zeek", 2, None, 1, frozenset({"top-level"}))
LABELS = (("node", "worker-1"), ("pid", "42"))


def small_profile() -> Profile:
    """One of everything: every kind, two bodies of one event, inlining, what has no file, two nodes."""
    profile = Profile(time_ns=1_700_000_000_000_000_000, duration_ns=2_000_000_000, period_ns=10_000_000)
    profile.meta = {
        "exe": "/opt/zeek/bin/zeek",
        "build_id": "5bd7a9f0",
        "zeekspy_version": "0.1.0",
        "zeek_version": "8.0",
        "layout": "zeek-8.0-libstdc++",
        "command": "zeekspy --pid 42",
        "engine": "preempt",
        "hz_asked": 100,
        "hz_achieved": 99.87654321,
        "samples": 55,
        "script": 39,
        "core": 7,
        "idle": 9,
        "torn": 1,
        "missed": 0,
        "sample_us": {"p50": 4.5, "max": 80},
    }
    stacks: list[Stack] = [
        (HTTP, HOOK, BIF),
        (SITE,),
        (HTTP, LAMBDA),
        (HOOK, SMALL),
        (HTTP, UNREADABLE, HOOK),
        (TOP_LEVEL,),
        (CORE,),
        (HOOK, HOOK),
        (IDLE,),
    ]
    for n, stack in enumerate(stacks, start=1):
        profile.add(stack, LABELS, n, 0 if stack == (IDLE,) else n * 10_000_000, n * 10_000_000)
    profile.add((SITE,), (("node", "worker-2"),), 10, 100_000_000, 100_000_000)
    return profile


def written(profile: Profile, name: str = "pprof") -> bytes:
    out = io.BytesIO()
    export.by_name(name).write(profile, out)
    return out.getvalue()


def utf8(string: str) -> str:
    return string.encode("utf-8", "backslashreplace").decode()


NAMES = st.sampled_from(["f", "Foo::bar", "lambda_<12>", "<idle>", "a [?]", "a [x/y.zeek:3]"]) | st.text(
    st.characters()
)
FILES = st.sampled_from(["/x/y.zeek", "/z/x/y.zeek", "y.zeek", ""]) | st.text(st.characters())
LINES = st.integers(-1, 2**31)
BODIES = st.builds(Body, st.none() | FILES, LINES, LINES)
FRAMES = st.builds(
    Frame,
    name=st.none() | NAMES,
    kind=st.sampled_from([None, *KINDS]),
    file=st.none() | FILES,
    line=st.none() | LINES,
    body=st.none() | BODIES,
    bodies=st.integers(1, 3),
    flags=st.frozensets(st.sampled_from(["unreadable", "top-level", "call", "inlined", "zam"])),
)
ALL_LABELS = st.dictionaries(st.sampled_from(["node", "pid"]), st.text(st.characters(), min_size=1)).map(
    lambda d: tuple(sorted(d.items()))
)
JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters())
META = st.dictionaries(
    st.sampled_from(["engine", "hz_achieved", "samples", "command", "zeek_version", "sample_us"]),
    JSON | st.dictionaries(st.text(), JSON, max_size=3) | st.sampled_from(["8.0", "null", "NaN"]),
)
AMOUNTS = st.integers(0, 2**50)


@st.composite
def profiles(draw: st.DrawFn, frames: st.SearchStrategy[Frame] = FRAMES) -> Profile:
    profile = Profile(draw(AMOUNTS), draw(AMOUNTS), draw(AMOUNTS), meta=draw(META))
    pool = draw(st.lists(frames, min_size=1, max_size=6))
    for _ in range(draw(st.integers(0, 8))):
        stack = draw(st.lists(st.sampled_from(pool), max_size=5))
        profile.add(tuple(stack), draw(ALL_LABELS), draw(AMOUNTS), draw(AMOUNTS), draw(AMOUNTS))
    return profile


@st.composite
def plain_profiles(draw: st.DrawFn) -> Profile:
    """As sane memory gives them: one display name is one body, though a line may be in another file (ZAM)."""
    bodies = draw(st.lists(FRAMES, min_size=1, max_size=5, unique_by=lambda f: utf8(display_name(f))))
    where = st.sampled_from([(None, None), ("/x/y.zeek", 7), ("/other.zeek", 8), ("y.zeek", None), (None, 9)])

    def at(body: Frame, place: tuple[str | None, int | None], extra: frozenset[str]) -> Frame:
        if body.kind == "bif":
            place = None, None
        return replace(body, file=place[0], line=place[1], flags=(body.flags - {"call", "inlined"}) | extra)

    extras = st.frozensets(st.sampled_from(["call", "inlined"]))
    return draw(profiles(st.builds(at, st.sampled_from(bodies), where, extras)))


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


def timed(runs: list[tuple[int, int, int]]) -> Profile:
    """The small profile, some of its samples with times: (t_us, which stack, count)."""
    profile = small_profile()
    keys = list(profile.samples)
    profile.times = Timeline()
    for t_us, number, count in runs:
        profile.times.add(t_us, profile.times.slot(*keys[number]), count)
    return profile
