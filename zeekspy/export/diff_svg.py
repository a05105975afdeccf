"""A differential flame graph as a picture: as wide as the new profile's time, red where that has grown, else blue."""

from __future__ import annotations

from typing import BinaryIO

from zeekspy.export.svg import NARROWEST, Colour, Picture, draw
from zeekspy.export.tree import VALUES, main_value, of_scripts, tree
from zeekspy.export.words import headline
from zeekspy.profile import Profile

LEGEND: dict[str, Colour] = {
    "more than before": (2, 85, 62),
    "as before": (0, 0, 85),
    "less than before": (215, 85, 62),
}


def write(profile: Profile, base: Profile, out: BinaryIO) -> None:
    """One SVG. Stacks that only ``base`` has are not drawn: they have no width any more."""
    value = main_value(profile)
    both = tree([of_scripts(profile), of_scripts(base)])
    shares = []
    for number, part in enumerate((profile, base)):
        whole = getattr(part.total(), value) or 1
        shares.append([total / whole for total in both.totals(number, VALUES.index(value))])
    change = [new - old for new, old in zip(*shares, strict=True)]
    strongest = max(map(abs, change), default=0.0)

    def look(node: int) -> tuple[Colour, str]:
        said = f"\nbefore {100 * shares[1][node]:.2f} %, change {100 * change[node]:+.2f} points"
        if not change[node]:
            return LEGEND["as before"], said
        strength = (abs(change[node]) / strongest) ** 0.5
        return (2 if change[node] > 0 else 215, round(30 + 55 * strength), round(88 - 28 * strength)), said

    picture = Picture(both, value, profile.total(), NARROWEST)
    draw(picture, profile, [f"new: {headline(profile)}", f"base: {headline(base)}"], LEGEND, look, out)
