"""From memory to the frames that a profile counts, through the binding: the body that runs is found by its line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.image import Body, Entry, ExpectedBody, ExpectedFrame, Function, Place, Script, expected, write
from tests.support.layouts import Offsets, layouts, shipped
from tests.support.scripts import scripts
from zeekspy import _core
from zeekspy.layout import STDLIBS
from zeekspy.profile import Frame, Stack
from zeekspy.stacks import StackTable

ZAM = 19


def stack_of(script: Script, offsets: Offsets, seed: int) -> tuple[Stack, int]:
    image = write(script, offsets, seed)
    walker = _core.Walker(
        _core.Memory.image(image.segments()),
        offsets.fields,
        STDLIBS.index(offsets.stdlib),
        call_stack=image.call_stack,
        g_frame_stack=image.g_frame_stack,
        stack=image.stack,
        data=image.data,
    )
    number, _, depth, stale = walker.walk()
    table = StackTable(ZAM)
    table.extend(walker.definitions())
    stack = table.stack(number)
    assert len(stack) == depth
    return stack, stale


def running(frame: ExpectedFrame) -> ExpectedBody | None:
    """The only body, or the one with the fewest lines of those around the frame's place, if there is just one such."""
    if len(frame.bodies) == 1:
        return frame.bodies[0]
    around = sorted(
        (b for b in frame.bodies if b.file and b.file == frame.file and frame.line in range(b.first, b.last + 1)),
        key=lambda b: b.last - b.first,
    )
    if len(around) > 1 and around[0].last - around[0].first == around[1].last - around[1].first:
        return None
    return around[0] if around else None


def check(frame: Frame, wanted: ExpectedFrame) -> None:
    assert (frame.name, frame.kind, frame.file) == (wanted.name, wanted.kind, wanted.file)
    assert frame.line == (wanted.line if wanted.file else None)
    assert frame.bodies == max(1, len(wanted.bodies))
    body = running(wanted)
    got = frame.body and (frame.body.file, frame.body.first_line, frame.body.last_line)
    assert got == (body and (body.file, body.first, body.last))
    assert frame.flags - {"zam"} == ({"call"} if wanted.call else set())
    if body and [(b.file, b.first, b.last) for b in wanted.bodies].count((body.file, body.first, body.last)) == 1:
        assert ("zam" in frame.flags) == (body.tag == ZAM)


@given(layouts(), scripts(), st.integers(0, 1 << 32))
def test_stacks_come_through_the_binding_as_they_were_written(offsets: Offsets, script: Script, seed: int) -> None:
    stack, stale = stack_of(script, offsets, seed)
    assert stale == len(script.stale)
    for frame, wanted in zip(stack, expected(script, offsets), strict=True):
        check(frame, wanted)


LINES = st.integers(1, 12)


@given(
    layouts(), st.lists(st.tuples(st.sampled_from("ab"), LINES, LINES), min_size=1, max_size=5), LINES, st.integers()
)
def test_time_goes_to_the_body_around_the_line(
    offsets: Offsets, ranges: list[tuple[str, int, int]], line: int, seed: int
) -> None:
    """Bodies of one event: apart, nested, overlapping, the same lines in another file, the same lines twice."""
    bodies = tuple(Body(Place(f"{file}.zeek", first, last)) for file, first, last in ranges)
    script = Script((Entry(Function("zeek_init", "event", bodies), at=Place("a.zeek", line, line)),))
    stack, _ = stack_of(script, offsets, seed)
    (wanted,) = expected(script, offsets)
    check(stack[0], wanted)


def test_a_lambda_within_a_body_runs_its_own() -> None:
    """The innermost range is the lambda's, though the function around it has the line too."""
    offsets = shipped()[-1]
    outer = Function("zeek_init", "event", (Body(Place("a.zeek", 1, 30)), Body(Place("b.zeek", 1, 30))))
    inner = Function("lambda_<1>", "function", (Body(Place("a.zeek", 10, 12)),))
    script = Script((Entry(outer), Entry(inner, True, Place("a.zeek", 20, 20), at=Place("a.zeek", 11, 11))))
    stack, _ = stack_of(script, offsets, 1)
    found = [(f.name, f.line, f.body and (f.body.file, f.body.first_line)) for f in stack]
    assert found == [("zeek_init", 20, ("a.zeek", 1)), ("lambda_<1>", 11, ("a.zeek", 10))]
