"""Whatever stack lies in memory under whatever layout, the walk finds it, as it stands there."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.binding import STALE, TRUNCATED, Walker, lib, walker_of
from tests.support.image import HEAP, Body, Entry, Function, Place, Script, Writer, expected, write
from tests.support.layouts import Offsets, layouts, shipped
from tests.support.scripts import scripts

SEEDS = st.integers(0, 1 << 32)
BOTH_ERAS = pytest.mark.parametrize("offsets", [shipped()[0], shipped()[-1]], ids=lambda offsets: offsets.origin)


@given(layouts(), scripts(), SEEDS)
def test_walk_of_what_was_written_is_what_was_written(offsets: Offsets, script: Script, seed: int) -> None:
    image = write(script, offsets, seed)
    walker = walker_of(image)
    first = walker.walk()
    assert first.frames == expected(script, offsets)
    assert first.stale == len(script.stale)
    assert first.flags == (STALE if script.stale else 0)
    # With everything cached and the predictions made, the same is found with fewer reads.
    again = walker.walk()
    assert (again.frames, again.stale, again.flags) == (first.frames, first.stale, first.flags)
    # One more where other frames than the innermost entry's execute a statement.
    plain = not script.entering and not script.top_level and all(entry.call for entry in script.entries[1:])
    assert again.calls <= min(first.calls, 3 if plain else 4)


@BOTH_ERAS
@pytest.mark.parametrize("depth", [1000, lib.ZS_MAX_DEPTH, lib.ZS_MAX_DEPTH + 300])
def test_deep_stacks_keep_their_innermost_frames(offsets: Offsets, depth: int) -> None:
    pool = [Function(f"f{i}", "function") for i in range(400)]
    entries = tuple(Entry(pool[i % 400], bool(i), Place("a.zeek", i, i) if i else None) for i in range(depth))
    script = Script(entries)
    walker = walker_of(write(script, offsets, 1))
    wanted = expected(script, offsets)[-lib.ZS_MAX_DEPTH :]
    for _ in range(2):
        look = walker.walk()
        assert look.frames == wanted
        assert look.flags == (TRUNCATED if depth > lib.ZS_MAX_DEPTH else 0)


@BOTH_ERAS
@pytest.mark.parametrize(
    ("name", "other"), [("lambda_<1>", "lambda_<22>"), ("a" * 40, "b" * 50), ("a" * 40, "short"), ("short", "c" * 16)]
)
def test_a_function_replaced_at_its_address_is_seen(offsets: Offsets, name: str, other: str) -> None:
    """Functions of lambdas go, and others come in their place."""
    first, second = Function(name, "function"), Function("inner", "bif")
    image = write(Script((Entry(first), Entry(second, True, Place("a.zeek", 3, 3)))), offsets, 5)
    before = image.segments()
    walker = walker_of(image, spare=4)
    assert names(walker) == [name, "inner"]
    image.put_name(image.functions[first], other)
    walker.replace(image.segments())
    assert names(walker) == [other, "inner"]
    walker.replace(before)
    assert names(walker) == [name, "inner"]


@BOTH_ERAS
def test_a_body_replaced_in_its_function_is_seen(offsets: Offsets) -> None:
    """ZAM puts a compiled body in the place of the one that was parsed."""
    old, new = Body(Place("a.zeek", 1, 9), 5), Body(Place("b.zeek", 11, 19), 5)
    function, other = Function("f", "event", (old,)), Function("g", "function", (new,))
    image = write(Script((Entry(function), Entry(other, True, Place("a.zeek", 3, 3)))), offsets, 5)
    walker = walker_of(image)
    frame = walker.walk().frames[0]
    assert frame is not None
    assert [body.file for body in frame.bodies] == ["a.zeek"]
    bodies, stmts = offsets.fields["Func.bodies"], offsets.fields["Func.Body.stmts"]
    slots = []
    for address in (image.functions[function], image.functions[other]):
        data, at = image.find(address + bodies)
        slots.append(int.from_bytes(data[at : at + 8], "little") + stmts)
    data, at = image.find(slots[1])
    image.put(slots[0], int.from_bytes(data[at : at + 8], "little"))
    walker.replace(image.segments())
    frame = walker.walk().frames[0]
    assert frame is not None
    assert [body.file for body in frame.bodies] == ["b.zeek"]


def names(walker: Walker) -> list[str | None]:
    return [frame and frame.name for frame in walker.walk().frames]


@given(st.data(), SEEDS)
def test_a_walker_believes_memory_and_not_what_it_remembers(data: st.DataObject, seed: int) -> None:
    """Every walk finds the stack that is there now, whatever was there before."""
    offsets = data.draw(layouts())
    found = data.draw(st.lists(scripts(max_depth=4), min_size=2, max_size=3))
    written = [(script, write(script, offsets, seed, region)) for region, script in enumerate(found)]
    base = written[0][1]
    most = max(len(image.pieces) for _, image in written)
    walker = walker_of(base, spare=most)
    for script, image in [*written, *written]:
        assert (image.call_stack, image.g_frame_stack, image.data) == (base.call_stack, base.g_frame_stack, base.data)
        walker.replace(image.segments())
        look = walker.walk()
        assert look.frames == expected(script, offsets)
        assert look.stale == len(script.stale)


@BOTH_ERAS
def test_a_call_that_moved_is_seen(offsets: Offsets) -> None:
    """Call expressions of when statements go, and others come at their address."""

    def at(place: Place) -> Script:
        return Script((Entry(Function("outer", "event")), Entry(Function("inner", "function"), True, place)))

    images = [write(at(Place("a.zeek", line, line)), offsets, 3) for line in (7, 8)]
    walker = walker_of(images[0])
    for line, image in [(7, images[0]), (8, images[1]), (7, images[0])]:
        assert image.calls == images[0].calls
        walker.replace(image.segments())
        assert walker.walk().frames == expected(at(Place("a.zeek", line, line)), offsets)


@BOTH_ERAS
def test_places_are_followed_through_other_locations(offsets: Offsets) -> None:
    """The location object stays as it is, another is put in its place."""
    script = Script(
        (Entry(Function("outer", "event")), Entry(Function("inner", "function"), True, Place("a.zeek", 7, 7)))
    )
    image = write(script, offsets, 3)
    walker = walker_of(image, spare=4)
    assert [f and f.line for f in walker.walk().frames] == [7, 0]
    Writer(image, random.Random(0), high=HEAP + (1 << 30)).place(image.calls[1], Place("b.zeek", 9, 11))
    walker.replace(image.segments())
    outer = walker.walk().frames[0]
    assert outer is not None
    assert (outer.file, outer.line) == ("b.zeek", 9)
