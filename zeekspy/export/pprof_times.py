"""When the samples of a pprof file were taken, in one comment that pprof's reports do not show.

pprof has no order of time, and a label with the time would make every sample a message of its own. So the comment
``#times {…} BASE64`` holds the runs of Profile.times: zlib over three columns of 64-bit little-endian numbers (time
since the run before in microseconds, index of the Sample message, samples of the run), and each column as its lowest
bytes, then its second lowest, and so on, because most bytes but the lowest are zero. The JSON object has ``runs``,
``dropped`` (samples without a time) and ``check``, a sum over the Sample messages: a file whose samples pprof has
merged or filtered does not agree with it any more, and then has no times.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
import zlib
from array import array
from typing import Any

from zeekspy.profile import Labels, Profile, Stack
from zeekspy.timeline import LIMIT, MOST, Timeline

PREFIX = "#times "
MAX_BASE64 = 4 << 20
"""Bounds the comment. Where it would be longer, the oldest runs are left out."""
_BYTES = 3 * 8
"""Of a run, before compression."""
_MAX_RUNS = LIMIT + LIMIT // 8 + 1
_DECADE_US = 10 * 366 * 86_400 * 1_000_000


def comment(profile: Profile, message: Any) -> str | None:
    """The comment for ``message``, whose samples are those of ``profile`` in their order; None without times."""
    times = profile.times
    if times is None or not len(times):
        return None
    index = {key: number for number, key in enumerate(profile.samples)}
    numbers = [index.get(key, len(index)) for key in times.keys]
    first = 0
    while True:
        count = len(times) - first
        columns = (
            array("q", [times.times[first], *map(int.__sub__, times.times[first + 1 :], times.times[first:-1])]),
            array("q", [numbers[slot] for slot in times.slots[first:]]),
            array("q", times.counts[first:]),
        )
        text = base64.b64encode(zlib.compress(b"".join(map(_planes, columns)), 6)).decode("ascii")
        if len(text) <= MAX_BASE64:
            break
        first += max(1, count - int(count * 0.95 * MAX_BASE64 / len(text)))
        if first >= len(times):
            return None
    dropped = times.dropped + sum(times.counts[:first])
    head = json.dumps({"runs": count, "dropped": dropped, "check": _check(message)}, separators=(",", ":"))
    return f"{PREFIX}{head} {text}"


def times_of(comments: list[str], message: Any, keys: list[tuple[Stack, Labels]]) -> Timeline | None:
    """The timeline in ``comments``; None without one, or if it does not fit the samples, whose keys are ``keys``."""
    found = [c for c in comments if c.startswith(PREFIX)]
    if len(found) != 1 or len(found[0]) > MAX_BASE64 + 200:
        return None
    try:
        head_text, _, text = found[0].removeprefix(PREFIX).partition(" ")
        head = json.loads(head_text)
        runs, dropped, check = (head[name] for name in ("runs", "dropped", "check"))
        if not (type(runs) is int and type(dropped) is int and 0 < runs <= _MAX_RUNS and dropped >= 0):
            return None
        gunzip = zlib.decompressobj()
        data = gunzip.decompress(base64.b64decode(text, validate=True), runs * _BYTES + 1)
    except (ValueError, RecursionError, KeyError, TypeError, binascii.Error, zlib.error):
        return None
    if len(data) != runs * _BYTES or check != _check(message):
        return None
    deltas, numbers, counts = (_column(data[8 * runs * i : 8 * runs * (i + 1)]) for i in range(3))
    return _timeline((deltas, numbers, counts), dropped, message, keys)


def _timeline(
    columns: tuple[array[int], array[int], array[int]], dropped: int, message: Any, keys: list[tuple[Stack, Labels]]
) -> Timeline | None:
    deltas, numbers, counts = columns
    room = [sample.value[0] for sample in message.sample]
    if not (min(deltas[1:], default=0) >= 0 and min(numbers) >= 0 and max(numbers) < len(keys) and min(counts) > 0):
        return None
    result = Timeline()
    slots = [result.slot(*key) for key in keys]
    t_us = 0
    for delta, number, count in zip(deltas, numbers, counts, strict=True):
        t_us += delta
        room[number] -= count
        if room[number] < 0 or count > MOST or not -_DECADE_US < t_us < _DECADE_US:
            return None
        result.add(t_us, slots[number], count)
    result.dropped += dropped
    return result


def _check(message: Any) -> int:
    crc = 0
    for sample in message.sample:
        crc = zlib.crc32(b"%d %d;" % (sample.value[0], len(sample.location_id)), crc)
    return crc


def _planes(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    data = column.tobytes()
    return b"".join(data[i::8] for i in range(8))


def _column(planes: bytes) -> array[int]:
    size = len(planes) // 8
    data = bytearray(len(planes))
    for i in range(8):
        data[i::8] = planes[i * size : (i + 1) * size]
    column = array("q", bytes(data))
    if sys.byteorder == "big":
        column.byteswap()
    return column
