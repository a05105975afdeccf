"""From the core's rows to frames, and which body runs at a line."""

from __future__ import annotations

import pytest

from zeekspy._core import FRAME_FLAGS
from zeekspy.profile import Body
from zeekspy.stacks import StackTable, running_body

A, B = Body("a.zeek", 10, 20), Body("b.zeek", 10, 20)
INNER, TWIN = Body("a.zeek", 12, 14), Body("a.zeek", 15, 25)
NOWHERE = Body(None, 0, 0)


@pytest.mark.parametrize(
    ("bodies", "file", "line", "runs"),
    [
        ((), "a.zeek", 12, None),
        ((A,), "a.zeek", 12, A),
        ((A,), "inlined.zeek", 500, A),
        ((A,), None, 0, A),
        ((A, B), "a.zeek", 10, A),
        ((A, B), "b.zeek", 20, B),
        ((A, B), "b.zeek", 21, None),
        ((A, B), "c.zeek", 12, None),
        ((A, B), None, 12, None),
        ((A, INNER), "a.zeek", 13, INNER),
        ((A, INNER), "a.zeek", 15, A),
        ((A, TWIN), "a.zeek", 16, None),  # both have it and are as long: cannot be told
        ((A, NOWHERE), "a.zeek", 16, A),
        ((NOWHERE, NOWHERE), "a.zeek", 0, None),
    ],
)
def test_running_body(bodies: tuple[Body, ...], file: str | None, line: int, runs: Body | None) -> None:
    assert running_body(bodies, file, line) == runs


def test_a_table_grows_by_what_each_batch_defines() -> None:
    table = StackTable(zam_tag=19)
    nothing = ["", "a.zeek", "f", "g"]
    none = (0, 0, ())
    f = (2, 1, ((1, 10, 20, 5, 0x1000), (1, 30, 40, 19, 0x2000)))
    table.extend((nothing, [none, f], [(0, 0, 0, 0), (1, 1, 12, FRAME_FLAGS["call"])], [(), (1,)]))
    assert table.stack(0) == ()
    (frame,) = table.stack(1)
    assert (frame.name, frame.kind, frame.file, frame.line) == ("f", "function", "a.zeek", 12)
    assert (frame.body, frame.bodies, frame.flags) == (Body("a.zeek", 10, 20), 2, frozenset({"call"}))

    table.extend(([], [(3, 4, ())], [(1, 1, 33, 0), (2, 0, 0, 0), (0, 0, 0, FRAME_FLAGS["unreadable"])], [(2, 3, 4)]))
    zam, bif, lost = table.stack(2)
    assert (zam.body, zam.flags) == (Body("a.zeek", 30, 40), frozenset({"zam"}))
    assert (bif.name, bif.kind, bif.file, bif.line, bif.body, bif.bodies) == ("g", "bif", None, None, None, 1)
    assert (lost.name, lost.kind, lost.flags) == (None, None, frozenset({"unreadable"}))
    assert table.stack(1) == (frame,)
