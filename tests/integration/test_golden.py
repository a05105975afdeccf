"""Stacks of real Zeek processes, against what gdb made of the same memory.

Each capture in tests/golden/ is of one process (RelWithDebInfo, GCC 12.2, libstdc++, x86_64), stopped at random moments
while it read traffic; ``expected`` in each stop is what gdb decoded there with the build's own debug info.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zeekspy import _core, zeek_types
from zeekspy.bodies import BodyIndex, FoundBody
from zeekspy.capture import read
from zeekspy.choice import for_capture
from zeekspy.layout import STDLIBS
from zeekspy.profile import Body, Frame
from zeekspy.stacks import StackTable

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STOPS = {"zeek-3.0.1": (154, 150), "zeek-8.0.10": (155, 150), "zeek-9.1-dev": (107, 102), "zeek-9.1-dev-zam": (48, 43)}
"""Stops in each file, and how many of them are within a script."""
FLAVORS = ("function", "event", "hook")


@dataclass(frozen=True)
class Walked:
    stack: tuple[Frame, ...]
    flags: int
    stale: int


def expectations(name: str) -> list[dict[str, Any]]:
    with gzip.open(GOLDEN / f"{name}.jsonl.gz", "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f][1:]


def walks(name: str, fields_of: str, index: BodyIndex | None = None) -> Iterator[Walked]:
    """Each stop of a capture as zeekspy sees it, with the capture's own fields or the table chosen for its version."""
    header, stops = read(GOLDEN / f"{name}.jsonl.gz")
    fields = header.fields if fields_of == "header" else for_capture(header).fields
    for segments in stops:
        walker = _core.Walker(
            _core.Memory.image(segments),
            fields,
            STDLIBS.index("libstdc++"),
            call_stack=header.symbols["call_stack"],
            g_frame_stack=header.symbols.get("g_frame_stack", 0),
        )
        number, flags, depth, stale = walker.walk()
        table = StackTable(zeek_types.zam_tag(header.version), index)
        table.extend(walker.definitions())
        stack = table.stack(number)
        assert len([f for f in stack if "inlined" not in f.flags]) == depth
        yield Walked(stack, flags, stale)


def span(location: list[Any] | None) -> tuple[str, int, int] | None:
    if not location or location[0] is None or not location[1]:
        return None
    return location[0], min(location[1:]), max(location[1:])


def frames_of_entries(stop: dict[str, Any]) -> tuple[list[list[Any] | None], int]:
    """next_loc of each entry, and how many entries at the bottom have no frame of their own (until Zeek 8.0).

    Frames belong to the script entries, in order, the innermost to the innermost.
    """
    entries = stop["expected"]
    if "frames" not in stop:
        return [entry["next_loc"] for entry in entries], 0
    frames = list(stop["frames"])
    result: list[list[Any] | None] = [None] * len(entries)
    for i in reversed(range(len(entries))):
        if entries[i]["kind"] == 1:
            continue
        frame = frames.pop() if frames else None
        while frame is not None and frame["func"] is None and frames:
            frame = frames.pop()
        if frame is None or frame["func"] != entries[i]["func"]:
            # The BiFs that this entry had called are as dead as it is.
            while i + 1 < len(entries) and entries[i + 1]["kind"] == 1 and entries[i + 1]["call_loc"]:
                i += 1
            return result, i + 1
        result[i] = frame["next_loc"]
    return result, 0


def stale_entries(stop: dict[str, Any]) -> int:
    """How many entries at the bottom no live invocation has: C++ alone dispatches events, when no script runs."""
    entries = stop["expected"]
    dead = frames_of_entries(stop)[1]
    for i, entry in enumerate(entries):
        if i and entry.get("flavor") == 1 and entry["kind"] == 0 and not entry["call_loc"]:
            dead = max(dead, i)
    return max([dead, *(i + 1 for i, entry in enumerate(entries) if entry.get("dangling"))])


@pytest.mark.parametrize("fields_of", ["header", "table"])
@pytest.mark.parametrize("name", STOPS)
def test_every_stop_is_what_gdb_says(name: str, fields_of: str) -> None:
    stops, found = expectations(name), list(walks(name, fields_of))
    assert (len(stops), sum(bool(stop["expected"]) for stop in stops)) == STOPS[name]
    assert len(found) == len(stops)
    for number, (stop, walked) in enumerate(zip(stops, found, strict=True)):
        compare(stop, walked, f"{name}, stop {number}", narrow=fields_of == "header")


def compare(stop: dict[str, Any], walked: Walked, where: str, narrow: bool) -> None:
    entries, (nexts, _) = stop["expected"], frames_of_entries(stop)
    stale = stale_entries(stop)
    assert walked.stale == stale, where
    assert walked.flags == (_core.SAMPLE_FLAGS["stale"] if stale else 0), where
    assert len(walked.stack) == len(entries) - stale, where
    for i, frame in enumerate(walked.stack, start=stale):
        entry, here = entries[i], f"{where}, entry {i}: {frame}"
        kind = "bif" if entry["kind"] == 1 else FLAVORS[entry["flavor"]]
        assert (frame.name, frame.kind) == (entry["func"], kind), here
        assert frame.flags <= {"call", "zam"}, here
        call = span(entries[i + 1]["call_loc"]) if i + 1 < len(entries) else None
        place = call or (None if kind == "bif" else span(nexts[i]))
        assert (frame.file, frame.line) == (place[:2] if place else (None, None)), here
        assert ("call" in frame.flags) == (call is not None), here
        bodies = [(span(body["loc"]), body["tag"]) for body in entry["bodies"]]
        assert frame.bodies == max(1, len(bodies)), here
        check_body(frame, [body for body in bodies if body[0]], place, here, narrow)


def check_body(frame: Frame, bodies: list[Any], place: tuple[str, int, int] | None, here: str, narrow: bool) -> None:
    """The body that runs is the one of gdb's that holds the line, if just one does; or the only one there is."""
    around = [b for b, _ in bodies if place and b[0] == place[0] and b[1] <= place[1] and place[2] <= b[2]]
    chosen = around if len(around) == 1 else [b for b, _ in bodies] if frame.bodies == 1 else []
    if not chosen:
        return
    assert frame.body is not None, here
    file, first, last = chosen[0]
    got = frame.body.file, frame.body.first_line, frame.body.last_line
    if narrow:  # the header's fields know nothing of StmtList, so a body's range is that of its own location
        assert got == (file, first, last), here
        return
    assert got[0] == file, here
    assert got[1] <= first, here
    assert got[2] >= last, here


def test_what_real_memory_left_behind_is_counted() -> None:
    """A Zeek 3.0.1 whose scripts have raised exceptions: whole stacks of stale entries, and frames that are no more."""
    stops = expectations("zeek-3.0.1")
    assert sum(frame is None for stop in stops for frame in stop.get("frames", [])) == 137
    found = [walked.stale for walked in walks("zeek-3.0.1", "table")]
    assert found == [stale_entries(stop) for stop in stops]
    assert sum(found) > 137
    for name in ("zeek-8.0.10", "zeek-9.1-dev", "zeek-9.1-dev-zam"):
        assert sum(walked.stale for walked in walks(name, "table")) == sum(map(stale_entries, expectations(name))), name


def test_compiled_bodies_are_marked() -> None:
    stacks = [walked.stack for walked in walks("zeek-9.1-dev-zam", "table")]
    scripts = [frame for stack in stacks for frame in stack if frame.kind != "bif"]
    assert sum(frame.body is not None for frame in scripts) > 50
    assert all(("zam" in frame.flags) == (frame.name is not None) for frame in scripts)
    for name in ("zeek-9.1-dev", "zeek-8.0.10", "zeek-3.0.1"):
        assert not any("zam" in frame.flags for walked in walks(name, "table") for frame in walked.stack), name


def test_calls_from_inlined_functions_get_their_frames() -> None:
    """validate-certs.zeek:99 is in SSL::cache_validate, which has no entry of its own, but a body."""
    script = "/opt/zeek-9.1/share/zeek/policy/protocols/ssl/validate-certs.zeek"
    validate = Frame("SSL::cache_validate", "function", None, None, Body(script, 86, 119))
    index = BodyIndex([FoundBody(validate, 1, False)])
    lines = set()
    for plain, walked in zip(
        walks("zeek-9.1-dev-zam", "table"), walks("zeek-9.1-dev-zam", "table", index), strict=True
    ):
        inlined = [f for f in walked.stack if "inlined" in f.flags]
        called = [f for f in plain.stack if f.file == script and f.line is not None and 86 <= f.line <= 119]
        assert len(inlined) == len(called)
        for frame in inlined:
            assert (frame.name, frame.line, frame.body) == ("SSL::cache_validate", called[0].line, validate.body)
            caller = walked.stack[walked.stack.index(frame) - 1]
            assert (caller.name, caller.line) == (called[0].name, None)
            lines.add(frame.line)
    assert 99 in lines
