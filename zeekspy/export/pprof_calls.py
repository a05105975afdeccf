"""How often bodies ran, in comments of a pprof file that pprof's reports do not show.

``calls/count`` is no sample type: calls are counted, not sampled, and belong to a body, not to a stack. So each
recording is one comment ``#calls {…}``, a JSON object with ``at`` (Profile.time_ns: files that pprof merges keep one
comment each), ``ns`` (the time over which calls were counted), ``bodies``, rows ``[kind, name, [file, first_line,
last_line] or null, bodies, calls]``, and ``lines``, rows ``[count, [[function, file, line], …]]`` of ZAM instructions.
Beyond MAX_ROWS rows, those with the smallest numbers are left out.
"""

from __future__ import annotations

import json
from typing import Any

from zeekspy.export.pprof_comments import body_at, is_place, place_row, tables, utf8
from zeekspy.profile import KINDS, Frame, Profile

PREFIX = "#calls "
MAX_ROWS = 5000
MAX_CHAIN = 64
_MOST = 1 << 63


def comment(profile: Profile) -> str | None:
    """The comment for ``profile``; None where nothing was counted."""
    if not profile.calls and not profile.instructions:
        return None
    most = sorted(profile.calls.items(), key=lambda item: -item[1])[:MAX_ROWS]
    lines = sorted(profile.instructions.items(), key=lambda item: -item[1])[:MAX_ROWS]
    table: dict[str, Any] = {
        "at": profile.time_ns,
        "ns": profile.calls_ns,
        "bodies": [[f.kind, utf8(f.name), place_row(f.body), f.bodies, n] for f, n in most],
        "lines": [[n, [list(line) for line in chain]] for chain, n in lines],
    }
    return PREFIX + json.dumps(table, separators=(",", ":"))


def into(profile: Profile, comments: list[str]) -> None:
    """Adds to ``profile`` what the comments say; what is not well-formed says nothing."""
    for table in tables(PREFIX, comments):
        match table:
            case {"ns": int(ns), "bodies": list(bodies), "lines": list(lines)}:
                part = Profile(calls_ns=ns if 0 <= ns < _MOST else 0)
                for row in bodies[:MAX_ROWS]:
                    _add_body(part, row)
                for row in lines[:MAX_ROWS]:
                    _add_line(part, row)
                profile.add_calls(part)


def _add_body(part: Profile, row: Any) -> None:
    match row:
        case [None | str() as kind, None | str() as name, place, int(bodies), int(n)] if (
            kind in (None, *KINDS) and 0 <= n < _MOST and is_place(place)
        ):
            part.calls[Frame(name, kind, None, None, body_at(place), bodies)] = n


def _add_line(part: Profile, row: Any) -> None:
    match row:
        case [int(n), list(places)] if 0 <= n < _MOST and 0 < len(places) <= MAX_CHAIN:
            chain = []
            for place in places:
                match place:
                    case [str(function), str(file), int(line)]:
                        chain.append((function, file, line))
                    case _:
                        return
            part.instructions[tuple(chain)] = n
