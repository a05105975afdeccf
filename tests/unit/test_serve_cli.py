"""Which of the nodes that are there serve begins with, where some cannot be attached to."""

from __future__ import annotations

from typing import Any

import pytest

from zeekspy.cli.serve import _join
from zeekspy.discovery import Node, unknown
from zeekspy.errors import AccessDenied, NoSuchTarget, UnknownBuild

NODES = [unknown(pid) for pid in (11, 12, 13)]


def joining(**wrong: Exception) -> Any:
    def join(node: Node) -> Any:
        if (e := wrong.get(f"p{node.pid}")) is not None:
            raise e
        return node.pid

    return join


def test_those_that_fail_are_left_to_the_follower() -> None:
    join = joining(p11=UnknownBuild("no table"), p13=NoSuchTarget("gone"))
    assert _join(NODES, join, True) == ([12], [NODES[1]])


def test_without_following_any_failure_is_one() -> None:
    with pytest.raises(UnknownBuild):
        _join(NODES, joining(p12=UnknownBuild("no table")), False)


def test_where_none_can_be_attached_to_it_says_why() -> None:
    join = joining(p11=NoSuchTarget("gone"), p12=AccessDenied("no"), p13=AccessDenied("neither"))
    with pytest.raises(AccessDenied, match=r"^no$"):
        _join(NODES, join, True)


def test_those_that_have_all_ended_are_waited_for() -> None:
    gone = NoSuchTarget("gone")
    assert _join(NODES, joining(p11=gone, p12=gone, p13=gone), True) == ([], [])
