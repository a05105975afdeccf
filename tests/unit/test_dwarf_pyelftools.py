"""Our DWARF reader against pyelftools, which reads everything and takes its time, on the stand-in's debug info."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile

from zeekspy import dwarf, standin


def structures(die: DIE, scope: tuple[str, ...] = ()) -> Iterator[tuple[str, DIE]]:
    """(qualified name, DIE) of every complete class or structure below ``die``."""
    for child in die.iter_children():
        name = child.attributes.get("DW_AT_name")
        inner = (*scope, name.value.decode()) if name else scope
        if child.tag in ("DW_TAG_class_type", "DW_TAG_structure_type") and name:
            if "DW_AT_declaration" not in child.attributes:
                yield "::".join(inner), child
            yield from structures(child, inner)
        elif child.tag == "DW_TAG_namespace":
            yield from structures(child, inner)


def oracle(path: Any) -> dict[str, int]:
    """Offset of every direct member and size of every class, by ``Class.member`` and ``sizeof.Class``."""
    found: dict[str, int] = {}
    with open(path, "rb") as f:
        for unit in ELFFile(f).get_dwarf_info().iter_CUs():
            for qualified, die in structures(unit.get_top_DIE()):
                if not qualified.startswith("zeek::"):
                    continue
                name = "Func.Body" if qualified.endswith("Func::Body") else qualified.rpartition("::")[2]
                found[f"sizeof.{name}"] = die.attributes["DW_AT_byte_size"].value
                for member in die.iter_children():
                    attributes = member.attributes
                    if member.tag == "DW_TAG_member" and "DW_AT_data_member_location" in attributes:
                        found[f"{name}.{attributes['DW_AT_name'].value.decode()}"] = attributes[
                            "DW_AT_data_member_location"
                        ].value
    return found


@pytest.mark.parametrize("era", standin.ERAS)
def test_the_same_offsets(era: str) -> None:
    path = standin.path(era)
    ours, theirs = dwarf.generate(path).fields, oracle(path)
    both = ours.keys() & theirs.keys()
    assert {
        "CallInfo.call",
        "Frame.function",
        "Frame.next_stmt",
        "Func.name",
        "Func.kind",
        "Func.bodies",
        "Func.Body.stmts",
        "Obj.location",
        "Location.filename",
        "FuncType.flavor",
        "sizeof.CallInfo",
    } <= both
    assert {k: ours[k] for k in both} == {k: theirs[k] for k in both}
