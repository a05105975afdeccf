"""Captures: what is written is read again, whatever overlaps."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy import capture
from zeekspy.capture import Header, Segments, Writer, coalesce
from zeekspy.errors import FileError

MEMORY = bytes(range(256)) * 2
PIECES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 60)).map(lambda p: (1000 + p[0], MEMORY[p[0] : p[0] + p[1]])),
    max_size=12,
)
HEADER = Header("9.0.0", "x86_64", "libstdc++", {"CallInfo.call": 0}, {"call_stack": 4096, "version": 1})


@given(PIECES)
def test_coalesce_keeps_every_byte_and_adds_none(pieces: Segments) -> None:
    joined = coalesce(pieces)
    before = {address + i: b for address, data in pieces for i, b in enumerate(data)}
    after = {address + i: b for address, data in joined for i, b in enumerate(data)}
    assert after == before
    assert sum(len(data) for _, data in joined) == len(after)
    for (a, data), (b, _) in pairwise(joined):
        assert a + len(data) < b or not data


def write(path: Path, *stops: Segments) -> Path:
    out = io.BytesIO()
    writer = Writer(out, HEADER)
    for stop in stops:
        writer.stop(stop)
    writer.close()
    path.write_bytes(out.getvalue())
    return path


@given(st.lists(PIECES, max_size=3))
def test_written_and_read(tmp_path_factory: pytest.TempPathFactory, stops: list[Segments]) -> None:
    path = write(tmp_path_factory.getbasetemp() / "round.jsonl.gz", *stops)
    header, found = capture.read(path)
    assert header == HEADER
    assert list(found) == [coalesce(stop) for stop in stops]


@given(st.data())
def test_damaged_anywhere_it_is_refused_or_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.jsonl.gz"
    raw = bytearray(write(path, [(4096, MEMORY)]).read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    try:
        header, stops = capture.read(path)
        found = header, list(stops)
    except FileError:
        return
    assert found == (HEADER, [[(4096, MEMORY)]])
