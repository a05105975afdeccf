"""The bytes that a dump with values needs, saved from core files of real Zeeks that ran values.zeek (gcore, x86_64).

tests/golden/values-VERSION.json.gz: version, stdlib, fields (the layout), symbols, data (where vtables lie), sp,
segments ([address, hex bytes]) and expected: the lines of ``dump --args --locals``. Those were compared with gdb's view
and with what Zeek printed, by tests/integration/test_dump_values.py.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from zeekspy.capture import Segments, coalesce
from zeekspy.layout import Layout

GOLDEN = Path(__file__).parent.parent / "golden"
LIMIT = 1 << 26


@dataclass(frozen=True)
class Saved:
    layout: Layout
    version: str
    symbols: dict[str, int]
    data: tuple[int, int]
    sp: int
    segments: Segments
    expected: tuple[str, ...]


@cache
def saved() -> tuple[Saved, ...]:
    return tuple(read(path) for path in sorted(GOLDEN.glob("values-*.json.gz")))


def read(path: Path) -> Saved:
    with gzip.open(path, "rt") as f:
        o = json.load(f)
    version = o["version"]
    return Saved(
        layout=Layout(version, version, o["stdlib"], o["fields"], {}, origin=path.name),
        version=version,
        symbols=o["symbols"],
        data=(o["data"][0], o["data"][1]),
        sp=o["sp"],
        segments=[(address, bytes.fromhex(data)) for address, data in o["segments"]],
        expected=tuple(o["expected"]),
    )


def save(core: Path, zeek: Path, path: Path) -> None:
    """Makes such a file from a core file."""
    from zeekspy import choice, core_file
    from zeekspy._core import Memory
    from zeekspy.cli.dump import lines
    from zeekspy.snapshot import Looker, Wanted
    from zeekspy.values.value import Limits

    target, segments = core_file.open_core(core, zeek)
    layout, memory = choice.choose(target), Memory.image(segments)
    wanted = Wanted(arguments=True, locals=True)
    memory.remember(LIMIT)
    looker = Looker(target, layout, memory, lambda: target.sp)
    looker.look(replace(wanted, limits=Limits(depth=3)))  # what is deeper is to be in the file too
    seen = looker.look(wanted)
    o = {
        "version": target.version,
        "stdlib": layout.stdlib,
        "fields": dict(layout.fields),
        "symbols": {k: v for k, v in target.symbols.items() if k in ("call_stack", "g_frame_stack", "event_mgr")},
        "data": target.data,
        "sp": target.sp,
        "segments": [[address, data.hex()] for address, data in coalesce(memory.remembered())],
        "expected": list(lines(target.version, seen, wanted)),
    }
    with gzip.GzipFile(path, "wb", mtime=0) as f:
        f.write(json.dumps(o, separators=(",", ":")).encode())
