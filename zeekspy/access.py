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
        if not root and owner == os.geteuid() and hidden(pid):
            return (
                "its executable has file capabilities (setcap), which makes the kernel protect it",
                "Run zeekspy as root (sudo).",
            )
        if yama() >= 1 and not root:
            return (
                f"the kernel's Yama module forbids it (kernel.yama.ptrace_scope = {yama()})",
                "Run zeekspy as root (sudo), or allow it: sysctl kernel.yama.ptrace_scope=0.",
            )
        if root:
            return (
                "zeekspy runs as root without the capability CAP_SYS_PTRACE, as in a container",
                "Give the container the capability (docker run --cap-add=SYS_PTRACE; Kubernetes: "
                "securityContext.capabilities.add: [SYS_PTRACE]), or run zeekspy on the host.",
            )
        return "zeekspy lacks the capability CAP_SYS_PTRACE", "Run zeekspy as root (sudo)."
    if yama() == 3:
        return (
            "the kernel's Yama module forbids it to everyone (kernel.yama.ptrace_scope = 3)",
            "That setting holds until the next boot; boot with another one.",
        )
    return (
        "zeekspy has CAP_SYS_PTRACE, but not in the user namespace of the process (or a security module forbids it)",
        "Run zeekspy on the host rather than in a container, and look for AppArmor or SELinux denials in dmesg.",
    )


def _may_ptrace() -> bool:
    return bool(capabilities() >> CAP_SYS_PTRACE & 1)


def capabilities() -> int:
    """The effective capabilities of this process, as a mask."""
    try:
        return int(status("self")["CapEff"], 16)
    except (KeyError, ValueError):
        return (1 << 64) - 1 if os.geteuid() == 0 else 0


def status(pid: int | str) -> dict[str, str]:
    """/proc/PID/status, field by field; empty if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def _owner(pid: int) -> int | None:
    try:
        return int(status(pid)["Uid"].split()[0])
    except (KeyError, ValueError, IndexError):
        return None


def hidden(pid: int) -> bool:
    """Whether the process is not dumpable: root owns its files in /proc then."""
    try:
        return os.stat(f"/proc/{pid}/mem").st_uid != os.geteuid()
    except OSError:
        return False


def yama() -> int:
    """kernel.yama.ptrace_scope: 0 where there is no such module."""
    try:
        return int(YAMA.read_text())
    except (OSError, ValueError):
        return 0
