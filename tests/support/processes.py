"""Made-up process trees: folders that look like /proc."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """What the files of one process say. None: a file that may not be read, here one that is not there."""

    pid: int
    exe: Path | None
    comm: str = "zeek"
    argv: Sequence[str] = ("/usr/local/zeek/bin/zeek", "local")
    environ: dict[str, str] | None = field(default_factory=dict)
    cwd: str | None = "/"
    cgroup: str = "0::/user.slice/user-0.slice/session-1.scope"
    cpus: str = "0-7"
    nspid: str = ""
    state: str = "S"
    start: int = 4711


def tree(folder: Path, *processes: Process) -> Path:
    """``folder`` as the /proc of a machine with eight CPUs and these processes."""
    folder.mkdir()
    (folder / "stat").write_text("cpu  1 2 3\n" + "".join(f"cpu{i} 1 2 3\n" for i in range(8)) + "intr 5\n")
    (folder / "sys").mkdir()
    for p in processes:
        at = folder / str(p.pid)
        at.mkdir()
        (at / "stat").write_text(f"{p.pid} ({p.comm}) {p.state} 1 " + "0 " * 17 + f"{p.start} " + "0 " * 30)
        (at / "comm").write_text(p.comm + "\n")
        (at / "cmdline").write_text("".join(word + "\0" for word in p.argv))
        (at / "cgroup").write_text(p.cgroup + "\n")
        status = f"Name:\t{p.comm}\nCpus_allowed_list:\t{p.cpus}\n" + (f"NSpid:\t{p.nspid}\n" if p.nspid else "")
        (at / "status").write_text(status)
        if p.environ is not None:
            (at / "environ").write_text("".join(f"{k}={v}\0" for k, v in p.environ.items()))
        if p.exe is not None:
            (at / "exe").symlink_to(p.exe)
        if p.cwd is not None:
            (at / "cwd").symlink_to(p.cwd)
    return folder
