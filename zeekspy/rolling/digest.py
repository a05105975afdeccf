"""A folder of captures after the fact: when, which node, which trigger, what was hot, and what they have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeekspy import recording
from zeekspy.errors import FileError
from zeekspy.export import sequence
from zeekspy.export.bodies import printable
from zeekspy.export.difference import two_proportions
from zeekspy.profile import IDLE, Frame, Profile, body_key, display_name
from zeekspy.rolling import shelf
from zeekspy.rolling.status import value_text

CHANCE = 0.01
"""A share is said to be higher where chance alone would make it as high in so few cases."""
MOST_COMMON = 12
HOT = 3
"""Bodies of each capture that the table names."""

Key = tuple[str, str | None, str | None]
"""Display name, kind and file of a body: what a moved line does not change."""


@dataclass(slots=True)
class Counts:
    """Samples of each body, own and total, among all that were not idle."""

    samples: int = 0
    own: dict[Key, int] = field(default_factory=dict)
    total: dict[Key, int] = field(default_factory=dict)

    def add(self, frames: Sequence[Frame], count: int) -> None:
        keys = [_key(frame) for frame in frames]
        self.samples += count
        self.own[keys[-1]] = self.own.get(keys[-1], 0) + count
        for key in set(keys):
            self.total[key] = self.total.get(key, 0) + count

    def share(self, key: Key, *, own: bool = False) -> float:
        return (self.own if own else self.total).get(key, 0) / self.samples if self.samples else 0.0


@dataclass(slots=True)
class Capture:
    """One capture: what its sidecar says, and its samples of the episode and of the time before."""

    about: dict[str, Any]
    episode: Counts
    before: Counts

    def hot(self) -> list[tuple[Key, float]]:
        """The bodies with most samples of their own in the episode."""
        best = sorted(self.episode.own, key=lambda k: (-self.episode.own[k], k[0]))[:HOT]
        return [(key, self.episode.share(key, own=True)) for key in best]


@dataclass(frozen=True, slots=True)
class Common:
    """One body that takes more in captures' episodes than otherwise; shares 0 … 1 of the samples that were not idle."""

    key: Key
    captures: int
    """In how many its total share is higher, by more than chance."""
    total: float
    total_before: float
    own: float
    own_before: float


def read(folder: Path) -> tuple[list[Capture], list[str]]:
    """The captures there, the oldest first, and sentences about those that cannot be read. FileError where none is."""
    found, problems = [], []
    for kept in shelf.listed(folder):
        try:
            found.append(_capture(folder, kept))
        except FileError as e:
            problems.append(str(e))
    if not found:
        why = f": {problems[0]}" if problems else ""
        raise FileError(f"there are no captures in {folder}{why}", "Give the --out of zeekspy watch.")
    return found, problems


def counted(profile: Profile) -> Counts:
    """All of a profile: what is quiet, for ``common``."""
    result = Counts()
    for stack, _, values in profile:
        if stack != (IDLE,) and stack and values.count:
            result.add(stack, values.count)
    return result


def common(captures: Sequence[Capture], base: Counts | None = None) -> list[Common]:
    """What takes more of the time in the episodes than in ``base``, or else than before each of them.

    First what does so in most captures, then by how much.
    """
    found = []
    episode = _sum(c.episode for c in captures)
    before = base if base is not None else _sum(c.before for c in captures)
    for key in episode.total:
        n = sum(_higher(key, c.episode, base if base is not None else c.before) for c in captures)
        if n:
            totals = episode.share(key), before.share(key)
            owns = episode.share(key, own=True), before.share(key, own=True)
            found.append(Common(key, n, *totals, *owns))
    found.sort(key=lambda c: (-c.captures, -(c.total - c.total_before), -c.own, c.key[0]))
    return found[:MOST_COMMON]


def text(captures: Sequence[Capture], shared: Sequence[Common], base: str = "") -> str:
    """The tables. ``base`` names the recording that was compared with, if one was."""
    rows = [("WHEN", "NODE", "TRIGGER", "VALUE", "HOT")]
    for c in captures:
        a = c.about
        hot = ", ".join(f"{_shown(key)} {100 * share:.0f} %" for key, share in c.hot()) or "nothing but idle time"
        rows.append((str(a.get("fired", "?")), _node(a), str(a.get("trigger", "?")), _values(a), hot))
    lines = _table(rows)
    n = len(captures)
    against = f"in {base}" if base else "before each"
    if not shared:
        lines += ["", f"Nothing takes more of the time in these {n} captures than {against}."]
        return "\n".join(lines) + "\n"
    lines += ["", f"What takes more of the time than {against} ({sum(c.before.samples for c in captures)} samples):"]
    if base:
        lines[-1] = f"What takes more of the time than {against}:"
    head = ("CAPTURES", "TOTAL", "ELSE", "OWN", "ELSE", "BODY", "FILE")
    body = [
        (
            f"{c.captures} of {n}",
            *(f"{100 * share:.1f} %" for share in (c.total, c.total_before, c.own, c.own_before)),
            _shown(c.key),
            printable(c.key[2] or ""),
        )
        for c in shared
    ]
    return "\n".join([*lines, *_table([head, *body])]) + "\n"


def as_json(captures: Sequence[Capture], shared: Sequence[Common]) -> str:
    """The same for programs."""

    def body(key: Key) -> dict[str, Any]:
        return {"body": key[0], "kind": key[1], "file": key[2]}

    rows = [{**c.about, "hot": [{**body(k), "own": round(s, 4)} for k, s in c.hot()]} for c in captures]
    both = [
        {
            **body(c.key),
            "captures": c.captures,
            "total": round(c.total, 4),
            "total_before": round(c.total_before, 4),
            "own": round(c.own, 4),
            "own_before": round(c.own_before, 4),
        }
        for c in shared
    ]
    return json.dumps({"captures": rows, "common": both}, indent=1) + "\n"


def _capture(folder: Path, kept: shelf.Kept) -> Capture:
    beside = next((name for name in kept.files if name.endswith(shelf.SIDECAR)), None)
    profile = next((name for name in kept.files if name.endswith(shelf.PROFILE)), None)
    if beside is None or profile is None:
        raise FileError(f"capture {kept.number} in {folder} has no {'sidecar' if beside is None else 'profile'}")
    about = shelf.sidecar(folder / beside)
    try:
        begin, since, fired = (int(about[k]) for k in ("begin_ns", "since_ns", "fired_ns"))
        highest = about.get("highest") or {}
        stalled = [float(value) for name, value in highest.items() if name.startswith("stall>")]
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as e:
        raise FileError(f"{folder / beside} does not say when it was ({type(e).__name__}: {e})") from None
    # A stall goes on after it was seen to be one.
    until = max([fired, *(since + round(s * 1e9) for s in stalled if 0 <= s < 1e9)])
    return Capture(
        about, *_split(recording.read(str(folder / profile)), (since - begin) // 1000, (until - begin) // 1000)
    )


def _split(profile: Profile, since_us: int, until_us: int) -> tuple[Counts, Counts]:
    """The samples between these times, and those before; microseconds since the profile's beginning."""
    episode, before = Counts(), Counts()
    stacks = [stack for stack, _ in profile.samples]
    for t_us, number, count, *_ in sequence.runs(profile):
        stack = stacks[number]
        if t_us is None or not stack or stack == (IDLE,) or t_us > until_us:
            continue
        (before if t_us < since_us else episode).add(stack, count)
    return episode, before


def _sum(parts: Iterable[Counts]) -> Counts:
    result = Counts()
    for part in parts:
        result.samples += part.samples
        for mine, theirs in ((result.own, part.own), (result.total, part.total)):
            for key, n in theirs.items():
                mine[key] = mine.get(key, 0) + n
    return result


def _higher(key: Key, counts: Counts, base: Counts) -> bool:
    if counts.share(key) <= base.share(key):
        return False
    return two_proportions(counts.total.get(key, 0), counts.samples, base.total.get(key, 0), base.samples) < CHANCE


def _key(frame: Frame) -> Key:
    found = body_key(frame)
    return display_name(found), found.kind, found.body.file if found.body is not None else None


def _shown(key: Key) -> str:
    return printable(key[0])


def _node(about: dict[str, Any]) -> str:
    return str(about.get("node") or f"pid {about.get('pid', '?')}")


def _values(about: dict[str, Any]) -> str:
    values, highest = about.get("values"), about.get("highest")
    highest = highest if isinstance(highest, dict) else {}
    found = []
    for name, v in values.items() if isinstance(values, dict) else ():
        said = v if isinstance(v, dict) else {}
        value, unit = highest.get(name, said.get("value")), said.get("unit")
        if isinstance(value, int | float) and unit in ("%", "/s", "s", "B"):
            found.append(value_text(value, unit))
    return ", ".join(found)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    clean = [tuple(map(printable, row)) for row in rows]
    widths = [max(len(row[i]) for row in clean) for i in range(len(clean[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in clean]
