"""Tables in comments of a pprof file, which pprof's reports do not show: JSON behind a word that says what it is.

A body is ``[file, first_line, last_line]`` in them, or null where it is not known. What is read is hostile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from zeekspy.profile import Body


def tables(prefix: str, comments: Iterable[str]) -> Iterator[Any]:
    """What the comments with that prefix hold, as JSON; each once, and those that are not well-formed left out."""
    for text in dict.fromkeys(c for c in comments if c.startswith(prefix)):
        try:
            table = json.loads(text.removeprefix(prefix))
        except (ValueError, RecursionError):
            continue
        yield table


def utf8(text: str | None) -> str | None:
    """As the file's table of strings has it."""
    return text if text is None else text.encode("utf-8", "backslashreplace").decode()


def place_row(body: Body | None) -> list[Any] | None:
    """How a table has a body."""
    return None if body is None else [utf8(body.file), body.first_line, body.last_line]


def is_place(place: Any) -> bool:
    """Whether a table can have a body so."""
    match place:
        case None | [None | str(), int(), int()]:
            return True
    return False


def body_at(place: Any) -> Body | None:
    """The body of what ``is_place``."""
    return None if place is None else Body(*place)
