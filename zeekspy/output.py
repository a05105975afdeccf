"""The file a recording goes to: known to be writable before sampling starts, complete or absent at the end.

All that must be opened for writing is opened here at once: a confined process (``confine.py``) can open nothing later.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from zeekspy.errors import FileError

SPARES = ("/dev/shm",)
"""Where, after the temporary folder, a recording is rescued to: memory, for when every disk is full."""


class Output:
    """A file to be written later. Opening it raises FileError where that will not be possible.

    The content goes to a file without a name in the same folder, which takes the path's place when it is whole.
    Devices, pipes and ``-`` (standard output) are written directly; opening a named pipe waits for its reader.
    """

    def __init__(self, path: Path, ending: str = "") -> None:
        """``ending`` is what the name of a file shall have that the content must be rescued to; the path's if empty."""
        self.path = path
        self.rescued = False
        """Whether the content had to go elsewhere."""
        self._new: _NewFile | None = None
        self._direct: int | None = None
        try:
            if str(path) == "-":
                self._direct = _standard_output()
            elif _is_special(path):
                self._direct = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            else:
                self._new = self._open(Path(os.path.realpath(path)))
        except OSError as e:
            raise FileError(f"cannot write {path}: {e.strerror}", "Give a file in another folder with -o.") from None
        self._spares = list(_spares(ending or "".join(path.suffixes[-2:])))

    def _open(self, path: Path) -> _NewFile:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return _NewFile(path.parent, path.name)
        if stat.S_ISDIR(mode):
            raise FileError(f"cannot write {self.path}: it is a directory", "Give a file's name with -o.")
        if not os.access(path, os.W_OK):
            raise FileError(f"cannot write {self.path}: permission denied", "Give another file with -o.")
        return _NewFile(path.parent, path.name)

    @property
    def folders(self) -> list[Path]:
        """Where files may yet appear."""
        return [new.folder for new in (self._new, *self._spares) if new is not None]

    def rename(self, path: Path) -> None:
        """The file gets another name in the same folder, before it is written."""
        self.path = path
        if self._new is not None:
            self._new.name = path.name

    def write(self, content: Callable[[BinaryIO], None]) -> Path:
        """Writes the file and returns its path: that of another, said on standard error, where it cannot be written."""
        buffer = io.BytesIO()
        content(buffer)
        data = buffer.getvalue()
        try:
            if self._new is not None:
                self._new.publish(data)
            elif self._direct is not None:
                _write_all(self._direct, data)
        except OSError as e:
            return self._rescue(data, e)
        finally:
            self.discard()
        return self.path

    def _rescue(self, data: bytes, error: OSError) -> Path:
        self.rescued = True
        here = "standard output" if str(self.path) == "-" else self.path
        for spare in self._spares:
            try:
                spare.publish(data)
            except OSError:
                continue
            found = spare.folder / spare.name
            with suppress(OSError):
                print(f"zeekspy: cannot write {here}: {error.strerror}; it is in {found}", file=sys.stderr)
            return found
        raise FileError(
            f"cannot write {here}: {error.strerror}, nor a file in {tempfile.gettempdir()}",
            "Free some disk space.",
        )

    def discard(self) -> None:
        """Takes away what has no name yet; harmless after write."""
        for new in (self._new, *self._spares):
            if new is not None:
                new.discard()
        if self._direct is not None and self._direct > 2:
            os.close(self._direct)
        self._direct = None


class _NewFile:
    """A new file that gets its name when it is whole. OSError if the folder does not allow that.

    Until then it has none, and nothing remains of it whatever happens to this process; where the file system has no
    such files (O_TMPFILE), it has a hidden one.
    """

    def __init__(self, folder: Path, name: str, mode: int = 0o666) -> None:
        self.folder = folder
        self.name = name
        self._hidden: str | None = None
        # The folder is kept, so that its path need be neither valid nor accessible later.
        self._at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._fd = -1
        try:
            with suppress(FileNotFoundError):
                os.stat(name, dir_fd=self._at)  # a name that cannot be is refused now
            self._fd = self._open(mode)
        except OSError:
            self.discard()
            raise

    def _open(self, mode: int) -> int:
        # File systems without such files do not agree on the error; one that means more comes again below.
        with suppress(OSError):
            return os.open(self.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
        hidden = _unused_name()
        fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=self._at)
        self._hidden = hidden
        return fd

    def publish(self, data: bytes) -> None:
        _write_all(self._fd, data)
        os.fsync(self._fd)
        if self._hidden is None:
            hidden = _unused_name()
            os.link(f"/proc/self/fd/{self._fd}", hidden, src_dir_fd=self._at, dst_dir_fd=self._at)
            self._hidden = hidden
        os.replace(self._hidden, self.name, src_dir_fd=self._at, dst_dir_fd=self._at)
        self._hidden = None

    def discard(self) -> None:
        if self._hidden is not None:
            with suppress(OSError):
                os.unlink(self._hidden, dir_fd=self._at)
            self._hidden = None
        for fd in (self._fd, self._at):
            if fd >= 0:
                os.close(fd)
        self._fd = self._at = -1


def _spares(ending: str) -> Iterator[_NewFile]:
    """Files elsewhere that nobody but this user can read."""
    for folder in (tempfile.gettempdir(), *SPARES):
        try:
            yield _NewFile(Path(folder), f"zeekspy-{secrets.token_hex(4)}{ending}", 0o600)
        except OSError:
            continue


def _unused_name() -> str:
    return f".zeekspy-{secrets.token_hex(8)}"


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _standard_output() -> int:
    if sys.stdout is None:  # Python found descriptor 1 closed
        raise FileError("cannot write to standard output: it is closed", "Give a file with -o.")
    return sys.stdout.fileno()


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
