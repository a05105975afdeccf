"""A flame graph as one HTML page that needs nothing else: no server, no network, no library.

The page is ``flamegraph.html`` with its parts put in: a style sheet, two scripts, and the profile as JSON in which no
``<`` is left, so that no name can end the element it is in. What it says is set as text, never as HTML, and its
content security policy allows no request at all.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from zeekspy.export import page
from zeekspy.export.calls import calls_of
from zeekspy.export.tree import VALUES, Tree, directory, main_value, parts, tree
from zeekspy.export.words import headline, why_empty
from zeekspy.profile import CORE, IDLE, Frame, Profile, display_name

UNITS = [("cpu", "ns"), ("wall", "ns"), ("samples", "count")]
"""What the page calls VALUES."""


def write(profile: Profile, out: BinaryIO) -> None:
    """One HTML file."""
    out.write(page.filled("flamegraph.html", content(tree([profile]), profile) | {"base": None}))


def content(drawn: Tree, profile: Profile) -> dict[str, Any]:
    """What the page's scripts read: bodies, nodes in the order of drawing, and what was spent in each node itself."""
    value = main_value(profile)
    return {
        "title": title(profile),
        "headline": headline(profile),
        "said": why_empty(profile),
        "values": UNITS,
        "value": VALUES.index(value),
        "scripts": parts(profile, value)["script"],
        "frames": described(drawn, profile),
        "depth": drawn.depth,
        "frame": drawn.frame,
        "own": drawn.own[0],
    }


def title(profile: Profile) -> str:
    """The name of the executable, and where the profile is from."""
    exe = str(profile.meta.get("exe") or "").rsplit("/", 1)[-1]
    return f"{exe or 'zeek'} flame graph"


def described(drawn: Tree, profile: Profile) -> list[list[Any]]:
    """By body: name, kind, place, script directory, calls, microseconds per call, [line, its part of the body]s."""
    calls = calls_of(profile)
    totals = [0] * len(drawn.frames)
    for number, lines in enumerate(drawn.lines):
        totals[number] = sum(amount for _, amount in lines)
    result = []
    for number, frame in enumerate(drawn.frames):
        known = calls.get(frame)
        lines = drawn.lines[number] if number < len(drawn.lines) else []
        result.append(
            [
                display_name(frame) + (" (inlined)" if "inlined" in frame.flags else ""),
                _kind(frame),
                f"{frame.body.file}:{frame.body.first_line}" if frame.body and frame.body.file else "",
                directory(frame),
                known.calls if known else None,
                known.us_per_call if known else None,
                [[line, round(amount / totals[number], 4)] for line, amount in lines] if totals[number] else [],
            ]
        )
    return result


def _kind(frame: Frame) -> str:
    if frame in (CORE, IDLE):
        return "core" if frame == CORE else "idle"
    return frame.kind or "other"
