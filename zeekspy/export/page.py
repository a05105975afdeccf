"""HTML pages: a template beside this module, with other files and one JSON value put in."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

_PLACE = re.compile(r"\{\{([a-z.]+)\}\}")


def filled(template: str, data: dict[str, Any]) -> bytes:
    """The page ``template``: ``{{name.js}}`` and the like become that file, ``{{data}}`` becomes ``data``."""
    text = json.dumps(data, separators=(",", ":"), default=str)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    pieces = {"data": text}

    def piece(match: re.Match[str]) -> str:
        name = match[1]
        return pieces[name] if name in pieces else _read(name)

    return _PLACE.sub(piece, _read(template)).encode("ascii", "xmlcharrefreplace")


def _read(name: str) -> str:
    return resources.files("zeekspy.export").joinpath(name).read_text("utf-8")
