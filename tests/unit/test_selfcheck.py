"""The self-check on the stand-in: the right table passes, and one with a field wrong is refused by its name."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from zeekspy.offsets import tables

from tests.support.targets import running
from zeekspy import choice, selfcheck, target
from zeekspy._core import Memory
from zeekspy.errors import BadLayout, NoSuchTarget, UnknownBuild
from zeekspy.layout import Layout
from zeekspy.session import Attachment, Session, run

pytestmark = pytest.mark.live

FOUND_AT_ONCE = (
    ("Obj.location", 8),
    ("Obj.location", -8),
    ("Location.first_line", 8),
    ("Location.last_line", 8),
    ("Location.last_line", 4),
    ("Func.name", 8),
    ("Func.name", -8),
    ("Func.bodies", 8),
    ("Func.bodies", -8),
    ("Func.type", 8),
    ("Func.type", -8),
    ("sizeof.Func.Body", 8),
    ("sizeof.Func.Body", -8),
    ("Func.Body.stmts", 8),
    ("FuncType.flavor", 4),
    ("FuncType.flavor", 8),
    ("FuncType.flavor", -8),
    ("EventHandler.local", 8),
    ("EventHandler.local", -8),
    # Not EventRegistry.handlers: 8 bytes further is another node of the same tree, whose handlers are as good.
    ("CallInfo.call", 8),
    ("Frame.next_stmt", 8),
)
"""By the self-check, or by the validation of the table where fields overlap."""


def shifted(table: Layout, field: str, by: int) -> Layout:
    bad = replace(table, fields={**table.fields, field: table.fields[field] + by}, origin="shifted")
    bad.validate()
    return bad


def test_the_right_table_passes(target_: Attachment) -> None:
    stacks, registry = selfcheck.check(target_.target, target_.layout, target_.memory)
    assert stacks.what == "stacks"
    assert "call_stack" in stacks.evidence
    assert registry.evidence == "4 handlers, 4 functions and 6 bodies look right"


@pytest.fixture
def target_(target: subprocess.Popen[bytes]) -> Attachment:
    return attachment(target.pid)


def attachment(pid: int) -> Attachment:
    found = target.find(pid)
    return Attachment(found, choice.choose(found), Memory.process(pid), ())


def test_a_field_that_is_wrong_is_named(target_: Attachment) -> None:
    for field, by in FOUND_AT_ONCE:
        said = refusal(target_, field, by)
        # One offset too far may be seen at what lies behind it: the class is named at least.
        assert any(word in said for word in (field, *NEXT.get(field, ()))), (field, by, said)


def refusal(a: Attachment, field: str, by: int) -> str:
    """What is said against the table with ``field`` moved by so many bytes; empty if nothing is."""
    try:
        selfcheck.check(a.target, shifted(a.layout, field, by), a.memory)
    except (UnknownBuild, BadLayout) as e:
        return str(e)
    return ""


NEXT = {
    "Obj.location": ("Location.", "Stmt.tag"),
    "Location.last_line": ("Location.first_line",),
    "Func.name": ("Func.",),
    "Func.type": ("Func.", "FuncType."),
    "Func.bodies": ("Func.", "sizeof.Func.Body", "Stmt"),
    "sizeof.Func.Body": ("Func.Body.stmts", "Stmt"),
    "Func.Body.stmts": ("Stmt",),
    "EventHandler.local": ("Func",),
    "Frame.next_stmt": ("Frame.",),
}


def record(a: Attachment) -> None:
    """As ``zeekspy record`` does, for some seconds."""
    selfcheck.check(a.target, a.layout, a.memory)
    for _ in run([Session(a, 2000)], 5):
        pass


@pytest.mark.parametrize("field", ["Frame.function", "CallInfo.func", "sizeof.CallInfo"])
def test_what_only_stacks_can_show_ends_the_recording(era: str, field: str) -> None:
    with running(era) as process:
        a = attachment(process.pid)
        if field not in a.layout.fields:
            pytest.skip("no field of this era")
        by = -8 if field == "Frame.function" else 8
        bad = replace(a, layout=shifted(a.layout, field, by))
        with pytest.raises(UnknownBuild) as caught:
            record(bad)
        assert "generate" in caught.value.hint


def test_every_shipped_table_of_the_other_era_is_refused(target_: Attachment, era: str) -> None:
    other = "CallInfo.frame" if era == "1" else "CallInfo.func"
    wrong = [t for t in tables() if other in t.fields]
    assert wrong
    for table in wrong:
        with pytest.raises(UnknownBuild, match="does not fit this Zeek"):
            selfcheck.check(target_.target, table, target_.memory)


def test_a_target_that_dies_meanwhile_is_gone_not_unknown(target: subprocess.Popen[bytes]) -> None:
    a = attachment(target.pid)
    target.kill()
    target.wait()
    with pytest.raises(NoSuchTarget):
        selfcheck.check(a.target, a.layout, a.memory)
