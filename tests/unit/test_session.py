"""Sessions: quantiles, merging, and a live one's counters against its profile."""

from __future__ import annotations

import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy import session
from zeekspy._core import COST_NS
from zeekspy.profile import IDLE
from zeekspy.session import quantiles

EMPTY = [0] * len(COST_NS)


def test_quantiles_of_nothing() -> None:
    assert quantiles(EMPTY) == {"p50": 0, "p90": 0, "p99": 0, "max": 0}


def test_quantiles_of_one_bucket() -> None:
    histogram = list(EMPTY)
    histogram[3] = 10
    assert set(quantiles(histogram).values()) == {COST_NS[4] / 1000}


def test_quantiles_of_two() -> None:
    histogram = list(EMPTY)
    histogram[3], histogram[8] = 95, 5
    low, high = COST_NS[4] / 1000, COST_NS[9] / 1000
    assert quantiles(histogram) == {"p50": low, "p90": low, "p99": high, "max": high}


@given(st.lists(st.integers(0, 1000), min_size=len(COST_NS), max_size=len(COST_NS)))
def test_quantiles_rise(histogram: list[int]) -> None:
    q = quantiles(histogram)
    assert q["p50"] <= q["p90"] <= q["p99"] <= q["max"]


@pytest.mark.live
def test_a_session_adds_up(target: subprocess.Popen[bytes]) -> None:
    s = session.Session(session.attach(target.pid), 500, labels=(("pid", "x"),))
    ticks = list(session.run([s], 0.5))
    assert 2 <= len(ticks) <= 8
    assert ticks == sorted(ticks)
    s.finish()
    stats = s.stats()
    assert s.profile.total().count == stats["samples"] > 50
    assert s.profile.meta["samples"] == stats["samples"]
    assert s.profile.period_ns == 2_000_000
    assert s.ended is None
    assert {labels for _, labels, _ in s.profile} == {(("pid", "x"),)}
    assert session.merge([s]) is s.profile


@pytest.mark.live
def test_merged_profiles_add_up(target: subprocess.Popen[bytes]) -> None:
    sessions = [session.Session(session.attach(target.pid), 250, labels=(("pid", n),)) for n in ("1", "2")]
    for _ in session.run(sessions, 0.4):
        pass
    for s in sessions:
        s.finish()
    merged = session.merge(sessions)
    samples = [s.stats()["samples"] for s in sessions]
    assert merged.total().count == merged.meta["samples"] == sum(samples)
    assert min(samples) > 20


@pytest.mark.live
def test_the_end_of_the_target_ends_a_session(target: subprocess.Popen[bytes]) -> None:
    s = session.Session(session.attach(target.pid), 100)
    for _ in session.run([s], 20):
        target.kill()
        target.wait()
    assert s.ended is not None
    assert "exited" in s.ended
    assert s.profile.total().count == s.stats()["samples"]
    assert (IDLE,) not in {stack for stack, _, v in s.profile if v.count > 5}


@pytest.mark.live
def test_the_end_of_the_target_between_two_polls_is_no_error(
    target: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = session.StackCheck.look

    def late(check: session.StackCheck) -> bool:
        target.kill()
        target.wait()
        return look(check)

    s = session.Session(session.attach(target.pid), 100)
    monkeypatch.setattr(session.StackCheck, "look", late)
    monkeypatch.setattr(session.StackCheck, "settled", False)
    for _ in session.run([s], 20):
        pass
    s.finish()
    assert s.ended == "the target has exited"
    assert s.profile.total().count == s.stats()["samples"] > 0


@pytest.mark.live
def test_the_schedule_begins_with_the_first_poll(target: subprocess.Popen[bytes]) -> None:
    s = session.Session(session.attach(target.pid), 1000)
    time.sleep(0.5)
    s.take(s.poll())
    samples, missed = s.progress()
    assert samples > 0
    assert missed < 250, "time before the first poll was taken for missed moments"
    assert s.counters()["cpu_ns"] < 400_000_000, "and the target's CPU time of then for the recording's"
