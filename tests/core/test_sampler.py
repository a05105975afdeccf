"""The sampler on the stand-in: its counters, its budget, and how it ends."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import time

import pytest

from tests.core.binding import ffi, lib
from tests.core.build_core import CSRC, SANITIZE
from zeekspy import _core, session
from zeekspy.errors import NoSuchTarget

pytestmark = pytest.mark.live
MS = 1_000_000


def sampler(process: subprocess.Popen[bytes], hz: float) -> _core.Sampler:
    return _core.Sampler(session.attach(process.pid, None).walker(), process.pid, hz, 42)


def test_counters_add_up(target: subprocess.Popen[bytes]) -> None:
    s = sampler(target, 1000)
    runs, stacks, began = [], 1, time.monotonic()
    for _ in range(4):
        batch = s.poll(100 * MS)
        assert batch.lost is None
        stacks += len(batch.definitions[3]) - (stacks == 1)
        assert all(run[1] < stacks for run in batch.runs)
        runs += batch.runs
    stats = s.stats()
    assert stats["samples"] == sum(run[3] for run in runs) > 100
    assert stats["script"] == sum(run[3] for run in runs if run[1])
    assert stats["core"] == sum(run[3] for run in runs if not run[1] and run[2] & _core.SAMPLE_FLAGS["on-cpu"])
    assert stats["samples"] == stats["script"] + stats["core"] + stats["idle"]
    assert stats["script"] > 0
    assert sum(stats["cost"]) == stats["samples"]
    assert 300 <= stats["samples"] + stats["missed"] <= 100 + 1000 * (time.monotonic() - began)
    assert stats["torn"] == sum(run[3] for run in runs if run[2] & _core.SAMPLE_FLAGS["torn"])
    assert stats["cpu_ns"] >= sum(run[4] for run in runs)
    assert [run[0] for run in runs] == sorted(run[0] for run in runs)
    assert runs[0][0] == stats["started_ns"]
    assert sum(run[5] for run in runs) >= stats["last_ns"] - stats["started_ns"]


def test_poll_keeps_its_budget(target: subprocess.Popen[bytes]) -> None:
    s = sampler(target, 1000)
    for budget in (0, 20 * MS, 150 * MS):
        began = time.monotonic_ns()
        s.poll(budget)
        assert budget <= time.monotonic_ns() - began <= budget + 3000 * MS * (3 if SANITIZE else 1)


def test_a_slow_rate_does_not_outstay_the_budget(target: subprocess.Popen[bytes]) -> None:
    began = time.monotonic_ns()
    assert sampler(target, 0.001).poll(20 * MS).runs == []
    assert time.monotonic_ns() - began < 5_000 * MS


def test_a_signal_cuts_the_poll_short(target: subprocess.Popen[bytes]) -> None:
    s = sampler(target, 50)
    old = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        began = time.monotonic()
        batch = s.poll(30_000 * MS)
        assert time.monotonic() - began < 10
        assert batch.lost is None
    finally:
        signal.signal(signal.SIGALRM, old)


def test_what_was_sampled_before_the_target_went_is_kept(target: subprocess.Popen[bytes]) -> None:
    s = sampler(target, 1000)
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -9 {target.pid}"])
    began = time.monotonic()
    batch = s.poll(30_000 * MS)
    killer.wait()
    assert time.monotonic() - began < 10
    assert isinstance(batch.lost, NoSuchTarget)
    assert sum(run[3] for run in batch.runs) == s.stats()["samples"] > 10
    assert batch.definitions[3]
    # And so it stays.
    again = s.poll(10 * MS)
    assert isinstance(again.lost, NoSuchTarget)
    assert again.runs == []


def test_it_goes_on_until_the_next_poll(target: subprocess.Popen[bytes]) -> None:
    s = sampler(target, 1000)
    runs = s.poll(50 * MS, go_on=True).runs
    reported = s.stats()["samples"]
    assert reported == sum(run[3] for run in runs)
    time.sleep(0.3)
    assert s.stats()["samples"] == reported  # as of the last poll
    later = s.poll(0).runs
    assert sum(run[3] for run in later) == s.stats()["samples"] - reported > 50
    assert later[0][0] > runs[-1][0]
    time.sleep(0.1)
    assert s.poll(0).runs == []  # and then it rests
    s.poll(20 * MS, go_on=True)
    s.set_hz(500)
    assert s.poll(100 * MS, go_on=True).lost is None
    s.use("ptrace")
    assert s.poll(100 * MS, go_on=True).lost is None  # gone on with, it is ended by whoever lets go of it


@pytest.mark.parametrize("hz", [0, -1, 0.0009, 100_001, float("nan"), float("inf")])
def test_absurd_rates_are_refused(hz: float, target: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ValueError, match="hz"):
        sampler(target, hz)


def test_the_codes_agree_everywhere() -> None:
    enum = re.findall(r"\bZS_(\w+) = (-?\d+),", (CSRC / "zs.h").read_text().split("enum zs_code {")[1].split("};")[0])
    assert dict(_core.CODES) == {name: int(code) for name, code in enum}
    for name, code in _core.CODES.items():
        assert _core.code_name(code) == name
        assert ffi.string(lib.zs_code_name(code)).decode() == name
    assert _core.code_name(-99) == ffi.string(lib.zs_code_name(1)).decode() == "?"


def test_the_buckets_of_the_cost_rise() -> None:
    starts = [lib.zs_cost_ns(i) for i in range(lib.ZS_HISTOGRAM)]
    assert starts == list(_core.COST_NS) == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] > 60 * 1000 * MS
    assert all(b <= a * 1.13 for a, b in itertools.pairwise(starts[1:]))
