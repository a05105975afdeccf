"""A Zeek that stalls at random moments, watched: python -m tests.bench.stalls [--trials 20] [--quiet 600] [ZEEK …].

Each Zeek listens on the loopback interface with ``local``, where a client asks a web server something twenty times a
second. ``zeekspy watch --on 'stall>200ms'`` is to write one capture for each stall, with its stack and nothing else,
and with --quiet none in all the time in which nothing stalls. Stalls last 300 ms, in turns busy in a script's loop and
blocked in a call. Exit code 1 where one was missed, or written without one.
"""

from __future__ import annotations

import argparse
import calendar
import http.client
import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import targets
from zeekspy import recording
from zeekspy.rolling import shelf

SCRIPT = Path(__file__).with_name("stalls.zeek")
LONG_S = 0.3
RING_S, AFTER_S = 3.0, 1.0
STARTS_S = 60.0
GUILTY = {"busy": "Stalls::spin", "blocked": "Stalls::wait_for_reader"}
REQUESTS_S = 20


@dataclass
class Stall:
    """One that was made: what kind, and from when until when (seconds since the epoch)."""

    kind: str
    begin: float
    end: float = 0.0


class Stalling:
    """A running Zeek, what it says of its stalls, and the reader its blocked ones wait for."""

    def __init__(self, zeek: Path, folder: Path, trials: int) -> None:
        self.stalls: list[Stall] = []
        self.ready, self.over = threading.Event(), threading.Event()
        self._pipe = folder / "pipe"
        os.mkfifo(self._pipe)
        words = [
            str(zeek),
            "-C",
            "-i",
            "lo",
            "local",
            str(SCRIPT),
            f"Stalls::trials={trials}",
            f"Stalls::pipe={self._pipe}",
        ]
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        _first(self.process, 1)
        threading.Thread(target=self._listen, daemon=True).start()
        if not self.ready.wait(STARTS_S):
            self.stop()
            raise RuntimeError(f"{zeek} did not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            what, _, at = line.strip().partition(" ")
            if what in GUILTY:
                self.stalls.append(Stall(what, float(at)))
                if what == "blocked":
                    time.sleep(LONG_S)
                    os.close(os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK))
            elif what == "ended":
                self.stalls[-1].end = float(at)
            elif what == "over":
                self.over.set()
            elif what == "ready":
                self.ready.set()


def _first(process: subprocess.Popen[Any], priority: int) -> None:
    """What else this machine does is neither to stall a Zeek nor to blind its watch."""
    with suppress(PermissionError):
        os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(priority))


@contextmanager
def web() -> Iterator[None]:
    """A server and its client on the loopback interface: a little work for Zeek's scripts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet)
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(1 / REQUESTS_S):
            with suppress(OSError, http.client.HTTPException):
                c = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
                c.request("GET", "/")
                c.getresponse().read()
                c.close()

    threads = [threading.Thread(target=t, daemon=True) for t in (server.serve_forever, ask)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        server.shutdown()
        server.server_close()


class _Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"zeek\n")

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def watched(zeek: Path, folder: Path, trials: int, seconds: float | None = None) -> Iterator[Stalling]:
    """A Zeek under watch, until the block ends."""
    stalling = Stalling(zeek, folder, trials)
    command = [sys.executable, "-m", "zeekspy", "watch", "--pid", str(stalling.process.pid), "--on", "stall>200ms"]
    command += [
        "--ring",
        f"{RING_S}",
        "--keep-after",
        f"{AFTER_S}",
        "--max-captures",
        "1000",
        "--out",
        str(folder / "out"),
    ]
    watch = subprocess.Popen(command)
    _first(watch, 20)
    try:
        yield stalling
        time.sleep(AFTER_S + 1.5)
        watch.terminate()
        watch.wait(60)
    finally:
        watch.kill()
        watch.wait()
        stalling.stop()


def seconds_of(text: str) -> float:
    """A sidecar's time as seconds since the epoch."""
    whole, _, rest = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{rest}")


def fault(stall: Stall, found: list[dict[str, Any]], folder: Path) -> str:
    """What is wrong with the capture of this stall; empty where nothing is."""
    mine = [c for c in found if stall.begin - 0.05 <= seconds_of(c["fired"]) <= stall.end + 1.0]
    if len(mine) != 1:
        return f"{len(mine)} captures"
    c, guilty = mine[0], GUILTY[stall.kind]
    if guilty not in c["stack"]:
        return f"the stack is {c['stack']}"
    if not (seconds_of(c["begin"]) < stall.begin - 1 and seconds_of(c["end"]) > stall.end):
        return f"the window is from {c['begin']} until {c['end']}"
    if not LONG_S * 0.8 < c["highest"]["stall>200ms"] < stall.end - stall.begin + 0.05:
        return f"it seems to have lasted {c['highest']['stall>200ms']} s"
    profile = recording.read(str(folder / c["profile"]))
    if profile.total().count != c["samples"]:
        return f"{profile.total().count} samples, not {c['samples']}"
    samples = sum(v.count for stack, _, v in profile if any(f.name == guilty for f in stack))
    due = (stall.end - stall.begin) * c["hz"]
    return "" if 0.7 * due <= samples <= 1.3 * due + 2 else f"{samples} samples of {guilty}, {due:.0f} were due"


def trials(zeek: Path, n: int) -> int:
    """How many of so many stalls were not caught as they should be; prints what was wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with watched(zeek, folder, n) as stalling:
            stalling.over.wait(60 + 8 * n)
        found = [shelf.sidecar(p) for p in sorted((folder / "out").glob("0*.json"))]
        faults = [(s, text) for s in stalling.stalls if (text := fault(s, found, folder / "out"))]
    for s, text in faults:
        print(f"  {s.kind} of {1000 * (s.end - s.begin):.0f} ms: {text}")
    late = [c["highest"]["stall>200ms"] * 1000 for c in found]
    print(
        f"{zeek}: {len(stalling.stalls) - len(faults)} of {n} stalls caught, {len(found)} captures; seen to last "
        f"{min(late, default=0):.0f} to {max(late, default=0):.0f} ms",
        flush=True,
    )
    return len(faults) + abs(n - len(stalling.stalls)) + abs(len(found) - n)


def quiet(zeek: Path, seconds: float) -> int:
    """How many captures there were though nothing stalled."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with watched(zeek, folder, 0):
            time.sleep(seconds)
        found = [shelf.sidecar(p) for p in sorted((folder / "out").glob("0*.json"))]
    for c in found:
        print(f"  {c['fired']}: {c['highest']}, {c['stack']}")
    print(f"{zeek}: {len(found)} captures in {seconds:g} quiet seconds", flush=True)
    return len(found)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    p.add_argument("--trials", type=int, default=20)
    p.add_argument("--quiet", type=float, default=0.0, help="seconds")
    p.add_argument("zeeks", nargs="*", type=Path, metavar="ZEEK")
    args = p.parse_args()
    wrong = 0
    with web():
        for zeek in args.zeeks or targets.zeeks():
            wrong += trials(zeek, args.trials) if args.trials else 0
            wrong += quiet(zeek, args.quiet) if args.quiet else 0
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
