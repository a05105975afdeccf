"""The window: what is in it, what has left it, and that every number in a View is the sum it says it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import live as fixed
from tests.support.live import live, tick
from tests.support.profiles import BIF, HOOK, HTTP, SITE, profiles
from zeekspy import live as module
from zeekspy.live import Live, Row
from zeekspy.profile import CORE, IDLE, Frame, Labels, Profile, Stack, Values, body_key, own_and_total
from zeekspy.regroup import BY, regrouped

MS = 1_000_000
Samples = dict[tuple[Stack, Labels], Values]


def some(stack: Stack, n: int = 1) -> Samples:
    return {(stack, ()): Values(n, n * MS, 2 * n * MS)}


def row(found: Live, frame: Frame, by: str = "body", value: str = "cpu") -> Row:
    return next(r for r in found.view(by, value).rows if r.frame == body_key(frame))


def test_what_is_older_than_the_window_leaves_it() -> None:
    shown = Live(1, 3.0, tick(0.0))
    shown.add(tick(1.0, some((HTTP,)), samples=1, script=1))
    for at in (2.0, 3.0, 4.0):
        shown.add(tick(at, some((SITE,)), samples=int(at), script=int(at)))
    assert row(shown, HTTP).own == 0
    assert row(shown, SITE).own == 1
    assert row(shown, HTTP).own_since == 0.25
    view = shown.view()
    assert view.window_s == 3
    assert view.since_s == view.samples == 4
    assert view.hz == 1


def test_ticks_that_come_late_do_not_empty_the_window() -> None:
    shown = Live(1, 3.0, tick(0.0))
    for n, at in enumerate((1.09, 2.05, 3.11, 4.04, 17.0), start=1):
        shown.add(tick(at, some((HTTP,), n), samples=n))
        assert shown.view().window_s >= min(at, 3 * module.NEARLY)
        assert row(shown, HTTP).own == 1


@given(st.lists(profiles(), min_size=1, max_size=8), st.integers(1, 4), st.sampled_from(BY))
def test_sums_are_those_of_the_profiles(parts: list[Profile], window: int, by: str) -> None:
    shown = Live(1, float(window), tick(0.0))
    for n, part in enumerate(parts, start=1):
        shown.add(tick(float(n), part.samples))
    for value, name in (("cpu", "cpu_ns"), ("wall", "wall_ns")):
        wanted = []
        for held in (parts[-window:], parts):
            together = Profile()
            for part in held:
                for stack, labels, values in part:
                    together.add(stack, labels, values.count, values.cpu_ns, values.wall_ns)
            together = regrouped(together, by)
            total = getattr(together.total(), name) or 1
            sums = own_and_total(together, name)
            wanted.append({frame: (own / total, all_ / total) for frame, (own, all_) in sums.items()})
        rows = shown.view(by, value).rows
        assert {r.frame for r in rows} == wanted[1].keys()
        for r in rows:
            assert (r.own_since, r.total_since) == wanted[1][r.frame]
            assert (r.own, r.total) == wanted[0].get(r.frame, (0, 0))


def test_calls_and_their_time() -> None:
    found = row(live(), HTTP)
    assert found.calls == 9000
    assert found.calls_per_s == 900
    # Of 9 samples of the profile HTTP is in the first, third and fifth: 1 + 3 + 5 of 10 ms each, in every second.
    assert found.us_per_call == pytest.approx(90 * 1000 / 900)
    assert row(live(), BIF).calls is None
    assert all(r.calls is None for by in ("line", "file") for r in live().view(by).rows)


def test_a_reset_forgets() -> None:
    shown = live()
    shown.reset()
    assert shown.view().rows == ()
    assert shown.view().samples == 0
    assert shown.view().threads == ()
    shown.add(tick(11.0, some((HTTP,)), {body_key(HTTP): 9010}, samples=551, script=391))
    found = row(shown, HTTP)
    assert (found.own, found.own_since, found.calls, found.calls_per_s) == (1, 1, 10, 10)
    view = shown.view()
    assert (view.samples, view.since_s, view.script) == (1, 1, 1)


def test_rates_and_shares() -> None:
    view = live().view()
    assert view.script == pytest.approx(39 / 55)
    assert view.script + view.core + view.idle == pytest.approx(1)
    assert view.torn == pytest.approx(1 / 55)
    assert view.missed == pytest.approx(2 / 57)
    assert view.hz == 55
    assert [(t.name, round(t.cpu, 4)) for t in view.threads] == [
        ("zeek", 0.95),
        ("zk.conn/Log::WR", 0.031),
        ("caf.multiplexer", 0.004),
        ("zk.http/Log::WR", 0),
    ]
    assert view.threads[0].main
    assert view.cpu == pytest.approx(0.985)


def test_network_time_lags_or_is_that_of_a_trace() -> None:
    assert live().view().lag_s == pytest.approx(0.25)
    assert live().view().speed == pytest.approx(1)
    shown = Live(1, 5.0, tick(0.0, lag=1e8))
    shown.add(tick(2.0, lag=1e8 - 18))
    view = shown.view()
    assert view.lag_s is None
    assert view.network_time == fixed.DAY + 2 - 1e8 + 18
    assert view.speed == pytest.approx(10)


def test_nothing_yet() -> None:
    view = Live(1, 5.0, tick(0.0)).view()
    assert view.rows == view.threads == ()
    assert (view.hz, view.script, view.missed, view.cpu) == (0, 0, 0, 0)


def test_neighbours() -> None:
    shown = Live(1, 5.0, tick(0.0))
    shown.add(tick(1.0, {**some((HTTP, HOOK, BIF), 3), **some((HOOK,), 1), **some((SITE, HOOK, HOOK), 4)}))
    found = shown.neighbours(body_key(HOOK))
    # The innermost counts: that of SITE has been called by HOOK.
    assert found.callers == ((body_key(HOOK), 0.5), (body_key(HTTP), 0.375), (None, 0.125))
    assert found.callees == ((None, 0.625), (body_key(BIF), 0.375))
    assert shown.neighbours(body_key(CORE)).callers == ()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)
    monkeypatch.setattr(module, "MAX_STACKS", 5)
    shown = Live(1, 2.0, tick(0.0))
    for n in range(100):
        shown.add(tick(n + 1.0, some((Frame(f"f{n}", "function", None, None, None),))))
    view = shown.view()
    assert len(view.rows) == 10
    assert row(shown, module.OTHERS).own == 1
    assert row(shown, module.OTHERS).own_since == pytest.approx(0.91)
    assert sum(r.own_since for r in view.rows) == pytest.approx(1)
    assert len(shown._slices) == 2
    assert len(shown._keys._stacks) <= 5


def test_idle_is_time_but_not_cpu_time() -> None:
    shown = Live(1, 5.0, tick(0.0))
    shown.add(tick(1.0, {((IDLE,), ()): Values(3, 0, 30 * MS), **some((HTTP,), 5)}))
    assert row(shown, IDLE).own == 0
    assert row(shown, IDLE, value="wall").own == 0.75
