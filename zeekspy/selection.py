"""Which of the Zeeks on this host are meant: by node name, group, CPU, unit, executable or pid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from zeekspy.discovery import Node
from zeekspy.errors import NoSuchTarget, UsageError

GROUPS = {
    "manager": ("manager",),
    "logger": ("logger",),
    "loggers": ("logger",),
    "proxy": ("proxy",),
    "proxies": ("proxy",),
    "worker": ("worker",),
    "workers": ("worker",),
}
"""Names that stand for roles, as zeekctl takes them; a node of that very name comes first. ``all`` is every node."""
MANY = 20
"""Nodes that a message names at most."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for. A node is meant if any of ``pids`` or ``names`` means it, and each of the others does."""

    pids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    """Nodes' names, patterns of them (``worker-1-*``), groups."""
    cpus: tuple[int, ...] = ()
    """CPUs to which a node is pinned."""
    units: tuple[str, ...] = ()
    """Patterns of systemd's units; ``.service`` may be left out."""
    exes: tuple[str, ...] = ()
    """Patterns of the executable's path."""

    def __bool__(self) -> bool:
        return bool(self.pids or self.searches)

    @property
    def searches(self) -> bool:
        """Whether the processes of this host must be looked through."""
        return bool(self.names or self.cpus or self.units or self.exes)

    def of(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes that are meant, each once. NoSuchTarget for any word that means none, with those there are."""
        for what, words, means in self._conditions(nodes):
            for word in words:
                if not any(means(node, word) for node in nodes):
                    raise NoSuchTarget(f"no Zeek here {what} {word!r}", listed(nodes))
        found = self.among(nodes)
        if not found and self.searches:
            raise NoSuchTarget("no Zeek here is all that was asked for", listed(nodes))
        return found

    def among(self, nodes: Sequence[Node]) -> list[Node]:
        """As ``of``, where nodes may yet come: what means none is no error."""
        conditions = [(words, means) for _, words, means in self._conditions(nodes) if words]
        return [
            node
            for node in nodes
            if node.pid in self.pids
            or (bool(conditions) and all(any(means(node, w) for w in words) for words, means in conditions))
        ]

    def _conditions(self, nodes: Iterable[Node]) -> list[tuple[str, Sequence[object], Callable[[Node, object], bool]]]:
        names = {node.name for node in nodes}

        def named(node: Node, word: object) -> bool:
            text = str(word)
            if text in names:
                return node.name == text
            if text == "all":
                return node.role != "supervisor"
            if text in GROUPS:
                return node.role in GROUPS[text]
            return fnmatchcase(node.name, text)

        def unit(node: Node, word: object) -> bool:
            return any(fnmatchcase(node.unit or "", p) for p in (str(word), f"{word}.service"))

        return [
            ("is called", self.names, named),
            ("is pinned to CPU", self.cpus, lambda node, cpu: node.cpus is not None and cpu in node.cpus),
            ("runs in a unit", self.units, unit),
            ("has an executable", self.exes, lambda node, word: fnmatchcase(node.exe or "", str(word))),
        ]


def one(found: Sequence[Node], asked: str) -> Node:
    """The only one. UsageError, naming them, where there are several."""
    if len(found) > 1:
        raise UsageError(
            f"{asked} is {len(found)} processes, and this takes one: {_joined(found)}",
            "Give a node's full name, or --pid PID.",
        )
    return found[0]


def listed(nodes: Sequence[Node]) -> str:
    """A sentence with all there are."""
    if not nodes:
        return "There is none at all that can be seen from here: zeekspy ps lists them; try as root (sudo)."
    return f"There are {_joined(nodes)}. zeekspy ps shows them."


def _joined(nodes: Sequence[Node]) -> str:
    text = ", ".join(f"{node.name} (pid {node.pid})" for node in nodes[:MANY])
    return text + (f" and {len(nodes) - MANY} more" if len(nodes) > MANY else "")
