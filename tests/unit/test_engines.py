"""Which engine is chosen, and the words for it; what the machine says of CPUs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zeekspy import engines
from zeekspy.engines import Choice, Cpus
from zeekspy.errors import AccessDenied, NoSuchTarget


def cpus(ours: set[int], target: int, others: set[int] = frozenset(), reachable: bool = True) -> Cpus:  # type: ignore[assignment]
    return Cpus(frozenset(ours), target, frozenset(others), reachable)


@pytest.mark.parametrize("engine", engines.NAMES[1:])
def test_what_is_asked_for_is_taken(engine: str) -> None:
    choice = engines.choose(engine, cpus({0, 1}, 0), 1000)
    assert choice == Choice(engine, "asked for")
    assert choice.engines == {engine}


@pytest.mark.parametrize(
    ("machine", "engine", "fallback", "reason"),
    [
        (cpus({0, 1}, 0), "nonblocking", "preempt", "1 CPU free of"),
        (cpus({0, 1, 2, 3}, 1, {0}), "nonblocking", "preempt", "2 CPUs free of"),
        (cpus({2, 3}, 1, reachable=False), "nonblocking", "ptrace", "2 CPUs free of"),
        (cpus({1}, 1), "preempt", None, "may run on CPU 1 alone"),
        (cpus({0}, 0, {0}), "preempt", None, "may run on CPU 0 alone"),
        (cpus({0, 1}, 0, {1}), "nonblocking", "preempt", "0 CPUs free of"),
        (cpus({1}, 0, {1}, reachable=False), "nonblocking", "ptrace", "0 CPUs free of"),
    ],
)
def test_auto(machine: Cpus, engine: str, fallback: str | None, reason: str) -> None:
    choice = engines.choose("auto", machine, 100)
    assert (choice.engine, choice.fallback) == (engine, fallback)
    assert reason in choice.reason
    assert choice.engines == {engine, fallback} - {None}


def test_auto_makes_no_target_pay_at_high_rates() -> None:
    assert engines.choose("auto", cpus({0, 1}, 0), engines.GENTLE_HZ).fallback == "preempt"
    assert engines.choose("auto", cpus({0, 1}, 0), engines.GENTLE_HZ + 1).fallback is None


def test_preempt_that_cannot_be() -> None:
    with pytest.raises(AccessDenied, match="may not run on CPU 3") as caught:
        engines.choose("preempt", cpus({0, 1}, 3, reachable=False), 100)
    assert "--engine ptrace" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "undecoded", "changes"), [(99, 99, False), (100, 10, False), (100, 11, True), (5000, 5000, True)]
)
@pytest.mark.parametrize("reachable", [True, False])
def test_the_first_second(script: int, undecoded: int, changes: bool, reachable: bool) -> None:
    machine = cpus({0, 1}, 0, reachable=reachable)
    choice = engines.choose("auto", machine, 100)
    other = engines.reconsider(choice, machine, script, undecoded)
    assert (other is not None) == changes
    if other is not None:
        assert (other.engine, other.fallback) == ("preempt" if reachable else "ptrace", None)
        assert f"{100 * undecoded // script} % of the first second's stacks" in other.reason
        assert ("not open to zeekspy" in other.reason) == (not reachable)
    assert engines.reconsider(Choice("nonblocking", "asked for"), machine, script, undecoded) is None


def test_work_that_looks_do_not_see() -> None:
    """10 s at 100 Hz, half of them busy: chance hides 0.16 s (one standard error)."""
    assert engines.unseen(5.0, 5.0, 10.0, 1000) == 0
    assert engines.unseen(5.0, 4.6, 10.0, 1000) == 0
    assert engines.unseen(5.0, 4.0, 10.0, 1000) == pytest.approx(0.2)
    assert engines.unseen(5.0, 0.0, 10.0, engines.ENOUGH - 1) == 0
    assert engines.unseen(0.0, 0.0, 10.0, 1000) == 0
    begun = engines.choose("auto", cpus({0, 1}, 0), 100)
    other = engines.uncover(begun, 0.2)
    assert other is not None
    assert (other.engine, other.fallback) == ("preempt", None)
    assert "20 % of its work unseen" in other.reason
    assert engines.uncover(begun, engines.UNSEEN) is None
    assert engines.uncover(engines.choose("auto", cpus({0, 1}, 0, reachable=False), 100), 0.2) is None
    assert engines.uncover(Choice("nonblocking", "asked for"), 0.2) is None


def test_what_this_machine_says() -> None:
    ours = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        os.sched_setaffinity(process.pid, {min(ours)})
        seen = engines.look(process.pid)
        assert (seen.ours, seen.reachable) == (ours, True)
        assert 0 <= seen.target < (os.cpu_count() or 1)
        assert engines.pinned([process.pid, 1 << 30], 1 << 20) == {min(ours)}
        assert engines.pinned([process.pid], 1) == frozenset()
        engines.check_untraced(process.pid)
        process.kill()
    with pytest.raises(NoSuchTarget):
        engines.look(process.pid)
    assert os.sched_getaffinity(0) == ours


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_a_cpu_that_was_given_away_can_be_taken_back() -> None:
    """Without a cpuset the mask of taskset is no wall."""
    ours = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        os.sched_setaffinity(process.pid, {min(ours)})
        try:
            os.sched_setaffinity(0, ours - {min(ours)})
            assert engines.look(process.pid).reachable
            assert os.sched_getaffinity(0) == ours - {min(ours)}
        finally:
            os.sched_setaffinity(0, ours)
            process.kill()
