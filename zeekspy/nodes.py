"""Which node a process of Zeek's is: its name and role, from what the ways of starting one leave in /proc.

Pure functions over what ``discovery.py`` has read. zeekctl (control.py), the systemd generator
(tools/systemd-generator) and the supervisor (supervisor/Supervisor.cc) name nodes in different places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

ROLES = ("manager", "logger", "proxy", "worker", "standalone", "supervisor")
COMM = 15
"""Characters that the kernel keeps of a process's title: include/linux/sched.h, TASK_COMM_LEN."""
LONGEST = 128
"""Characters of a name that are shown: names are words of the process, which may say anything."""
_ROLE = re.compile(r"(?:^|[^a-z])(manager|logger|proxy|worker|standalone)(?![a-z])")
_TAKES_VALUE = re.compile(r"-[a-zA-Z0-9]*[BcEefGHIinO0oprsTtUwX]$")
_UNIT = re.compile(r"([^/]+\.(?:service|scope))(?:/|$)")
_SLICE = re.compile(r"/zeek-(worker|logger|manager)s?\.slice/|/zeek-(prox)(?:y|ies)\.slice/")
_CONTAINER = re.compile(r"(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?:/|$)")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\x80-\uffff]|[\x80-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Traces:
    """What a process shows of itself; None where we may not look."""

    pid: int
    comm: str
    argv: tuple[str, ...]
    exe: str | None
    environ: dict[str, str] | None
    cwd: str | None
    cgroup: str | None
    """The path: of the unified hierarchy, else of systemd's."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A node's name and role and where they were found."""

    name: str
    role: str | None
    by: str
    why: dict[str, str] = field(default_factory=dict)
    """Of what is unknown or uncertain, why: by column."""


def identify(t: Traces) -> Identity | None:
    """Which node it is; None for a process of Zeek's that runs no scripts: the stem, a check of the configuration."""
    if t.comm == "zeek.stem" or _checks(t):
        return None
    why: dict[str, str] = {}
    name, by = _name(t, why)
    name = printable(name) or f"zeek-{t.pid}"
    return Identity(name, _role(t, name, by, why), by, why)


def _name(t: Traces, why: dict[str, str]) -> tuple[str, str]:
    title = _title(t)
    if title is not None:
        return _untruncated(t, title, why), "title"
    if is_supervisor(t):
        return "supervisor", "-j"
    node = (t.environ or {}).get("CLUSTER_NODE")
    if node:
        return node, "CLUSTER_NODE"
    prefixes = _values(t.argv, "-p")
    if "zeekctl" in prefixes:
        return prefixes[-1], "zeekctl"
    unit = unit_of(t.cgroup)
    stem = re.sub(r"\.(service|scope)$", "", unit or "")
    if unit and unit.endswith(".service") and re.match(r"(zeek|bro)\b", stem):
        return stem.removeprefix("zeek-").replace("@", "-") or stem, "unit"
    folders = (t.cwd or "").removesuffix(" (deleted)").split("/")
    if "spool" in folders[:-1] and folders[-1]:
        return folders[-1], "folder"
    if t.environ is None:
        why["node"] = "its environment may not be read: run zeekspy as root (sudo)"
    return f"zeek-{t.pid}", "pid"


def _title(t: Traces) -> str | None:
    """The node in a title that the supervisor gave the process."""
    own = {(path or "").rpartition("/")[2].removesuffix(" (deleted)")[:COMM] for path in (t.exe, *t.argv[:1])}
    return t.comm[5:] if t.comm.startswith("zeek.") and t.comm not in own and len(t.comm) > 5 else None


def _untruncated(t: Traces, title: str, why: dict[str, str]) -> str:
    if len(t.comm.encode()) < COMM:
        return title
    folder = (t.cwd or "").rpartition("/")[2]
    if folder.startswith(title):
        return folder
    why["node"] = f"the kernel keeps {COMM} characters of a title: there may be more of this name"
    return title


def _role(t: Traces, name: str, by: str, why: dict[str, str]) -> str | None:
    if by == "-j":
        return "supervisor"
    if by == "zeekctl" and "standalone" in _values(t.argv, "-p")[:-1]:
        return "standalone"
    of_slice = _SLICE.search(t.cgroup or "")
    if of_slice:
        return "proxy" if of_slice[2] else of_slice[1]
    found = _ROLE.findall(name.lower())
    if found:
        return str(found[-1])
    if by in ("pid", "folder", "unit"):
        return "standalone"
    if _values(t.argv, "-i"):
        return "worker"
    why["role"] = "neither its name nor its arguments say it"
    return None


def is_supervisor(t: Traces) -> bool:
    """Whether it is the supervisor itself: with -j, and without the title that its nodes have."""
    return _title(t) is None and any(re.match(r"--jobs\b|-[a-zA-Z]*j", a) for a in _options(t.argv))


def _checks(t: Traces) -> bool:
    if any(a in ("-a", "--parse-only") for a in _options(t.argv)):
        return True
    return "/check-config-" in (t.cwd or "")


def _options(argv: Sequence[str]) -> list[str]:
    """The words that are options, not the values of options."""
    found, value = [], False
    for word in argv[1:]:
        if word == "--":
            break
        if not value and word.startswith("-") and len(word) > 1:
            found.append(word)
            value = not word.startswith("--") and bool(_TAKES_VALUE.match(word))
        else:
            value = False
    return found


def _values(argv: Sequence[str], option: str) -> list[str]:
    found = []
    for word, following in zip(argv[1:], [*argv[2:], ""], strict=False):
        if word == option and following:
            found.append(following)
        elif word.startswith(option) and len(word) > 2:
            found.append(word[2:])
    return found


def unit_of(cgroup: str | None) -> str | None:
    """The innermost unit of systemd's in a cgroup's path."""
    found = _UNIT.findall(cgroup or "")
    return printable(found[-1]) if found else None


def container_of(cgroup: str | None) -> str | None:
    """The id of the container whose cgroup that is, as Docker, Podman, containerd and CRI-O write it: 12 characters."""
    found = _CONTAINER.findall(cgroup or "")
    return found[-1][:12] if found else None


def printable(text: str) -> str:
    """``text`` without what could move a terminal's cursor, cut to LONGEST characters."""
    return _UNPRINTABLE.sub("?", text)[:LONGEST]
