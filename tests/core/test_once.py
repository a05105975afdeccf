"""A look at code that is known is one call; what may have changed since is seen nevertheless."""

from __future__ import annotations

import time

import pytest

from tests.core.binding import Reader, Walker, make_layout, target_of
from tests.support.image import STACK, Body, Entry, Function, Image, Place, Script, write
from tests.support.layouts import Offsets, shipped

BOTH_ERAS = pytest.mark.parametrize("offsets", [shipped()[0], shipped()[-1]], ids=lambda offsets: offsets.origin)
LOOKS = 40
"""More than it takes to learn where frames lie."""
TRUSTED_S = 0.02
"""How long the core takes what a global names for unchanged (resolve.c)."""
PLACE = Place("a.zeek", 2, 2)
AROUND = Place("a.zeek", 1, 9)


def stack(name: str, caller: Place = AROUND) -> Script:
    function = Function(name, "function", (Body(AROUND),))
    outer = Function("dns_request", "event", (Body(caller),))
    return Script((Entry(outer), Entry(function, True, PLACE, at=PLACE, has_next=True)))


def segments(image: Image) -> list[tuple[int, bytes]]:
    """Those of the image, with what lies between the symbols and within the C++ stack, as a process has it."""
    low = min(filter(None, (image.call_stack, image.g_frame_stack)))
    wanted = [(low, max(image.call_stack, image.g_frame_stack) + 24), (STACK - (1 << 14), STACK)]
    result = list(image.segments())
    for begin, end in wanted:
        at = begin
        for start, data in image.segments():
            if at < start < end:
                result.append((at, bytes(start - at)))
            if start < end:
                at = max(at, start + len(data))
        result.append((at, bytes(max(0, end - at))))
    return sorted((start, data) for start, data in result if data)


def live_walker(image: Image) -> Walker:
    """A walker that takes the image for a process: what it has compared, it trusts for a while."""
    image.stack = (STACK - (1 << 20), STACK)
    reader = Reader.image(segments(image), 4)
    return Walker(reader, make_layout(image.offsets.fields, image.offsets.stdlib), {**target_of(image), "pid": 1})


@BOTH_ERAS
def test_most_looks_are_one_call(offsets: Offsets) -> None:
    walker = live_walker(write(stack("HTTP::set_state"), offsets, 5))
    looks = [walker.walk() for _ in range(LOOKS)]
    assert all(look.frames == looks[0].frames and look.flags == 0 for look in looks)
    assert [frame and frame.name for frame in looks[0].frames] == ["dns_request", "HTTP::set_state"]
    assert [frame and frame.line for frame in looks[0].frames] == [2, 2]
    assert [look.calls for look in looks[-10:]].count(1) >= 8  # but for those when it is time to compare again
    time.sleep(2 * TRUSTED_S)
    assert walker.walk().calls > 1


@BOTH_ERAS
def test_a_call_that_its_caller_cannot_make_is_compared_every_time(offsets: Offsets) -> None:
    """Entries copied while one replaced another give such stacks: only a second copy tells them from inlined code."""
    walker = live_walker(write(stack("HTTP::set_state", Place("a.zeek", 20, 30)), offsets, 5))
    assert all(walker.walk().calls > 1 for _ in range(LOOKS))


@BOTH_ERAS
@pytest.mark.parametrize("name", ["lambda_<1>", "anonymous-function", "<lambda>"])
def test_functions_of_lambdas_are_compared_every_time(offsets: Offsets, name: str) -> None:
    image = write(stack(name), offsets, 5)
    walker = live_walker(image)
    for _ in range(LOOKS):
        assert [frame and frame.name for frame in walker.walk().frames] == ["dns_request", name]
    address = next(at for function, at in image.functions.items() if function.name == name)
    image.put_name(address, "lambda_<2>")
    walker.replace(segments(image))
    assert [frame and frame.name for frame in walker.walk().frames] == ["dns_request", "lambda_<2>"]


@BOTH_ERAS
def test_what_a_global_names_is_compared_again_soon(offsets: Offsets) -> None:
    image = write(stack("HTTP::set_state"), offsets, 5)
    walker = live_walker(image)
    for _ in range(LOOKS):
        walker.walk()
    address = next(at for function, at in image.functions.items() if function.name == "HTTP::set_state")
    image.put_name(address, "HTTP::get_state")
    walker.replace(segments(image))
    time.sleep(2 * TRUSTED_S)
    assert [frame and frame.name for frame in walker.walk().frames] == ["dns_request", "HTTP::get_state"]
