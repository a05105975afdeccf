"""A flame graph as one picture: SVG without a script, for documents. The page of flamegraph.py is the one to explore.

The outermost frame is at the bottom. A rectangle is as wide as the body's part of the CPU time (or of the wall time or
the samples, where a profile has no CPU time); its title, which viewers show beside the pointer, says how much.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO
from xml.sax.saxutils import escape

from zeekspy.export.text import printable
from zeekspy.export.tree import VALUES, Tree, main_value, of_scripts, parts, tree
from zeekspy.export.words import headline, why_empty
from zeekspy.profile import CORE, IDLE, Frame, Profile, Values, display_name

WIDTH = 1200
ROW = 17
MARGIN = 10
CHAR = 7.3
"""Pixels that a character of the font takes, about."""
NARROWEST = 0.1
"""Pixels below which a rectangle is left out: it could not be seen."""

Colour = tuple[int, int, int]
"""Hue, saturation and lightness."""
HUES: dict[str, Colour] = {"event": (24, 85, 62), "hook": (48, 80, 60), "function": (4, 75, 66), "bif": (205, 60, 64)}
"""By kind."""
_OTHER = (300, 25, 68)
_CORE, _IDLE = (215, 12, 72), (90, 15, 82)

STYLE = """\
text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1b1b1b}
.ground{fill:#fff}.head{font-weight:bold}.head,.note{fill:#1b1b1b}
@media(prefers-color-scheme:dark){.ground{fill:#16181d}.head,.note{fill:#e6e6e6}}
"""


def write(profile: Profile, out: BinaryIO, narrowest: float = NARROWEST) -> None:
    """One SVG of the scripts below a bar of script, core and idle time, rectangles of at least ``narrowest`` pixels."""
    value = main_value(profile)
    picture = Picture(tree([of_scripts(profile)]), value, profile.total(), narrowest)
    legend = {**HUES, "other": _OTHER}
    draw(picture, profile, [headline(profile)], legend, lambda node: (colour(picture.body(node)), ""), out)


def draw(
    picture: Picture,
    profile: Profile,
    heads: list[str],
    legend: dict[str, Colour],
    look: Callable[[int], tuple[Colour, str]],
    out: BinaryIO,
) -> None:
    """Writes ``picture`` below ``heads``; ``look`` gives a node's colour and what its title says besides amounts."""
    rectangles = list(picture.rectangles())
    top = MARGIN + ROW * len(heads)
    height = top + MARGIN + 70 + (max((r.row for r in rectangles), default=-1) + 2) * ROW
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
    ]
    for i, head in enumerate(heads):
        text = _xml(_clip(printable(head), WIDTH - 2 * MARGIN))
        lines.append(f'<text class="head" x="{MARGIN}" y="{MARGIN + 12 + ROW * i}">{text}</text>')
    lines += [*_bar(profile, picture.value, top + 5), *_legend(legend, top + 32)]
    if why_empty(profile):
        lines.append(f'<text class="note" x="{MARGIN}" y="{top + 66}">{_xml(why_empty(profile))}</text>')
    bottom = height - MARGIN - ROW
    if rectangles:
        lines.append(_rectangle(MARGIN, bottom, picture.width, (0, 0, 80), "scripts", f"scripts\n{picture.amount(-1)}"))
    for r in rectangles:
        frame = picture.body(r.node)
        name = printable(display_name(frame)) + (" (inlined)" if "inlined" in frame.flags else "")
        place = f"\n{printable(frame.body.file)}:{frame.body.first_line}" if frame.body and frame.body.file else ""
        hsl, more = look(r.node)
        title = f"{name}{place}\n{f'{frame.kind}, ' if frame.kind else ''}{picture.amount(r.node)}{more}"
        lines.append(_rectangle(r.x, bottom - (r.row + 1) * ROW, r.width, hsl, name, title))
    lines.append("</svg>\n")
    out.write("\n".join(lines).encode())


@dataclass(frozen=True, slots=True)
class _Rectangle:
    node: int
    x: float
    width: float
    row: int


class Picture:
    """What is drawn where."""

    def __init__(self, drawn: Tree, value: str, everything: Values, narrowest: float) -> None:
        self.tree = drawn
        self.value = value
        self._everything = getattr(everything, value)
        self.width = WIDTH - 2 * MARGIN
        self._value = VALUES.index(value)
        self._narrowest = narrowest
        self._totals = [drawn.totals(0, v) for v in range(len(VALUES))]
        self._own = drawn.own[0]
        self._all = [sum(own) for own in self._own]

    def body(self, node: int) -> Frame:
        return self.tree.frames[self.tree.frame[node]]

    def rectangles(self) -> Iterator[_Rectangle]:
        totals, whole = self._totals[self._value], self._all[self._value]
        left = [0]
        for node, depth in enumerate(self.tree.depth):
            del left[depth + 1 :]
            begin = left[-1]
            left[-1] += totals[node]
            left.append(begin)
            width = totals[node] / whole * self.width if whole else 0.0
            if width > 0 and width >= self._narrowest:
                yield _Rectangle(node, MARGIN + begin / whole * self.width, width, depth)

    def amount(self, node: int) -> str:
        """``12.3 %, 456 samples (78 own), cpu 9.100 ms (2.000 own), wall 9.200 ms (2.100 own)``; node -1 is all."""
        totals, own = ([a[node] for a in x] for x in (self._totals, self._own)) if node >= 0 else (self._all, [0] * 3)
        cpu, wall, count = ((t, o) for t, o in zip(totals, own, strict=True))
        share = 100 * totals[self._value] / self._everything if self._everything else 0
        times = ", ".join(
            f"{name} {t / 1e6:.3f} ms ({o / 1e6:.3f} own)" for name, (t, o) in (("cpu", cpu), ("wall", wall))
        )
        return f"{share:.2f} %, {count[0]} samples ({count[1]} own), {times}"


def colour(frame: Frame) -> Colour:
    """By kind, a little different by name."""
    if frame == CORE:
        return _CORE
    if frame == IDLE:
        return _IDLE
    hue, saturation, lightness = HUES.get(frame.kind or "", _OTHER)
    shift = zlib.crc32(display_name(frame).encode("utf-8", "backslashreplace"))
    return hue + shift % 13 - 6, saturation, lightness + (shift >> 8) % 9 - 4


def _bar(profile: Profile, value: str, y: float) -> list[str]:
    lines, x = [], float(MARGIN)
    found = {name: parts(profile, v) for v, name in (("count", "samples"), ("cpu_ns", "cpu"), ("wall_ns", "wall"))}
    shares = parts(profile, value)
    for name, hsl in (("script", (24, 85, 62)), ("core", _CORE), ("idle", _IDLE)):
        share = shares[name] / (sum(shares.values()) or 1)
        times = ", ".join(f"{kind} {found[kind][name] / 1e6:.3f} ms" for kind in ("cpu", "wall"))
        title = f"{name}\n{100 * share:.2f} %, {found['samples'][name]} samples, {times}"
        width = share * (WIDTH - 2 * MARGIN)
        if width > 0:
            lines.append(_rectangle(x, y, width, hsl, f"{name} {100 * share:.1f} %", title))
        x += width
    return lines


def _legend(entries: dict[str, Colour], y: float) -> list[str]:
    lines, x = [], MARGIN
    for name, (h, s, li) in entries.items():
        lines.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="hsl({h},{s}%,{li}%)"/>')
        lines.append(f'<text class="note" x="{x + 16}" y="{y + 10}">{name}</text>')
        x += 16 + round(CHAR * (len(name) + 3))
    return lines


def _rectangle(x: float, y: float, width: float, hsl: Colour, name: str, title: str) -> str:
    text = _clip(name, width - 4)
    label = f'<text x="{x + 2:.2f}" y="{y + ROW - 5}">{_xml(text)}</text>' if text else ""
    fill = "hsl({},{}%,{}%)".format(*hsl)
    return (
        f'<g><title>{_xml(title)}</title><rect x="{x:.2f}" y="{y}" width="{max(width - 0.3, 0.05):.2f}" '
        f'height="{ROW - 1}" fill="{fill}"/>{label}</g>'
    )


def _clip(text: str, width: float) -> str:
    """``text`` in ``width`` pixels; nothing where there is no room for three letters."""
    room = int(width / CHAR)
    if len(text) <= room:
        return text
    return text[: room - 2] + ".." if room >= 5 else ""


def _xml(text: str) -> str:
    return escape("".join(c if c == "\n" or c.isprintable() else "?" for c in text))
