"""From a live target to every format: a recording keeps the times of its samples, and no format loses any."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest

from tests.support.commands import ZEEKSPY, profile_of, zeekspy
from tests.support.targets import running
from zeekspy import export

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recording") / "zeek.pb.gz"
    with running("2") as target:
        assert zeekspy("--pid", target.pid, "--hz", 200, "--duration", 2, "-o", out).returncode == 0
    return out


def test_a_recording_has_the_time_of_every_sample(recording: Path) -> None:
    profile = profile_of(recording)
    assert profile.times is not None
    assert profile.times.dropped == 0
    counts = dict(zip(profile.times.keys, profile.times.samples(), strict=True))
    assert counts == {key: values.count for key, values in profile.samples.items()}
    assert list(profile.times.times) == sorted(profile.times.times)
    assert -100_000 < profile.times.times[0] < profile.times.times[-1] < profile.duration_ns / 1000 + 500_000


@pytest.mark.parametrize("name", export.FORMATS)
def test_every_format_of_a_recording(name: str, recording: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out{export.by_name(name).endings[0]}"
    done = zeekspy("report", recording, "-o", out)
    assert done.returncode == 0, done.stderr
    assert b"dns_request" in out.read_bytes() or name == "pprof"
    assert f"{out}  open it with: ".encode() in done.stderr


def test_a_recording_may_be_a_page_at_once(target: subprocess.Popen[bytes], tmp_path: Path) -> None:
    out = tmp_path / "zeek.heatmap.html"
    assert zeekspy("--pid", target.pid, "--duration", 0.5, "-o", out).returncode == 0
    assert b'"dt":[' in out.read_bytes()


def test_time_order_reaches_speedscope_and_perf(recording: Path) -> None:
    total = profile_of(recording).total()
    scope = json.loads(zeekspy("report", recording, "-f", "speedscope", "-o", "-").stdout)
    assert scope["profiles"][1]["endValue"] == total.wall_ns
    assert len(scope["profiles"][1]["weights"]) > len(profile_of(recording).samples)
    perf = zeekspy("report", recording, "-f", "perf-script").stdout.decode()
    stamps = [float(line.split()[2].rstrip(":")) for line in perf.splitlines() if line.endswith("zeekspy:")]
    assert len(stamps) == total.count
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_the_table_on_a_terminal(columns: int, recording: Path) -> None:
    """Lines fit from 50 columns on; nothing but text is printed, whatever the terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    done = subprocess.Popen(
        [*ZEEKSPY, "report", str(recording)],
        stdout=theirs,
        stdin=theirs,
        env={k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")},
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end was closed
            break
        if not piece:
            break
        text += piece
    os.close(ours)
    assert done.wait() == 0
    lines = text.decode().split("\r\n")
    assert "dns_request" in text.decode() or columns < 50
    assert "\x1b" not in text.decode()
    assert max(map(len, lines)) <= max(columns, 50)
