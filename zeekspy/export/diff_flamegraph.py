"""A differential flame graph as one HTML page: as wide as the new profile's time, coloured by what has changed."""

from __future__ import annotations

from typing import BinaryIO

from zeekspy.export import page
from zeekspy.export.flamegraph import content
from zeekspy.export.tree import tree
from zeekspy.export.words import headline
from zeekspy.profile import Profile


def write(profile: Profile, base: Profile, out: BinaryIO) -> None:
    """One HTML file. Stacks that only ``base`` has are not drawn: they have no width any more."""
    drawn = tree([profile, base])
    data = content(drawn, profile)
    data["base"] = {"own": drawn.own[1], "headline": headline(base)}
    data["title"] = f"{data['title']}, compared"
    data["headline"] = f"new: {data['headline']}; base: {headline(base)}"
    out.write(page.filled("flamegraph.html", data))
