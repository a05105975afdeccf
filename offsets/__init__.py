"""The tables of offsets that zeekspy ships, one JSON file a layout. ``zeekspy offsets generate`` makes them."""

from __future__ import annotations

from functools import cache
from importlib import resources

from zeekspy import layout
from zeekspy.layout import Layout, version_key


@cache
def _parsed(name: str) -> Layout:
    return layout.parse((resources.files(__name__) / name).read_text(encoding="utf-8"), name)


@cache
def _names() -> tuple[str, ...]:
    return tuple(entry.name for entry in resources.files(__name__).iterdir() if entry.name.endswith(".json"))


@cache
def tables() -> tuple[Layout, ...]:
    """All shipped tables, the oldest Zeek first. ``origin`` is the file's name. BadLayout if one is damaged."""
    return tuple(sorted(map(_parsed, _names()), key=lambda table: (version_key(table.since), table.stdlib)))


def find(version: str, stdlib: str) -> Layout | None:
    """The table for Zeek ``version`` built with ``stdlib`` (one of layout.STDLIBS), None if none claims it."""
    # An attach waits for this: the likely files first, for reading all takes longer than the rest of the choice.
    likely = f"zeek-{version.partition('.')[0]}."
    try:
        for name in sorted(_names(), key=lambda name: (f"-{stdlib}." not in name, not name.startswith(likely), name)):
            table = _parsed(name)
            if table.stdlib == stdlib and table.covers(version):
                return table
    except ValueError:  # not a version of Zeek
        pass
    return None
