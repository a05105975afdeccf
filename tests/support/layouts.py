"""Layouts to test with: the shipped tables and, drawn by hypothesis, any other that the validator accepts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from zeekspy.layout import STDLIBS

ZS_H = Path(__file__).resolve().parents[2] / "csrc" / "zs.h"
STRING_SIZE = {"libstdc++": 32, "libc++": 24, "libstdc++-old": 8}
WIDTH = {"P": 8, "I": 4, "V": 24}
BASE = {"StmtList": "Stmt", "CallExpr": "Expr", "NameExpr": "Expr"}
NOT_OBJ = {"CallInfo", "Location", "Func_Body", "List", "Obj"}
STMT_LIST_TAGS = (11, 13)


@dataclass(frozen=True, slots=True)
class Field:
    """A line of ZS_LAYOUT_FIELDS; what ``shape`` means stands there."""

    name: str
    owner: str
    shape: str

    @property
    def size_name(self) -> str:
        """The field that holds this one's width."""
        return f"sizeof.{self.name}"


FIELDS = tuple(
    Field(*found)
    for found in re.findall(r'^\tX\(\w+, "([\w.]+)", (\w+), ([A-Z])\)', ZS_H.read_text(encoding="utf-8"), re.MULTILINE)
)
NAMED = {field.name: field for field in FIELDS}


@dataclass(frozen=True)
class Offsets:
    """Fields and a C++ library, as the walker gets them. ``origin`` is for the reader of a failure."""

    fields: Mapping[str, int]
    stdlib: str
    origin: str

    @property
    def frames_on_stack(self) -> bool:
        """Zeek 8.1 and later."""
        return "CallInfo.frame" in self.fields

    def width(self, name: str) -> int:
        """Bytes that the member takes."""
        field = NAMED[name]
        if field.shape == "N":
            return STRING_SIZE[self.stdlib]
        return WIDTH[field.shape] if field.shape in WIDTH else self.fields[field.size_name]

    def size(self, owner: str) -> int:
        """Bytes from the object's start to the end of the last member that is known, its bases' included."""
        owners = {owner, BASE.get(owner, owner)} | (set() if owner in NOT_OBJ else {"Obj"})
        ends = [
            self.fields[f.name] + self.width(f.name)
            for f in FIELDS
            if f.owner in owners and f.shape != "S" and f.name in self.fields
        ]
        whole = self.fields.get(f"sizeof.{owner.replace('_', '.')}", 0)
        return max([8, whole, *ends])


@cache
def shipped() -> tuple[Offsets, ...]:
    """The tables of offsets/, each once for its own C++ library."""
    from zeekspy.offsets import tables

    return tuple(Offsets({k: v for k, v in t.fields.items() if k in NAMED}, t.stdlib, t.origin) for t in tables())


@st.composite
def _places(draw: st.DrawFn, sizes: Mapping[str, int], start: int) -> dict[str, int]:
    """An offset for each member, in any order, aligned, with gaps; none before ``start``."""
    at, result = start, {}
    for name in draw(st.permutations(sorted(sizes))):
        align = min(sizes[name], 8)
        at = -(-at // align) * align + align * draw(st.integers(0, 3))
        result[name] = at
        at += sizes[name]
    return result


@st.composite
def drawn(draw: st.DrawFn) -> Offsets:
    """Any valid layout: era, C++ library, widths of enums, members in any order, optional ones there or not."""
    stdlib = draw(st.sampled_from(STDLIBS))
    enum = st.sampled_from([1, 2, 4])
    fields: dict[str, int] = {"sizeof.Func.kind": draw(enum), "sizeof.FuncType.flavor": draw(enum)}
    second = draw(st.sampled_from(["CallInfo.func", "CallInfo.frame"]))
    fields |= draw(_places({"CallInfo.call": 8, second: 8}, 0))
    room = max(fields["CallInfo.call"], fields[second]) + 8
    fields["sizeof.CallInfo"] = min(128, room + 8 * draw(st.integers(0, 4)))
    obj = draw(_places({"Obj.location": 8}, 8))
    fields |= obj
    base = obj["Obj.location"] + 8
    frame = {"Frame.function": 8, "Frame.next_stmt": 8}
    if draw(st.booleans()):
        frame |= {"Frame.call": 8, "Frame.func_args": 8}
    fields |= draw(_places(frame, base))
    if draw(st.booleans()):
        fields["sizeof.Frame"] = max(fields[name] for name in frame) + 8 + 8 * draw(st.integers(0, 4))
    # Within the 24 bytes that a Location may span.
    location = draw(st.permutations(["Location.filename", "Location.first_line", "Location.last_line"]))
    at = draw(st.integers(0, 4)) * 4
    for name in location:
        at += -at % (8 if name == "Location.filename" else 4)
        fields[name] = at
        at += 8 if name == "Location.filename" else 4
    func = {
        "Func.name": STRING_SIZE[stdlib],
        "Func.kind": fields["sizeof.Func.kind"],
        "Func.bodies": 24,
        "Func.type": 8,
    }
    fields |= draw(_places(func, base))
    fields |= draw(_places({"Func.Body.stmts": 8}, 0))
    fields["sizeof.Func.Body"] = fields["Func.Body.stmts"] + 8 + 8 * draw(st.integers(0, 4))
    fields |= draw(_places({"FuncType.flavor": fields["sizeof.FuncType.flavor"]}, base))
    stmt_end = base
    if draw(st.booleans()):
        fields["sizeof.Stmt.tag"] = draw(enum)
        stmt = {"Stmt.tag": fields["sizeof.Stmt.tag"]} | ({"Stmt.access_count": 4} if draw(st.booleans()) else {})
        fields |= draw(_places(stmt, base))
        stmt_end = max(fields[name] + size for name, size in stmt.items())
    if draw(st.booleans()):
        fields |= draw(_lists(stmt_end))
    if draw(st.booleans()):
        fields["sizeof.Expr.tag"] = draw(enum)
        fields |= draw(_places({"Expr.tag": fields["sizeof.Expr.tag"]}, base))
        end = fields["Expr.tag"] + fields["sizeof.Expr.tag"]
        for name, start in (("CallExpr.func", end), ("NameExpr.id", end), ("ID.val", base), ("FuncVal.func_val", base)):
            fields |= draw(_places({name: 8}, start))
    return Offsets(fields, stdlib, "drawn")


@st.composite
def _lists(draw: st.DrawFn, start: int) -> dict[str, int]:
    """How a StmtList holds its children: a std::vector, a pointer to a List, or a List inside it."""
    form = draw(st.sampled_from(["vector", "pointer", "inline"]))
    if form == "vector":
        return {"sizeof.StmtList.stmts": 24} | draw(_places({"StmtList.stmts": 24}, start))
    fields = draw(_places({"List.entries": 8, "List.num_entries": 4}, 0))
    end = max(fields["List.entries"] + 8, fields["List.num_entries"] + 4)
    size = 8 if form == "pointer" else max(16, -(-end // 8) * 8)
    if size > 64:
        size, fields = 16, {"List.entries": 0, "List.num_entries": 12}
    return fields | {"sizeof.StmtList.stmts": size} | draw(_places({"StmtList.stmts": size}, start))


def layouts() -> st.SearchStrategy[Offsets]:
    return st.one_of(st.sampled_from(shipped()), drawn())
