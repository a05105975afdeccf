"""Selectors: who is meant by a name, a group, a CPU, a unit, an executable; and what is said when nobody is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zeekspy import selection
from zeekspy.discovery import Node, unknown
from zeekspy.errors import NoSuchTarget, UsageError
from zeekspy.selection import Selection


def node(pid: int, name: str, role: str | None, cpu: int | None = None, unit: str | None = None) -> Node:
    cpus = None if cpu is None else frozenset({cpu})
    return replace(unknown(pid), name=name, role=role, cpus=cpus, unit=unit, exe="/opt/zeek/bin/zeek")


NODES = [
    node(1, "manager", "manager"),
    node(2, "logger-1", "logger"),
    node(3, "proxy-1", "proxy"),
    node(4, "worker-1-1", "worker", 4, "zeek-worker@1.service"),
    node(5, "worker-1-2", "worker", 5, "zeek-worker@2.service"),
    node(6, "worker-2-1", "worker", 4),
    node(7, "supervisor", "supervisor"),
]


@pytest.mark.parametrize(
    ("asked", "pids"),
    [
        (Selection(names=("worker-1-2",)), [5]),
        (Selection(names=("worker-1-*",)), [4, 5]),
        (Selection(names=("workers",)), [4, 5, 6]),
        (Selection(names=("loggers", "proxies", "manager")), [1, 2, 3]),
        (Selection(names=("all",)), [1, 2, 3, 4, 5, 6]),
        (Selection(names=("supervisor",)), [7]),
        (Selection(cpus=(4,)), [4, 6]),
        (Selection(names=("worker-1-*",), cpus=(4,)), [4]),
        (Selection(units=("zeek-worker@2",)), [5]),
        (Selection(units=("zeek-worker@*",)), [4, 5]),
        (Selection(exes=("/opt/*",)), [1, 2, 3, 4, 5, 6, 7]),
        (Selection(pids=(7,), names=("manager",)), [1, 7]),
    ],
)
def test_who_is_meant(asked: Selection, pids: list[int]) -> None:
    assert [n.pid for n in asked.of(NODES)] == [n.pid for n in asked.among(NODES)] == pids


def test_a_node_that_is_called_like_a_group_is_itself() -> None:
    assert [n.pid for n in Selection(names=("workers",)).of([*NODES, node(9, "workers", "proxy")])] == [9]


@pytest.mark.parametrize(
    "asked",
    [Selection(names=("worker-9",)), Selection(names=("workers", "x")), Selection(cpus=(9,)), Selection(units=("x",))],
)
def test_a_word_that_means_nobody_lists_who_there_is(asked: Selection) -> None:
    with pytest.raises(NoSuchTarget) as e:
        asked.of(NODES)
    assert "worker-1-2 (pid 5)" in e.value.hint
    assert e.value.exit_code == 3


def test_conditions_that_nobody_meets_together() -> None:
    with pytest.raises(NoSuchTarget, match="all that was asked for"):
        Selection(names=("manager",), cpus=(4,)).of(NODES)


def test_without_any_zeek() -> None:
    with pytest.raises(NoSuchTarget) as e:
        Selection(names=("all",)).of([])
    assert "zeekspy ps" in e.value.hint
    assert Selection(names=("all",)).among([]) == []


def test_two_where_one_is_needed_are_named() -> None:
    with pytest.raises(UsageError, match=r"worker-1-1 \(pid 4\), worker-2-1 \(pid 6\)"):
        selection.one(Selection(cpus=(4,)).of(NODES), "--cpu 4")
    assert selection.one(NODES[:1], "x").pid == 1


def test_very_many_are_not_all_listed() -> None:
    many = [node(i, f"worker-{i}", "worker") for i in range(1, 500)]
    assert len(selection.listed(many)) < 1000
    assert "and 479 more" in selection.listed(many)
