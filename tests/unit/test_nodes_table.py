"""report --by node: which node differs, and in what."""

from __future__ import annotations

from zeekspy.export import nodes
from zeekspy.profile import CORE, IDLE, Body, Frame, Profile

USUAL = Frame("http_request", "event", "a.zeek", 3, Body("a.zeek", 1, 9))
ODD = Frame("scan_check", "function", "b.zeek", 3, Body("b.zeek", 1, 9))


def profile(odd: str = "worker-3") -> Profile:
    result = Profile()
    for n in range(1, 5):
        name = f"worker-{n}"
        labels = (("node", name), ("pid", str(n)), ("role", "worker"))
        result.add((USUAL,), labels, 60, 60_000, 60_000)
        result.add((CORE,), labels, 20, 20_000, 20_000)
        result.add((IDLE,), labels, 20, 0, 20_000)
        if name == odd:
            result.add((USUAL, ODD), labels, 100, 120_000, 120_000)
    return result


def test_the_one_that_differs_is_first_with_the_reason() -> None:
    lines = nodes.table(profile()).splitlines()
    assert lines[1].split() == ["worker-3", "200", "80.0", "10.0", "10.0", "60.0"]
    assert lines[2].strip() == "60.0 % here,   0.0 % elsewhere: scan_check"
    assert "http_request" in lines[3]
    rest = [line.split() for line in lines if line.startswith("worker-") and "worker-3" not in line]
    assert [row[-1] for row in rest] == ["0.0"] * 3


def test_nobody_differs() -> None:
    text = nodes.table(profile(odd=""))
    assert "here" not in text
    assert text.count("\nworker-") == 4


def test_one_node_and_none() -> None:
    alone = Profile()
    alone.add((USUAL,), (("pid", "7"),), 5, 0, 5)
    assert "pid 7" in nodes.table(alone)
    assert "nothing to compare" in nodes.table(alone)
    assert nodes.table(Profile()) == "no samples\n"


def test_names_are_printable() -> None:
    hostile = Profile()
    hostile.add((USUAL,), (("node", "\x1b[2J"),), 5, 5, 5)
    assert "\x1b" not in nodes.table(hostile)
