"""Captures: the bytes of a target's memory that its script stack needs, in a file. Format: zeek-stack-capture/1.

gzip, one JSON object a line. The first is the header: version, arch, stdlib, fields (the layout they were taken
with) and symbols (addresses). Each further line is one stop: ``segments`` is a list of [address, hex bytes].
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from zeekspy.errors import FileError

FORMAT = "zeek-stack-capture/1"
MAX_LINE = 1 << 27
"""Longest line read, in characters: 64 MB of memory, far more than any stack needs."""

Segments = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Header:
    version: str
    arch: str
    stdlib: str | None
    fields: Mapping[str, int]
    symbols: Mapping[str, int]
    """By the name a layout gives them: call_stack, g_frame_stack …"""
    raw: bool = False
    """Made without a layout, as none fitted: the memory around the stacks, whatever it is."""


def read(path: Path) -> tuple[Header, Iterator[Segments]]:
    """The header, and the stops one by one. FileError for a file that is no capture, now or at the stop in question."""
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise FileError(f"{path} is empty", "A capture begins with a header line; make one with zeekspy capture.")
    return _header(path, first), (_stop(path, number, stop) for number, stop in enumerate(lines, start=1))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as f:
            number = 0
            while line := f.readline(MAX_LINE):
                number += 1
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise FileError(f"{path} is not a capture: line {number} is not a JSON object")
                yield value
    except FileError:
        raise
    except (OSError, EOFError, zlib.error) as e:
        reason = getattr(e, "strerror", None) or str(e)
        raise FileError(f"cannot read {path}: {reason}", "A capture is made by zeekspy capture -o FILE.") from None
    except (ValueError, RecursionError) as e:
        raise FileError(f"{path} is not a capture: {e}") from None


def _numbers(path: Path, header: Mapping[str, Any], key: str) -> dict[str, int]:
    values = header.get(key)
    if not isinstance(values, dict):
        raise FileError(f"{path} is not a capture: its header has no {key}")
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64):
            raise FileError(f"{path} is damaged: {key} of {name} is {value!r}")
    return {name: value for name, value in values.items() if value is not None}


def _header(path: Path, first: Mapping[str, Any]) -> Header:
    if first.get("format") != FORMAT:
        raise FileError(f"{path} is not a capture: its format is not {FORMAT}")
    texts = {key: first.get(key) for key in ("version", "arch", "stdlib")}
    if not isinstance(texts["version"], str):
        raise FileError(f"{path} is damaged: its header has no version")
    symbols = _numbers(path, first, "symbols")
    if "call_stack" not in symbols:
        raise FileError(f"{path} is damaged: its header does not say where call_stack is")
    stdlib = texts["stdlib"] if isinstance(texts["stdlib"], str) else None
    fields, raw = _numbers(path, first, "fields"), first.get("raw") is True
    return Header(texts["version"], str(texts["arch"] or ""), stdlib, fields, symbols, raw)


def _stop(path: Path, number: int, stop: Mapping[str, Any]) -> Segments:
    try:
        pieces = [(int(address), bytes.fromhex(data)) for address, data in stop["segments"]]
    except (KeyError, TypeError, ValueError, OverflowError):
        raise FileError(f"{path} is damaged: stop {number} has no segments of [address, hex bytes]") from None
    if any(not 0 <= address < (1 << 64) - len(data) for address, data in pieces):
        raise FileError(f"{path} is damaged: stop {number} has an address that is none")
    return coalesce(pieces)


def coalesce(pieces: Segments) -> Segments:
    """Sorted pieces without overlap, neighbours joined. Where pieces overlap, the one with the lower address counts."""
    result: list[tuple[int, bytearray]] = []
    for address, data in sorted(pieces, key=lambda piece: piece[0]):
        if result and address <= (end := result[-1][0] + len(result[-1][1])):
            result[-1][1].extend(data[end - address :])
        else:
            result.append((address, bytearray(data)))
    return [(address, bytes(data)) for address, data in result]


class Writer:
    """Writes a capture to an open binary file."""

    def __init__(self, out: IO[bytes], header: Header) -> None:
        self._gzip = gzip.GzipFile(fileobj=out, mode="wb", mtime=0)
        line = {
            "format": FORMAT,
            "version": header.version,
            "arch": header.arch,
            "stdlib": header.stdlib,
            "fields": dict(header.fields),
            "symbols": dict(header.symbols),
            **({"raw": True} if header.raw else {}),
        }
        self._line(line)

    def stop(self, pieces: Segments) -> None:
        segments = [[address, data.hex()] for address, data in coalesce(pieces)]
        self._line({"segments": segments})

    def close(self) -> None:
        self._gzip.close()

    def _line(self, value: Mapping[str, Any]) -> None:
        self._gzip.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
