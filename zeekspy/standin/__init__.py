"""The stand-in target: a small program with Zeek's interpreter shapes and a known load, for the demo and the tests.

``*.cc`` and ``*.h`` beside this file are its sources; setup.py builds them once per era into ``bin/``.
"""

from __future__ import annotations

import os
from pathlib import Path

from zeekspy.errors import FileError

ERAS = ("1", "2")
"""Shapes of the interpreter: "1" is that of Zeek <= 8.0, "2" that of Zeek >= 8.1."""


def path(era: str) -> Path:
    """The executable of one era of ERAS. Raises FileError where it has not been built, ValueError for another era."""
    if era not in ERAS:
        raise ValueError(f"no such era: {era!r}; there are {', '.join(ERAS)}")
    built = Path(__file__).parent / "bin" / f"standin-{era}"
    if not os.access(built, os.X_OK):
        raise FileError(
            f"the stand-in target was not built: {built} is missing",
            "Install a C++ compiler (apt-get install g++) and then zeekspy again (make venv, or pip install . in its "
            "source).",
        )
    return built
