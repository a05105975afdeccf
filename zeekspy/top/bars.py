"""The lines above the table: who it is, where its time goes, its threads, and what was not whole."""

from __future__ import annotations

from dataclasses import dataclass

from zeekspy.live import View
from zeekspy.top.lines import Line, cut, fitting
from zeekspy.top.numbers import clock, percent, short, utc

PARTS = (("script", "█"), ("core", "▓"), ("idle", "░"))
"""Of the bar: told apart without colour too."""
_BAR = 50
"""Columns of the bar at most."""
_WORTH = 0.001
"""Of a CPU: threads that use less are counted, not named."""
_NOTABLE = 0.02
"""Of the samples: errors above that are set off."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The target that a View is of, and what samples it."""

    pid: int
    version: str
    engine: str
    hz: float
    """The rate that is tried for."""
    ended: str | None = None
    """Why nothing more comes; None while it does."""
    number: tuple[int, int] = (1, 1)
    """Which of how many targets."""
    focused: bool = False


def lines(subject: Subject, view: View, width: int, paused: bool = False) -> list[Line]:
    """Four lines of ``width`` columns."""
    return [head(subject, view, width, paused), bar(view, width), threads(view, width), rates(view, width)]


def head(subject: Subject, view: View, width: int, paused: bool = False) -> Line:
    """The process, whether all is well, how it is sampled and for how long."""
    n, of = subject.number
    parts: list[Line] = [
        [(f"{n}/{of} " if of > 1 else "", "bold" if subject.focused else ""), (f"pid {subject.pid}", "bold")]
    ]
    if subject.ended is not None:
        parts.append([(subject.ended, "bad")])
    if paused:
        parts.append([("PAUSED", "warning")])
    parts += [
        [(f"Zeek {subject.version}", "")],
        [(subject.engine, ""), (f" {view.hz:.4g} of {subject.hz:.4g} Hz", "")],
        [(clock(view.since_s), "")],
        [(f"{view.samples} samples", "")],
    ]
    return fitting(parts, width)


def bar(view: View, width: int) -> Line:
    """The CPU of the process, and its main thread's time in scripts, in Zeek's core, and idle."""
    shares = {"script": view.script, "core": view.core, "idle": view.idle}
    words: list[Line] = [[(f"{name} {percent(shares[name])}%", name)] for name, _ in PARTS]
    cpu: Line = [(f"CPU {percent(view.cpu)}%", "bold" if view.cpu >= 0.9 else "")]
    if width < 40:
        return fitting([*words[:1], cpu, *words[1:]], width, " ")
    taken = len(cpu[0][0]) + sum(len(w[0][0]) + 2 for w in words) + 4
    picture: list[Line] = (
        [[("[", "dim"), *_cells(shares, n), ("]", "dim")]] if (n := min(_BAR, width - taken)) >= 8 else []
    )
    return fitting([cpu, *picture, *words], width)


def _cells(shares: dict[str, float], width: int) -> Line:
    """``width`` cells shared out; rounding never makes them more or fewer."""
    found: Line = []
    begin, reached = 0, 0.0
    total = sum(shares.values())
    for name, cell in PARTS:
        reached += shares[name]
        stop = min(width, round(width * reached / total)) if total > 0 else 0
        found.append((cell * (stop - begin), name))
        begin = stop
    return [*found, (" " * (width - begin), "")]


def threads(view: View, width: int) -> Line:
    """The busiest threads, the main one first. What there is no room for is added up."""
    if not view.threads:
        return cut([("threads -", "dim")], width)
    main = [t for t in view.threads if t.main]
    rest = [t for t in view.threads if not t.main]
    parts: list[Line] = (
        [[("threads", "dim"), (f" main {percent(main[0].cpu)}%", "bold")]] if main else [[("threads", "dim")]]
    )
    room = width - sum(len(part) for part, _ in parts[0])
    for i, t in enumerate(rest):
        left = rest[i:]
        more = f"{len(left)} more {percent(sum(x.cpu for x in left))}%"
        shown = f"{t.name} {percent(t.cpu)}%"
        if t.cpu < _WORTH or room < len(shown) + 2 + (len(more) + 2 if len(left) > 1 else 0):
            parts.append([(more, "dim")])
            break
        parts.append([(shown, "")])
        room -= len(shown) + 2
    return fitting(parts, width)


def rates(view: View, width: int) -> Line:
    """Network time, then the shares of samples that were not whole (README, How sure it is)."""
    parts: list[Line] = []
    if view.lag_s is not None:
        parts.append([(f"lag {view.lag_s:.2f} s", "bad" if view.lag_s > 5 else "")])
    elif view.network_time is not None:
        speed = "" if view.speed is None else f", {short(max(0.0, view.speed))}x"
        parts.append([(f"trace at {utc(view.network_time)}{speed}", "")])
    for name in ("torn", "unreadable", "lineless", "missed"):
        share = getattr(view, name)
        parts.append([(f"{name} {percent(share)}%", "warning" if share > _NOTABLE and name != "torn" else "dim")])
    parts.append([(f"stale {short(view.stale_per_s)}/s", "dim")])
    return fitting(parts, width)
