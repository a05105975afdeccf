"""The tables of offsets that zeekspy ships, one JSON file a layout. ``zeekspy offsets generate`` makes them."""

from __future__ import annotations

from functools import cache
from importlib import resources

from zeekspy import layout
from zeekspy.layout import Layout, version_key


@cache
def tables() -> tuple[Layout, ...]:
    """All shipped tables, the oldest Zeek first. ``origin`` is the file's name. BadLayout if one is damaged."""
    found = [
        layout.parse(entry.read_text(encoding="utf-8"), entry.name)
        for entry in resources.files(__name__).iterdir()
        if entry.name.endswith(".json")
    ]
    return tuple(sorted(found, key=lambda table: (version_key(table.since), table.stdlib)))


def find(version: str, stdlib: str) -> Layout | None:
    """The table for Zeek ``version`` built with ``stdlib`` (one of layout.STDLIBS), None if none claims it."""
    try:
        return next((t for t in tables() if t.stdlib == stdlib and t.covers(version)), None)
    except ValueError:  # not a version of Zeek
        return None
