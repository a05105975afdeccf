"""The pprof files of other tools: what they measured is said, and shown."""

from __future__ import annotations

import gzip
import io

import pytest

from zeekspy.errors import FileError
from zeekspy.export import pprof_read
from zeekspy.export.pprof_message import Message
from zeekspy.profile import Profile, display_name


def foreign(types: list[tuple[str, str]], *values: list[int], default: str = "", period: int = 0) -> Profile:
    strings = ["", "main.f", "/go/main.go", default, *(word for t in types for word in t)]
    message = Message(string_table=strings, default_sample_type=3 if default else 0, period=period)
    for i in range(len(types)):
        message.sample_type.add(type=4 + 2 * i, unit=5 + 2 * i)
    message.function.add(id=1, name=1, filename=2, start_line=10)
    message.location.add(id=1).line.add(function_id=1, line=12)
    message.location.add(id=2, address=0xBEEF)
    for row in values:
        message.sample.add(location_id=[1, 2], value=row)
    return pprof_read.read(io.BytesIO(gzip.compress(message.SerializeToString())))


def test_what_other_tools_measured_is_said_and_shown() -> None:
    go = foreign([("samples", "count"), ("cpu", "nanoseconds")], [3, 30_000_000], [1, 10_000_000])
    total = go.total()
    assert (total.count, total.cpu_ns, total.wall_ns) == (4, 40_000_000, 0)
    assert go.meta["sample_types"] == go.meta["shown"] == "samples/count, cpu/nanoseconds"
    ((stack, _, _),) = go
    assert [display_name(f) for f in stack] == ["0xbeef", "main.f"]
    assert (stack[1].file, stack[1].line) == ("/go/main.go", 12)

    heap = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_space", "bytes")]
    assert foreign(heap, [5, 500, 50]).total().count == 50
    shown = foreign(heap, [5, 500, 50], default="alloc_space")
    assert (shown.total().count, shown.total().cpu_ns) == (500, 0)
    assert shown.meta["shown"] == "alloc_space/bytes"

    assert foreign([("contentions", "count"), ("delay", "microseconds")], [2, 7]).total().wall_ns == 7000
    assert foreign([("cpu", "ms")], [50], period=10_000_000).total().count == 5


def test_foreign_values_that_no_file_of_ours_can_hold_are_refused() -> None:
    with pytest.raises(FileError, match="more time than can be"):
        foreign([("cpu", "seconds")], [1 << 62])
