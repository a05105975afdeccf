"""The pprof format, written (pprof_read.py reads it): gzip around one Profile message, every table joined by ids.

The format: github.com/google/pprof, proto/README.md. Function names stay out of ``system_name``, which pprof demangles
(``<idle>`` would become ``<unknown>``).

What pprof has no field for is kept in comments that begin with ``#``, which its reports do not show:

- ``#meta {…}``: Profile.meta as JSON, without exe and build_id, which the mapping holds.
- ``#body [kind, name, [file, first_line, last_line] or null, bodies, flags]``: one a function, and only where the
  function's own fields do not say as much. Keyed by what it makes the function look like, not by an id, so that it
  outlives a merge by ``pprof -proto``.
- ``#calls {…}``: how often bodies ran (pprof_calls.py).
- ``#latency {…}``: how long events were being handled (pprof_latency.py).
- ``#times …``: when the samples were taken (pprof_times.py).

What a file does not keep of a Frame: the flag ``call``; ``inlined`` of an outermost frame; a line without a file, a
file without a line; which it was of two bodies that share display name, file and first line. Stacks that become equal
by that are one.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from google.protobuf.message import EncodeError

from zeekspy.errors import FileError
from zeekspy.export.pprof_calls import comment as calls_comment
from zeekspy.export.pprof_comments import place_row
from zeekspy.export.pprof_latency import comment as latency_comment
from zeekspy.export.pprof_message import Message
from zeekspy.export.pprof_times import comment as times_comment
from zeekspy.profile import TOP_LEVEL, UNREADABLE, Body, Frame, Profile, Stack, display_name

SAMPLE_TYPES = [("samples", "count"), ("cpu", "nanoseconds"), ("wall", "nanoseconds")]

FLAGS = {"unreadable", "top-level", "zam"}
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
    for known in (calls_comment(profile), latency_comment(profile), times_comment(profile, message)):
        if known is not None:
            message.comment.append(tables.string(known))
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
        for frame in dict.fromkeys(frame for place, (_, frame) in self._functions.items() if frame != guess(*place)):
            row = [frame.kind, frame.name, place_row(frame.body), frame.bodies, " ".join(sorted(frame.flags))]
            yield f"#body {_json(row)}"

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
        known = Frame(name, frame.kind, None, None, body, frame.bodies, frame.flags & FLAGS)
        place = place_of(known)
        if file and file != place[1]:
            place = place[0], file, 0
        number, before = self._functions.get(place, (0, known))
        if not number:
            number = len(self._functions) + 1
            function = self.message.function.add(id=number, start_line=place[2])
            function.name, function.filename = self.string(place[0]), self.string(place[1])
        self._functions[place] = number, known if before.kind is None else before
        return number


def place_of(frame: Frame) -> tuple[str, str, int]:
    """What a function says of the body of ``frame``: name, filename, start_line."""
    text, body = display_name(frame), frame.body
    return (text, body.file, max(body.first_line, 0)) if body and body.file else (text, "", 0)


def guess(text: str, file: str, start_line: int) -> Frame:
    """The frame that a function alone tells of: no kind, no last line (0), two bodies where there are several."""
    if text in _NAMELESS:
        return Frame(None, None, None, None, None, flags=frozenset({_NAMELESS[text]}))
    body = Body(file, start_line, 0) if file and start_line > 0 else None
    name, bracket, _ = text.rpartition(" [")
    several = Frame(name, None, None, None, body, bodies=2)
    return several if bracket and display_name(several) == text else Frame(text, None, None, None, body)


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
            known(("engine_reason", "why this engine: {}")),
            known(*((key, f"{key} {{}}") for key in ("samples", "script", "core", "idle"))),
            known(*((key, f"{key} {{}}") for key in ("torn", "stale", "unreadable", "lineless", "missed", "unseen"))),
        ),
    )


def _brief(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
