"""What a watch sees now, as ``zeekspy watch --status`` shows it: from the file that it writes every second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zeekspy.errors import FileError
from zeekspy.export.bodies import printable
from zeekspy.rolling.shelf import STATUS

MOST_BYTES = 32 << 20
_BY_BOTTOM = "one event that stays at the bottom of the stack is taken for a stall"
OLD_S = 10.0
"""Age from which on a status is not one of now."""


def read(folder: Path) -> dict[str, Any]:
    """The status in that folder. FileError where there is none."""
    path = folder / STATUS
    try:
        with path.open("rb") as f:
            data = f.read(MOST_BYTES)
        found = json.loads(data)
    except FileNotFoundError:
        raise FileError(f"no zeekspy watch writes to {folder}", "Give the folder that is its --out.") from None
    except (OSError, ValueError, RecursionError) as e:
        raise FileError(f"cannot read {path}: {e}") from None
    if not isinstance(found, dict) or not isinstance(found.get("nodes", []), list):
        raise FileError(f"{path} is not the status of a zeekspy watch")
    return found


def shown(status: dict[str, Any], now: float) -> str:
    """A table for the terminal; ``now`` is the time of day."""
    try:
        return "\n".join(_lines(status, now)) + "\n"
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise FileError(f"this is not the status of a zeekspy watch ({type(e).__name__}: {e})") from None


def _lines(status: dict[str, Any], now: float) -> list[str]:
    captures, age = status.get("captures", {}), now - float(status.get("time", 0))
    if not status.get("running"):
        head = "this watch has ended"
    elif age > OLD_S:
        head = f"this watch has said nothing for {age:.0f} s"
    else:
        head = f"watching for {_time(now - float(status['started']))}"
    kept = f"{captures.get('kept', 0)} captures of {captures.get('bytes', 0) / 1e6:.1f} MB"
    lines = [f"{head}; {kept} are there, {captures.get('removed', 0)} made room, {captures.get('lost', 0)} were lost"]
    rows = [("NODE", "PID", "CONDITION", "NOW", "HIGHEST", "MET")]
    for node in status.get("nodes", []):
        for name, c in node["conditions"].items():
            value = value_text(c["value"], c["unit"])
            peak = value_text(c["peak"], c["unit"])
            state = c["why"] if c["met"] is None else "yes" if c["met"] else "no"
            rows.append((str(node["node"]), str(node["pid"]), str(name), value, peak, str(state)))
        met = [t["trigger"] for t in node["triggers"] if t["met"]]
        if met or node["pending"]:
            text = f"met: {', '.join(map(str, met))}" if met else "a capture waits for its end"
            rows.append((str(node["node"]), str(node["pid"]), text, "", "", ""))
    rows = [tuple(map(printable, row)) for row in rows]  # type: ignore[misc]
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines += ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    for node in status.get("nodes", []):
        if node["hz"] < status["hz"]:
            lines.append(printable(f"{node['node']}: sampled {node['hz']:.4g} times a second, not {status['hz']:g}"))
        if node["counted"] is False:
            lines.append(printable(f"{node['node']}: Zeek's count of events is not known here: {_BY_BOTTOM}"))
    for source in status.get("sources", []):
        said = source["error"] or ("has not answered yet" if source["age_s"] is None else f"{source['age_s']} s ago")
        lines.append(printable(f"drops from {source['source']}: {said}"))
    return lines


def value_text(value: float | None, unit: str) -> str:
    """``12.3 %``, ``210 ms``, ``4.1 GB``, ``7.0/s``."""
    if value is None:
        return "?"
    if unit == "%":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.0f} ms" if abs(value) < 10 else f"{value:.1f} s"
    if unit == "B":
        return f"{value / 1e6:.1f} MB" if abs(value) < 1e9 else f"{value / 1e9:.2f} GB"
    return f"{value:.1f}{unit}"


def _time(seconds: float) -> str:
    minutes, s = divmod(int(max(0.0, seconds)), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours} h {m} min" if hours else f"{m} min {s} s"
