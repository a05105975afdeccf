"""The arithmetic of the benchmarks, and that measuring one again leaves the results of the others."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.bench import accuracy, page, slowdown


def draw(shares: dict[str, float], n: int, seed: int) -> Counter[str]:
    return Counter(random.Random(seed).choices(list(shares), list(shares.values()), k=n))


def test_distance_of_two_samplers_of_the_same_is_what_chance_brings() -> None:
    shares = {f"f{i}": 1 / (i + 1) for i in range(60)}
    found = [accuracy.distance(draw(shares, 2000, i), draw(shares, 3000, 100 + i)) for i in range(30)]
    assert sum(d for d, _ in found) == pytest.approx(sum(chance for _, chance in found), rel=0.1)


def test_distance_of_what_has_nothing_in_common() -> None:
    found, chance = accuracy.distance(Counter({"a": 50}), Counter({"b": 70}))
    assert found == pytest.approx(1)
    assert chance < 0.2


def test_flags_name_the_function_that_is_off() -> None:
    ours, theirs = accuracy.Seen(), accuracy.Seen()
    for seen, off in ((ours, 100), (theirs, 0)):
        seen.add(0, "", 5000, 5000)
        seen.add(1, "right", 500, 500)
        seen.add(2, "wrong", 200 + off, 200 + off)
        seen.add(2, "rare", 3, 3)
    by_name = {name: z for z, name, _, _ in accuracy.flags(ours, theirs)}
    assert by_name.keys() == {"right", "wrong"}
    assert by_name["wrong"] > 3
    assert abs(by_name["right"]) < 2


def test_loss_is_the_median_ratio_of_the_rounds() -> None:
    lost, error = slowdown.loss([1.1, 2.2, 5.5], [1.0, 2.0, 4.0])
    assert lost == pytest.approx(0.1)
    assert error > 0


def test_a_section_is_put_in_place_of_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    for title, body in (("Rate", "old"), ("Accuracy", "a"), ("Rate", "new\n\n### with a heading")):
        page.put(file, page.Section(title, "What it means.", body).text("0 0 0"))
    text = file.read_text()
    assert text.startswith(page.INTRODUCTION)
    assert text.index("## Accuracy") < text.index("## Rate")
    assert "new\n\n### with a heading" in text
    assert "old" not in text


def test_tables_are_markdown() -> None:
    lines = page.table(["what", "n"], [["a", "1"], ["bcdef", "1000"]]).splitlines()
    assert lines == ["| what  |    n |", "| ----- | ---: |", "| a     |    1 |", "| bcdef | 1000 |"]


@pytest.mark.parametrize(
    ("found", "error", "expected"),
    [(0.001, 0.0001, True), (0.02, 0.001, False), (0.004, 0.02, None), (-0.09, 0.09, None)],
)
def test_a_goal_within_the_noise_is_not_shown(found: float, error: float, expected: bool | None) -> None:
    assert slowdown.decided(found, 0.003, error) is expected
