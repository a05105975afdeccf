"""A file for each node and one for all, opened before sampling: for nodes that may yet come, files without names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from zeekspy.errors import FileError, UsageError
from zeekspy.output import Output

MARK = "{node}"
ALL = "all"
"""In the place of a node's name: the file of all nodes."""
SPARES = 64
"""Files for nodes that are not there yet."""
LONGEST = 100


def wanted(path: str) -> bool:
    """Whether ``path`` asks for a file for each node: it ends as a folder does, or has MARK in its name."""
    return path.endswith("/") or MARK in path


class NodeFiles:
    """Files for ``nodes``, for ``spares`` more, and for all. Raises FileError where they will not be writable."""

    def __init__(self, path: str, ending: str, nodes: Iterable[str], spares: int = 0) -> None:
        pattern = Path(path) if MARK in path else Path(path) / f"{MARK}{ending}"
        if MARK in str(pattern.parent):
            raise UsageError(f"{MARK} in {path} is part of a folder's name", f"Put {MARK} into the file's name alone.")
        try:
            pattern.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise FileError(f"cannot make the folder {pattern.parent}: {e.strerror}", "Give another with -o.") from None
        self._pattern, self._ending = pattern, ending
        self._files: dict[str, Output] = {}
        self._names: set[str] = set()
        self._spares: list[Output] = []
        self._opened: list[Output] = []
        try:
            self.all = Output(self._path(ALL), ending)
            """The file of all nodes."""
            self._opened.append(self.all)
            for node in dict.fromkeys(nodes):
                self._files[node] = Output(self._path(node), ending)
                self._opened.append(self._files[node])
            # The name is never given unless a node comes that needs a file.
            for i in range(spares):
                self._spares.append(Output(pattern.with_name(f".zeekspy-spare-{i}"), ending))
                self._opened.append(self._spares[-1])
        except BaseException:
            self.discard()
            raise

    def _path(self, node: str) -> Path:
        """Its file. A node's name is the process's own word: it chooses no folder, and nobody else's file."""
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", node)[:LONGEST].lstrip(".") or "_"
        name, n = plain, 1
        while name in self._names:
            n += 1
            name = f"{plain}_{n}"
        self._names.add(name)
        return self._pattern.with_name(self._pattern.name.replace(MARK, name))

    @property
    def outputs(self) -> list[Output]:
        return self._opened

    def write(self, node: str, content: Callable[[BinaryIO], None]) -> Path | None:
        """The file that was written; None where one more node came than there were files for."""
        output = self._files.pop(node, None)
        if output is None:
            if not self._spares:
                return None
            output = self._spares.pop()
            output.rename(self._path(node))
        try:
            return output.write(content)
        finally:
            output.discard()

    def discard(self) -> None:
        for output in self.outputs:
            output.discard()
