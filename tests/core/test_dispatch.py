"""Dispatches: what looks at a counter and a stack tell about how long events were handled."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.binding import Reader, Walker, ffi, lib, make_layout, target_of, walker_of
from tests.support import targets
from tests.support.image import Body, Entry, Function, Place, Script, write
from tests.support.layouts import Offsets, layouts, shipped
from tests.support.scripts import scripts
from zeekspy import _core, session

MS = 1_000_000
BOTH_ERAS = pytest.mark.parametrize("offsets", [shipped()[0], shipped()[-1]], ids=lambda offsets: offsets.origin)


class Tracker:
    """struct zs_dispatches, fed by hand."""

    def __init__(self) -> None:
        self.d = ffi.gc(ffi.new("struct zs_dispatches *"), lib.zs_dispatches_deinit)

    def see(self, t_ns: int, counter: int | None, stack: int, bottom: int = 0) -> None:
        counted = counter is not None
        look = {"stack": stack, "bottom": bottom, "counted": counted, "dispatched": counter or 0}
        lib.zs_dispatches_see(self.d, t_ns, ffi.new("struct zs_look *", look))

    def done(self) -> list[tuple[int, int, int, int, int, int]]:
        """(after, begin, end, before, stack, samples) of those that are over."""
        rows = [self.d.done[i] for i in range(self.d.ndone)]
        return [(r.after_ns, r.begin_ns, r.end_ns, r.before_ns, r.stack, r.samples) for r in rows]


@dataclass(frozen=True)
class Span:
    """What the target truly did: a dispatch, or none (stack 0)."""

    begin: int
    end: int
    counter: int
    stacks: tuple[int, ...]
    """Of the equal parts of it, in order."""

    def stack(self, t: int) -> int:
        return self.stacks[(t - self.begin) * len(self.stacks) // (self.end - self.begin)]


@st.composite
def histories(draw: st.DrawFn) -> list[Span]:
    spans, at, counter = [], 1, draw(st.integers(0, (1 << 64) - 100))
    for _ in range(draw(st.integers(1, 12))):
        script = draw(st.booleans())
        end = at + draw(st.integers(1, 60))
        stacks = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))) if script else (0,)
        spans.append(Span(at, end, counter, stacks))
        counter += script
        at = end
    return spans


@given(histories(), st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_each_dispatch_that_two_looks_saw_is_found_within_its_bounds(history: list[Span], gaps: list[int]) -> None:
    tracker, t, looks = Tracker(), 0, []
    for gap in gaps:
        t += gap
        span = next((s for s in history if s.begin <= t < s.end), None)
        looks.append((t, span))
        if span:
            tracker.see(t, span.counter, span.stack(t), bottom=7)
        else:
            tracker.see(t, (history[-1].counter + 1) % (1 << 64), 0)
    tracker.see(max(t, history[-1].end) + 1, history[-1].counter + 1, 0)
    found = tracker.done()
    seen = Counter(span for _, span in looks if span and span.stacks != (0,))
    assert [(row[5]) for row in found] == [n for n in seen.values() if n >= 2]
    for (after, begin, end, before, stack, n), span in zip(found, (s for s in seen if seen[s] >= 2), strict=True):
        own = [time for time, saw in looks if saw == span]
        assert (begin, end, n) == (own[0], own[-1], len(own))
        assert after < span.begin <= begin <= end < span.end <= before
        votes = Counter(span.stack(time) for time in own)
        best, most = votes.most_common(1)[0]
        assert stack in votes
        assert stack == best or 2 * most <= n


def test_what_the_counter_cannot_tell_apart_another_function_or_an_empty_stack_does() -> None:
    tracker = Tracker()
    for t, (stack, bottom) in enumerate([(1, 5), (1, 5), (2, 6), (2, 6), (0, 0), (2, 6), (2, 6), (3, 0), (2, 6)], 1):
        tracker.see(t, 42, stack, bottom)
    assert [row[1:3] for row in tracker.done()] == [(1, 2), (3, 4)]
    assert (tracker.d.now.begin_ns, tracker.d.now.samples) == (6, 4)  # an unreadable bottom says nothing


def test_without_the_counter_there_are_none() -> None:
    tracker = Tracker()
    for t in range(1, 5):
        tracker.see(t, None, 1, 5)
    tracker.see(5, 9, 1, 5)
    tracker.see(6, 9, 1, 5)
    tracker.see(7, None, 1, 5)
    assert tracker.done() == [(4, 5, 6, 7, 1, 2)]
    assert not tracker.d.counted


def test_a_batch_holds_so_many() -> None:
    tracker = Tracker()
    most = lib.ZS_MAX_DISPATCHES
    for counter in range(most + 3):
        tracker.see(2 * counter + 1, counter, 1)
        tracker.see(2 * counter + 2, counter, 1)
    assert tracker.d.ndone == most
    assert tracker.d.overflow == 2  # one goes on
    lib.zs_dispatches_begin(tracker.d)
    tracker.see(1 << 20, 0, 0)
    assert len(tracker.done()) == 1


def counted(offsets: Offsets, script: Script, counter: int, address: int | None = None) -> tuple[int, int, int]:
    """counted, dispatched and bottom of a look at the script's image, which holds the counter."""
    image = write(script, offsets, 3)
    own = max(image.pieces) + (1 << 20)
    image.add(own, bytearray(counter.to_bytes(8, "little")))
    target = {**target_of(image), "dispatched": own if address is None else address}
    walker = Walker(Reader.image(image.segments()), make_layout(offsets.fields, offsets.stdlib), target)
    look = ffi.new("struct zs_look *")
    for _ in range(2):
        assert lib.zs_walk(walker.handle, look, ffi.new("struct zs_error *")) == 0
    return look.counted, look.dispatched, look.bottom


@given(layouts(), scripts(), st.integers(0, (1 << 64) - 1))
def test_a_look_reads_the_counter(offsets: Offsets, script: Script, counter: int) -> None:
    found, dispatched, bottom = counted(offsets, script, counter)
    assert (found, dispatched) == (1, counter)
    assert bool(bottom) == bool(script.entries)


@BOTH_ERAS
@pytest.mark.parametrize("address", [0, 8, 0x1234_5678_9000, (1 << 64) - 4])
def test_a_counter_that_is_not_there_is_not_counted(offsets: Offsets, address: int) -> None:
    script = Script((Entry(Function("f", "event", (Body(Place("a.zeek", 1, 9)),)), at=Place("a.zeek", 2, 2)),))
    found, dispatched, bottom = counted(offsets, script, 5, address)
    assert (found, dispatched) == (0, 0)
    assert bottom


def sampler(process: subprocess.Popen[bytes], hz: float) -> tuple[_core.Sampler, session.Attachment]:
    attachment = session.attach(process.pid, None)
    return _core.Sampler(attachment.walker(), process.pid, hz, 42), attachment


@pytest.mark.live
def test_the_stand_in_dispatches_as_long_as_its_script_says(target: subprocess.Popen[bytes]) -> None:
    """Its event connection_state_remove takes half of 5 ms an iteration, without pause."""
    s, attachment = sampler(target, 2000)
    table, bounds, samples = attachment.stack_table(), [], 0
    ending = time.monotonic() + 1.5
    while time.monotonic() < ending or (len(bounds) <= 5 and time.monotonic() < ending + 20):
        batch = s.poll(100 * MS)
        assert batch.dispatches is not None
        assert batch.bounds is not None
        assert batch.dispatching is None or batch.dispatching[3] >= 1
        table.extend(batch.definitions)
        for (stack, begin, end, n), (after, before) in zip(batch.dispatches, batch.bounds, strict=True):
            assert after < begin < end < before
            samples += n
            if after and table.stack(stack)[0].name == "connection_state_remove":
                bounds.append((end - begin, before - after))
    stats = s.stats()
    assert stats["undispatched"] == 0
    assert 0 < samples <= stats["script"]
    assert len(bounds) > 5
    # Whatever the machine's load: it only makes them longer.
    assert sum(longest for _, longest in bounds) / len(bounds) > 1.5 * MS
    assert any(shortest < 3.5 * MS and longest > 1.5 * MS for shortest, longest in bounds)


@pytest.mark.live
def test_a_crew_counts_too() -> None:
    with targets.running("1") as one, targets.running("2") as two:
        samplers = [sampler(process, 1000)[0] for process in (one, two)]
        crew, found = _core.Crew(1000, 7), [0, 0]
        for _ in range(10):
            for i, batch in enumerate(crew.poll(samplers, 100 * MS)):
                assert batch.dispatches is not None
                found[i] += len(batch.dispatches)
        assert min(found) > 5


@pytest.mark.live
def test_a_layout_without_the_counter_says_so(target: subprocess.Popen[bytes]) -> None:
    attachment = session.attach(target.pid, None)
    for name in ("event_mgr", "num_events_dispatched"):
        attachment.target.symbols.pop(name, None)
    batch = _core.Sampler(attachment.walker(), target.pid, 1000, 42).poll(50 * MS)
    assert batch.runs
    assert (batch.dispatches, batch.bounds, batch.dispatching) == (None, None, None)


@pytest.mark.live
def test_an_entry_that_was_left_behind_is_no_dispatch(era: str) -> None:
    """Of a Zeek that sleeps nearly always: no event runs above the entry that would show it to be stale."""
    with targets.running(era, "--stale", "--alone", "--idle", "0.998") as process:
        s, _ = sampler(process, 200)
        longest = 0
        for _ in range(10):
            batch = s.poll(100 * MS)
            going = [batch.dispatching] if batch.dispatching else []
            longest = max([longest, *(end - begin for _, begin, end, _ in [*(batch.dispatches or []), *going])])
        stats = s.stats()
    assert stats["stale"] > 0.5 * stats["samples"] > 10
    assert stats["idle"] > 0.8 * stats["samples"]
    assert longest < 200 * MS


def test_frames_below_the_stack_pointer_are_left_out() -> None:
    f = Function("f", "event", (Body(Place("a.zeek", 1, 9)),))
    script = Script(tuple(Entry(f, bool(i), Place("a.zeek", 3, 3) if i else None) for i in range(3)))
    image = write(script, shipped()[-1], 3)
    walker = walker_of(image)
    highest, middle, _ = image.frames
    for sp, depth in ((highest - 100_000, 3), (middle + 1, 3), (highest + 1, 0)):
        walker.walk()
        lib.zs_walker_leave_below(walker.handle, sp)
        assert len(walker.walk().frames) == depth, sp
    assert walker.walk().stale == 3
