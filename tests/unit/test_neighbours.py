"""A table of the neighbouring series, forced on a Zeek, is refused wherever it would make the walk read other bytes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from zeekspy.offsets import tables

from tests.support import registry
from zeekspy import selfcheck, stackcheck
from zeekspy._core import LAYOUT_FIELDS, Memory
from zeekspy.errors import BadLayout, UnknownBuild
from zeekspy.layout import STDLIBS, Layout
from zeekspy.stackcheck import StackCheck
from zeekspy.target import Target

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


HARMLESS = NOT_READ | {
    "Stmt.access_count",  # a count: any number can be right, and no name or line depends on it
}
CALLEE = {"CallExpr.func", "NameExpr.id", "ID.val", "FuncVal.func_val", "Expr.tag"}
SHIFTS = (-16, -8, -4, 4, 8, 16)


def said_or_unproven(target: Target, table: Layout, memory: Memory) -> tuple[str, list[str]]:
    """What is said against a table, empty if nothing is; and the fields that then are reported as unproven."""
    try:
        table.validate()
        selfcheck.check(target, table, memory)
        stacks = StackCheck(target, table, memory)
        stacks.look_back()
        stacks.look_for_bifs()
        stacks.look()
        stacks.verdict(enough=1)
    except (UnknownBuild, BadLayout) as e:
        return str(e), []
    return "", stacks.unproven


def reads_the_same(table: Layout, field: str, by: int) -> bool:
    """A StmtList holds a vector or a list, or points to a list if its member has 8 bytes; else its size is not read."""
    sizes = (table.fields[field], table.fields[field] + by)
    return field == "sizeof.StmtList.stmts" and ("List.entries" not in table.fields or 8 not in sizes)


@pytest.mark.parametrize("noise", [True, False], ids=["noise", "zeros"])
@pytest.mark.parametrize("table", tables(), ids=lambda t: t.origin)
def test_a_field_that_is_off_is_refused_or_said_to_be_unproven(table: Layout, noise: bool) -> None:
    image, target = registry.written(table, noise)
    memory = Memory.image(image.segments())
    assert said_or_unproven(target, table, memory) == ("", [])
    refused = unproven = 0
    for field in LAYOUT_FIELDS:
        for by in SHIFTS:
            if field not in table.fields or field in HARMLESS or reads_the_same(table, field, by):
                continue
            bad = replace(table, fields={**table.fields, field: table.fields[field] + by}, origin="shifted")
            said, left = said_or_unproven(target, bad, memory)
            assert said or ("CallExpr.func" if field in CALLEE else field) in left, (field, by)
            refused, unproven = refused + bool(said), unproven + (not said)
            # A way of a call to its callee that leads nowhere only loses names; a Frame's statement may be null.
            assert said or field in CALLEE | {"Frame.next_stmt", "CallInfo.call"}, (field, by)
    assert refused > 4 * unproven > 0


def idle(table: Layout) -> tuple[Target, Memory]:
    """As registry.written, after all has returned: what was popped still lies in the room of the vectors."""
    image, target = registry.written(table)
    for name in ("call_stack", "g_frame_stack"):
        if name in target.symbols:
            piece, at = image.find(target.symbols[name])
            piece[at + 8 : at + 16] = piece[at : at + 8]
    return target, Memory.image(image.segments())


@pytest.mark.parametrize("table", tables(), ids=lambda t: t.origin)
def test_popped_stacks_prove_a_table_and_refuse_another(table: Layout) -> None:
    target, memory = idle(table)
    checks = stackcheck.everything(target, table, memory)
    assert [c for c in checks if c.verdict != "ok"] == []
    fields = {**table.fields, "Frame.function": table.fields["Frame.func_args"]}
    stacks = StackCheck(target, replace(table, fields=fields, origin="wrong"), memory)
    stacks.look_back()
    with pytest.raises(
        UnknownBuild, match=r"does not fit this Zeek .*: Frame.function: \d Frames have a function at"
    ) as e:
        stacks.verdict()
    assert str(table.fields["Frame.function"]) in str(e.value)
    assert "zeekspy offsets generate" in e.value.hint


def test_where_nothing_ever_ran_stacks_are_unproven() -> None:
    for table in (tables()[0], tables()[-1]):
        image, target = registry.written(table)
        for name in ("call_stack", "g_frame_stack"):
            if name in target.symbols:
                piece, at = image.find(target.symbols[name])
                piece[at : at + 24] = bytes(24)
        checks = stackcheck.everything(target, table, Memory.image(image.segments()))
        unproven = {c.what for c in checks if c.verdict == "unproven"}
        assert {"sizeof.CallInfo", "CallInfo.call", "Frame.function", "Frame.next_stmt", "Func.kind"} <= unproven
        assert all(c.passed for c in checks)


def test_another_library_is_refused() -> None:
    for table in tables():
        for stdlib in STDLIBS:
            if stdlib != table.stdlib:
                image, target = registry.written(table)
                wrong = Layout(table.since, table.until, stdlib, table.fields, table.symbols, origin="wrong")
                with pytest.raises(UnknownBuild, match="does not fit"):
                    selfcheck.check(target, wrong, Memory.image(image.segments()))
