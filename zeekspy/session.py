"""A recording: polls a Sampler into a Profile until told to stop."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zeekspy import choice, selfcheck, target, zeek_types
from zeekspy._core import COST_NS, SAMPLE_FLAGS, Memory, Sampler, Walker
from zeekspy.errors import AccessDenied, NoSuchTarget, UnknownBuild
from zeekspy.layout import STDLIBS, Layout
from zeekspy.profile import CORE, IDLE, Labels, Profile, Stack
from zeekspy.stacks import StackTable
from zeekspy.target import Target

POLL_NS = 100_000_000
"""How long the core samples before Python has its turn: how late Ctrl-C can be."""
JUDGE_AFTER = 200
"""Stacks after which a layout under which not one was readable is given up."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A target, its layout and its memory: all checked, nothing sampled yet."""

    target: Target
    layout: Layout
    memory: Memory
    checks: tuple[selfcheck.Check, ...]

    def walker(self) -> Walker:
        """A walker of its own over the target's memory; those that share a memory must not run at the same time."""
        t = self.target
        return Walker(
            self.memory,
            self.layout.fields,
            STDLIBS.index(self.layout.stdlib),
            pid=t.pid,
            call_stack=t.symbols["call_stack"],
            g_frame_stack=t.symbols.get("g_frame_stack", 0),
            stack=t.stack,
            data=t.data,
        )

    def stack_table(self) -> StackTable:
        return StackTable(zeek_types.zam_tag(self.target.version))


def attach(pid: int, offsets: Path | None = None) -> Attachment:
    """Finds process ``pid``, chooses its layout and checks that against the live memory. Any ZeekspyError."""
    found = target.find(pid)
    try:
        memory = Memory.process(pid, no_vm_readv=bool(os.environ.get("ZEEKSPY_NO_VM_READV")))
    except AccessDenied:
        from zeekspy import access

        raise access.denied(pid, "reading the memory") from None
    table = choice.choose(found, offsets)
    return Attachment(found, table, memory, tuple(selfcheck.check(found, table, memory)))


class Session:
    """Samples one target at ``hz``. ``run`` yields about ten times a second; ``profile`` is complete at any time."""

    def __init__(self, attachment: Attachment, hz: float, *, labels: Labels = ()) -> None:
        self.attachment = attachment
        self.hz = hz
        self.profile = Profile(time_ns=time.time_ns(), period_ns=round(1e9 / hz))
        self.ended: str | None = None
        """Why the sampling ended by itself: None while it goes on or when it was stopped."""
        self._labels = labels
        self._table = attachment.stack_table()
        self._sampler = Sampler(attachment.walker(), attachment.target.pid, hz, random.getrandbits(64))
        self._cpu_at_start = _own_cpu()
        self._began = time.monotonic()

    def run(self, duration: float | None = None) -> Iterator[None]:
        """Samples until ``duration`` seconds are over, the target has gone or the caller stops asking.

        Raises UnknownBuild when the layout proves wrong on real stacks; everything else ends quietly, with ``ended``.
        """
        deadline = None if duration is None else self._began + duration
        while True:
            budget = POLL_NS
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                budget = min(budget, round(left * 1e9))
            batch = self._sampler.poll(budget)
            self._table.extend(batch.definitions)
            for _, stack, flags, count, cpu_ns, wall_ns in batch.runs:
                on_cpu = bool(flags & SAMPLE_FLAGS["on-cpu"])
                self.profile.add(self._stack(stack, on_cpu), self._labels, count, cpu_ns, wall_ns)
            self.profile.duration_ns = round((time.monotonic() - self._began) * 1e9)
            if batch.lost is not None:
                if not isinstance(batch.lost, NoSuchTarget):
                    raise batch.lost
                self.ended = "the target has exited"
                break
            if not self.attachment.target.alive():
                self.ended = "the target has exited or runs another program now"
                break
            self._judge()
            yield
        self.finish()

    def finish(self) -> None:
        """Puts the circumstances into the profile's ``meta``."""
        t, layout = self.attachment.target, self.attachment.layout
        self.profile.meta.update(self.stats())
        self.profile.meta.update(
            exe=t.exe, build_id=t.build_id or "", pid=t.pid, read_method=self.attachment.memory.method, stdlib=layout.stdlib
        )

    def _stack(self, number: int, on_cpu: bool) -> Stack:
        if number:
            return self._table.stack(number)
        return (CORE,) if on_cpu else (IDLE,)

    def _judge(self) -> None:
        counters = self._sampler.stats()
        script, unreadable = counters["script"], counters["unreadable"]
        if script == unreadable and script >= JUDGE_AFTER:
            raise UnknownBuild(
                f"not one of {script} stacks could be decoded with the table of offsets ({self.attachment.layout.origin})",
                selfcheck.HINT.format(exe=self.attachment.target.exe, pid=self.attachment.target.pid),
            )

    def stats(self) -> dict[str, Any]:
        """What ``--stats`` writes (design.md section 6), with counters of our own behind it."""
        c: dict[str, Any] = self._sampler.stats()
        spent = (c["last_ns"] - c["started_ns"]) / 1e9
        reads = c["reads"] / c["samples"] if c["samples"] else 0.0
        return {
            "engine": "nonblocking",
            "zeek_version": self.attachment.target.version,
            "layout": self.attachment.layout.origin,
            "hz_asked": self.hz,
            "hz_achieved": round((c["samples"] - 1) / spent, 3) if spent > 0 else 0.0,
            "duration_s": round(self.profile.duration_ns / 1e9, 3),
            **{k: c[k] for k in ("samples", "script", "core", "idle", "torn", "stale", "unreadable", "missed")},
            "cpu_s": round(c["cpu_ns"] / 1e9, 6),
            "profiler_cpu_s": round(_own_cpu() - self._cpu_at_start, 6),
            "sample_us": quantiles(c["cost"]),
            "reads_per_sample": round(reads, 3),
            "truncated": c["truncated"],
            "overflow": c["overflow"],
        }


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


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

