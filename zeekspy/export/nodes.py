"""Nodes side by side: which of a recording's nodes differs from the others, and in which bodies. Text."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from zeekspy.export.bodies import printable
from zeekspy.profile import CORE, IDLE, Profile, body_key, display_name

DIFFERS = 0.1
"""Of a node's time in other bodies than the others': less is chance, or different traffic."""
CHANCE = 2.0
"""Over the square root of a node's on-CPU samples: what differs by less may be chance alone."""
BODIES = 3
"""Bodies that are named for each node that differs."""
MAX_NODES = 4096


@dataclass(slots=True)
class _Node:
    count: int = 0
    script: int = 0
    core: int = 0
    idle: int = 0
    weight: int = 0
    own: dict[str, int] = field(default_factory=dict)
    """On-CPU time by the body it was spent in; samples where the profile has no times."""


def table(profile: Profile) -> str:
    """A line a node, the most different first, and below each that differs the bodies in which it does."""
    nodes = _nodes(profile)
    if not nodes:
        return "no samples\n"
    shares = {name: {body: n / (node.weight or 1) for body, n in node.own.items()} for name, node in nodes.items()}
    usual = _usual(shares)
    differences = {name: _distance(own, usual) for name, own in shares.items()}
    width = max(4, *(len(name) for name in nodes))
    lines = [f"{'NODE':{width}}  SAMPLES  SCRIPT%  CORE%  IDLE%  DIFFERS%"]
    for name in sorted(nodes, key=lambda n: (-differences[n], n)):
        node, n = nodes[name], nodes[name].count or 1
        lines.append(
            f"{name:{width}}  {node.count:7}  {100 * node.script / n:7.1f}  {100 * node.core / n:5.1f}  "
            f"{100 * node.idle / n:5.1f}  {100 * differences[name]:8.1f}"
        )
        chance = CHANCE / (node.script + node.core) ** 0.5 if node.script + node.core else 1.0
        if len(nodes) > 1 and differences[name] >= max(DIFFERS, chance):
            lines += _reasons(shares[name], usual, width)
    if len(nodes) == 1:
        lines.append("There is one node alone: nothing to compare it with.")
    else:
        lines.append("DIFFERS%: of the node's on-CPU time, how much is in other bodies than the median node's.")
    return "\n".join(lines) + "\n"


def _nodes(profile: Profile) -> dict[str, _Node]:
    found: dict[str, _Node] = {}
    timed = any(values.cpu_ns for _, _, values in profile)
    for stack, labels, values in profile:
        text = dict(labels)
        name = printable(text.get("node") or f"pid {text.get('pid', '?')}")
        if name not in found and len(found) >= MAX_NODES:
            continue
        node = found.setdefault(name, _Node())
        node.count += values.count
        if stack in ((IDLE,), (CORE,)):
            if stack == (IDLE,):
                node.idle += values.count
                continue
            node.core += values.count
        else:
            node.script += values.count
        weight = values.cpu_ns if timed else values.count
        node.weight += weight
        body = display_name(body_key(stack[-1])) if stack else "?"
        node.own[body] = node.own.get(body, 0) + weight
    return found


def _usual(shares: dict[str, dict[str, float]]) -> dict[str, float]:
    """The median node's share of each body."""
    bodies = {body for own in shares.values() for body in own}
    return {body: median(own.get(body, 0.0) for own in shares.values()) for body in bodies}


def _distance(own: dict[str, float], usual: dict[str, float]) -> float:
    """How much of the node's time would have to be in other bodies for it to be like the usual one."""
    return sum(max(0.0, share - usual.get(body, 0.0)) for body, share in own.items())


def _reasons(own: dict[str, float], usual: dict[str, float], width: int) -> list[str]:
    by = sorted(own.keys() | usual.keys(), key=lambda b: (-abs(own.get(b, 0.0) - usual.get(b, 0.0)), b))
    pairs = [(body, 100 * own.get(body, 0.0), 100 * usual.get(body, 0.0)) for body in by[:BODIES]]
    return [
        f"{'':{width}}  {here:5.1f} % here, {there:5.1f} % elsewhere: {printable(body)}"
        for body, here, there in pairs
        if abs(here - there) > 1
    ]
