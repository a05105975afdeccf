"""The text of ``perf script``, one event a sample, for FlameScope, stackcollapse-perf.pl and other tools of perf.

Times are seconds since the epoch. A frame is ``address symbol (file:line)``, innermost first; perf's address is a
number of ours here, and the first word of an event the node's name, or zeek.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import BinaryIO

from zeekspy.errors import FileError
from zeekspy.export.sequence import runs, untimed
from zeekspy.export.text import printable
from zeekspy.export.words import headline, why_empty
from zeekspy.profile import Frame, Labels, Profile, display_name

MOST_EVENTS = 5_000_000
"""Samples that are written out. Each takes some hundred bytes: more would fill disks, and no reader takes them."""


def write(profile: Profile, out: BinaryIO) -> None:
    """All samples in order of time. Those without a time come evenly before the first that has one, and it is said.

    Raises FileError for more than MOST_EVENTS samples.
    """
    count, without = profile.total().count, untimed(profile)
    if count > MOST_EVENTS:
        raise FileError(
            f"{count} samples are too many for perf script's text, which has some lines for each of them.",
            "Use -f speedscope or -f heatmap, which need less for each sample, or record for a shorter time.",
        )
    out.write(f"# zeekspy: {printable(headline(profile))}\n".encode())
    if why_empty(profile):
        out.write(f"# {why_empty(profile)}\n".encode())
    if without:
        out.write(
            f"# {without} samples came without their times: these come first, at times that mean nothing\n".encode()
        )
    lines_of: dict[Frame, str] = {}
    texts: list[bytes] = []
    for stack, labels, _ in profile:
        for frame in stack:
            if frame not in lines_of:
                lines_of[frame] = _line(frame, len(lines_of) + 1)
        frames = "".join(lines_of[frame] for frame in reversed(stack))
        texts.append(f"{_head(labels)} %b: zeekspy:\n".encode() + frames.replace("%", "%%").encode() + b"\n")
    events = _events(profile, without, texts)
    if len({labels for _, labels, _ in profile}) > 1:
        events = iter(sorted(events, key=itemgetter(0)))
    while lines := [text % (b"%d.%06d" % divmod(t_us, 1_000_000)) for t_us, text in islice(events, 10_000)]:
        out.write(b"".join(lines))


def _events(profile: Profile, without: int, texts: list[bytes]) -> Iterator[tuple[int, bytes]]:
    """(microseconds since the epoch, the event's text with a place for them), one a sample."""
    start_us = max(0, profile.time_ns // 1000)
    times = profile.times
    first_us = times.times[0] if times is not None and len(times) else profile.duration_ns // 1000
    gap_us = max(0, first_us) / max(without, 1) or profile.period_ns / 1000
    untimed = 0
    for t_us, number, count, _, _, step_us in runs(profile):
        text = texts[number]
        if t_us is None:
            for i in range(untimed, untimed + count):
                yield start_us + int(i * gap_us), text
            untimed += count
        elif count == 1:
            yield max(0, start_us + t_us), text
        else:
            for i in range(count):
                yield max(0, int(start_us + t_us + i * step_us)), text


def _head(labels: Labels) -> str:
    found = dict(labels)
    # No # either: it begins a comment.
    name = "".join(c if c.isprintable() and not c.isspace() and c != "#" else "_" for c in found.get("node", ""))
    name = name or "zeek"
    pid = found.get("pid", "")
    return f"{name} {pid if pid.isascii() and pid.isdigit() else 0}".replace("%", "%%")


def _line(frame: Frame, number: int) -> str:
    body = frame.body
    file, line = (frame.file, frame.line) if frame.file else (body.file, body.first_line) if body else (None, None)
    place = "_".join(printable(f"{file}:{line}" if line else file).split()) if file else "zeek"
    name = printable(display_name(frame)).replace(";", ":") or "?"
    return f"\t{number:16x} {name} ({place})\n"
