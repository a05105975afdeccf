"""What benchmarks run: a real Zeek under load, held at its beginning and end; zeekspy and bpftrace beside it.

The Zeek's main thread runs on one CPU at real-time priority (``chrt -R -f 10 taskset -c 0``), so that whatever else
the machine does is not measured; its other threads and zeekspy run where they like. ``placed=False``, or for all of
them ZEEKSPY_BENCH_PLACE=0, leaves Zeek where it wants to be: from threads of real-time priority the kernel keeps
50 ms of each second (sched_rt_runtime_us), and so from an engine that has to be above them.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import targets
from zeekspy.layout import Layout, version_key
from zeekspy.target import Target

ENGINES = ("nonblocking", "preempt", "ptrace")
LOAD = Path(__file__).with_name("load.zeek")
CPU = min(os.sched_getaffinity(0))
PRIORITY = 10
SECONDS = 20.0
"""Of sampling at most, where a load does not end by itself."""
LONGEST = 300.0
"""Seconds that nothing here may take."""
HOLD = """
event zeek_init() &priority=-1000000 { print "bench: begin"; flush_all(); }
event zeek_done() &priority=-1000000 { print "bench: end"; flush_all(); }
"""


@cache
def version(zeek: Path) -> str:
    out = subprocess.run([zeek, "--version"], capture_output=True, text=True, check=True).stdout
    return out.split()[2]


def zeeks() -> list[Path]:
    """ZEEKSPY_BENCH_ZEEK (colons between), else of those installed the newest, and the newest until 8.0."""
    named = os.environ.get("ZEEKSPY_BENCH_ZEEK")
    if named:
        return [Path(p) for p in named.split(":")]
    found = sorted(targets.zeeks(), key=lambda z: version_key(version(z)))
    old = [z for z in found if version_key(version(z)) < version_key("8.1")]
    return list(dict.fromkeys([*found[-1:], *old[-1:]]))


def load(rounds: int = 0) -> list[str]:
    """Arguments for a Zeek: the pcap of ZEEKSPY_BENCH_PCAP, else load.zeek, so many rounds of it."""
    pcap = os.environ.get("ZEEKSPY_BENCH_PCAP")
    if pcap:
        return ["-C", "-r", str(Path(pcap).resolve()), "local"]
    return script_load(rounds)


def script_load(rounds: int = 0, long: int = 200, repeat: int = 1, pause: str = "0sec") -> list[str]:
    """What the names mean stands in load.zeek."""
    return [
        "-b",
        str(LOAD),
        f"Load::rounds={rounds}",
        f"Load::long={long}",
        f"Load::repeat={repeat}",
        f"Load::pause={pause}",
    ]


def load_name() -> str:
    pcap = os.environ.get("ZEEKSPY_BENCH_PCAP")
    return (
        f"`local` on {Path(pcap).name} ({Path(pcap).stat().st_size / 1e6:.0f} MB)" if pcap else "tests/bench/load.zeek"
    )


@dataclass
class Run:
    """A Zeek, stopped after its zeek_init until ``go``, and again in its zeek_done until ``finish``."""

    process: subprocess.Popen[bytes]
    folder: Path
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def pid(self) -> int:
        return self.process.pid

    def go(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stats(self) -> dict[str, Any]:
        """Those of the last zeekspy record that has ended."""
        result: dict[str, Any] = json.loads((self.folder / "stats.json").read_text())
        return result

    def cpu_s(self) -> float:
        """On-CPU time of the main thread: also of one that has exited and was not collected."""
        return int(Path(f"/proc/{self.pid}/task/{self.pid}/schedstat").read_text().split()[0]) / 1e9

    def exit(self) -> None:
        """Waits for it, and leaves it there to be looked at."""
        pidfd = os.pidfd_open(self.pid)
        try:
            if not select.select([pidfd], [], [], LONGEST)[0]:
                sys.exit(f"Zeek did not end within {LONGEST:g} s")
        finally:
            os.close(pidfd)

    def watch(self, hold_end: bool) -> None:
        """Frees the other threads from the main thread's CPU, and stops Zeek at its end."""
        freed, output, all_cpus = {self.pid}, self.folder / "out", os.sched_getaffinity(0)
        while self.process.returncode is None and not self.ended.is_set():
            with suppress(OSError):
                for name in os.listdir(f"/proc/{self.pid}/task"):
                    if int(name) not in freed:
                        freed.add(int(name))
                        os.sched_setaffinity(int(name), all_cpus)
            if hold_end and b"bench: end" in output.read_bytes()[-200:]:
                self.process.send_signal(signal.SIGSTOP)
                self.ended.set()
            time.sleep(0.02)


@contextmanager
def zeek(path: Path, arguments: Sequence[str], *, hold_end: bool = False, placed: bool = True) -> Iterator[Run]:
    """Starts it, and stops it once it is ready to work."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "out").open("wb") as out:
            process = subprocess.Popen(
                [path, *arguments, "-e", HOLD],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=_place if placed else None,
            )
        run = Run(process, folder)
        watcher = threading.Thread(target=run.watch, args=(hold_end,))
        try:
            until = time.monotonic() + 60
            while b"bench: begin" not in (folder / "out").read_bytes():
                if process.poll() is not None or time.monotonic() > until:
                    sys.exit(f"{path} did not start: {(folder / 'out').read_text(errors='replace')[-500:]}")
                time.sleep(0.001)
            process.send_signal(signal.SIGSTOP)
            watcher.start()
            yield run
        finally:
            run.ended.set()
            process.kill()
            process.wait()
            if watcher.ident is not None:
                watcher.join()


def _place() -> None:
    if os.environ.get("ZEEKSPY_BENCH_PLACE") != "0":
        os.sched_setaffinity(0, {CPU})
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))


def record_command(run: Run, engine: str, hz: float, seconds: float | None = None) -> list[str]:
    """``zeekspy record`` that writes stats.json into the Zeek's folder."""
    command = [sys.executable, "-m", "zeekspy", "--pid", str(run.pid), "--hz", f"{hz:g}", "--engine", engine]
    command += ["--max-cpu", "100", "-o", str(run.folder / "profile.pb.gz"), "--stats", str(run.folder / "stats.json")]
    return command + (["--duration", f"{seconds:g}"] if seconds else [])


class Recording:
    """``zeekspy record`` of a Zeek, from when it samples until it is told to stop."""

    def __init__(self, run: Run, engine: str, hz: float, seconds: float | None = None) -> None:
        self.run = run
        self.command = record_command(run, engine, hz, seconds)
        self.process = subprocess.Popen(self.command, stderr=subprocess.PIPE)
        status, until = Path(f"/proc/{self.process.pid}/status"), time.monotonic() + 20
        # It confines itself right before the first sample.
        while "Seccomp:\t2" not in status.read_text() and time.monotonic() < until and self.process.poll() is None:
            time.sleep(0.005)

    def stats(self, stop: bool = False) -> dict[str, Any]:
        """Those of --stats, once it has ended."""
        if stop:
            self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=LONGEST)
        if self.process.returncode:
            sys.exit(f"{' '.join(self.command)} failed: {err.decode()}")
        return self.run.stats()


class Kernel:
    """A bpftrace program, from when it is attached. Maps are printed when it stops."""

    def __init__(self, program: str) -> None:
        ready = 'interval:ms:50 { printf("ready\\n"); }'
        self.process = subprocess.Popen(
            ["bpftrace", "-B", "line", "-e", program + ready], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        self._out = self.process.stdout
        if not select.select([self._out], [], [], 30)[0]:
            sys.exit("bpftrace did not start")
        while b"ready" not in (line := self._out.readline()):
            if not line:
                sys.exit("bpftrace failed")

    def stop(self) -> dict[str, Counter[tuple[int, ...]]]:
        """Its maps of counts: by name, keys to counts."""
        self.process.send_signal(signal.SIGINT)
        text = self.process.communicate(timeout=60)[0].decode()
        maps: dict[str, Counter[tuple[int, ...]]] = {}
        for name, keys, n in re.findall(r"^@(\w+)\[([-\d, ]+)\]: (\d+)$", text, re.MULTILINE):
            maps.setdefault(name, Counter())[tuple(int(k) for k in keys.split(","))] += int(n)
        return maps


def bpftrace() -> bool:
    return shutil.which("bpftrace") is not None and os.geteuid() == 0


def stack_program(target: Target, layout: Layout, hz: float, name: str = "s") -> str:
    """In-kernel sampling of the main thread while it is on its CPU: counts by depth and innermost Func."""
    f, at = layout.fields, target.symbols["call_stack"]
    inner = f"$e - {f['sizeof.CallInfo']}"
    if "CallInfo.func" in f:
        func = f"*(uint64*)uptr({inner} + {f['CallInfo.func']})"
    else:
        func = f"*(uint64*)uptr(*(uint64*)uptr({inner} + {f['CallInfo.frame']}) + {f['Frame.function']})"
    return f"""
profile:hz:{hz:.0f} /pid == {target.pid} && tid == {target.pid}/ {{
    $b = *(uint64*)uptr({at}); $e = *(uint64*)uptr({at + 8}); $f = (uint64)0;
    if ($e > $b) {{ $f = {func}; }}
    @{name}[($e - $b) / {f["sizeof.CallInfo"]}, $f] = count();
}}
"""
