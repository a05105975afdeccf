"""Where packet drops are read: a Zeek's metrics, its stats.log, or a command. Nothing here is believed to be sound."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Protocol

from zeekspy.errors import UsageError, ZeekspyError

MOST_BYTES = 8 << 20
"""Of an answer that are read."""
MOST_NODES = 4096
MOST_PACKETS = 1e18
TIMEOUT_S = 5.0
EVERY_S = 1.0
"""Between two questions."""
DROPPED, RECEIVED = "zeek_net_dropped_packets", "zeek_net_received_packets"
"""policy/misc/stats.zeek, from Zeek 6.0 on; with ``_total`` behind it as text."""
NODE_LABELS = ("node", "endpoint")
"""What says which node a sample is of: Telemetry::metrics_endpoint_label, and as it was called before."""
LONGEST_LINE = 1 << 16


class NoAnswer(ZeekspyError):
    """A source that does not answer, or not what was asked."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Packets so far. ``at`` (s) is the source's own time, of which only differences mean something."""

    dropped: float
    received: float
    at: float


Reading = Mapping[str, Counted]
"""By node; "" is the name of one that says none."""


class Source(Protocol):
    """``read`` takes as long as it takes; NoAnswer."""

    name: str

    def read(self) -> Reading: ...


def source(text: str) -> Source:
    """``http://…/metrics``, ``command:…`` or the path of a stats.log. UsageError."""
    if text.startswith("command:"):
        try:
            words = shlex.split(text.removeprefix("command:"))
        except ValueError as e:
            raise UsageError(f"{text!r} is not a command: {e}") from None
        if not words:
            raise UsageError("--drops-from command: needs a command behind it", "It is to print DROPPED RECEIVED.")
        return Command(words)
    if "://" in text:
        if not text.startswith(("http://", "https://")):
            raise UsageError(f"{text!r} is no address of metrics", "As in http://127.0.0.1:9991/metrics.")
        if find_spec("prometheus_client") is None:
            raise UsageError("metrics need the package prometheus_client of Python", "pip install 'zeekspy[serve]'")
        return Metrics(text)
    if not text:
        raise UsageError("--drops-from needs an address, a file or command:COMMAND", "See zeekspy watch --help.")
    return StatsLog(Path(text))


class Metrics:
    """Prometheus' text format, as Zeek gives it from 6.0 on where policy/misc/stats is loaded."""

    def __init__(self, url: str) -> None:
        self.name = url
        # No proxy of the environment's, and no file: it is a Zeek of this site that is asked.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(self) -> Reading:
        try:
            with self._open.open(self.name, timeout=TIMEOUT_S) as answer:
                data = answer.read(MOST_BYTES + 1)
        except (OSError, ValueError, urllib.error.URLError) as e:
            raise NoAnswer(f"{self.name} does not answer: {getattr(e, 'reason', e)}") from None
        except Exception as e:  # http.client has errors of its own for what is no HTTP
            raise NoAnswer(f"{self.name} does not speak HTTP: {type(e).__name__}") from None
        if len(data) > MOST_BYTES:
            raise NoAnswer(f"{self.name} does not end")
        return metrics(data.decode("utf-8", "replace"), time.monotonic(), self.name)


def metrics(text: str, at: float, name: str) -> Reading:
    """What such a text says of packets, added up for each node. NoAnswer."""
    from prometheus_client.parser import text_string_to_metric_families

    wanted = [line for line in text.splitlines() if line.startswith(("zeek_net_", "zeek-net-"))]
    sums: dict[str, dict[str, float]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(wanted) + "\n"):
            for sample in family.samples:
                metric = sample.name.replace("-", "_").removesuffix("_total")
                if metric in (DROPPED, RECEIVED):
                    node = next((sample.labels[k] for k in NODE_LABELS if sample.labels.get(k)), "")
                    found = sums.setdefault(node, {})
                    found[metric] = found.get(metric, 0.0) + _number(sample.value)
    except (ValueError, KeyError, IndexError) as e:
        raise NoAnswer(f"{name} says what is not understood: {e}") from None
    result = {node: Counted(s[DROPPED], s[RECEIVED], at) for node, s in sums.items() if len(s) == 2}
    if not result:
        raise NoAnswer(f"{name} says nothing of {DROPPED}: is policy/misc/stats loaded?")
    return _bounded(result, name)


class StatsLog:
    """A stats.log, as text with tabs or as JSON, that grows, and begins anew when it is rotated."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._file: tuple[int, int] | None = None
        self._at = 0
        self._fields: list[str] = []
        self._sums: dict[str, Counted] = {}
        self._first = True

    def read(self) -> Reading:
        try:
            with self._path.open("rb") as f:
                found = os.fstat(f.fileno())
                if (found.st_dev, found.st_ino) != self._file or found.st_size < self._at:
                    self._file, self._at, self._fields = (found.st_dev, found.st_ino), 0, []
                if self._first:
                    self._skip(f, found.st_size)
                f.seek(self._at)
                data = f.read(MOST_BYTES)
        except OSError as e:
            raise NoAnswer(f"{self.name} cannot be read: {e.strerror}") from None
        whole, newline, _ = data.rpartition(b"\n")
        self._at += len(whole) + len(newline)
        for line in whole.split(b"\n") if newline else []:
            self._take(line[:LONGEST_LINE].decode("utf-8", "replace"))
        self._first = False
        return dict(self._sums)

    def _skip(self, f: BinaryIO, size: int) -> None:
        """Of a long file only the names of its columns and its end are of use."""
        if size > MOST_BYTES // 2:
            for line in f.read(LONGEST_LINE).split(b"\n"):
                if line.startswith(b"#fields\t"):
                    self._take(line.decode("utf-8", "replace"))
            self._at = size - LONGEST_LINE

    def _take(self, line: str) -> None:
        if line.startswith("#fields\t"):
            self._fields = line.split("\t")[1:]
        if not line or line.startswith("#"):
            return
        try:
            row = json.loads(line) if line.startswith("{") else dict(zip(self._fields, line.split("\t"), strict=False))
            peer, ts = str(row.get("peer", "")), _number(row["ts"])
            got, dropped = (_number(row[k]) for k in ("pkts_proc", "pkts_dropped"))
        except (ValueError, KeyError, TypeError, RecursionError, NoAnswer):
            return  # a Zeek without packet sources logs no packets
        before = self._sums.get(peer, Counted(0, 0, ts))
        # The columns are of the interval that ends then; what was there before we came is nothing new.
        if len(self._sums) < MOST_NODES or peer in self._sums:
            more = (0.0, 0.0) if self._first else (dropped, got)
            self._sums[peer] = Counted(before.dropped + more[0], before.received + more[1], ts)


class Command:
    """A command that prints ``DROPPED RECEIVED`` as counters, or ``NODE DROPPED RECEIVED``, a line for each node."""

    def __init__(self, words: list[str]) -> None:
        self.name = shlex.join(words)
        self._words = words

    def read(self) -> Reading:
        try:
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as e:
            raise NoAnswer(f"{self.name} cannot be run: {e}") from None
        ending = threading.Timer(TIMEOUT_S, _kill, [process])
        ending.start()
        try:
            assert process.stdout is not None
            data = process.stdout.read(LONGEST_LINE)
        finally:
            _kill(process)
            ending.cancel()
            if process.stdout is not None:
                process.stdout.close()
            process.wait()
        found: dict[str, Counted] = {}
        for line in data.decode("utf-8", "replace").splitlines():
            words = line.split()
            if len(words) not in (2, 3):
                raise NoAnswer(f"{self.name} prints {line[:60]!r} instead of DROPPED RECEIVED")
            node = words[0] if len(words) == 3 else ""
            found[node] = Counted(_number(words[-2]), _number(words[-1]), time.monotonic())
        if not found:
            raise NoAnswer(f"{self.name} prints nothing within {TIMEOUT_S:g} s")
        return _bounded(found, self.name)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The command and what it has started: its session is its own."""
    with suppress(OSError):
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)


def _number(value: object) -> float:
    """A counter: a number, not negative, and not beyond all that a Zeek can count."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= MOST_PACKETS:
        raise NoAnswer(f"{value!r} is not a number of packets")
    return number


def _bounded(found: dict[str, Counted], name: str) -> Reading:
    if len(found) > MOST_NODES:
        raise NoAnswer(f"{name} speaks of more than {MOST_NODES} nodes")
    return found


class Asking:
    """Asks every source again and again, each in a thread of its own; ``tell(index, reading or reason)``."""

    def __init__(self, sources: Iterable[Source], tell: Callable[[int, Reading | str], None]) -> None:
        self._tell = tell
        for number, one in enumerate(sources):
            threading.Thread(target=self._ask, args=(number, one), name=f"zeekspy-drops-{number}", daemon=True).start()

    def _ask(self, number: int, one: Source) -> None:
        while True:
            try:
                self._tell(number, one.read())
            except NoAnswer as e:
                self._tell(number, str(e))
            except Exception as e:  # whatever a source does, the others go on
                self._tell(number, f"{one.name}: {type(e).__name__}: {e}")
            time.sleep(EVERY_S)
