"""Nodes with triggers: what fires and when, which window is written, what the status says; on sessions made up here."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from zeekspy.errors import FileError, UsageError
from zeekspy.profile import IDLE, Body, Frame, Profile, Stack
from zeekspy.rolling import status, watching, window
from zeekspy.rolling.grammar import parse
from zeekspy.rolling.watching import Settings, Watching
from zeekspy.rolling.window import Arriving, Window

S, MS = 10**9, 10**6
BUSY: Stack = (Frame("busy", "event", "a.zeek", 3, Body("a.zeek", 1, 9)), Frame("spin", "function", "a.zeek", 20, None))


class Made:
    """A session that samples nothing by itself."""

    def __init__(self, name: str = "worker-1", pid: int = 1 << 22) -> None:
        self.labels = (("node", name), ("pid", str(pid)))
        self.profile = Profile(period_ns=10 * MS)
        self.tap: Callable[..., None] | None = None
        self.ended: str | None = None
        self.hz = 100.0
        self.lowered_to: float | None = None
        target = SimpleNamespace(pid=pid, version="9.1", exe="/zeek", build_id="ab", symbols={})
        self.attachment = SimpleNamespace(target=target, memory=None)

    def stats(self) -> dict[str, Any]:
        keys = ("zeek_version", "layout", "engine", "engine_reason", "hz_asked", "hz_lowered_to")
        return {**dict.fromkeys(keys, "x"), "hz_lowered_to": None, "hz_asked": 100.0}

    def progress(self) -> tuple[int, int]:
        return 7, 0


class Host:
    """A clock, sessions, and what has been kept and said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str, **settings: Any) -> None:
        self.now_ns, self.wall_ns = 1000 * S, 1_700_000_000 * S
        fake = SimpleNamespace(
            monotonic_ns=lambda: self.now_ns, time_ns=lambda: self.wall_ns, time=lambda: self.wall_ns / S
        )
        monkeypatch.setattr(watching, "time", fake)
        self.sessions = [Made(name) for name in names or ("worker-1",)]
        self.kept: list[Window] = []
        self.said: list[str] = []
        on = tuple(parse(text) for text in settings.pop("on", ["stall>200ms"]))
        self.watching = Watching(Settings(on, **settings), self.kept.append, self.said.append)
        self.watching.join(self.sessions)  # type: ignore[arg-type]
        self.signalled = False

    def go(self, seconds: float, stall_ms: int = 0, who: int = 0, jump_s: float = 0.0) -> None:
        """So much time in polls of 100 ms; in the last one a dispatch that has taken so long ends."""
        for i in range(round(seconds * 10)):
            begin = self.now_ns
            self.now_ns += 100 * MS
            self.wall_ns += 100 * MS + round(jump_s * S if i == 0 else 0)
            last = i == round(seconds * 10) - 1
            for number, s in enumerate(self.sessions):
                if s.ended is not None:
                    continue
                mine = stall_ms if last and number == who else 0
                dispatches = [(1, self.now_ns - mine * MS, self.now_ns, 9)] if mine else []
                runs = [(begin + j * 20 * MS, int(bool(mine)), 0, 2, 0, 20 * MS) for j in range(5)]
                assert s.tap is not None
                stack = BUSY if mine else (IDLE,)
                batch = SimpleNamespace(runs=runs, dispatches=dispatches, dispatching=None)
                s.tap(batch, [stack] * 5, lambda _: BUSY)
            self.watching.look(self.sessions, {}, {}, self.signalled)  # type: ignore[arg-type]
            self.signalled = False


def test_the_window_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, ring_s=5.0, after_s=1.0)
    host.go(20)
    host.go(0.1, stall_ms=300)
    fired = host.now_ns
    host.go(0.9)
    assert host.kept == []
    host.go(0.1)
    (found,) = host.kept
    assert (found.begin_ns, found.fired_ns, found.end_ns) == (fired - 5 * S, fired, fired + 1 * S)
    assert found.since_ns == fired - 300 * MS
    assert found.about["trigger"] == "stall>200ms"
    assert found.about["stack"] == ["busy", "spin"]
    assert found.about["values"]["stall>200ms"]["value"] == pytest.approx(0.3)
    profile = found.profile()
    assert profile.total().count == 600
    assert sum(v.count for stack, _, v in profile if stack == BUSY) == 10
    assert (profile.meta["samples"], profile.meta["script"], profile.meta["idle"]) == (600, 10, 590)
    assert profile.times is not None
    assert sum(profile.times.samples()) == 600
    host.go(20)
    assert len(host.kept) == 1


def test_a_trigger_that_stays_met_fires_once(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, on=["frame~<idle>>50%/1s", "not frame~<idle>>50%/1s"], after_s=1.0)
    host.go(0.5)  # nothing is known yet
    assert host.kept == []
    host.go(30)
    assert [w.about["trigger"] for w in host.kept] == ["frame~<idle>>50%/1s"]


def test_what_fires_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, on=["stall>200ms", "signal"], after_s=1.0)
    host.go(3, stall_ms=300)
    host.signalled = True
    host.go(0.1)
    host.go(0.2, stall_ms=700)
    host.go(3)
    (found,) = host.kept
    assert found.about["also"] == ["signal", "stall>200ms"]
    assert found.about["highest"] == {"stall>200ms": pytest.approx(0.7)}


def test_one_nodes_trigger_or_all_nodes_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for all_nodes in (False, True):
        host = Host(monkeypatch, "worker-1", "worker-2", all_nodes=all_nodes, after_s=1.0)
        host.go(3, stall_ms=300, who=1)
        host.go(2)
        found = {dict(w.labels)["node"]: w.about["of"] for w in host.kept}
        assert found == ({"worker-1": "worker-2", "worker-2": "worker-2"} if all_nodes else {"worker-2": "worker-2"})


def test_a_clock_that_jumps_moves_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, ring_s=5.0, after_s=1.0)
    host.go(10)
    host.go(1, jump_s=-86400, stall_ms=300)
    host.go(2, jump_s=3 * 86400)
    (found,) = host.kept
    assert found.end_ns - found.begin_ns == 6 * S
    assert found.profile().total().count == 600
    assert [note for note in host.said if "jumped" in note] == [
        "the clock of this host has jumped by -86400.0 s; times of captures are as it says now",
        "the clock of this host has jumped by +259200.0 s; times of captures are as it says now",
    ]


def test_a_target_that_goes_and_a_watch_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, "worker-1", "worker-2", after_s=10.0, on=["signal"])
    host.go(3)
    host.signalled = True
    host.go(0.5)
    host.sessions[0].ended = "the target has exited"
    host.go(0.5)
    (gone,) = host.kept
    assert gone.about["cut"] == "the target has gone: the target has exited"
    assert gone.profile().total().count == 350
    host.watching.finish("the watch ended")
    assert [w.about["cut"] for w in host.kept] == [gone.about["cut"], "the watch ended"]
    assert host.kept[1].profile().total().count == 400
    newcomer = Made("worker-1")
    host.sessions.append(newcomer)
    host.watching.join(host.sessions)  # type: ignore[arg-type]
    host.go(1)
    found = host.watching.status(10**6)
    assert found is not None
    assert [n["node"] for n in found["nodes"]] == ["worker-2", "worker-1"]


def test_a_window_travels_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, ring_s=5.0, after_s=1.0)
    host.go(3, stall_ms=300)
    host.go(2)
    (sent,) = host.kept
    assert through(list(window.lines(sent))) == sent


def through(lines: list[str]) -> Window:
    messages = [json.loads(line) for line in lines]
    assert messages[0][0] == "window"
    assert messages[-1] == ["end", None]
    arriving = Arriving(messages[0][1])
    for tag, rows in messages[1:-1]:
        arriving.add(tag, rows)
    return arriving.whole()


@pytest.mark.parametrize(
    ("tag", "rows"),
    [
        ("frames", [[1]]),
        ("frames", 5),
        ("frames", [["a", "event", None, "x", None, 1, []]]),
        ("stacks", [[0]]),
        ("stacks", [[-1]]),
        ("runs", [[1, 0, 1, 1, 1]]),
        ("runs", [[1, 2]]),
        ("runs", [[1 << 70, 0, 1, 1, 1]]),
        ("nothing", []),
    ],
)
def test_a_window_that_arrives_damaged(tag: str, rows: Any) -> None:
    arriving = Arriving({"labels": []})
    with pytest.raises(FileError):
        arriving.add(tag, rows)
    with pytest.raises(FileError):
        arriving.whole()


def test_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, on=["stall>200ms and not drops>1%", "lag>2s"], sources=("stats.log",))
    host.go(1, stall_ms=150)
    found = host.watching.status(5.0)
    assert found is not None
    assert host.watching.status(5.5) is None
    text = status.shown({**found, "captures": {"kept": 3, "bytes": 10**6}}, found["time"] + 1)
    assert "3 captures of 1.0 MB" in text
    assert "150 ms" in text
    assert "stats.log has not answered yet" in text
    assert "network time is not known" in text
    assert "nothing for 60 s" in status.shown(found, found["time"] + 60)
    assert "has ended" in status.shown({**found, "running": False}, found["time"])


@pytest.mark.parametrize("found", [{"nodes": [{}]}, {"nodes": [1]}, {"running": True, "time": "x"}, {"captures": 1}])
def test_a_status_that_is_none(found: dict[str, Any]) -> None:
    with pytest.raises(FileError):
        status.shown(found, 0.0)


def test_settings_that_cannot_work() -> None:
    def refused(*on: str, **more: Any) -> str:
        with pytest.raises(UsageError) as caught:
            Settings(tuple(map(parse, on)), **more).check()
        assert caught.value.hint
        return str(caught.value)

    assert "needs a source" in refused("not drops>1%")
    assert "too short" in refused("stall>20ms")
    assert "too short" in refused("stall>0ms")
    Settings((parse("stall>20ms"),), hz=1000.0).check()
    Settings((parse("drops>1%"),), sources=("x",)).check()
    with pytest.raises(UsageError, match=r"ring.*64 nodes.* MB"):
        Settings((), ring_s=36000.0, hz=1000.0).room(64, 4 << 30)
    Settings((), ring_s=120.0).room(64, 1 << 30)
    assert 1 << 20 < watching.available_memory() < 1 << 62


def test_a_source_that_fails_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, sources=("stats.log",), on=["drops>1%"])
    for failures in ({0: "it is silent"}, {0: "it is silent"}, {}, {}, {0: "again"}):
        host.watching.look(host.sessions, {}, failures)  # type: ignore[arg-type]
    assert host.said == [
        "packet drops are not known: it is silent",
        "packet drops are known again: stats.log answers",
        "packet drops are not known: again",
    ]


def test_a_lowered_rate_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch)
    for rate in (None, 12.5, 12.5, None):
        host.sessions[0].lowered_to = rate
        host.go(0.2)
    lowered, raised = host.said
    assert lowered.startswith("worker-1: the rate was lowered to 12.5 Hz")
    assert raised == "worker-1: the rate was raised again"
    host.sessions[0].lowered_to = 12.5
    found = host.watching.status(5.0)
    assert found is not None
    assert "worker-1: sampled 12.5 times a second, not 100" in status.shown(found, found["time"])
