"""Which reason is given for a refusal, and which remedy."""

from __future__ import annotations

import os

import pytest

from zeekspy import access
from zeekspy.errors import AccessDenied


@pytest.mark.parametrize(
    ("may_ptrace", "uid", "owner", "hidden", "yama", "reason", "remedy"),
    [
        (False, 1000, 0, True, 1, "it belongs to uid 0, zeekspy runs as uid 1000", "sudo"),
        (False, 1000, 1000, True, 1, "file capabilities", "sudo"),
        (False, 1000, 1000, False, 1, "kernel.yama.ptrace_scope = 1", "sysctl kernel.yama.ptrace_scope=0"),
        (False, 1000, 1000, False, 2, "kernel.yama.ptrace_scope = 2", "sudo"),
        (False, 1000, None, False, 0, "lacks the capability CAP_SYS_PTRACE", "sudo"),
        (False, 0, 1000, False, 1, "without the capability CAP_SYS_PTRACE", "--cap-add=SYS_PTRACE"),
        (True, 0, 1000, False, 3, "ptrace_scope = 3", "next boot"),
        (True, 0, 1000, False, 0, "user namespace", "on the host"),
    ],
)
def test_explain(
    monkeypatch: pytest.MonkeyPatch,
    may_ptrace: bool,
    uid: int,
    owner: int | None,
    hidden: bool,
    yama: int,
    reason: str,
    remedy: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    for name, value in {"_may_ptrace": may_ptrace, "yama": yama}.items():
        monkeypatch.setattr(access, name, lambda value=value: value)
    monkeypatch.setattr(access, "_owner", lambda pid: owner)
    monkeypatch.setattr(access, "hidden", lambda pid: hidden)
    message, hint = access.explain(7)
    assert reason in message
    assert remedy in hint
    error = access.denied(7, "reading the memory")
    assert isinstance(error, AccessDenied)
    assert str(error) == f"reading the memory of process 7 is not permitted: {message}"
    assert (error.hint, error.exit_code) == (hint, 4)


def test_what_is_read_of_this_process() -> None:
    assert access._owner(os.getpid()) == os.geteuid()
    assert access._owner(1 << 22) is None
    assert not access.hidden(1 << 22)
