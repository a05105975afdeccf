"""Which layout fits a target: a table given, one kept from before, a shipped one, or the DWARF of the build."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from zeekspy import layout
from zeekspy.capture import Header
from zeekspy.errors import DebugInfoError, FileError, LayoutError, NoSuchTarget, UnknownBuild
from zeekspy.layout import Layout, load
from zeekspy.target import Target


@dataclass(frozen=True, slots=True)
class Candidate:
    """One place that was looked in for a table: ``why`` it was taken, or why there is none (``layout`` is None)."""

    place: str
    layout: Layout | None
    why: str


def candidates(target: Target, file: Path | None = None) -> Iterator[Candidate]:
    """The places in the order of ``choose``, up to the one that has a table."""
    if file is not None:
        yield Candidate("--offsets", load(file), f"{file} was given")
        return
    cached = _cached(target)
    name = f"{target.build_id}.json" if target.build_id is not None else "none: the executable has no build-id"
    yield Candidate("cache", cached, f"{cache_dir()}: {name}" if cached else f"{cache_dir()} has no usable {name}")
    if cached:
        return
    build = f"Zeek {target.version}, {target.stdlib}"
    shipped = None if target.debug else _shipped(target)
    why = "shipped tables are not for builds with -DDEBUG" if target.debug else f"no shipped table for {build}"
    yield Candidate("shipped", shipped, f"{shipped.origin}: for {build}" if shipped else why)
    if shipped:
        return
    try:
        found = _from_dwarf(target)
    except FileError:
        if target.alive():
            raise
        raise NoSuchTarget(f"process {target.pid} exited while its debug info was being read") from None
    except LayoutError as e:
        yield Candidate("debug info", None, str(e))
        return
    _keep(target, found)
    yield Candidate("debug info", found, found.origin)


def choose(target: Target, file: Path | None = None) -> Layout:
    """The layout for ``target``, not yet checked against its memory. UnknownBuild says what to do where there is none.

    Order (design): ``file``; the cache by build-id; a shipped table by version and C++ library; DWARF, which is kept in
    the cache.
    """
    for candidate in candidates(target, file):
        if candidate.layout is not None:
            return candidate.layout
    raise unknown(target, candidate)


def unknown(target: Target, last: Candidate) -> UnknownBuild:
    """The error where not even the ``last`` place has a table."""
    debug = " (a build with -DDEBUG, whose classes have more members)" if target.debug else ""
    return UnknownBuild(
        f"no table of offsets is known for Zeek {target.version} with {target.stdlib}{debug}, and its executable "
        f"{target.exe} has no debug info that helps: {last.why}",
        "Make a table on a machine where this build has debug info: zeekspy offsets generate ZEEK -o FILE; "
        "then give it with --offsets FILE.",
    )


def _shipped(target: Target) -> Layout | None:
    from zeekspy.offsets import find

    found: Layout | None = find(target.version, target.stdlib)
    return found


def _from_dwarf(target: Target) -> Layout:
    from zeekspy import dwarf

    # Split debug info is looked for beside the executable, so its real path is better where it still is that file.
    path = Path(f"/proc/{target.pid}/root{target.exe}")
    try:
        status = path.stat()
        same = (status.st_dev, status.st_ino) == target.exe_id
    except OSError:
        same = False
    found = dwarf.generate(path if same else Path(target.exe_file))
    if not found.covers(target.version):
        raise DebugInfoError(f"its debug info is that of Zeek {found.since}")
    return found


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base, "zeekspy", "offsets")


def _cached(target: Target) -> Layout | None:
    return kept(target.build_id, target.version)


def kept(build_id: str | None, version: str) -> Layout | None:
    """The table that was kept for this build, if there is one."""
    if build_id is None:
        return None
    path = cache_dir() / f"{build_id}.json"
    try:
        if path.stat().st_uid not in (os.geteuid(), 0):  # someone else's word on where to read
            return None
        found = load(path)
    except (OSError, FileError, LayoutError):
        return None
    return replace(found, origin=f"cache {path.name}") if found.covers(version) else None


def _keep(target: Target, found: Layout) -> None:
    """Writes the table to the cache. That it cannot be written is no reason to stop."""
    if target.build_id is None:
        return
    directory = cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=directory, delete=False, encoding="utf-8") as f:
            f.write(found.to_json())
        os.replace(f.name, directory / f"{target.build_id}.json")
    except OSError:
        return


def for_capture(header: Header, file: Path | None = None) -> Layout:
    """The layout to read a capture with: ``file``, the shipped table for its version, or its own fields."""
    if file is not None:
        return load(file)
    if header.raw:
        raise UnknownBuild(
            f"the capture is of a Zeek {header.version} that no layout fitted",
            "Give the table that was made for that build with --offsets FILE.",
        )
    from zeekspy.offsets import find

    stdlib = header.stdlib if header.stdlib in layout.STDLIBS else layout.STDLIBS[0]
    shipped: Layout | None = find(header.version, stdlib)
    if shipped is not None:
        return shipped
    own = Layout(header.version, header.version, stdlib, header.fields, {}, origin="the capture's own fields")
    own.validate()
    return own
