"""The Feed with sessions that need no process: what they bring goes to Store and Series, and nothing of them stays."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from zeekspy.errors import ZeekspyError
from zeekspy.profile import CORE, Body, Frame, Profile
from zeekspy.serve.feed import COUNTERS, Feed
from zeekspy.serve.series import OTHER, Series
from zeekspy.serve.store import Store

FRAME = Frame("f", "event", "a.zeek", 3, Body("a.zeek", 1, 5))
KEY = Frame("f", "event", None, None, Body("a.zeek", 1, 5))


class FakeSession:
    """What Feed sees of a session.Session."""

    def __init__(self, number: int) -> None:
        target = SimpleNamespace(pid=number, version="8.0.10", exe="/opt/zeek/bin/zeek", build_id="ab")
        self.attachment = SimpleNamespace(target=target)
        self.labels = (("node", f"zeek-{number}"), ("pid", str(number)))
        self.choice = SimpleNamespace(engine="nonblocking")
        self.hz, self.ended, self.error = 100.0, None, None  # type: ignore[assignment]
        self.profile = Profile()
        self.taken, self.lowered_to = 0, None
        self.called = 0

    def look(self, n: int) -> None:
        self.profile.add((FRAME,), self.labels, n, 1000 * n, 1000 * n)
        self.profile.add((CORE,), self.labels, n, 1000 * n, 1000 * n)
        self.taken += 2 * n
        self.called += n

    def end(self) -> None:
        self.ended = "the target has exited"
        self.profile.calls = {KEY: self.called}

    def counters(self) -> dict[str, int]:
        return {**dict.fromkeys(COUNTERS, 0), "samples": self.taken}

    def calls(self) -> tuple[float, dict[Frame, int]]:
        return 0.0, {KEY: self.called}


def feed_of(sessions: list[Any], **limits: int) -> tuple[Feed, Store, Series]:
    store, series = Store(0.0, 0, keep_s=1e9, **limits), Series(nodes=8)
    return Feed(sessions, store, series), store, series


def test_a_thousand_short_lived_zeeks_leave_nothing_behind() -> None:
    sessions: list[Any] = []
    feed, store, series = feed_of(sessions, max_stacks=64)
    said: list[str] = []
    feed.say = said.append
    for number in range(1, 1001):
        session = FakeSession(number)
        sessions.append(session)
        session.look(3)
        if number % 2:
            feed.tick()
            session.look(2)
        if number == 500:
            session.error = ZeekspyError("something went wrong")
        session.end()
        feed.tick()
        assert not sessions
        assert not feed.attached
    assert sum(v.count for _, _, v in store.total()[1]) == 500 * 6 + 500 * 10
    assert store.stacks <= 64 + 2
    assert len(series.look()) <= 8
    assert said == ["zeek-500 (pid 500): something went wrong"]


def test_what_a_session_brings_is_taken_once() -> None:
    sessions: list[Any] = [FakeSession(7)]
    feed, store, series = feed_of(sessions)
    for _ in range(3):
        sessions[0].look(5)
        feed.tick()
    feed.tick()
    now = series.look()["zeek-7"]
    assert now.counters["samples"] == 30
    assert now.counters["attaches"] == 1
    assert sum(now.own_ns.values()) == 30_000
    assert [v.count for _, _, v in store.total()[1]] == [15, 15]
    assert {labels for _, labels, _ in store.total()[1]} == {(("node", "zeek-7"),)}
    assert [row.pid for row in feed.attached] == [7]
    sessions[0].end()
    feed.tick()
    assert sum(series.look()["zeek-7"].calls.values()) == 15
    assert set(series.look()["zeek-7"].calls) <= {OTHER, series.name(KEY)}
    assert series.look()["zeek-7"].attached == 0
