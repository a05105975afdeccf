"""The follower: who is attached to once, who again, and who never."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from zeekspy import follow
from zeekspy.discovery import Node, unknown
from zeekspy.errors import NoSuchTarget, UnknownBuild
from zeekspy.follow import Follower
from zeekspy.selection import Selection


def node(pid: int, name: str = "worker-1") -> Node:
    return replace(unknown(pid), name=name, role="worker", start_time=pid)


class Host:
    def __init__(self, *nodes: Node) -> None:
        self.nodes = list(nodes)
        self.joined: list[int] = []
        self.error: Exception | None = None

    def find(self) -> list[Node]:
        return self.nodes

    def join(self, n: Node) -> Any:
        if self.error is not None:
            raise self.error
        self.joined.append(n.pid)
        return n.pid


def follower(host: Host, *known: Node) -> Follower:
    return Follower(Selection(names=("workers",)), host.join, known, host)  # type: ignore[arg-type]


def test_only_those_that_are_new_and_meant() -> None:
    host = Host(node(1), node(2, "worker-2"), replace(node(3, "x"), role="proxy"))
    f = follower(host, node(1))
    f.look()
    f.look()
    assert host.joined == f.newcomers() == [2]
    assert f.newcomers() == []
    assert f.notes() == ["worker-2 (pid 2) is sampled from now on"]


def test_a_restart_is_said() -> None:
    host = Host(node(5))
    f = follower(host, node(1))
    f.look()
    assert f.notes() == ["worker-1 (pid 5) is sampled from now on, started again: it was pid 1"]


def test_a_pid_that_another_process_has_is_new() -> None:
    host = Host(replace(node(1), start_time=99))
    f = follower(host, node(1))
    f.look()
    assert host.joined == [1]


def test_who_has_gone_is_not_tried_again() -> None:
    host = Host(node(2))
    host.error = NoSuchTarget("gone")
    f = follower(host)
    f.look()
    host.error = None
    f.look()
    assert host.joined == []
    assert "gone before" in f.notes()[0]


def test_who_is_starting_is_tried_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    host, clock = Host(node(2)), [0.0]
    monkeypatch.setattr(follow.time, "monotonic", lambda: clock[0])
    host.error = UnknownBuild("nothing fits")
    f = follower(host)
    f.look()
    assert f.notes() == []
    clock[0] = follow.STARTING_S + 1
    f.look()
    assert f.notes() == ["worker-1 (pid 2) cannot be sampled: nothing fits"]
    host.error = None
    f.look()
    assert host.joined == []


def test_there_is_a_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "MOST", 2)
    host = Host(*(node(i, f"worker-{i}") for i in range(1, 5)))
    f = follower(host)
    f.look()
    assert host.joined == [1, 2]
    assert sum("is not sampled" in note for note in f.notes()) == 2
