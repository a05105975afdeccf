"""Gives up, after an attach, whatever could harm the target or anything else: see csrc/confine.c for what that is.

Which capabilities must stay is decided here, from what the targets and the files need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zeekspy import _core, access
from zeekspy.errors import CoreError

CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_KILL": 5,
    "CAP_SYS_PTRACE": access.CAP_SYS_PTRACE,
    "CAP_SYS_NICE": 23,
}
"""Those that can be worth keeping, with their numbers: include/uapi/linux/capability.h."""
ENGINES_THAT_STOP = frozenset({"ptrace"})
ENGINES_THAT_SCHEDULE = frozenset({"preempt"})
FILTERS = Path("/proc/sys/kernel/seccomp/actions_avail")


@dataclass(frozen=True, slots=True)
class Confinement:
    """What has been given up. ``confined`` means all of it; else ``why`` says what could not be."""

    confined: bool
    capabilities: tuple[str, ...]
    """Those that stayed."""
    why: str = ""


def confine(
    pids: Iterable[int],
    engines: Iterable[str] = (),
    *,
    folders: Iterable[Path] | None = None,
    child: int = 0,
    others: bool = False,
    serves: bool = False,
) -> Confinement:
    """For good, for the whole process: call it when everything is attached and opened, before threads are started.

    ``engines`` are those that may yet sample, ``folders`` where finished files get their names (None: no file is
    written), ``child`` a process of our own that may be signalled, ``others`` whether processes that are not there yet
    are to be attached to, ``serves`` whether connections are to be accepted at a socket that is bound already.
    """
    names = frozenset(engines)
    kept = needed(pids, names, folders or (), child, others)
    sys.dont_write_bytecode = True
    try:
        _core.confine(
            stops=bool(names & ENGINES_THAT_STOP),
            publish=folders is not None,
            serve=serves,
            child=child,
            capabilities=sum(1 << CAPABILITIES[name] for name in kept),
        )
    except CoreError as e:
        return Confinement(False, kept, f"the kernel refuses a seccomp filter ({e})")
    return Confinement(True, kept)


def keep_files_alone() -> None:
    """For a process beside, before it starts threads: of root's powers the one to write into another user's folders."""
    with suppress(CoreError):  # as it was, it is no less of use
        _core.drop(1 << CAPABILITIES["CAP_DAC_OVERRIDE"])


def available() -> bool:
    """Whether the kernel has seccomp filters that can answer a call with an error."""
    try:
        return "errno" in FILTERS.read_text().split()
    except OSError:
        return False


def needed(
    pids: Iterable[int], engines: frozenset[str], folders: Iterable[Path], child: int, others: bool = False
) -> tuple[str, ...]:
    """The capabilities of this process that sampling these targets and writing these files cannot do without."""
    wanted = []
    if others or not all(map(_plain, pids)):
        wanted.append("CAP_SYS_PTRACE")
    if engines & ENGINES_THAT_SCHEDULE:
        wanted.append("CAP_SYS_NICE")
    if child:
        wanted.append("CAP_KILL")
    if any(not _owner_may(folder, 0o300) for folder in folders):
        wanted.append("CAP_DAC_OVERRIDE")
    # Python imports some modules late; where only root's capabilities open the way to them, reading must stay possible.
    # A Zeek that comes later may be another user's: its environment, with the node's name, is for that user alone.
    if others or not all(map(_enterable, {Path(__file__).parent, *map(Path, filter(None, sys.path))})):
        wanted.append("CAP_DAC_READ_SEARCH")
    held = access.capabilities()
    return tuple(name for name in wanted if held >> CAPABILITIES[name] & 1)


def _plain(pid: int) -> bool:
    """Whether the kernel lets our uid read that process without CAP_SYS_PTRACE; when in doubt, not."""
    status = access.status(pid)
    ours = access.status("self")
    if os.geteuid() == 0 or access.yama() or not status or not ours or access.hidden(pid):
        return False
    same = all(status.get(k, "").split()[:3] == ours[k].split()[:1] * 3 for k in ("Uid", "Gid"))
    return same and int(status.get("CapPrm", "1"), 16) == 0


def _owner_may(folder: Path, bits: int) -> bool:
    """Whether our uid may do there what ``bits`` of an owner's mode say; groups are left out of account."""
    try:
        found = folder.stat()
    except OSError:
        return True  # what is not there needs no capability
    mode = found.st_mode if found.st_uid == os.geteuid() else found.st_mode << 6
    return mode & bits == bits


def _enterable(place: Path) -> bool:
    place = place.resolve()
    return not os.path.isdir(place) or (_owner_may(place, 0o500) and all(_owner_may(p, 0o100) for p in place.parents))
