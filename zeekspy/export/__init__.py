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
    """As ``--format`` takes it. The module of this name (with ``_`` for ``-``) writes it: ``write(profile, out)``."""
    endings: tuple[str, ...]
    """Of file names, with the dot. The first is the one that a name made by zeekspy gets."""
    viewer: str
    """The command line that shows such a file, with ``{}`` for its quoted path."""
    is_text: bool = False
    """Lines that a terminal or a pipe may get."""
    compares: bool = False
    """Whether ``export/diff_NAME.py`` writes the difference of two profiles."""

    def write(self, profile: Profile, out: BinaryIO) -> None:
        """Writes ``profile`` as one complete file. Raises what ``out`` does, and FileError for what does not fit."""
        importlib.import_module(f"zeekspy.export.{self.name.replace('-', '_')}").write(profile, out)

    def refuse_diff(self) -> None:
        """Raises UsageError where the format cannot show how two profiles differ."""
        if not self.compares:
            known = ", ".join(f.name for f in FORMATS.values() if f.compares)
            raise UsageError(f"The format {self.name} cannot show a difference.", f"The formats that can: {known}.")

    def write_diff(self, profile: Profile, base: Profile, out: BinaryIO) -> None:
        """Writes how ``profile`` differs from ``base``. Raises UsageError where the format has no such thing."""
        self.refuse_diff()
        importlib.import_module(f"zeekspy.export.diff_{self.name}").write(profile, base, out)

    def opens_with(self, path: str | os.PathLike[str]) -> str:
        """The command line that shows the file at ``path``, ready for a shell."""
        return self.viewer.format(shlex.quote(os.fspath(path)))


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("pprof", (".pb.gz", ".pprof"), "go tool pprof -http=: {}"),
        Format("collapsed", (".folded", ".collapsed"), "flamegraph.pl {} > flame.svg", is_text=True),
        Format("flamegraph", (".html",), "xdg-open {}", compares=True),
        Format("svg", (".svg",), "xdg-open {}", compares=True),
        Format("heatmap", (".heatmap.html",), "xdg-open {}"),
        Format("json", (".json",), "jq .bodies {}"),
        Format("speedscope", (".speedscope.json",), "npx speedscope {}"),
        Format("perf-script", (".perf",), "stackcollapse-perf.pl {} | flamegraph.pl > flame.svg", is_text=True),
        Format("jsonl", (".jsonl",), "jq . {}", is_text=True),
        Format("profile-scripts", (".scripts.tsv", ".tsv"), "less -S {}", is_text=True),
        Format("text", (".txt",), "less {}", is_text=True, compares=True),
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
