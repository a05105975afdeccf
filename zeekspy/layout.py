"""Layouts: where one version of Zeek, under one C++ ABI, keeps what a walk of the script stack reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeekspy import _core
from zeekspy.errors import BadLayout, FileError

FORMAT = "zeekspy-offsets/1"
STDLIBS = ("libstdc++", "libc++", "libstdc++-old")
"""In the order of enum zs_stdlib: the strings' layout. The last is libstdc++ with _GLIBCXX_USE_CXX11_ABI=0."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One table of offsets. ``fields`` holds bytes by dotted C++ name; a name that is not there is absent."""

    since: str
    until: str
    stdlib: str
    fields: Mapping[str, int]
    symbols: Mapping[str, str | None]
    """call_stack, g_frame_stack, version, event_registry … to the mangled name, None where a version has none."""
    provenance: tuple[Mapping[str, Any], ...] = field(default=())
    origin: str = ""
    """Where this table came from, for reports: a file's name or the DWARF it was made from."""

    def covers(self, version: str) -> bool:
        """Whether ``version`` lies in [since, until], patch levels included."""
        return version_key(self.since) <= version_key(version) <= version_key(self.until)

    def validate(self) -> None:
        """Raises BadLayout unless the walker could use this table."""
        _core.validate_layout(self.fields, STDLIBS.index(self.stdlib))

    def to_json(self) -> str:
        table = {
            "format": FORMAT,
            "zeek": {"since": self.since, "until": self.until},
            "stdlib": self.stdlib,
            "pointer_size": 8,
            "symbols": dict(self.symbols),
            "fields": dict(self.fields),
            "provenance": [dict(p) for p in self.provenance],
        }
        return json.dumps(table, indent=2) + "\n"


def dispatch_counter(fields: Mapping[str, int], symbols: Mapping[str, int]) -> int:
    """The address of Zeek's u64 count of events whose handlers have returned; 0 if it is not known.

    Until 3.2 a global of Event.cc, from 4.0 on a member of ``event_mgr``. ``symbols`` are addresses in the target.
    """
    if "event_mgr" in symbols and "EventMgr.num_events_dispatched" in fields:
        return symbols["event_mgr"] + fields["EventMgr.num_events_dispatched"]
    return symbols.get("num_events_dispatched", 0)


def version_key(version: str) -> tuple[int, int, int, int, int]:
    """Orders Zeek versions: 9.0.0-dev.12 < 9.0.0-rc1 < 9.0.0 < 9.0.1.

    Local suffixes (``9.0.0-dev.12-custom``) do not count. Raises ValueError for what is not a version of Zeek.
    """
    m = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:-(dev|beta|rc)\.?(\d{0,6}))?", version)
    if not m:
        raise ValueError(f"not a Zeek version: {version!r}")
    stage = {"dev": 0, "beta": 1, "rc": 2, None: 3}[m[4]]
    return int(m[1]), int(m[2]), int(m[3] or 0), stage, int(m[5] or 0)


def parse(text: str, origin: str) -> Layout:
    """A Layout from the JSON of an offset table. Raises BadLayout that names what is wrong; validates."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise BadLayout(f"{origin} is not JSON: {e}") from None
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        raise BadLayout(f"{origin} is not an offset table: its format is not {FORMAT}")
    zeek, fields, symbols = table.get("zeek"), table.get("fields"), table.get("symbols")
    if not (isinstance(zeek, dict) and isinstance(fields, dict) and isinstance(symbols, dict)):
        raise BadLayout(f"{origin}: zeek, fields and symbols must be objects")
    if table.get("pointer_size") != 8:
        raise BadLayout(f"{origin}: only pointers of 8 bytes are supported")
    if table.get("stdlib") not in STDLIBS:
        raise BadLayout(f"{origin}: stdlib must be one of {', '.join(STDLIBS)}")
    for end in ("since", "until"):
        try:
            version_key(zeek.get(end) or "")
        except (ValueError, TypeError):
            raise BadLayout(f"{origin}: zeek.{end} is not a version of Zeek") from None
    for name, value in fields.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise BadLayout(f"{origin}: field {name} is not a number")
    for name, value in symbols.items():
        if value is not None and not isinstance(value, str):
            raise BadLayout(f"{origin}: symbol {name} is not a name")
    provenance = table.get("provenance") or []
    if not isinstance(provenance, list) or not all(isinstance(p, dict) for p in provenance):
        raise BadLayout(f"{origin}: provenance must be a list of objects")
    layout = Layout(
        since=zeek["since"],
        until=zeek["until"],
        stdlib=table["stdlib"],
        fields={k: v for k, v in fields.items() if v is not None},
        symbols=symbols,
        provenance=tuple(provenance),
        origin=origin,
    )
    layout.validate()
    return layout


def load(path: Path) -> Layout:
    """The table in a file. FileError if it cannot be read, BadLayout if it is no table."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as e:
        raise FileError(f"cannot read {path}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise BadLayout(f"{path} is not an offset table: it is not text") from None
