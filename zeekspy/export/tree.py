"""Call trees: what flame graphs draw. Stacks of bodies with a common beginning share nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from zeekspy.errors import FileError
from zeekspy.profile import CORE, IDLE, Frame, Profile, body_key, display_name

VALUES = ("cpu_ns", "wall_ns", "count")
DEEPEST = 1000
"""Frames of a stack that have nodes of their own; Zeek stops recursion there (max_recursion_depth)."""
DEEPER = Frame("<deeper frames>", None, None, None, None)
MOST_NODES = 2_000_000
"""Some hundred bytes of memory and of a page each: real profiles have less than a tenth of that."""
MOST_LINES = 5
"""Lines that are named of each body."""


@dataclass(slots=True)
class Tree:
    """Nodes in the order of drawing: a node, then its children by name, each with all that is below it.

    ``depth[i]`` is 0 for what runs outermost. ``own[p][v][i]`` is what profile ``p`` spent in node ``i`` itself, of
    ``VALUES[v]``.
    """

    frames: list[Frame]
    """Bodies, as profile.body_key makes them."""
    depth: list[int]
    frame: list[int]
    """By node, an index into ``frames``."""
    own: list[list[list[int]]]
    lines: list[list[tuple[int, int]]] = field(default_factory=list)
    """By body, its lines with the largest part of the first profile's main value, and that part, in or below them."""
    leaf: list[int] = field(default_factory=list)
    """By stack of the first profile, in its order, the node of its innermost frame."""

    def totals(self, profile: int, value: int) -> list[int]:
        """By node, what was spent in it and below it."""
        totals, depth = list(self.own[profile][value]), self.depth
        path: list[int] = []
        for i in range(len(depth)):
            del path[depth[i] :]
            path.append(i)
            if totals[i] and len(path) > 1:
                amount = self.own[profile][value][i]
                for above in path[:-1]:
                    totals[above] += amount
        return totals


def main_value(profile: Profile) -> str:
    """What a picture of ``profile`` is about: CPU time, else wall time, else samples, whichever it has."""
    total = profile.total()
    return "cpu_ns" if total.cpu_ns else "wall_ns" if total.wall_ns else "count"


def tree(profiles: Sequence[Profile]) -> Tree:
    """One tree of all stacks of all ``profiles``, whatever their labels. Raises FileError beyond MOST_NODES."""
    main = main_value(profiles[0])
    numbers: dict[Frame, int] = {}
    bodies: dict[Frame, int] = {}
    nodes: dict[tuple[int, int], int] = {}
    own = [[[0] for _ in VALUES] for _ in profiles]
    lines: Counter[tuple[int, int]] = Counter()
    leaves: list[int] = []
    for p, profile in enumerate(profiles):
        for stack, _, values in profile:
            node, places = 0, set()
            for frame in stack if len(stack) <= DEEPEST else (*stack[: DEEPEST - 1], DEEPER):
                number = numbers.get(frame)
                if number is None:
                    number = numbers[frame] = bodies.setdefault(body_key(frame), len(bodies))
                if frame.line is not None and frame.line > 0 and not p:
                    places.add((number, frame.line))
                key = node, number
                child = nodes.get(key)
                if child is None:
                    if len(nodes) >= MOST_NODES:
                        raise FileError(
                            f"The profile has more than {MOST_NODES} distinct callers and callees: too many to draw.",
                            "Use -f text, or --by file.",
                        )
                    child = nodes[key] = len(nodes) + 1
                    for columns in own:
                        for column in columns:
                            column.append(0)
                node = child
            if not p:
                leaves.append(node)
            for column, name in zip(own[p], VALUES, strict=True):
                column[node] += getattr(values, name)
            for place in places:
                lines[place] += getattr(values, main)
    result = _ordered(list(bodies), nodes, own, leaves)
    result.lines = [[] for _ in bodies]
    for (number, line), amount in lines.most_common():
        if amount and len(result.lines[number]) < MOST_LINES:
            result.lines[number].append((line, amount))
    return result


def _ordered(
    frames: list[Frame], nodes: dict[tuple[int, int], int], own: list[list[list[int]]], leaves: list[int]
) -> Tree:
    names = [(display_name(f), i) for i, f in enumerate(frames)]
    rank = [0] * len(frames)
    for place, (_, i) in enumerate(sorted(names)):
        rank[i] = place
    children: list[list[tuple[int, int, int]]] = [[] for _ in range(len(nodes) + 1)]
    for (parent, number), node in nodes.items():
        children[parent].append((rank[number], node, number))
    order: list[int] = []
    depth: list[int] = []
    frame: list[int] = []
    if 0 in leaves or any(columns[v][0] for columns in own for v in range(len(VALUES))):  # samples without a stack
        frames = [*frames, Frame("<no stack>", None, None, None, None)]
        order.append(0)
        depth.append(0)
        frame.append(len(frames) - 1)
    waiting = [(0, node, number) for _, node, number in sorted(children[0], reverse=True)]
    while waiting:
        level, node, number = waiting.pop()
        order.append(node)
        depth.append(level)
        frame.append(number)
        waiting += [(level + 1, below, n) for _, below, n in sorted(children[node], reverse=True)]
    sorted_own = [[[column[i] for i in order] for column in columns] for columns in own]
    drawn = {node: i for i, node in enumerate(order)}
    return Tree(frames, depth, frame, sorted_own, leaf=[drawn[node] for node in leaves])


def of_scripts(profile: Profile) -> Profile:
    """The stacks of scripts alone: without core and idle time."""
    kept = {key: values for key, values in profile.samples.items() if key[0] not in ((CORE,), (IDLE,))}
    return replace(profile, samples=kept)


def parts(profile: Profile, value: str) -> dict[str, int]:
    """How much of ``value`` is script, core and idle."""
    result = dict.fromkeys(("script", "core", "idle"), 0)
    for stack, _, values in profile:
        result["core" if stack == (CORE,) else "idle" if stack == (IDLE,) else "script"] += getattr(values, value)
    return result


def directory(frame: Frame) -> str:
    """The script directory of a body, as Zeek's users name it: ``base/protocols/http``, ``site``; empty if unknown."""
    if frame.body is None or not frame.body.file:
        return ""
    parts = [p for p in frame.body.file.split("/")[:-1] if p not in ("", ".", "..")]
    for i in range(len(parts) - 1, 0, -1):
        if parts[i] == "zeek" and parts[i - 1] == "share":
            return "/".join(parts[i + 1 :])
    return "/".join(parts[-2:])
