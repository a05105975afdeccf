"""The pprof file keeps when samples were taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import (
    read_back,
    small_profile,
    timed,
    written,
)
from zeekspy.export import pprof, pprof_read, pprof_times
from zeekspy.profile import Profile

TIMED = timed([(5, 3, 1), (10_000, 3, 2), (30_000_000, 1, 2), (7_200_000_000, 9, 10)])


def test_pprof_keeps_the_times_of_samples() -> None:
    times = read_back(TIMED).times
    assert times is not None
    assert TIMED.times is not None
    keys = list(read_back(TIMED).samples)
    assert [(t, keys.index(times.keys[s]), n) for t, s, n in times] == [
        (5, 3, 3),
        (30_000_000, 1, 2),
        (7_200_000_000, 9, 10),
    ]
    assert times.dropped == 0
    assert read_back(small_profile()).times is None
    assert written(read_back(TIMED)) == written(TIMED)


def test_the_oldest_times_are_left_out_where_a_file_would_be_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = timed([(i * 7919 % 1000 + i * 10_000_000, i % 10, 1) for i in range(400)])
    for values in profile.samples.values():
        values.count += 1000
    size = len(times_comment(profile))
    monkeypatch.setattr(pprof_times, "MAX_BASE64", size // 2)
    assert size // 4 < len(times_comment(profile)) < size // 2 + 200
    back = read_back(profile).times
    assert back is not None
    assert back.dropped + sum(back.samples()) == 400
    assert back.times[-1] == 399 * 7919 % 1000 + 3_990_000_000
    assert back.dropped > 100


def times_comment(profile: Profile) -> str:
    (found,) = [c for c in pprof.encode(profile).string_table if c.startswith(pprof_times.PREFIX)]
    return str(found)


def test_times_that_do_not_fit_the_samples_are_none() -> None:
    message = pprof.encode(TIMED)
    message.sample[0].value[0] += 1
    assert pprof_read.decode(message).times is None
    more = timed([(5, 0, 2)])  # that stack was seen once
    assert read_back(more).times is None


@given(st.data())
def test_damaged_times_are_none_or_within_the_samples(data: st.DataObject) -> None:
    message = pprof.encode(TIMED)
    at = next(i for i, text in enumerate(message.string_table) if text.startswith("#times"))
    text = message.string_table[at]
    cut = data.draw(st.integers(0, len(text)))
    message.string_table[at] = text[:cut] + data.draw(st.text(max_size=3)) + text[cut + data.draw(st.integers(0, 3)) :]
    back = pprof_read.decode(message)
    assert back.samples == read_back(TIMED).samples
    if back.times is not None:
        counts = dict(zip(back.times.keys, back.times.samples(), strict=True))
        assert all(n <= back.samples[key].count for key, n in counts.items())
