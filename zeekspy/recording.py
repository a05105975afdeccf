"""Recordings on disk: what kind of file it is, the Profile in it, and one Profile of several."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from zeekspy.errors import FileError, UsageError
from zeekspy.export import pprof_read
from zeekspy.profile import Frame, Profile
from zeekspy.timeline import merged

_HINT = "zeekspy report reads pprof files (zeekspy record writes them) and collapsed stacks."
_FOLDED = re.compile(rb"(#[^\n]*\n)*\S[^\n]* \d+\r?(\n|$)")
_SUMS = ("samples", "script", "core", "idle", "torn", "stale", "unreadable", "lineless", "missed", "cpu_s", "overflow")

KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (
        rb"PERFILE2",
        "perf's binary recording",
        "perf script -i FILE | stackcollapse-perf.pl > x.folded makes it readable.",
    ),
    (rb"FLR\0", "a Java flight recording", _HINT),
    (rb"\s*(<\?xml|<svg|<!DOCTYPE|<html)", "a picture or page that is already drawn", "Give the recording it is from."),
    (
        rb'\s*\{.{0,400}"?https://www\.speedscope\.app',
        "a speedscope profile",
        "Open it in speedscope, or record again.",
    ),
    (rb"\s*[\[{]", "JSON", _HINT),
    (rb"#\s*callgrind|version: \d|events: ", "a callgrind profile", "Open it in KCachegrind."),
    (rb"heap_v2/", "a heap profile of jemalloc", "jeprof shows it."),
    (rb"heap profile:", "a heap profile of gperftools", "pprof -proto converts it."),
    (rb"#fields\tfunction", "the table of Zeek's --profile-scripts", "It has no stacks. Record with zeekspy record."),
    (rb"#separator", "a Zeek log", _HINT),
    (
        rb"(#[^\n]*\n)*\S[^\n]*? \d+(/\d+)? [^\n]*\d\.\d+: ",
        "perf script text",
        "stackcollapse-perf.pl FILE > x.folded makes it readable.",
    ),
    (rb"\x7fELF", "an executable or a core file", "zeekspy dump --core shows the stack in a core file."),
)
"""What a file begins with, what that is, and what to do."""


def read(path: str) -> Profile:
    """The Profile in the file at ``path``, ``-`` for standard input. Raises FileError that says what else it is."""
    if path == "-":
        return _read(sys.stdin.buffer, "standard input")
    try:
        with Path(path).open("rb") as stream:
            return _read(stream, path)
    except OSError as e:
        raise FileError(
            f"cannot read {path}: {e.strerror or e}", "Give a file that zeekspy record has written."
        ) from None


def _read(stream: BinaryIO, name: str) -> Profile:
    head = stream.peek(1 << 12)[: 1 << 12] if hasattr(stream, "peek") else b""
    if head.startswith(b"\x1f\x8b") or not head:
        return pprof_read.read(stream, name)
    for pattern, what, remedy in KNOWN:
        if re.match(pattern, head, re.DOTALL):
            raise FileError(f"{name} is {what}, not a recording that can be read.", remedy)
    data = stream.read(pprof_read.MAX_BYTES + 1)
    if len(data) > pprof_read.MAX_BYTES:
        raise FileError(f"{name} is too large: it holds more than {pprof_read.MAX_BYTES >> 20} MiB.", _HINT)
    if _FOLDED.match(data):
        return folded(data, name)
    try:
        return pprof_read.parse(data, name)
    except FileError:
        raise FileError(f"{name} is not a profile of a kind that is known here.", _HINT) from None


def folded(data: bytes, name: str) -> Profile:
    """The Profile in collapsed stacks, a line ``outermost;…;innermost COUNT`` each: samples alone, and no kinds."""
    profile = Profile(meta={"sample_types": "collapsed stacks", "shown": "their counts"})
    frames: dict[str, Frame] = {}
    room = pprof_read.MAX_FRAMES
    for number, line in enumerate(data.decode("utf-8", "backslashreplace").splitlines(), start=1):
        stack, _, count = line.rpartition(" ")
        if not line.strip() or line.startswith("#"):
            continue
        if not (stack and count.isascii() and count.isdigit() and len(count) < 19):
            raise FileError(f"{name} is damaged: line {number} is no stack with a count.", _HINT)
        names = stack.split(";")
        room -= len(names)
        if room < 0:
            raise FileError(f"{name} holds stacks that are too many and too deep.", _HINT)
        for text in names:
            if text not in frames:
                frames[text] = Frame(text, None, None, None, None)
        profile.add(tuple(frames[text] for text in names), (), int(count), 0, 0)
    return profile


def merge(profiles: Sequence[Profile], names: Sequence[str]) -> Profile:
    """All of ``profiles`` in one. Raises UsageError if their values do not mean the same.

    ``meta`` keeps what all agree on, counters are added up, the duration is that in which any was recorded.
    """
    first = profiles[0]
    if len(profiles) == 1:
        return first
    for profile, name in zip(profiles, names, strict=True):
        kinds = [p.meta.get("sample_types", "samples, cpu and wall time of zeekspy") for p in (first, profile)]
        if kinds[0] != kinds[1]:
            raise UsageError(
                f"{names[0]} and {name} cannot be put together: the one has {kinds[0]}, the other {kinds[1]}.",
                "Give files of one kind, or report on each of them.",
            )
    result = Profile(time_ns=min(p.time_ns for p in profiles), period_ns=max(p.period_ns for p in profiles))
    result.duration_ns = _covered([(p.time_ns, p.time_ns + p.duration_ns) for p in profiles])
    result.meta = {k: v for k, v in first.meta.items() if all(p.meta.get(k) == v for p in profiles)}
    for key in _SUMS:
        found = [p.meta.get(key) for p in profiles]
        if all(isinstance(n, int | float) for n in found):
            result.meta[key] = sum(n for n in found if isinstance(n, int | float))
    for profile in profiles:
        for stack, labels, values in profile:
            result.add(stack, labels, values.count, values.cpu_ns, values.wall_ns)
        result.add_calls(profile)
    result.calls_ns = min(result.duration_ns, sum(p.calls_ns for p in profiles))
    timed = [(p.times, (p.time_ns - result.time_ns) // 1000) for p in profiles if p.times is not None]
    result.times = merged(timed) if timed else None
    return result


def _covered(intervals: list[tuple[int, int]]) -> int:
    total = end = 0
    for begin, until in sorted(intervals):
        total += max(0, until - max(begin, end))
        end = max(end, until)
    return total
