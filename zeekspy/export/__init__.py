"""The formats a Profile can be written in: one module each, imported only when it is used."""

from __future__ import annotations

import importlib
import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from zeekspy.errors import UsageError

if TYPE_CHECKING:
    from zeekspy.profile import Profile


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a Profile."""

    name: str
    """As ``--format`` takes it. The module of this name writes it: ``write(profile, out)``."""
    endings: tuple[str, ...]
    """Of file names, with the dot. The first is the one that a name made by zeekspy gets."""
    viewer: str
    """The command line that shows such a file, with ``{}`` for its quoted path."""

    def write(self, profile: Profile, out: BinaryIO) -> None:
        """Writes ``profile`` as one complete file. Raises what ``out`` does, and FileError for what does not fit."""
        importlib.import_module(f"zeekspy.export.{self.name}").write(profile, out)

    def opens_with(self, path: str | os.PathLike[str]) -> str:
        """The command line that shows the file at ``path``, ready for a shell."""
        return self.viewer.format(shlex.quote(os.fspath(path)))


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("pprof", (".pb.gz", ".pprof"), "go tool pprof -http=: {}"),
        Format("collapsed", (".folded", ".collapsed"), "flamegraph.pl {} > flame.svg"),
        Format("json", (".json",), "jq .bodies {}"),
        Format("text", (".txt",), "less {}"),
    )
}


def by_name(name: str) -> Format:
    """The format called ``name``. Raises UsageError that lists the known ones."""
    try:
        return FORMATS[name]
    except KeyError:
        known = ", ".join(f"{f.name} ({', '.join(f.endings)})" for f in FORMATS.values())
        raise UsageError(f"There is no format {name!r}.", f"The formats are: {known}.") from None


def by_path(path: str | os.PathLike[str]) -> Format:
    """The format that the end of a file's name asks for, the longest ending first; pprof where none does."""
    name = os.path.basename(os.fspath(path)).lower()
    matches = [(len(e), f) for f in FORMATS.values() for e in f.endings if name.endswith(e)]
    return max(matches, key=lambda m: m[0])[1] if matches else FORMATS["pprof"]
