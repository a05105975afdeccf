"""Why the kernel refuses access to a process, and what to do about it."""

from __future__ import annotations

import os
from pathlib import Path

from zeekspy.errors import AccessDenied

CAP_SYS_PTRACE = 19
YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")


def denied(pid: int, what: str) -> AccessDenied:
    """The error for a refused ``what`` ("reading its memory"), with the reasons that can be seen and the remedy."""
    message, hint = explain(pid)
    return AccessDenied(f"{what} of process {pid} is not permitted: {message}", hint)


def explain(pid: int) -> tuple[str, str]:
    """(reason, remedy), from /proc alone."""
    if not _may_ptrace():
        root = os.geteuid() == 0
        owner = _owner(pid)
        if owner is not None and owner != os.geteuid() and not root:
            return f"it belongs to uid {owner}, zeekspy runs as uid {os.geteuid()}", "Run zeekspy as root (sudo)."
        if not root and owner == os.geteuid() and _hidden(pid):
            return (
                "its executable has file capabilities (setcap), which makes the kernel protect it",
                "Run zeekspy as root (sudo).",
            )
        if _yama() >= 1 and not root:
            return (
                f"the kernel's Yama module forbids it (kernel.yama.ptrace_scope = {_yama()})",
                "Run zeekspy as root (sudo), or allow it: sysctl kernel.yama.ptrace_scope=0.",
            )
        if root:
            return (
                "zeekspy runs as root without the capability CAP_SYS_PTRACE, as in a container",
                "Give the container the capability (docker run --cap-add=SYS_PTRACE; Kubernetes: "
                "securityContext.capabilities.add: [SYS_PTRACE]), or run zeekspy on the host.",
            )
        return "zeekspy lacks the capability CAP_SYS_PTRACE", "Run zeekspy as root (sudo)."
    if _yama() == 3:
        return (
            "the kernel's Yama module forbids it to everyone (kernel.yama.ptrace_scope = 3)",
            "That setting holds until the next boot; boot with another one.",
        )
    return (
        "zeekspy has CAP_SYS_PTRACE, but not in the user namespace of the process (or a security module forbids it)",
        "Run zeekspy on the host rather than in a container, and look for AppArmor or SELinux denials in dmesg.",
    )


def _may_ptrace() -> bool:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> CAP_SYS_PTRACE & 1)
    except (OSError, ValueError, IndexError):
        pass
    return os.geteuid() == 0


def _owner(pid: int) -> int | None:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


def _hidden(pid: int) -> bool:
    """Whether the process is not dumpable: root owns its files in /proc then."""
    try:
        return os.stat(f"/proc/{pid}/mem").st_uid != os.geteuid()
    except OSError:
        return False


def _yama() -> int:
    try:
        return int(YAMA.read_text())
    except (OSError, ValueError):
        return 0
