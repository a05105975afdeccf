"""Every error zeekspy raises on purpose: what went wrong, a hint that says what to do, and the exit code."""

from __future__ import annotations


class ZeekspyError(Exception):
    """Base of all. ``hint`` is one sentence with the remedy; ``exit_code`` is what the command line returns."""

    hint = ""
    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class UsageError(ZeekspyError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class TargetError(ZeekspyError):
    """The process that was to be profiled."""


class NoSuchTarget(TargetError):
    """There is no such process, or it has gone."""

    hint = "pgrep -a zeek lists the Zeek processes of this host."
    exit_code = 3


class AccessDenied(TargetError):
    """The kernel does not let us read the target."""

    exit_code = 4


class NotZeek(TargetError):
    """A process or file that is not a Zeek."""

    hint = "Give the pid of a zeek process: pgrep -a zeek lists them."


class ReadFault(TargetError):
    """Memory of the target that should be there could not be read. ``address`` is where."""

    def __init__(self, message: str, address: int) -> None:
        super().__init__(message)
        self.address = address


class LayoutError(ZeekspyError):
    """The table of offsets."""


class UnknownBuild(LayoutError):
    """No layout is known for this build of Zeek, or the one at hand failed its self-check."""

    exit_code = 5


class BadLayout(LayoutError):
    """A table of offsets that cannot be right: a field is missing, absurd or overlaps another."""

    exit_code = 5


class DebugInfoError(LayoutError):
    """DWARF that is missing, damaged, or not Zeek's."""

    exit_code = 5


class FileError(ZeekspyError):
    """A file that cannot be read or written, or is not what it should be."""


class CoreError(ZeekspyError):
    """The C core ran out of memory or a system call failed that should not."""
