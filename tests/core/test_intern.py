"""Interning: equal things have one id, ids are dense, and the tables never grow past their limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.binding import ffi, lib
from tests.core.build_core import CSRC

LIMITS = {
    name: int(base) << int(shift)
    for name, base, shift in re.findall(r"\bMAX_(\w+) = (\d+) << (\d+)", (CSRC / "intern.c").read_text())
}


@pytest.fixture
def interner() -> Iterator[Any]:
    yield from make()


def make() -> Iterator[Any]:
    interner = ffi.new("struct zs_interner *")
    assert lib.zs_interner_init(interner) == 0
    yield interner
    lib.zs_interner_deinit(interner)


def string(interner: Any, text: bytes) -> int:
    return int(lib.zs_intern_string(interner, text, len(text)))


@given(st.lists(st.binary(max_size=6), max_size=300))
def test_strings(texts: list[bytes]) -> None:
    for interner in make():
        ids: dict[bytes, int] = {}
        for text in texts:
            number = string(interner, text)
            assert number == ids.setdefault(text, len(ids) + 1)
        assert interner.nstrings == len(ids) + 1
        for text, number in ids.items():
            s = interner.strings[number]
            assert ffi.buffer(interner.bytes + s.start, s.len)[:] == text


BODIES = st.tuples(*[st.integers(0, 2)] * 4, st.integers(0, 1))


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4), st.lists(BODIES, max_size=3)), max_size=60))
def test_functions_are_told_apart_by_name_kind_and_bodies(funcs: list[tuple[int, int, list[Any]]]) -> None:
    for interner in make():
        ids: dict[Any, int] = {}
        for name, kind, rows in funcs:
            func = ffi.new("struct zs_func *", {"name": name, "kind": kind, "nbodies": len(rows), "body": 77})
            number = lib.zs_intern_func(interner, func, ffi.new("struct zs_body[]", rows))
            assert number == ids.setdefault((name, kind, tuple(rows)), len(ids) + 1)
            kept = interner.funcs[number]
            assert (kept.name, kept.kind, kept.nbodies) == (name, kind, len(rows))
            for i, row in enumerate(rows):
                b = interner.bodies[kept.body + i]
                assert (b.file, b.first_line, b.last_line, b.tag, b.stmt) == row


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 4), max_size=100), st.lists(st.lists(st.integers(0, 3), max_size=5)))
def test_frames_and_stacks(frames: list[tuple[int, ...]], stacks: list[list[int]]) -> None:
    for interner in make():
        seen: dict[Any, int] = {}
        for row in frames:
            number = lib.zs_intern_frame(interner, ffi.new("struct zs_frame *", row))
            assert number == seen.setdefault(row, len(seen) + 1)
        known: dict[tuple[int, ...], int] = {(): 0}
        for stack in stacks:
            number = lib.zs_intern_stack(interner, stack, len(stack))
            assert number == known.setdefault(tuple(stack), len(known))
            kept = interner.stacks[number]
            assert [interner.frame_ids[kept.start + i] for i in range(kept.depth)] == stack
        assert interner.overflow == 0


def test_strings_end_at_their_limit(interner: Any) -> None:
    limit = LIMITS["STRINGS"]
    for i in range(1, limit):
        assert string(interner, b"%d" % i) == i
    assert interner.overflow == 0
    assert string(interner, b"one more") == 0
    assert string(interner, b"and another") == 0
    assert interner.overflow == 2
    assert string(interner, b"7") == 7
    assert interner.nstrings == limit


def test_bytes_end_at_their_limit(interner: Any) -> None:
    size = 1 << 20
    fit = LIMITS["BYTES"] // size
    found = [string(interner, b"%d" % i + b"x" * (size - 1)) for i in range(fit + 3)]
    assert found[: fit - 1] == list(range(1, fit))
    assert found[fit:] == [0, 0, 0]
    assert interner.overflow == found.count(0)
    assert interner.nbytes <= LIMITS["BYTES"]


def test_stacks_end_at_their_limit(interner: Any) -> None:
    depth = 1024
    ids = ffi.new("uint32_t[]", depth)
    for i in range(LIMITS["FRAME_IDS"] // depth):
        ids[0] = i
        assert lib.zs_intern_stack(interner, ids, depth) == i + 1
    ids[0] = 1 << 30
    assert lib.zs_intern_stack(interner, ids, depth) == 0
    assert interner.overflow == 1
    assert interner.nframe_ids == LIMITS["FRAME_IDS"]
    ids[0] = 5
    assert lib.zs_intern_stack(interner, ids, depth) == 6


def test_bodies_end_at_their_limit(interner: Any) -> None:
    rows = ffi.new("struct zs_body[]", 1024)
    func = ffi.new("struct zs_func *", {"name": 1, "kind": 1, "nbodies": 1024})
    made = 0
    for i in range(LIMITS["BODIES"] // 1024 + 1):
        rows[0].stmt = i
        made += lib.zs_intern_func(interner, func, rows) != 0
    assert made == LIMITS["BODIES"] // 1024
    assert interner.overflow == 1
