"""Crews: samplers that share a thread see what they would see alone, and one's end is not the others'."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.support import targets
from zeekspy import _core, session
from zeekspy.errors import NoSuchTarget

pytestmark = pytest.mark.live
MS = 1_000_000


def sampler(process: subprocess.Popen[bytes], engine: str = "nonblocking") -> _core.Sampler:
    return _core.Sampler(session.attach(process.pid, None).walker(), process.pid, 1000, 42, engine=engine)


def counted(samplers: list[_core.Sampler], seconds: float, hz: float = 500) -> list[dict[str, int]]:
    crew = _core.Crew(hz, 7)
    for _ in range(round(seconds * 10)):
        for batch in crew.poll(samplers, 100 * MS):
            assert batch.lost is None
            assert all(a[0] <= b[0] for a, b in zip(batch.runs, batch.runs[1:], strict=False))
    return [s.stats() for s in samplers]


def test_all_get_every_look(target: subprocess.Popen[bytes]) -> None:
    samplers = [sampler(target) for _ in range(3)]
    began = time.monotonic()
    stats = counted(samplers, 1)
    most = 100 + 500 * (time.monotonic() - began)
    assert len({s["samples"] for s in stats}) == 1
    assert len({s["missed"] for s in stats}) == 1
    assert 400 <= stats[0]["samples"] + stats[0]["missed"] <= most
    for s in stats:
        assert s["samples"] == s["script"] + s["core"] + s["idle"]
        assert s["script"] > 0


def test_what_sleeps_is_idle_and_what_wakes_is_seen() -> None:
    """A target that has not run since it was seen asleep is not looked at; once it runs, it is."""
    with targets.running("2", "--idle", "0.9") as sleeper, targets.running("2") as busy:
        asleep, awake = counted([sampler(sleeper), sampler(busy)], 3)
    assert asleep["idle"] > 0.05 * asleep["samples"]
    assert asleep["script"] > 0.01 * asleep["samples"]
    assert asleep["reads"] < awake["reads"]


def test_the_end_of_one_is_not_that_of_the_others(target: subprocess.Popen[bytes]) -> None:
    with targets.running("2") as other:
        crew, samplers = _core.Crew(500, 7), [sampler(target), sampler(other)]
        crew.poll(samplers, 100 * MS)
        other.kill()
        other.wait()
        first, second = crew.poll(samplers, 100 * MS)
        assert first.lost is None
        assert first.runs
        assert isinstance(second.lost, NoSuchTarget)
        assert crew.poll(samplers[:1], 100 * MS)[0].runs


def test_who_leaves_a_crew_goes_on_by_its_own_clock(target: subprocess.Popen[bytes]) -> None:
    s = sampler(target)
    _core.Crew(500, 7).poll([s], 100 * MS)
    time.sleep(0.2)
    before = s.stats()
    s.use("ptrace")
    s.poll(200 * MS)
    after = s.stats()
    assert after["samples"] > before["samples"]
    assert after["samples"] + after["missed"] - before["samples"] - before["missed"] <= 300


def test_engines_that_stop_have_threads_of_their_own(target: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ValueError, match="engine"):
        _core.Crew(500, 7).poll([sampler(target, "ptrace")], MS)


@pytest.mark.parametrize("hz", [0, -1, 100_001, float("nan")])
def test_absurd_rates_are_refused(hz: float) -> None:
    with pytest.raises(ValueError, match="hz"):
        _core.Crew(hz, 7)
    with pytest.raises(ValueError, match="hz"):
        _core.Crew(100, 7).set_hz(hz)


def test_an_empty_crew_keeps_its_budget() -> None:
    began = time.monotonic()
    assert _core.Crew(1000, 7).poll([], 50 * MS) == []
    assert time.monotonic() - began >= 0.05
