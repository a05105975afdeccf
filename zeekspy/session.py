"""A recording: polls a Sampler into a Profile until told to stop."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zeekspy import choice, engines, selfcheck, several, target, timeline, zeek_types
from zeekspy._core import COST_NS, SAMPLE_FLAGS, Batch, Memory, Sampler, Walker
from zeekspy.calls import CallCounter
from zeekspy.errors import AccessDenied, NoSuchTarget, UnknownBuild, ZeekspyError
from zeekspy.latency import Dispatch, Latency, length
from zeekspy.layout import STDLIBS, Layout, dispatch_counter
from zeekspy.profile import CORE, IDLE, Frame, Labels, Profile, Stack
from zeekspy.several import merge as merge
from zeekspy.several import own_cpu
from zeekspy.several import run as run
from zeekspy.stackcheck import FEW, StackCheck
from zeekspy.stacks import StackTable
from zeekspy.target import Target
from zeekspy.timeline import Timeline

LEAST_RUNS = 1 << 12
"""Of times kept for each of many targets: more than half a minute at 100 Hz."""
LOOKS = 50
"""At running stacks after each poll, until they have shown that the layout fits: a few milliseconds at most."""
JUDGE_AFTER = 200
"""Stacks after which a layout is given up if more than half were unreadable: what moves is not that often missed."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A target, its layout and its memory: all checked, nothing sampled yet."""

    target: Target
    layout: Layout
    memory: Memory
    checks: tuple[selfcheck.Check, ...]
    from_start: bool = False
    """Attached to while Zeek was starting: whatever it has counted belongs to the recording."""

    def walker(self, memory: Memory | None = None) -> Walker:
        """A walker of its own over the target's memory; those that share a memory must not run at the same time."""
        t = self.target
        return Walker(
            memory or self.memory,
            self.layout.fields,
            STDLIBS.index(self.layout.stdlib),
            pid=t.pid,
            call_stack=t.symbols["call_stack"],
            g_frame_stack=t.symbols.get("g_frame_stack", 0),
            stack=t.stack,
            data=t.data,
            dispatched=dispatch_counter(self.layout.fields, t.symbols),
        )

    def replay(self, image: Memory) -> Walker:
        """A walker over memory that was saved of the target, as whoever has the file alone walks it."""
        symbols, stdlib = self.target.symbols, STDLIBS.index(self.layout.stdlib)
        g_frame_stack = symbols.get("g_frame_stack", 0)
        fields = self.layout.fields
        return Walker(image, fields, stdlib, call_stack=symbols["call_stack"], g_frame_stack=g_frame_stack)

    def call_counter(self) -> CallCounter:
        """Counts the calls of all bodies from now on, or from the target's start."""
        memory = open_memory(self.target.pid)

        def fresh() -> tuple[Walker, StackTable]:
            return self.walker(memory), self.stack_table()

        return CallCounter(self.target, self.layout, memory, fresh, from_start=self.from_start)

    def stack_table(self, calls: CallCounter | None = None) -> StackTable:
        """For the definitions of one walker. ``calls`` has seen all bodies and can name what is inlined."""
        tag = zeek_types.zam_tag(self.target.version)
        return StackTable(tag, calls.index, calls.code) if calls else StackTable(tag)


def attach(pid: int, offsets: Path | None = None) -> Attachment:
    """Finds process ``pid``, chooses its layout and checks that against the live memory. Any ZeekspyError."""
    found = target.find(pid)
    memory = open_memory(pid)
    table = choice.choose(found, offsets)
    checks = tuple(selfcheck.check(found, table, memory))
    stacks = StackCheck(found, table, memory)
    stacks.look_back()
    stacks.verdict()
    return Attachment(found, table, memory, checks)


def open_memory(pid: int) -> Memory:
    """The memory of process ``pid``. Raises AccessDenied with the reason and the remedy."""
    try:
        return Memory.process(pid, no_vm_readv=bool(os.environ.get("ZEEKSPY_NO_VM_READV")))
    except AccessDenied:
        from zeekspy import access

        raise access.denied(pid, "reading the memory") from None


class Session:
    """Samples one target at ``hz``. ``profile`` is complete at any time; ``finish`` adds how it came about."""

    def __init__(
        self, attachment: Attachment, hz: float, *, engine: str = "auto", labels: Labels = (), among: int = 1
    ) -> None:
        """``among`` how many targets this process samples: they share what one alone may use of memory and CPU."""
        self.attachment = attachment
        self.hz = hz
        self.profile = Profile(time_ns=time.time_ns(), period_ns=round(1e9 / hz))
        self._zero_ns = time.monotonic_ns()
        shared = among if among <= several.EXACT else 4 * among  # what many keep is less use, and is memory that grows
        self.profile.times = self._times = Timeline(max(timeline.LIMIT // shared, LEAST_RUNS))
        if dispatch_counter(attachment.layout.fields, attachment.target.symbols):
            self.profile.latency = Latency()
        self._dispatching: tuple[int, int, int, int] | None = None
        self._slots: dict[tuple[int, bool], int] = {}
        self.ended: str | None = None
        """Why the sampling ended by itself: None while it goes on or when it was stopped."""
        self.error: ZeekspyError | None = None
        """What went wrong with this one of several targets."""
        self.lowered_to: float | None = None
        """The rate now, where it is not the one asked for."""
        self.labels = labels
        self.tap: Callable[[Batch, Sequence[Stack], Callable[[int], Stack]], None] | None = None
        """Also gets each batch that is taken, with the stack of each of its runs and what a stack id stands for."""
        self._final: dict[str, Any] | None = None
        self._calls = attachment.call_counter()  # before the sampler, whose time begins when it is made
        self._calls.share /= among
        self._table, self._known = attachment.stack_table(self._calls), 0
        pid = attachment.target.pid
        self._cpus = engines.look(pid)
        self.choice = engines.choose(engine, self._cpus, hz)
        """The engine that samples, why, and what it may yet be replaced by."""
        if among > several.EXACT:
            self.choice = replace(self.choice, fallback=None)
        if self.choice.engine == "ptrace":
            engines.check_untraced(pid)
        self._sampler = Sampler(
            attachment.walker(open_memory(pid)),  # a memory of its own: it reads while others do
            pid,
            hz,
            random.getrandbits(64),
            engine=self.choice.engine,
            avoid=tuple(self._cpus.others),
        )
        self._stack_check = StackCheck(attachment.target, attachment.layout, attachment.memory)
        self._stack_check.look_back()
        self._cpu_at_start = own_cpu()
        self._began = time.monotonic()

    @property
    def sampler(self) -> Sampler:
        """For the crew that samples; it and ``poll`` take turns, never both."""
        return self._sampler

    @property
    def shares(self) -> bool:
        """Whether it can be sampled in a thread together with others."""
        return self.choice.engine == "nonblocking"

    def progress(self) -> tuple[int, int]:
        """Samples taken and missed."""
        if self._final is not None:
            return self._counters["samples"], self._counters["missed"]
        counts = self._sampler.counts()
        return counts[0], counts[4]

    def poll(self, budget_ns: int = several.POLL_NS) -> Batch:
        """Samples for that long, or until a signal arrives, in any thread; ``take`` what it returns.

        It goes on while that is taken, so that nothing is missed: the next poll, or ``finish``, has what comes then.
        """
        return self._sampler.poll(budget_ns, go_on=True)

    def change_hz(self, hz: float) -> None:
        """Goes on at a lower rate than was asked for, because sampling costs too much, or at that again (limit.py)."""
        self._sampler.set_hz(hz)
        self.lowered_to = hz if hz < self.hz else None

    def counters(self) -> dict[str, Any]:
        """The core's, as they are now."""
        return self._counters if self._final is not None else self._sampler.stats()

    def calls(self) -> tuple[float, dict[Frame, int]]:
        """How often bodies have run since the attach, as profile.body_key names them, at this monotonic time (s)."""
        return self._calls.until or self._calls.began, self._calls.counts()

    def take(self, batch: Batch) -> None:
        """Adds a batch to the profile. Raises UnknownBuild when the layout proves wrong on real stacks."""
        self._add(batch)
        self.profile.duration_ns = round((time.monotonic() - self._began) * 1e9)
        try:
            if batch.lost is not None:
                raise batch.lost
            if not self.attachment.target.alive():
                self.ended = "the target has exited or runs another program now"
            else:
                self._judge()
                self._look(any(stack for _, stack, *_ in batch.runs))
                self._reconsider()
        except NoSuchTarget:  # also where it exits just now, while it is looked at between two polls
            self.ended = "the target has exited"

    def finish(self) -> None:
        """Puts the circumstances into the profile's ``meta``. UnknownBuild if no stack agreed with the layout."""
        if self._final is not None:
            return
        from importlib import metadata  # what reads it takes 20 ms to import, which the first sample need not wait for

        self._add(self._sampler.poll(0))  # what came since the last poll
        self._stack_check.verdict(FEW)
        if self._dispatching is not None and self._dispatching[3] > 1:
            stack, begin, end, n = self._dispatching
            self._dispatched(stack, begin, end - begin, None, n)
            self._dispatching = None
        self._calls.finish()
        self._calls.into(self.profile)
        t = self.attachment.target
        self.profile.meta.update(self.stats())
        self.profile.meta.update(
            zeekspy_version=metadata.version("zeekspy"),
            exe=t.exe,
            build_id=t.build_id or "",
            pid=t.pid,
            stdlib=self.attachment.layout.stdlib,
            read_method=self.attachment.memory.method,
        )

    def release(self) -> None:
        """Lets go of all that sampling needs; profile, ``stats`` and ``counters`` stay as they are."""
        if self._final is None:
            self._final, self._counters = self.stats(), self.counters()
            del self._sampler, self._calls, self._table, self._stack_check, self._slots

    def _add(self, batch: Batch) -> None:
        self._table.extend(batch.definitions)
        self._calls.know(self._table.bodies(self._known))
        self._known = self._table.functions()
        self._calls.poll()
        stacks = []
        for t_ns, stack, flags, count, cpu_ns, wall_ns in batch.runs:
            on_cpu = bool(flags & SAMPLE_FLAGS["on-cpu"])
            frames = self._stack(stack, on_cpu)
            stacks.append(frames)
            self._times.add((t_ns - self._zero_ns) // 1000, self._slot(stack, on_cpu, frames), count)
            self.profile.add(frames, self.labels, count, cpu_ns, wall_ns)
            if stack and self.profile.latency is not None:
                self.profile.latency.see(frames, count)
        for (stack, begin, end, n), (after, before) in zip(batch.dispatches or (), batch.bounds or (), strict=True):
            self._dispatched(stack, begin, end - begin, before - after if after else None, n)
        self._dispatching = batch.dispatching
        if self.tap is not None:
            self.tap(batch, stacks, self._table.stack)

    def _stack(self, number: int, on_cpu: bool) -> Stack:
        if number:
            return self._table.stack(number)
        return (CORE,) if on_cpu else (IDLE,)

    def _dispatched(self, stack: int, begin_ns: int, shortest_ns: int, longest_ns: int | None, samples: int) -> None:
        if self.profile.latency is not None:
            began = self.profile.time_ns + begin_ns - self._zero_ns
            frames = self._table.stack(stack)
            took = length(shortest_ns, longest_ns, self.profile.period_ns)
            self.profile.latency.add(Dispatch(began, shortest_ns, longest_ns, took, samples, frames, self.labels))

    def _engine_reason(self, counters: dict[str, Any]) -> str:
        late = self.choice.engine == "preempt" and counters["samples"] and not counters["realtime"]
        return self.choice.reason + ("; at normal priority, SCHED_FIFO is not permitted" if late else "")

    def _slot(self, number: int, on_cpu: bool, frames: Stack) -> int:
        key = number, bool(number) or on_cpu
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._times.slot(frames, self.labels)
        return slot

    def _judge(self) -> None:
        _, script, unreadable, lineless, *_ = self._sampler.counts()
        if not (self._stack_check.agreed["Frame.function"] and self._stack_check.agreed["Frame.next_stmt"]):
            unreadable = max(unreadable, lineless)
        if script >= JUDGE_AFTER and 2 * unreadable > script:
            origin = self.attachment.layout.origin
            raise UnknownBuild(
                f"{unreadable} of {script} stacks could not be decoded with the offsets of {origin}",
                selfcheck.HINT.format(exe=self.attachment.target.exe, pid=self.attachment.target.pid),
            )

    def _look(self, script: bool) -> None:
        """Looks at running stacks, between polls: what the self-check could not see when no script ran."""
        if not script or self._stack_check.settled:
            return
        self._stack_check.look_for_bifs()  # a tenth of a second at most, once
        for _ in range(LOOKS):
            self._stack_check.look()
            if self._stack_check.settled:
                return
        self._stack_check.verdict()

    def _reconsider(self) -> None:
        """After the first seconds: whether ``auto`` goes on with another engine."""
        _, script, unreadable, _, _, started_ns, last_ns = self._sampler.counts()
        tried_s = (last_ns - started_ns) / 1e9
        if self.choice.fallback is None or tried_s < engines.TRIAL_S:
            return
        other = engines.reconsider(self.choice, self._cpus, script, unreadable)
        if other is None and tried_s >= engines.LONG_TRIAL_S:
            other = engines.uncover(self.choice, _unseen(self._sampler.stats()))
            self.choice = replace(self.choice, fallback=None)
        if other is not None:
            self.choice = replace(self.choice, fallback=None)
            with suppress(AccessDenied):  # another process traces it: no reason to end
                self._sampler.use(other.engine)
                self.choice = other

    def stats(self) -> dict[str, Any]:
        """What ``--stats`` writes (design.md section 6), with counters of our own behind it."""
        if self._final is not None:
            return self._final
        c: dict[str, Any] = self._sampler.stats()
        spent = (c["last_ns"] - c["started_ns"]) / 1e9
        reads = c["reads"] / c["samples"] if c["samples"] else 0.0
        return {
            "engine": self.choice.engine,
            "engine_reason": self._engine_reason(c),
            "zeek_version": self.attachment.target.version,
            "layout": self.attachment.layout.origin,
            "hz_asked": self.hz,
            "hz_lowered_to": self.lowered_to,
            "hz_achieved": round((c["samples"] - 1) / spent, 3) if spent > 0 else 0.0,
            "duration_s": round(self.profile.duration_ns / 1e9, 3),
            **{k: c[k] for k in ("samples", "script", "core", "idle", "torn", "stale", "unreadable", "missed")},
            "cpu_s": round(c["cpu_ns"] / 1e9, 6),
            "waited_s": round(c["waited_ns"] / 1e9, 6),
            "unseen": round(_unseen(c), 4) if self.choice.engine == "nonblocking" else 0.0,
            "profiler_cpu_s": round(own_cpu() - self._cpu_at_start, 6),
            "sample_us": quantiles(c["cost"]),
            "reads_per_sample": round(reads, 3),
            "lineless": c["lineless"],
            "truncated": c["truncated"],
            "overflow": c["overflow"],
            "layout_unproven": self._stack_check.unproven,
        }


def _unseen(counters: dict[str, Any]) -> float:
    wall_s = (counters["last_ns"] - counters["started_ns"]) / 1e9
    return engines.unseen(counters["cpu_ns"] / 1e9, counters["seen_ns"] / 1e9, wall_s, counters["samples"])


def quantiles(histogram: list[int]) -> dict[str, float]:
    """p50, p90, p99 and max in microseconds: upper ends of the buckets, so never less than was measured."""
    total = sum(histogram)
    result = {"p50": 0.0, "p90": 0.0, "p99": 0.0, "max": 0.0}
    if not total:
        return result
    for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)):
        seen = 0
        for bucket, count in enumerate(histogram):
            seen += count
            if seen >= part * total:
                result[name] = COST_NS[min(bucket + 1, len(COST_NS) - 1)] / 1000
                break
    return result
