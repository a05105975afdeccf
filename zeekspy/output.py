"""The file a recording goes to: known to be writable before sampling starts, complete or absent at the end."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from zeekspy.errors import FileError


class Output:
    """A file to be written later. Opening it raises FileError where that will not be possible.

    The content goes to a temporary file beside it, which takes its place when it is whole. Devices, pipes and ``-``
    (standard output) are written directly.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary: Any = None
        self._direct = str(path) == "-" or _is_special(path)
        if self._direct:
            return
        if path.is_dir():
            raise FileError(f"cannot write {path}: it is a directory", "Give a file's name with -o.")
        if path.exists() and not os.access(path, os.W_OK):
            raise FileError(f"cannot write {path}: permission denied", "Give another file with -o.")
        try:
            self._temporary = tempfile.NamedTemporaryFile(  # noqa: SIM115 - lives until write or discard
                dir=path.parent, prefix=f".{path.name}.", delete=False
            )
        except OSError as e:
            raise FileError(f"cannot write {path}: {e.strerror}", "Give a file in another folder with -o.") from None

    def write(self, content: Callable[[BinaryIO], None]) -> Path:
        """Writes the file and returns its path: another one, in the temporary folder, if the disk is full by now."""
        if self._direct:
            return self._write_direct(content)
        assert self._temporary is not None
        try:
            with self._temporary as out:
                content(out.file)
                out.flush()
            os.chmod(out.name, 0o666 & ~_umask())
            os.replace(out.name, self.path)
        except OSError as e:
            self.discard()
            return self._rescue(content, e)
        return self.path

    def _write_direct(self, content: Callable[[BinaryIO], None]) -> Path:
        try:
            if str(self.path) == "-":
                content(sys.stdout.buffer)
                sys.stdout.buffer.flush()
            else:
                with open(self.path, "wb") as out:
                    content(out)
        except BrokenPipeError:
            raise
        except OSError as e:
            return self._rescue(content, e)
        return self.path

    def _rescue(self, content: Callable[[BinaryIO], None], error: OSError) -> Path:
        print(f"zeekspy: cannot write {self.path}: {error.strerror}; using the temporary folder", file=sys.stderr)
        suffix = "".join(self.path.suffixes) or ".pb.gz"
        try:
            with tempfile.NamedTemporaryFile(prefix="zeekspy-", suffix=suffix, delete=False) as out:
                content(cast(BinaryIO, out.file))
        except OSError as e:
            raise FileError(f"cannot write {out.name} either: {e.strerror}", "Free some disk space.") from None
        return Path(out.name)

    def discard(self) -> None:
        """Takes the temporary file away; harmless after write."""
        if self._temporary is not None:
            self._temporary.close()
            Path(self._temporary.name).unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
