"""The pprof format, written and read: gzip around one Profile message, every table joined by ids.

The format: github.com/google/pprof, proto/README.md. Function names stay out of ``system_name``, which pprof demangles
(``<idle>`` would become ``<unknown>``).

What pprof has no field for is kept in comments that begin with ``#``, which its reports do not show:

- ``#meta {…}``: Profile.meta as JSON, without exe and build_id, which the mapping holds.
- ``#body [kind, name, [file, first_line, last_line] or null, bodies, flags]``: one a function, and only where the
  function's own fields do not say as much. Keyed by what it makes the function look like, not by an id, so that it
  outlives a merge by ``pprof -proto``.

What a file does not keep of a Frame: the flag ``call``; ``inlined`` of an outermost frame; a line without a file, a
file without a line; which it was of two bodies that share display name, file and first line. Stacks that become equal
by that are one.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError, EncodeError

from zeekspy.errors import FileError
from zeekspy.export.pprof_message import Message
from zeekspy.profile import KINDS, TOP_LEVEL, UNREADABLE, Body, Frame, Labels, Profile, Stack, display_name

MAX_BYTES = 64 << 20
"""Bounds what a file may decompress to: a million distinct stacks need 45 MB, parsing takes up to 25 times as much."""
MAX_FRAMES = 1 << 24
"""Bounds the frames of all stacks together: a location may stand for many frames and be used many times."""
SAMPLE_TYPES = [("samples", "count"), ("cpu", "nanoseconds"), ("wall", "nanoseconds")]

_REMEDY = "Give a .pb.gz file that zeekspy record has written."
_FLAGS = {"unreadable", "top-level", "zam"}
_NAMELESS = {UNREADABLE: "unreadable", TOP_LEVEL: "top-level"}


def write(profile: Profile, out: BinaryIO) -> None:
    """Writes ``profile``. The same profile gives the same bytes. Raises FileError for a number beyond 64 bits."""
    try:
        data = encode(profile).SerializeToString(deterministic=True)
    except (ValueError, EncodeError) as e:
        raise FileError(f"The profile does not fit the pprof format: {e}") from None
    out.write(gzip.compress(data, mtime=0))


def encode(profile: Profile) -> Any:
    """The message for ``profile``."""
    tables = _Tables()
    message, meta = tables.message, dict(profile.meta)
    mapping = message.mapping.add(id=1, has_functions=True, has_filenames=True)
    mapping.has_line_numbers = mapping.has_inline_frames = True
    mapping.filename = tables.string(str(meta.pop("exe", None) or ""))
    mapping.build_id = tables.string(str(meta.pop("build_id", None) or ""))
    for kind, unit in SAMPLE_TYPES:
        message.sample_type.add(type=tables.string(kind), unit=tables.string(unit))
    message.default_sample_type = tables.string("cpu")
    message.period_type.type, message.period_type.unit = tables.string("cpu"), tables.string("nanoseconds")
    message.period = profile.period_ns
    message.time_nanos, message.duration_nanos = profile.time_ns, profile.duration_ns
    for stack, labels, values in profile:
        sample = message.sample.add(value=(values.count, values.cpu_ns, values.wall_ns))
        sample.location_id.extend(tables.location(lines) for lines in tables.lines(stack))
        for key, value in labels:
            if key and value:  # an empty string would be read as the number 0
                sample.label.add(key=tables.string(key), str=tables.string(value))
    for comment in [*_legend(meta), *([f"#meta {_json(meta)}"] if meta else []), *tables.bodies()]:
        message.comment.append(tables.string(comment))
    return message


class _Tables:
    """A message under construction, and the ids that its strings, functions and locations have got."""

    def __init__(self) -> None:
        self.message = Message()
        self._strings: dict[str, int] = {}
        self._lines: dict[Frame, tuple[int, int]] = {}
        self._functions: dict[tuple[str, str, int], tuple[int, Frame]] = {}
        self._locations: dict[tuple[tuple[int, int], ...], int] = {}
        self.string("")

    def string(self, text: str) -> int:
        number = self._strings.get(text)
        if number is None:
            number = self._strings[text] = len(self.message.string_table)
            self.message.string_table.append(_utf8(text))
        return number

    def lines(self, stack: Stack) -> Iterator[tuple[tuple[int, int], ...]]:
        """Per location, leaf first, its (function id, line): what is inlined comes before what it is inlined into."""
        lines: list[tuple[int, int]] = []
        for frame in reversed(stack):
            lines.append(self._line(frame))
            if "inlined" not in frame.flags:
                yield tuple(lines)
                lines = []
        if lines:
            yield tuple(lines)

    def location(self, lines: tuple[tuple[int, int], ...]) -> int:
        number = self._locations.get(lines)
        if number is None:
            number = self._locations[lines] = len(self._locations) + 1
            location = self.message.location.add(id=number, mapping_id=1)
            for function_id, line in lines:
                location.line.add(function_id=function_id, line=line)
        return number

    def bodies(self) -> Iterator[str]:
        """The comments that say of a function what its own fields do not."""
        for frame in dict.fromkeys(frame for place, (_, frame) in self._functions.items() if frame != _guess(*place)):
            b = frame.body
            body = None if b is None else [b.file, b.first_line, b.last_line]
            yield f"#body {_json([frame.kind, frame.name, body, frame.bodies, ' '.join(sorted(frame.flags))])}"

    def _line(self, frame: Frame) -> tuple[int, int]:
        found = self._lines.get(frame)
        if found is None:
            line = frame.line if frame.file and frame.line and frame.line > 0 and frame.kind != "bif" else 0
            found = self._lines[frame] = self._function(frame, _utf8(frame.file or "") if line else ""), line
        return found

    def _function(self, frame: Frame, file: str) -> int:
        """Its id. ``file`` is where the line is: in ZAM code, it may be another than the body's."""
        body = frame.body
        if body and body.file:
            body = Body(_utf8(body.file), body.first_line, body.last_line)
        name = None if frame.name is None else _utf8(frame.name)
        known = Frame(name, frame.kind, None, None, body, frame.bodies, frame.flags & _FLAGS)
        place = _place(known)
        if file and file != place[1]:
            place = place[0], file, 0
        number, before = self._functions.get(place, (0, known))
        if not number:
            number = len(self._functions) + 1
            function = self.message.function.add(id=number, start_line=place[2])
            function.name, function.filename = self.string(place[0]), self.string(place[1])
        self._functions[place] = number, known if before.kind is None else before
        return number


def read(stream: BinaryIO, name: str = "") -> Profile:
    """The Profile in a file that write has made, or that pprof has merged from such files.

    ``name`` is the file's, for messages. Raises FileError for anything else, damaged and oversized files included.
    """
    name = name or str(getattr(stream, "name", "The file"))
    data = _decompress(stream, name)
    try:
        message = Message.FromString(data)
    except (DecodeError, ValueError):
        raise FileError(f"{name} is damaged: what it holds is not a pprof profile.", _REMEDY) from None
    try:
        return decode(message)
    except ValueError as e:
        raise FileError(f"{name} is not a profile of zeekspy: {e}.", _REMEDY) from None


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
    if types != SAMPLE_TYPES:
        found = ", ".join("/".join(t) for t in types[:4]) or "none"
        raise ValueError(f"its values are {found}, not samples/count, cpu/nanoseconds, wall/nanoseconds")
    profile = Profile(message.time_nanos, message.duration_nanos, message.period)
    comments = [string(c) for c in message.comment]
    profile.meta = _meta(comments)
    for mapping in message.mapping[:1]:
        found_names = (("exe", string(mapping.filename)), ("build_id", string(mapping.build_id)))
        profile.meta |= {key: value for key, value in found_names if value}
    stacks = _locations(message, string, _known_bodies(comments))
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
        if len(sample.value) != len(SAMPLE_TYPES):
            raise ValueError("a sample has too few or too many values")
        labels: Labels = tuple(sorted((string(x.key), string(x.str)) for x in sample.label if x.str))
        profile.add(tuple(frame for part in parts for frame in part), labels, *sample.value)
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
            base = _guess(text, file, f.start_line)
            if not f.start_line and len(by_name.get(text, ())) == 1:
                (base,) = by_name[text]
        if f.id == 0 or f.id in functions:
            raise ValueError("two of its functions have one id, or one has none")
        functions[f.id] = base, file
    stacks: dict[int, Stack] = {}
    for location in message.location:
        if location.id == 0 or location.id in stacks:
            raise ValueError("two of its locations have one id, or one has none")
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


def _place(frame: Frame) -> tuple[str, str, int]:
    """What a function says of the body of ``frame``: name, filename, start_line."""
    text, body = display_name(frame), frame.body
    return (text, body.file, max(body.first_line, 0)) if body and body.file else (text, "", 0)


def _guess(text: str, file: str, start_line: int) -> Frame:
    """The frame that a function alone tells of: no kind, no last line (0), two bodies where there are several."""
    if text in _NAMELESS:
        return Frame(None, None, None, None, None, flags=frozenset({_NAMELESS[text]}))
    body = Body(file, start_line, 0) if file and start_line > 0 else None
    name, bracket, _ = text.rpartition(" [")
    several = Frame(name, None, None, None, body, bodies=2)
    return several if bracket and display_name(several) == text else Frame(text, None, None, None, body)


def _known_bodies(comments: list[str]) -> dict[tuple[str, str, int], Frame]:
    """The #body comments by the function they belong to. One that is not well-formed says nothing."""
    known: dict[tuple[str, str, int], Frame] = {}
    for comment in comments:
        match _parsed(comment, "#body "):
            case [None | str() as kind, None | str() as name, place, int(bodies), str(flags)] if kind in (None, *KINDS):
                body: Body | None
                match place:
                    case [None | str() as file, int(first), int(last)]:
                        body = Body(file, first, last)
                    case None:
                        body = None
                    case _:
                        continue
                frame = Frame(name, kind, None, None, body, bodies, frozenset(flags.split()) & _FLAGS)
                known.setdefault(_place(frame), frame)
    return known


def _meta(comments: list[str]) -> dict[str, Any]:
    """Profile.meta; of a merged file, what all its parts agree on."""
    found = [m for c in comments if isinstance(m := _parsed(c, "#meta "), dict)]
    return {k: v for k, v in found[0].items() if all(m.get(k) == v for m in found)} if found else {}


def _parsed(comment: str, prefix: str) -> Any:
    """The JSON after ``prefix``, None if there is none."""
    if comment.startswith(prefix):
        try:
            return json.loads(comment.removeprefix(prefix))
        except (ValueError, RecursionError):
            return None
    return None


def _utf8(text: str) -> str:
    """``text`` as protobuf can hold it: lone surrogates stand for bytes of the target that were not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)


def _legend(meta: dict[str, Any]) -> Iterator[str]:
    """The comments that people read, above every report of pprof. Only what is known."""

    def known(*parts: tuple[str, str]) -> str:
        return ", ".join(text.format(_brief(meta[key])) for key, text in parts if meta.get(key) is not None)

    yield from filter(
        None,
        (
            known(("zeekspy_version", "zeekspy {}"), ("zeek_version", "Zeek {}"), ("layout", "layout {}")),
            known(("command", "command: {}")),
            known(("engine", "engine: {}"), ("hz_asked", "asked {} Hz"), ("hz_achieved", "achieved {} Hz")),
            known(*((key, f"{key} {{}}") for key in ("samples", "script", "core", "idle"))),
            known(*((key, f"{key} {{}}") for key in ("torn", "stale", "unreadable", "missed"))),
        ),
    )


def _brief(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
