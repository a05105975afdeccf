"""The folder of captures: names in the order of time, the oldest leave first, and a full disk is no end."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zeekspy.errors import FileError, UsageError

FORMAT = "zeekspy-watch-capture/1"
"""What a sidecar says it is."""
PROFILE, SIDECAR = ".pb.gz", ".json"
STATUS = "status.json"
LOCK = ".zeekspy-watch.lock"
_NEW = ".zeekspy-watch.new"
_NAME = re.compile(r"(\d{6,12})-[A-Za-z0-9._-]{1,160}(\.pb\.gz|\.json)", re.ASCII)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MOST_FILES = 1 << 16
"""Names that are looked at."""
SIDECAR_BYTES = 1 << 20


@dataclass(slots=True)
class Kept:
    """One capture: its number, and the names and bytes of its files."""

    number: int
    files: dict[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(self.files.values())


def listed(folder: Path) -> list[Kept]:
    """The captures there are, the oldest first: by their numbers, which no clock has made. Other files are not seen."""
    found: dict[int, Kept] = {}
    try:
        with os.scandir(folder) as entries:
            for i, entry in enumerate(entries):
                match = _NAME.fullmatch(entry.name)
                if i >= MOST_FILES:
                    break
                if match is not None and entry.is_file(follow_symlinks=False):
                    kept = found.setdefault(int(match[1]), Kept(int(match[1])))
                    kept.files[entry.name] = entry.stat(follow_symlinks=False).st_size
    except OSError as e:
        raise FileError(f"cannot read the folder {folder}: {e.strerror}") from None
    return sorted(found.values(), key=lambda k: k.number)


def sidecar(path: Path) -> dict[str, Any]:
    """What a sidecar says. FileError where it is none."""
    try:
        with path.open("rb") as f:
            data = f.read(SIDECAR_BYTES + 1)
        found = json.loads(data) if len(data) <= SIDECAR_BYTES else None
    except (OSError, ValueError, RecursionError) as e:
        raise FileError(f"cannot read {path}: {e}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FileError(f"{path} is not what zeekspy watch writes beside a capture")
    return found


class Shelf:
    """The folder at ``path`` for one writer. At most ``most`` captures, of ``most_bytes`` in all (0: no bound)."""

    def __init__(self, path: Path, most: int, most_bytes: int = 0) -> None:
        self.path, self._most, self._most_bytes = path, most, most_bytes
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._lock = os.open(LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        except OSError as e:
            raise FileError(f"cannot keep captures in {path}: {e.strerror}", "Give a folder with --out.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"another zeekspy watch writes to {path}", "Give another folder with --out.") from None
        self._kept = listed(path)
        self._next = self._kept[-1].number + 1 if self._kept else 1
        self.removed = 0
        """Captures that have made room for others."""
        while len(self._kept) > most or self._too_large(0):
            self._remove_oldest()

    @property
    def count(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        return sum(k.size for k in self._kept)

    def put(self, node: str, word: str, profile: bytes, about: Callable[[str], bytes]) -> str:
        """Keeps one capture more and returns the name of its profile; ``about`` makes the sidecar that names it.

        FileError where there is no room for it even without any other.
        """
        name = f"{self._next:06d}-{_safe(node)}-{_safe(word)}"
        files = {name + PROFILE: profile, name + SIDECAR: about(name + PROFILE)}
        size = sum(map(len, files.values()))
        if self._most_bytes and size > self._most_bytes:
            raise FileError(f"a capture of {size} bytes is larger than all may be", "Give more with --max-size.")
        while self._kept and (len(self._kept) >= self._most or self._too_large(size)):
            self._remove_oldest()
        while True:
            try:
                for file, data in files.items():  # the sidecar last: with it a capture is whole
                    self.publish(file, data, sync=True)
                break
            except OSError as e:
                for file in (_NEW, *files):
                    self._unlink(file)
                if e.errno not in _FULL or not self._kept:
                    raise FileError(f"cannot write {self.path / name}{PROFILE}: {e.strerror}") from None
                self._remove_oldest()
        self._kept.append(Kept(self._next, {file: len(data) for file, data in files.items()}))
        self._next += 1
        return name + PROFILE

    def publish(self, name: str, data: bytes, *, sync: bool = False) -> None:
        """A file that is there as a whole or not at all. OSError."""
        fd = os.open(
            _NEW, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=self._folder
        )
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(_NEW, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _too_large(self, more: int) -> bool:
        return bool(self._most_bytes and self._kept) and self.size + more > self._most_bytes

    def _remove_oldest(self) -> None:
        for file in sorted(self._kept.pop(0).files):  # the sidecar first: what is left is no capture
            self._unlink(file)
        self.removed += 1

    def _unlink(self, name: str) -> None:
        with suppress(OSError):
            os.unlink(name, dir_fd=self._folder)


def _safe(text: str) -> str:
    """Part of a file's name; a node's name is the process's own word."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:64].strip(".-_") or "_"
