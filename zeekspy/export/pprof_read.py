"""The pprof format, read: what zeekspy has written exactly (pprof.py says what that is), and what other tools have."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError

from zeekspy.errors import FileError
from zeekspy.export import pprof_calls, pprof_latency
from zeekspy.export import pprof_foreign as foreign
from zeekspy.export.pprof import FLAGS, guess, place_of
from zeekspy.export.pprof_comments import body_at, is_place, tables
from zeekspy.export.pprof_message import Message
from zeekspy.export.pprof_times import times_of
from zeekspy.profile import KINDS, Frame, Labels, Profile, Stack

MAX_BYTES = 64 << 20
"""Bounds what a file may decompress to: a million distinct stacks need 45 MB, parsing takes up to 25 times as much."""
MAX_FRAMES = 1 << 24
"""Bounds the frames of all stacks together: a location may stand for many frames and be used many times."""

_REMEDY = "Give a .pb.gz file that zeekspy record has written."


def read(stream: BinaryIO, name: str = "") -> Profile:
    """The Profile in a file that pprof.write has made, that pprof has merged from such files, or of another tool.

    Of a profile of another tool, ``meta`` holds ``sample_types`` (what it has, ``name/unit`` each) and ``shown`` (those
    that became count, cpu_ns and wall_ns; the first is a number of samples or, where it measures no time, whatever
    the file shows by default). ``name`` is the file's, for messages. Raises FileError for anything else, damaged and
    oversized files included.
    """
    name = name or str(getattr(stream, "name", "The file"))
    return parse(_decompress(stream, name), name)


def parse(data: bytes, name: str) -> Profile:
    """The Profile in a message that is not compressed (any more). Raises FileError."""
    try:
        message = Message.FromString(data)
    except (DecodeError, ValueError):
        raise FileError(f"{name} is damaged: what it holds is not a pprof profile.", _REMEDY) from None
    try:
        return decode(message)
    except ValueError as e:
        raise FileError(f"{name} is not a profile that can be read: {e}.", _REMEDY) from None


def decode(message: Any) -> Profile:
    """The Profile that ``message`` holds. Raises ValueError that says what is wrong with it."""
    strings = list(message.string_table)
    if not strings or strings[0] != "":
        raise ValueError("its table of strings does not begin with the empty one")

    def string(number: int) -> str:
        if not 0 <= number < len(strings):
            raise ValueError("it refers to a string that is not there")
        return str(strings[number])

    types = [(string(t.type), string(t.unit)) for t in message.sample_type]
    values = foreign.values_of(types, string(message.default_sample_type), message.period)
    profile = Profile(message.time_nanos, message.duration_nanos, message.period)
    comments = [string(c) for c in message.comment]
    profile.meta = _meta(comments)
    for mapping in message.mapping[:1]:
        found_names = (("exe", string(mapping.filename)), ("build_id", string(mapping.build_id)))
        profile.meta |= {key: value for key, value in found_names if value}
    profile.meta |= values.meta()
    stacks = _locations(message, string, _known_bodies(comments))
    keys: list[tuple[Stack, Labels]] = []
    room = MAX_FRAMES
    for sample in message.sample:
        parts = []
        for number in reversed(sample.location_id):
            if number not in stacks:
                raise ValueError("it refers to a location that is not there")
            room -= len(stacks[number])
            if room < 0:
                raise ValueError("its stacks are too many and too deep")
            parts.append(stacks[number])
        if len(sample.value) != len(types):
            raise ValueError("a sample has too few or too many values")
        if min(sample.value) < 0:
            raise ValueError("it holds the difference of two profiles (zeekspy report NEW --diff BASE makes such)")
        labels: Labels = tuple(sorted((string(x.key), string(x.str)) for x in sample.label if x.str))
        keys.append((tuple(frame for part in parts for frame in part), labels))
        profile.add(*keys[-1], *values.of(sample.value))
    pprof_calls.into(profile, comments)
    pprof_latency.into(profile, comments)
    profile.times = times_of(comments, message, keys) if values.ours else None
    return profile


def _decompress(stream: BinaryIO, name: str) -> bytes:
    gunzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    data, magic = bytearray(), b""
    try:
        while not gunzip.eof:
            chunk = gunzip.unconsumed_tail or stream.read(1 << 16)
            magic = magic or chunk[:2]
            piece = gunzip.decompress(chunk, 1 << 20)
            if not chunk and not piece:
                raise FileError(f"{name} is {'truncated: its end is missing' if magic else 'empty'}.", _REMEDY)
            data += piece
            if len(data) > MAX_BYTES:
                raise FileError(f"{name} is too large: it holds more than {MAX_BYTES >> 20} MiB.", _REMEDY)
        rest = gunzip.unused_data or stream.read(1)
    except zlib.error:
        problem = "is damaged" if magic == b"\x1f\x8b" else "is not a pprof file"
        raise FileError(f"{name} {problem}: gzip cannot read it.", _REMEDY) from None
    except OSError as e:
        raise FileError(f"{name} cannot be read: {e.strerror or e}.") from None
    if rest:
        raise FileError(f"{name} holds more than one profile.", "pprof -proto FILE… merges profiles into one.")
    return bytes(data)


def _locations(
    message: Any, string: Callable[[int], str], known: dict[tuple[str, str, int], Frame]
) -> dict[int, Stack]:
    """By location id, the frames it stands for, outermost first."""
    by_name: dict[str, set[Frame]] = {}
    for place, frame in known.items():
        by_name.setdefault(place[0], set()).add(frame)
    functions: dict[int, tuple[Frame, str]] = {}
    for f in message.function:
        text, file = string(f.name), string(f.filename)
        base = known.get((text, file, f.start_line))
        if base is None:
            base = guess(text, file, f.start_line)
            if not f.start_line and len(by_name.get(text, ())) == 1:
                (base,) = by_name[text]
        if f.id == 0 or f.id in functions:
            raise ValueError("two of its functions have one id, or one has none")
        functions[f.id] = base, file
    stacks: dict[int, Stack] = {}
    for location in message.location:
        if location.id == 0 or location.id in stacks:
            raise ValueError("two of its locations have one id, or one has none")
        if not location.line:
            stacks[location.id] = (Frame(f"0x{location.address:x}", None, None, None, None),)
            continue
        frames: list[Frame] = []
        for line in reversed(location.line):
            if line.function_id not in functions:
                raise ValueError("it refers to a function that is not there")
            base, file = functions[line.function_id]
            placed = file and line.line > 0
            flags = base.flags | {"inlined"} if frames else base.flags
            frames.append(
                replace(base, file=file, line=line.line, flags=flags) if placed else replace(base, flags=flags)
            )
        stacks[location.id] = tuple(frames)
    return stacks


def _known_bodies(comments: list[str]) -> dict[tuple[str, str, int], Frame]:
    """The #body comments by the function they belong to. One that is not well-formed says nothing."""
    known: dict[tuple[str, str, int], Frame] = {}
    for row in tables("#body ", comments):
        match row:
            case [None | str() as kind, None | str() as name, place, int(bodies), str(flags)] if kind in (
                None,
                *KINDS,
            ) and is_place(place):
                frame = Frame(name, kind, None, None, body_at(place), bodies, frozenset(flags.split()) & FLAGS)
                known.setdefault(place_of(frame), frame)
    return known


def _meta(comments: list[str]) -> dict[str, Any]:
    """Profile.meta; of a merged file, what all its parts agree on."""
    found = [table for table in tables("#meta ", comments) if isinstance(table, dict)]
    return {k: v for k, v in found[0].items() if all(m.get(k) == v for m in found)} if found else {}
