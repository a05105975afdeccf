"""A table of the neighbouring series, forced on a Zeek, is refused wherever it would make the walk read other bytes."""

from __future__ import annotations

import itertools

import pytest
from zeekspy.offsets import tables

from tests.support import registry
from zeekspy import selfcheck, stackcheck
from zeekspy._core import LAYOUT_FIELDS, Memory
from zeekspy.errors import UnknownBuild
from zeekspy.layout import STDLIBS, Layout
from zeekspy.stackcheck import StackCheck

NOT_READ = {"sizeof.Frame", "Frame.call", "Frame.func_args"}
"""By the validator of tables alone: they change nothing that a walk finds."""

PAIRS = [
    pair
    for stdlib in STDLIBS
    for older, newer in itertools.pairwise([t for t in tables() if t.stdlib == stdlib])
    for pair in ((older, newer), (newer, older))
]


def different(a: Layout, b: Layout) -> set[str]:
    return {name for name in LAYOUT_FIELDS if a.fields.get(name) != b.fields.get(name)} - NOT_READ


def refuse_or_pass(zeek: Layout, table: Layout) -> str:
    """What is said about a Zeek of the layout ``zeek`` when it is read by ``table``; empty if nothing is."""
    image, target = registry.written(zeek)
    memory = Memory.image(image.segments())
    try:
        selfcheck.check(target, table, memory)
        stacks = StackCheck(target, table, memory)
        stacks.look()
        stacks.verdict(enough=1)
    except UnknownBuild as e:
        refused = e
    else:
        return ""
    assert refused.exit_code == 5
    assert "zeekspy offsets generate" in refused.hint
    assert "zeekspy capture" in refused.hint
    return str(refused)


@pytest.mark.parametrize("table", tables(), ids=lambda t: t.origin)
def test_its_own_table_passes(table: Layout) -> None:
    image, target = registry.written(table)
    memory = Memory.image(image.segments())
    checks = stackcheck.everything(target, table, memory)
    assert [c for c in checks if not c.passed] == []
    what = {c.what for c in checks}
    assert {"Func.name", "StmtList.stmts", "Location", "Frame.function", "Frame.next_stmt", "CallExpr.func"} <= what


@pytest.mark.parametrize(("zeek", "table"), PAIRS, ids=lambda t: t.origin)
def test_a_neighbours_table(zeek: Layout, table: Layout) -> None:
    said = refuse_or_pass(zeek, table)
    if fields := different(zeek, table):
        assert "does not fit this Zeek" in said, fields
        assert table.origin in said


def test_most_neighbours_differ() -> None:
    """Of the others, a walk by either table reads the same bytes."""
    assert sum(bool(different(a, b)) for a, b in PAIRS) > len(PAIRS) / 2


def test_another_library_is_refused() -> None:
    for table in tables():
        for stdlib in STDLIBS:
            if stdlib != table.stdlib:
                image, target = registry.written(table)
                wrong = Layout(table.since, table.until, stdlib, table.fields, table.symbols, origin="wrong")
                with pytest.raises(UnknownBuild, match="does not fit"):
                    selfcheck.check(target, wrong, Memory.image(image.segments()))
