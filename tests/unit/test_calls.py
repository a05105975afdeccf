"""Counting calls: wraps, freed statements, a target that exits; where the global scope is; intervals; files."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import HOOK, HTTP, LAMBDA, SITE, profiles, small_profile, utf8, written
from zeekspy import calls
from zeekspy.bodies import BodyIndex, FoundBody
from zeekspy.calls import CallCounter
from zeekspy.errors import NoSuchTarget
from zeekspy.export import bodies, pprof_calls, pprof_read, text
from zeekspy.layout import Layout
from zeekspy.profile import Body, Frame, Profile, body_key
from zeekspy.scope import loads
from zeekspy.stacks import StackTable
from zeekspy.target import Target

ACCESS, NCALL = 40, 352
VPTR = 0x7F0000001000
KEY, OTHER = body_key(HOOK), body_key(SITE)


class Zeek:
    """Memory, target and walker of a process whose statements are at multiples of 0x1000."""

    def __init__(self, **counts: int) -> None:
        self.words: dict[int, int] = {}
        self.pid, self.start_time, self.version, self.arch = 1, 0, "9.0.0", "x86_64"
        self.symbols: dict[str, int] = {}
        self.data = (0, 0)
        self.here = True

    def count(self, stmt: int, value: int, vptr: int = VPTR, offset: int = ACCESS) -> None:
        self.words[stmt], self.words[stmt + offset] = vptr, value

    def alive(self) -> bool:
        return self.here

    def read_many(self, addresses: list[int], length: int) -> list[bytes]:
        if not self.here:
            raise NoSuchTarget("gone")
        return [self.read(a, length) for a in addresses]

    def read(self, address: int, length: int) -> bytes:
        if address not in self.words:
            return b""
        words = (self.words.get(address + i, 0).to_bytes(8, "little") for i in range(0, length + 7, 8))
        return b"".join(words)[:length]


def counter(zeek: Zeek, *, from_start: bool = False, **fields: int) -> CallCounter:
    layout = Layout("9.0.0", "9.0.0", "libstdc++", {"Stmt.access_count": ACCESS, **fields}, {})
    parts = cast(Target, zeek), layout, cast(Any, zeek), lambda: (cast(Any, None), StackTable(19))
    return CallCounter(*parts, from_start=from_start)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**32 - 1), max_size=5))
def test_calls_since_the_attach_are_exact_also_when_the_counter_wraps(first: int, more: list[int]) -> None:
    zeek = Zeek()
    zeek.count(0x1000, first)
    counted = counter(zeek)
    counted.know([FoundBody(KEY, 0x1000, False)])
    assert counted.read()
    now = first
    for n in more:
        now += n
        zeek.count(0x1000, now % 2**32)
        assert counted.read()
    assert counted.counts() == {KEY: sum(more)}


def test_from_the_start_everything_counts_and_equal_bodies_are_added_up() -> None:
    zeek = Zeek()
    zeek.count(0x1000, 5)
    zeek.count(0x2000, 7)
    zeek.count(0x3000, 9, offset=NCALL)
    counted = counter(zeek, from_start=True, **{"ZBody.ncall": NCALL, "ZBody.inst_cnt": 344})
    counted.know([FoundBody(KEY, 0x1000, False), FoundBody(KEY, 0x2000, False), FoundBody(OTHER, 0x3000, True)])
    counted.read()
    assert counted.counts() == {KEY: 12, OTHER: 9}


def test_a_body_that_its_zeek_does_not_count_is_not_there() -> None:
    zeek = Zeek()
    zeek.count(0x1000, 5)
    zeek.count(0x3000, 9, offset=NCALL)
    counted = counter(zeek, from_start=True, **{"ZBody.ncall": NCALL})  # before 9.0
    counted.know([FoundBody(KEY, 0x1000, False), FoundBody(KEY, 0x3000, True)])
    counted.read()
    assert counted.counts() == {}


def test_freed_statements_keep_their_last_count() -> None:
    zeek = Zeek()
    zeek.count(0x1000, 5)
    counted = counter(zeek, from_start=True)
    counted.know([FoundBody(KEY, 0x1000, False)])
    counted.read()
    zeek.count(0x1000, 0xDEADBEEF, vptr=0x55)
    assert counted.read()
    assert counted.counts() == {KEY: 5}


def test_when_the_target_exits_the_last_reading_holds() -> None:
    zeek = Zeek()
    zeek.count(0x1000, 5)
    counted = counter(zeek, from_start=True)
    counted.know([FoundBody(KEY, 0x1000, False), FoundBody(OTHER, 0x9000, False)])
    counted.read()
    zeek.here = False
    counted.poll()
    counted.know([FoundBody(OTHER, 0x1000, True)])
    counted.finish()
    profile = Profile()
    counted.into(profile)
    assert profile.calls == {KEY: 5}
    assert profile.calls_ns > 0
    assert profile.meta["calls"]["since"] == "start"
    assert profile.meta["calls"]["before_end_s"] >= 0


def test_a_lambda_is_counted_under_the_name_it_runs_under() -> None:
    zeek = Zeek()
    zeek.count(0x1000, 5)
    counted = counter(zeek, from_start=True)
    counted.know([FoundBody(replace(body_key(LAMBDA), name="SSH::lambda_<1234>"), 0x1000, False)])
    counted.know([FoundBody(body_key(LAMBDA), 0x1000, False)])
    counted.read()
    assert counted.counts() == {body_key(LAMBDA): 5}


def test_a_merged_event_counts_for_all_its_bodies() -> None:
    zeek = Zeek()
    zeek.count(0x3000, 9, offset=NCALL)
    counted = counter(zeek, from_start=True, **{"ZBody.ncall": NCALL, "ZBody.inst_cnt": 344})
    one, two = body_key(HTTP), body_key(SITE)
    counted.index.merge(0x3000, [FoundBody(one, 1, False), FoundBody(two, 2, False)])
    counted.know([FoundBody(replace(one, bodies=1), 0x3000, True)])
    counted.read()
    found = counted.counts()
    assert [found[k] for k in (one, two, replace(one, body=None))] == [9, 9, 9]


def test_reading_is_as_rare_as_it_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = counter(Zeek())
    spent = iter([0.0, 0.001, 1.0, 2.0, 3.0, 3.0])
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    monkeypatch.setattr("time.thread_time", lambda: next(spent))
    due = []
    for _ in range(3):
        assert counted.read()
        due.append(counted._next)
    assert due == pytest.approx([100 + 0.001 / calls.SHARE, 100 + calls.LATEST_S, 100.05])


X86 = bytes.fromhex("488b1549be8c00 483b154abe8c00 4889f8 7435 488b12 488917")
"""global_scope() of a Zeek 9.1: mov 0x8cbe49(%rip),%rdx; cmp 0x8cbe4a(%rip),%rdx; …"""
X86_OLD = bytes.fromhex("8b154e947b00 31c0 85d2 740a 488b0535947b00 488b00 c3")
"""Of a 3.0: the first load is of 4 bytes, the number of entries."""
ARM = b"".join(
    w.to_bytes(4, "little") for w in (0x90000020, 0xF9404401, 0xA9420001, 0x91002002, 0xF9400043, 0xD65F03C0)
)
"""adrp x0, +0x4000; ldr x1, [x0, #136]; ldp x1, x0, [x0, #32]; add x2, x0, #8; ldr x3, [x2]; ret"""


@pytest.mark.parametrize(
    ("code", "at", "arch", "found"),
    [
        (X86, 0xF3C900, "x86_64", [0x1808750]),
        (X86_OLD, 0x657B90, "x86_64", [0xE10FD8]),
        (ARM, 0x400100, "aarch64", [0x404088, 0x404020, 0x404008]),
        (X86, 0xF3C900, "riscv64", []),
        (b"", 0xF3C900, "x86_64", []),
    ],
)
def test_loads_of_the_machine_code(code: bytes, at: int, arch: str, found: list[int]) -> None:
    assert list(loads(code, at, arch)) == found


@given(st.binary(max_size=128), st.sampled_from(["x86_64", "aarch64"]))
def test_any_bytes_are_code(code: bytes, arch: str) -> None:
    assert all(0x1000 <= a < 1 << 56 for a in loads(code, 0x400000, arch))


def test_the_narrowest_body_holds_a_line() -> None:
    outer, inner = (Frame(n, "function", None, None, Body("a.zeek", *r)) for n, r in (("f", (1, 90)), ("g", (10, 20))))
    twin = replace(inner, name="h")
    anonymous = Frame("X::lambda_<1>", "function", None, None, Body("a.zeek", 11, 12))
    index = BodyIndex(FoundBody(k, n, False) for n, k in enumerate((outer, inner, anonymous)))
    assert [index.holding("a.zeek", line) for line in (5, 10, 11, 20, 21, 91)] == [
        outer,
        inner,
        inner,
        inner,
        outer,
        None,
    ]
    assert index.holding("b.zeek", 5) is None
    index.add([FoundBody(twin, 9, False)])
    assert index.holding("a.zeek", 10) is None


def inlined_table() -> StackTable:
    """f is compiled and has g inlined; the compiled body of event e is its two bodies."""
    g = FoundBody(Frame("g", "function", None, None, Body("b.zeek", 1, 9)), 0x1, False)
    first, second = (
        FoundBody(Frame("e", "event", None, None, Body("a.zeek", *lines), 2), 0x2, False)
        for lines in ((50, 55), (60, 65))
    )
    index = BodyIndex([g])
    index.merge(0x5000, [first, second])
    table = StackTable(19, index)
    strings = ["", "f", "a.zeek", "b.zeek", "e"]
    funcs: Any = [(0, 0, ()), (1, 1, ((2, 10, 20, 19, 0x4000),)), (4, 2, ((2, 50, 55, 19, 0x5000),))]
    frames = [(0, 0, 0, 0), (1, 3, 5, 4), (1, 2, 15, 4), (1, 3, 99, 4), (2, 2, 61, 4), (2, 0, 0, 0), (2, 3, 5, 4)]
    table.extend((strings, funcs, frames, [(), *((i,) for i in range(1, 7))]))
    return table


def test_a_line_in_an_inlined_function_makes_a_frame() -> None:
    table = inlined_table()
    outer, inner = table.stack(1)
    assert (outer.name, outer.file, outer.line, outer.flags) == ("f", None, None, frozenset({"zam"}))
    assert (inner.name, inner.kind, inner.file, inner.line) == ("g", "function", "b.zeek", 5)
    assert (inner.body, inner.flags) == (Body("b.zeek", 1, 9), frozenset({"zam", "call", "inlined"}))
    assert [f.line for f in table.stack(2)] == [15]  # of f's own
    assert [(f.file, f.line) for f in table.stack(3)] == [("b.zeek", 99)]  # no body holds it


def test_which_body_of_a_merged_event_runs_is_what_its_line_says() -> None:
    table = inlined_table()
    (placed,), (unplaced,), (outer, inner) = (table.stack(i) for i in (4, 5, 6))
    assert (placed.body, placed.bodies) == (Body("a.zeek", 60, 65), 2)
    assert (unplaced.body, unplaced.bodies) == (None, 2)
    assert (outer.body, inner.name) == (None, "g")


@pytest.mark.parametrize(
    ("share", "samples", "low", "high"),
    [(0.0, 10, 0.0, 0.2775), (0.5, 100, 0.4038, 0.5962), (1.0, 10, 0.7225, 1.0), (0.3, 0, 0.0, 1.0)],
)
def test_wilson_interval(share: float, samples: int, low: float, high: float) -> None:
    assert bodies.interval(share, samples) == pytest.approx((low, high), abs=1e-4)


def test_intervals_hold_as_often_as_they_say() -> None:
    """Of a body that runs in bursts, sampled once at a random moment of each slot, as clock.c does."""
    random_source = random.Random(4)
    slots, burst, share, held = 400, 2.5, 0.2, 0
    for _ in range(300):
        begins = [random_source.uniform(0, slots - burst) for _ in range(round(share * slots / burst))]
        running = sorted(begins)
        true = _union(running, burst) / slots
        seen = 0
        for slot in range(slots):
            t = slot + random_source.random()
            seen += any(b <= t < b + burst for b in running)
        low, high = bodies.interval(seen / slots, slots)
        held += low <= true <= high
    assert held >= 0.95 * 300


def _union(begins: list[float], length: float) -> float:
    total = end = 0.0
    for b in begins:
        total += max(0.0, b + length - max(b, end))
        end = max(end, b + length)
    return total


def counted_profile() -> Profile:
    profile = small_profile()
    profile.calls = {body_key(HOOK): 20, body_key(SITE): 4, body_key(HTTP): 0, Frame("f", "hook", None, None, None): 7}
    profile.calls_ns = 2_000_000_000
    profile.instructions = {(("f", "/a.zeek", 3),): 5, (("f", "/a.zeek", 0), ("g", "/b.zeek", 9)): 50}
    return profile


def reread(data: bytes) -> Profile:
    return pprof_read.read(io.BytesIO(data), "test")


def test_pprof_keeps_calls_and_instructions() -> None:
    before = counted_profile()
    after = reread(written(before))
    assert (after.calls, after.calls_ns, after.instructions) == (before.calls, before.calls_ns, before.instructions)
    assert json.loads(written(after, "json")) == json.loads(written(before, "json"))
    assert {r.frame for r in bodies.rows(after) if r.calls is not None} >= {body_key(HOOK), body_key(SITE)}


@given(profiles(), st.data())
def test_pprof_keeps_the_calls_of_any_body(profile: Profile, data: st.DataObject) -> None:
    keys = list({body_key(replace(f, flags=frozenset())) for stack, _, _ in profile for f in stack})
    profile.calls = data.draw(st.dictionaries(st.sampled_from(keys), st.integers(0, 2**40))) if keys else {}
    expected: dict[tuple[str | None, str | None], int] = {}
    for key, n in profile.calls.items():
        name = key.kind, key.name and utf8(key.name)
        expected[name] = expected.get(name, 0) + n
    found: dict[tuple[str | None, str | None], int] = {}
    for key, n in reread(written(profile)).calls.items():
        found[key.kind, key.name] = found.get((key.kind, key.name), 0) + n
    assert found == expected


def test_calls_of_merged_files_add_up_and_damaged_ones_say_nothing() -> None:
    first = pprof_calls.comment(counted_profile())
    second = counted_profile()
    second.time_ns += 1
    assert first is not None
    damaged = [
        "#calls",
        "#calls {",
        "#calls []",
        '#calls {"ns":-1,"bodies":[[]],"lines":[7,[1,[]],[-1,[["f","g",1]]]]}',
    ]
    profile = Profile()
    pprof_calls.into(profile, [first, first, pprof_calls.comment(second) or "", *damaged, "#calls " + "[" * 100_000])
    assert profile.calls[body_key(HOOK)] == 40
    assert profile.instructions[("f", "/a.zeek", 3),] == 10
    assert len(profile.calls) == 4


def test_only_the_most_called_bodies_are_kept() -> None:
    profile = Profile()
    profile.calls = {Frame(f"f{n}", "function", None, None, None): n for n in range(pprof_calls.MAX_ROWS + 10)}
    kept = reread(written(profile)).calls
    assert len(kept) == pprof_calls.MAX_ROWS
    assert min(kept.values()) == 10


def test_json_has_what_is_known_of_each_body() -> None:
    table = json.loads(written(counted_profile(), "json"))
    rows = {(b["display"], b["inlined"]): b for b in table["bodies"]}
    hook = rows["Foo::bar", False]
    assert (hook["name"], hook["kind"], hook["first_line"], hook["last_line"]) == ("Foo::bar", "hook", 7, 9)
    assert (hook["calls"], hook["calls_per_s"]) == (20, 10.0)
    assert (hook["own_us_per_call"], hook["total_us_per_call"]) == (6500.0, 9000.0)
    assert hook["own"]["ci95"][0] < hook["own"]["share"] < hook["own"]["ci95"][1]
    assert rows["f", False]["own"]["samples"] == 0
    assert rows["f", False]["calls"] == 7
    assert rows["Log::__write", False]["calls"] is None
    assert rows["Foo::small", True]["zam"]
    assert [i["count"] for i in table["instructions"]] == [50, 5]
    assert table["instructions"][0]["stack"][1] == {"function": "g", "file": "/b.zeek", "line": 9}


def test_text_has_calls_and_instructions() -> None:
    shown = written(counted_profile(), "text").decode().splitlines()
    row = next(line for line in shown if "Foo::bar" in line)
    assert row.split()[8:11] == ["20", "10.0", "9000.0"]
    bif = next(line for line in shown if "Log::__write" in line)
    assert bif.split()[8:11] == ["-", "-", "-"]
    assert "ZAM instructions: 55 (exact)" in shown
    assert shown[-2].split() == ["90.9", "50", "f", ">", "g", "b.zeek:9"]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_terminal_shows_instructions_too(width: int) -> None:
    shown = text.report(counted_profile(), width).splitlines()
    assert "ZAM instructions: 55 (exact)" in shown
    assert all(len(line) <= width for line in shown)
    profile = counted_profile()
    profile.instructions[("h" * 300, "/c.zeek", 7),] = 7
    (long,) = [line for line in text.instructions(profile, width).splitlines() if " 7 " in line]
    assert len(long) <= width
    assert long.endswith("h c.zeek:7")
