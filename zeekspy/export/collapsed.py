"""Folded stacks, the input of flamegraph.pl and of most viewers: ``outermost;…;innermost N``, N in samples."""

from __future__ import annotations

from collections import Counter
from typing import BinaryIO

from zeekspy.profile import Profile, display_name


def write(profile: Profile, out: BinaryIO) -> None:
    """One line a stack of bodies, sorted: stacks that differ only in lines or labels are one.

    A sample without a stack has nothing to stand for it in this format and is left out.
    """
    counts: Counter[str] = Counter()
    for stack, _, values in profile:
        counts[";".join(escape(display_name(frame)) for frame in stack)] += values.count
    for folded, count in sorted(counts.items()):
        if folded and count:
            out.write(f"{folded} {count}\n".encode())


def escape(name: str) -> str:
    r"""``name`` without what would end a frame or a line: ``;`` as ``\x3b``, the rest as in Python; ``?`` if empty."""
    if not name:
        return "?"
    if name.isprintable() and ";" not in name and "\\" not in name:
        return name
    return "".join(_escape(c) for c in name)


def _escape(char: str) -> str:
    if char == ";":
        return "\\x3b"
    if char == "\\" or not char.isprintable():
        return char.encode("unicode_escape").decode("ascii")
    return char
