"""Every body that is known of a target, by the place it is at: what names a function that ZAM has inlined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zeekspy.profile import Frame


class FoundBody(NamedTuple):
    """A body that definitions name."""

    key: Frame
    """As profile.body_key makes it of the body's frames."""
    stmt: int
    """Address of its top statement."""
    zam: bool
    """Compiled by ZAM: the statement is a ZBody."""


class BodyIndex:
    """Bodies by file and line."""

    def __init__(self, bodies: Iterable[FoundBody] = ()) -> None:
        self._by_file: dict[str, dict[Frame, None]] = {}
        self._merged: dict[int, tuple[Frame, ...]] = {}
        self.add(bodies)

    def add(self, bodies: Iterable[FoundBody]) -> None:
        for body in bodies:
            place = body.key.body
            # A lambda is called, never inlined; what lies within it may be its own call, as in a when statement.
            if place is not None and place.file and "lambda_<" not in (body.key.name or ""):
                self._by_file.setdefault(place.file, {})[body.key] = None

    def merge(self, stmt: int, bodies: Sequence[FoundBody]) -> None:
        """The compiled body at ``stmt`` is all of these bodies of one event (from Zeek 6.2 on)."""
        self.add(bodies)
        self._merged[stmt] = tuple(b.key for b in bodies)

    def merged(self, stmt: int) -> tuple[Frame, ...]:
        """The bodies that the one at ``stmt`` was made from; () if it was not made from several."""
        return self._merged.get(stmt, ())

    def holding(self, file: str, line: int) -> Frame | None:
        """The body with this line, the narrowest where they are nested; None if there is none, or two as narrow."""
        found: list[Frame] = []
        least = -1
        for key in self._by_file.get(file, ()):
            body = key.body
            assert body is not None
            if body.first_line <= line <= body.last_line:
                size = body.last_line - body.first_line
                if least < 0 or size < least:
                    found, least = [key], size
                elif size == least:
                    found.append(key)
        return found[0] if len(found) == 1 else None
