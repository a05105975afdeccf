"""Dispatches against truth: a script whose handlers run for known times and say for how long they did."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_zeek import ZEEKS, busy
from tests.support.commands import zeekspy
from zeekspy import latency, session
from zeekspy.latency import Dispatch

pytestmark = [pytest.mark.zeek, pytest.mark.live]
MS = 1_000_000
HZ = 200.0
SCRIPT = """
redef exit_only_after_terminate = T;

function spin(name: string, length: interval)
	{
	local start = current_time();
	local n = 0;
	while ( current_time() - start < length )
		++n;
	local took = interval_to_double(current_time() - start);
	print fmt("%s %.6f %.6f", name, time_to_double(start), took);
	}

global turn: event(n: count);
event takes_5() { spin("takes_5", 5 msec); }
event takes_20() { spin("takes_20", 20 msec); }
event takes_100() { spin("takes_100", 100 msec); }
event takes_300() { spin("takes_300", 300 msec); }

event turn(n: count)
	{
	event takes_5();
	event takes_20();
	if ( n % 3 == 0 )
		event takes_100();
	if ( n % 5 == 4 )
		event takes_300();
	schedule 30 msec { turn(n + 1) };
	}

event zeek_init()
	{
	schedule 500 msec { turn(0) };
	}
"""


def truth(stdout: Path) -> Iterator[tuple[str, int, int]]:
    """Name, begin and length (ns) of every dispatch that the script says it had."""
    for line in stdout.read_text().splitlines():
        name, begin, took = line.split()
        yield name, round(float(begin) * 1e9), round(float(took) * 1e9)


@pytest.fixture(params=[z for z in ZEEKS if "-9.1" in str(z) or "-8.0" in str(z)] or ZEEKS[-1:], ids=str)
def zeek(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_dispatches_last_as_long_as_the_script_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zeek: Path
) -> None:
    monkeypatch.setattr(latency, "SLOWEST", 10_000)
    (tmp_path / "known.zeek").write_text(SCRIPT)
    with busy(zeek, tmp_path / "zeek", "-b", str(tmp_path / "known.zeek")) as process:
        sampled = session.Session(session.attach(process.pid), HZ, engine="nonblocking")
        began = time.time_ns()
        for _ in session.run([sampled], 4.0):
            pass
        ended = time.time_ns()
        sampled.finish()
        process.terminate()
        process.wait(30)  # it prints into a file, which has everything once it has ended
    found = sampled.profile.latency
    assert found is not None
    kept: dict[str, list[Dispatch]] = {}
    for d in found.slowest:
        kept.setdefault(d.stack[0].name or "?", []).append(d)
    known, missing, late = 0, 0, 0
    for name, begin, took in truth(tmp_path / "zeek" / "stdout"):
        if name == "takes_5" or not began + 50 * MS < begin < begin + took < ended - 50 * MS:
            continue
        # Those of one name lie 30 ms apart at least; the first sample of one is soon after its beginning.
        own = [d for d in kept.get(name, ()) if begin - 10 * MS < d.begin_ns < begin + took]
        known += 1
        if not own:
            missing += 1
            continue
        (d,) = own
        assert d.longest_ns is None or d.longest_ns > took - MS // 10
        late += d.shortest_ns > took + MS  # it lost its CPU between two instructions
    assert known > 15
    assert missing <= 0.1 * known
    assert late <= 0.1 * known
    handled = found.handled
    assert handled["takes_300"].kind == "event"
    # What is seen more than once of 5 ms at 200 Hz cannot be long.
    assert sum(handled["takes_5"].buckets[6:]) <= 0.1 * max(10, handled["takes_5"].samples)


def test_record_and_report_show_the_slowest(tmp_path: Path) -> None:
    (tmp_path / "known.zeek").write_text(SCRIPT)
    with busy(ZEEKS[-1], tmp_path / "zeek", "-b", str(tmp_path / "known.zeek")) as process:
        file = tmp_path / "slow.pb.gz"
        done = zeekspy("record", "--pid", str(process.pid), "--duration", "3", "-o", str(file))
    assert b"; slowest dispatch " in done.stderr
    assert b" ms takes_300 at " in done.stderr
    report = zeekspy("report", str(file)).stdout.decode()
    slowest = report[report.index("slowest dispatches") :]
    assert "ms  takes_300  at " in slowest.splitlines()[1]
    assert " > spin " in slowest.splitlines()[2]
    assert "dispatches by length" in slowest
