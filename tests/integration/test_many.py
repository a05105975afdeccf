"""Sixty-four targets at once, in short: what python -m tests.bench.many measures for as long as one likes."""

from __future__ import annotations

import pytest

from tests.bench import many

pytestmark = pytest.mark.live


def test_many_targets_cost_little() -> None:
    """Twice what they may cost on a machine with nothing else to do: the CPUs' caches are shared here."""
    percent, before, after, rate = many.measure(64, 100.0, 4.0, settle=3.0)
    assert rate > 10
    assert percent < 2 * many.CPU_PERCENT
    assert after - before < 5
