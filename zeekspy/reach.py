"""What can be reached from Zeek's stacks without knowing how anything is laid out: for captures of unknown builds.

Every aligned word that may be a pointer is followed, level by level, from the two vectors of the interpreter. A table
of offsets made later then finds in the capture what it needs. Unlike a capture made with a layout, this one may hold
values of script variables.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from zeekspy.capture import Segments, coalesce
from zeekspy.target import Target

if TYPE_CHECKING:
    from zeekspy._core import Memory

PIECE = 256
"""Bytes read where a pointer leads to: more than any object that a walk looks at."""
VECTOR = 24
LONGEST = 1 << 14
"""Bytes of a vector's elements at most: 682 entries."""
LEVELS = 7
"""From a vector's element to the characters of a file's name: frame, function, body, statement, location, name."""
MOST = 1 << 14
"""Pieces in all."""
USER = range(4096, 1 << 47)


def reach(target: Target, memory: Memory) -> Segments:
    """Pieces of memory by address, in order and apart from each other. Raises NoSuchTarget."""
    headers = [target.symbols[name] for name in ("call_stack", "g_frame_stack") if name in target.symbols]
    found: dict[int, bytes] = {}
    vectors = [(at, data) for at, data in zip(headers, memory.read_many(headers, VECTOR), strict=True) if data]
    found.update(vectors)
    for _, data in vectors:
        begin, end, _ = struct.unpack("<QQQ", data)
        size = min(end - begin, LONGEST)
        if begin in USER and size > 0 and (elements := memory.read_many([begin], size)[0]):
            found[begin] = elements
    todo = list(_pointers(found.values()))
    for _ in range(LEVELS):
        todo = [at for at in dict.fromkeys(todo) if at not in found][: MOST - len(found)]
        if not todo:
            break
        pieces = {at: data for at, data in zip(todo, memory.read_many(todo, PIECE), strict=True) if data}
        found.update(pieces)
        todo = list(_pointers(pieces.values()))
    return coalesce(list(found.items()))


def _pointers(pieces: Iterable[bytes]) -> Iterable[int]:
    words = chain.from_iterable(struct.unpack_from(f"<{len(piece) // 8}Q", piece) for piece in pieces)
    return (word for word in words if word in USER)
