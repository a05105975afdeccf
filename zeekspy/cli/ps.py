"""``zeekspy ps``: the Zeeks of this host."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeekspy.discovery import Node

HEADER = ("NODE", "ROLE", "PID", "PINNED", "CPU%", "MAIN%", "VERSION", "LAYOUT", "UNIT", "EXE")
RIGHT = frozenset(("PID", "PINNED", "CPU%", "MAIN%"))


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "ps",
        help="the Zeeks of this host",
        description="Lists every Zeek on this host: its node and role, the CPUs it is pinned to, what all threads and "
        "the main one, which runs the scripts, take of a CPU, and the table of offsets it would be read with. Nothing "
        "is attached to. What may not be seen is -, and the reason stands below.",
    )
    p.add_argument("--json", action="store_true", help="as one JSON array")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    from zeekspy.discovery import CPU_S, Discovery

    nodes = Discovery().find(cpu_s=CPU_S)
    if args.json:
        print(json.dumps([as_json(node) for node in nodes], indent=2))
        return 0
    for line in table(nodes):
        print(line)
    if not nodes:
        print("no Zeek runs here, or none that can be seen: try as root (sudo)", file=sys.stderr)
    return 0


def as_json(node: Node) -> dict[str, Any]:
    """One node; unknown parts are null and ``why`` has the reasons. Shares of a CPU in percent."""
    return {
        "pid": node.pid,
        "node": node.name,
        "role": node.role,
        "named_by": node.by,
        "version": node.version,
        "pinned": None if node.cpus is None else sorted(node.cpus),
        "cpu_percent": _percent(node.cpu),
        "main_cpu_percent": _percent(node.main_cpu),
        "layout": node.layout,
        "unit": node.unit,
        "container": node.container,
        "pid_inside": node.pid_inside,
        "exe": node.exe,
        "why": node.why,
    }


def table(nodes: list[Node]) -> list[str]:
    """Lines of text: a header, a line a node, then the reasons for what is missing."""
    if not nodes:
        return []
    rows = [HEADER, *map(_row, nodes)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [
        "  ".join(
            text.rjust(width) if name in RIGHT else text.ljust(width)
            for name, text, width in zip(HEADER, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    reasons: dict[str, list[str]] = {}
    for node in nodes:
        for column, reason in node.why.items():
            reasons.setdefault(f"{column}: {reason}", []).append(str(node.pid))
    return lines + [f"pid {', '.join(pids)}: {reason}" for reason, pids in reasons.items()]


def _row(node: Node) -> tuple[str, ...]:
    inside = "" if node.container is None else f" (container {node.container})"
    return (
        node.name,
        node.role or "-",
        str(node.pid),
        "-" if node.cpus is None else ranges(sorted(node.cpus)),
        "-" if node.cpu is None else f"{100 * node.cpu:.0f}",
        "-" if node.main_cpu is None else f"{100 * node.main_cpu:.0f}",
        node.version or "-",
        (node.layout or "-").removesuffix(".json"),
        node.unit or "-",
        (node.exe or "-") + inside,
    )


def ranges(numbers: list[int]) -> str:
    """``0-3,8``, as the kernel writes sets of CPUs."""
    parts: list[list[int]] = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)
