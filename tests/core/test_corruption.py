"""Whatever the memory says, a walk ends soon, reads nothing that is not there, and gives what it could make out."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.binding import TRUNCATED, UNREADABLE, Look, Walker, lib, walker_of
from tests.support.image import Body, Entry, Function, Image, Place, Script, write
from tests.support.layouts import Offsets, layouts, shipped
from tests.support.scripts import scripts

MOST_READS = (1 << 17) + 8192
"""Of one walk: ZS_MAX_READS for objects, and a few for each entry."""
MOST_SECONDS = 20
SEEDS = st.integers(0, 1 << 32)
ERAS = pytest.mark.parametrize("offsets", [shipped()[0], shipped()[-1]], ids=lambda offsets: offsets.origin)
Segments = list[tuple[int, bytearray]]


def check(walker: Walker) -> Look:
    """A walk that keeps the promises; Walker itself checks every id and Failed ends the test."""
    began = time.monotonic()
    look = walker.walk()
    assert look.calls <= MOST_READS
    assert time.monotonic() - began < MOST_SECONDS
    assert len(look.frames) <= lib.ZS_MAX_DEPTH
    if None in look.frames and look.frames != [None]:
        assert look.flags & UNREADABLE
    return look


def cut(rng: random.Random, segments: Segments) -> None:
    _, data = rng.choice(segments)
    del data[rng.randrange(len(data) + 1) :]


def hole(rng: random.Random, segments: Segments) -> None:
    if len(segments) > 1:
        del segments[rng.randrange(len(segments))]


def flip(rng: random.Random, segments: Segments) -> None:
    _, data = rng.choice(segments)
    for _ in range(rng.randrange(1, 4)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def word(rng: random.Random, segments: Segments) -> None:
    """A pointer, length or count becomes another: null, huge, misaligned, or the address of any other object."""
    _, data = rng.choice(segments)
    if len(data) < 8:
        return
    at = rng.randrange(len(data) // 8) * 8
    anywhere = rng.choice(segments)[0]
    old = int.from_bytes(data[at : at + 8], "little")
    values = [0, 1, 7, 4096, (1 << 64) - 1, 1 << 63, 1 << 55, (1 << 56) - 8, 0x7FFF_FFFF, 0xFFFF_FFFF_0000_0001]
    values += [anywhere, anywhere + 8, anywhere + 1, segments[0][0], (old + 8) % (1 << 64), (old - 8) % (1 << 64)]
    values += [old ^ (1 << 40), old * 2 % (1 << 64)]
    data[at : at + 8] = rng.choice(values).to_bytes(8, "little")


def swap(rng: random.Random, segments: Segments) -> None:
    """Two words change places, as a header's begin and end."""
    (_, a), (_, b) = rng.choice(segments), rng.choice(segments)
    if len(a) >= 8 and len(b) >= 8:
        i, j = rng.randrange(len(a) // 8) * 8, rng.randrange(len(b) // 8) * 8
        a[i : i + 8], b[j : j + 8] = b[j : j + 8], a[i : i + 8]


DAMAGE: list[Callable[[random.Random, Segments], None]] = [cut, hole, flip, word, word, word, swap]


def damaged(image: Image, rng: random.Random, times: int) -> Segments:
    segments = [(address, bytearray(data)) for address, data in image.segments()]
    for _ in range(times):
        rng.choice(DAMAGE)(rng, segments)
    return segments


@given(layouts(), scripts(max_depth=6), SEEDS, SEEDS, st.integers(1, 12))
def test_any_damage(offsets: Offsets, script: Script, seed: int, damage: int, times: int) -> None:
    image = write(script, offsets, seed)
    walker = walker_of(image, damaged(image, random.Random(damage), times))
    check(walker)
    check(walker)


@given(layouts(), scripts(max_depth=6), SEEDS, st.lists(SEEDS, min_size=1, max_size=5))
def test_damage_that_comes_and_goes_leaves_nothing_behind(
    offsets: Offsets, script: Script, seed: int, damages: list[int]
) -> None:
    """Once the memory is whole again every entry of the stack is accounted for."""
    image = write(script, offsets, seed)
    walker = walker_of(image, spare=0)
    whole = image.segments()
    for damage in damages:
        walker.replace(damaged(image, random.Random(damage), 3))
        check(walker)
    walker.replace(whole)
    look = check(walker)
    assert len(look.frames) + look.stale == len(script.entries) + len(script.stale)


@given(layouts(), SEEDS, st.integers(1, 60))
def test_noise(offsets: Offsets, seed: int, pieces: int) -> None:
    """Memory that never was a Zeek's, with many words that point into it."""
    rng = random.Random(seed)
    starts = [0x5000_0000 + i * 0x400 for i in range(pieces)]
    segments = []
    for start in starts:
        words = [rng.choice([rng.choice(starts) + 8 * rng.randrange(8), rng.randrange(64), 0]) for _ in range(64)]
        segments.append((start, struct.pack("<64Q", *words)))
    image = Image(offsets)
    image.call_stack = starts[0]
    image.g_frame_stack = 0 if offsets.frames_on_stack else starts[-1]
    check(walker_of(image, segments))


def simple(offsets: Offsets) -> tuple[Script, Image]:
    function = Function("outer", "event", (Body(Place("a.zeek", 1, 9), 11, (Place("a.zeek", 2, 3),)),))
    script = Script((Entry(function), Entry(Function("inner", "function"), True, Place("a.zeek", 4, 4))))
    return script, write(script, offsets, 11)


@ERAS
@pytest.mark.parametrize(
    "header",
    [
        ("begin", "before", "end"),  # end < begin
        ("begin", "begin+1", "end"),  # no whole number of entries
        ("begin+4", "end+4", "end+4"),  # misaligned
        ("zero", "end", "end"),
        ("begin", "huge", "huge"),
        ("begin", "end", "begin"),  # capacity < end
        ("unmapped", "unmapped+", "unmapped+"),
    ],
)
def test_a_call_stack_that_is_no_vector_gives_one_unreadable_frame(offsets: Offsets, header: tuple[str, ...]) -> None:
    _, image = simple(offsets)
    size = offsets.fields["sizeof.CallInfo"]
    begin, end = image.vector, image.vector + 2 * size
    meaning = {"begin": begin, "end": end, "before": begin - size, "begin+1": begin + 1, "begin+4": begin + 4}
    meaning |= {
        "end+4": end + 4,
        "zero": 0,
        "huge": (1 << 56) - 8,
        "unmapped": 0x1000_0000,
        "unmapped+": 0x1000_0000 + size,
    }
    for i, word in enumerate(header):
        image.put(image.call_stack + 8 * i, meaning[word])
    look = check(walker_of(image))
    assert (look.frames, look.flags) == ([None], UNREADABLE)


@ERAS
def test_a_call_stack_of_ten_million_entries_is_cut(offsets: Offsets) -> None:
    _, image = simple(offsets)
    size = offsets.fields["sizeof.CallInfo"]
    end = image.vector + 10_000_000 * size
    image.put(image.call_stack + 8, end)
    image.put(image.call_stack + 16, end)
    assert check(walker_of(image)).frames == [None]
    segments = sorted([*image.segments(), (end - 2000 * size, bytes(2000 * size))])
    look = check(walker_of(image, segments))
    assert look.flags & TRUNCATED
    assert len(look.frames) + look.stale == lib.ZS_MAX_DEPTH


@ERAS
def test_bodies_that_claim_to_be_endless_do_not_stop_the_walk(offsets: Offsets) -> None:
    """1024 bodies that are the same list of 256 statements: a million reads if each were followed."""
    script, image = simple(offsets)
    f, func = offsets.fields, image.functions[script.entries[0].function]
    data, at = image.find(func + f["Func.bodies"])
    begin = int.from_bytes(data[at : at + 8], "little")
    data, at = image.find(begin + f["Func.Body.stmts"])
    body = int.from_bytes(data[at : at + 8], "little")
    size, many = f["sizeof.Func.Body"], 0x6000_0000_0000
    row = bytearray(size)
    row[f["Func.Body.stmts"] : f["Func.Body.stmts"] + 8] = body.to_bytes(8, "little")
    image.add(many, bytearray(bytes(row) * 1024))
    for i, value in enumerate((many, many + 1024 * size, many + 1024 * size)):
        image.put(func + f["Func.bodies"] + 8 * i, value)
    children = many + (1 << 32)
    held = body + f["StmtList.stmts"]
    image.add(children, bytearray(body.to_bytes(8, "little") * 256))
    if "List.entries" in f:
        image.put(held + f["List.entries"], children)
        image.put(held + f["List.num_entries"], 256, 4)
    else:
        for i, value in enumerate((children, children + 2048, children + 2048)):
            image.put(held + 8 * i, value)
    walker = walker_of(image)
    look = check(walker)
    assert look.calls > 1 << 16
    assert len(look.frames) == 2
    assert check(walker).calls < 1 << 17


@ERAS
def test_cycles_end(offsets: Offsets) -> None:
    """Everything points at itself: calls, locations, types, names."""
    _, image = simple(offsets)
    for address, data in image.pieces.items():
        if address in (image.call_stack, image.vector, image.g_frame_stack):
            continue
        for at in range(8, len(data) - 7, 8):
            data[at : at + 8] = address.to_bytes(8, "little")
    check(walker_of(image))
