"""The validator: what it accepts the walker trusts, and what it refuses it names."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.binding import Failed, call, ffi, lib, make_layout, walker_of
from tests.support.image import Entry, Function, Script, write
from tests.support.layouts import BASE, FIELDS, NAMED, NOT_OBJ, Offsets, drawn, layouts, shipped
from zeekspy import _core
from zeekspy.errors import BadLayout
from zeekspy.layout import STDLIBS

REQUIRED = [
    "sizeof.CallInfo",
    "CallInfo.call",
    "Frame.function",
    "Frame.next_stmt",
    "Obj.location",
    "Location.filename",
    "Location.first_line",
    "Location.last_line",
    "Func.name",
    "sizeof.Func.kind",
    "Func.kind",
    "Func.bodies",
    "Func.type",
    "sizeof.Func.Body",
    "Func.Body.stmts",
    "sizeof.FuncType.flavor",
    "FuncType.flavor",
]
OFFSETS = sorted(field.name for field in FIELDS if field.shape != "S")
SIZES = sorted(field.name for field in FIELDS if field.shape == "S")
ERAS = [shipped()[0], shipped()[-1]]


def validate(fields: dict[str, int], stdlib: str = "libstdc++") -> None:
    call(lib.zs_layout_validate, make_layout({k: v for k, v in fields.items() if v >= 0}, stdlib))


def refused(layout: object) -> Failed:
    with pytest.raises(Failed) as caught:
        call(lib.zs_layout_validate, layout)
    assert caught.value.code == lib.ZS_ELAYOUT
    return caught.value


@pytest.mark.parametrize("offsets", shipped(), ids=lambda offsets: offsets.origin)
def test_shipped_tables_are_accepted(offsets: Offsets) -> None:
    validate(dict(offsets.fields), offsets.stdlib)


@given(drawn())
def test_drawn_layouts_are_accepted(offsets: Offsets) -> None:
    validate(dict(offsets.fields), offsets.stdlib)
    _core.validate_layout(offsets.fields, STDLIBS.index(offsets.stdlib))


def test_the_fields_are_those_of_the_header() -> None:
    names = []
    while name := lib.zs_layout_field(len(names)):
        names.append(ffi.string(name).decode())
    assert names == [field.name for field in FIELDS] == list(_core.LAYOUT_FIELDS)
    assert set(REQUIRED) < set(names)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    fields = dict(ERAS[1].fields)
    del fields[name]
    error = refused(make_layout(fields))
    assert (error.what, error.errnum) == (name, errno.ENOENT)
    with pytest.raises(BadLayout, match=f"{name} is missing"):
        _core.validate_layout(fields, 0)


def test_the_call_stack_must_have_functions_or_frames_but_not_both() -> None:
    old, new = (dict(offsets.fields) for offsets in ERAS)
    del new["CallInfo.frame"]
    assert (refused(make_layout(new)).what, refused(make_layout(new)).errnum) == ("CallInfo.frame", errno.ENOENT)
    old["CallInfo.frame"] = 16
    assert (refused(make_layout(old)).what, refused(make_layout(old)).errnum) == ("CallInfo.frame", errno.EEXIST)


@pytest.mark.parametrize("value", [-1, -8, -(1 << 40), 4097, 1 << 31, 1 << 32, (1 << 32) + 8, (1 << 63) - 1])
@pytest.mark.parametrize("name", ["Func.name", "sizeof.CallInfo"])
def test_values_outside_any_object_are_not_even_set(name: str, value: int) -> None:
    layout = make_layout(ERAS[1].fields)
    before = bytes(ffi.buffer(layout))
    assert lib.zs_layout_set(layout, name.encode(), value) == lib.ZS_ELAYOUT
    assert lib.zs_layout_set(layout, b"Func.nonsense", 8) == 0
    assert bytes(ffi.buffer(layout)) == before


def member(name: str) -> str:
    return name.replace(".", "_")


@pytest.mark.parametrize("value", [-2, -4096, -(1 << 31), 4096, (1 << 31) - 1])
@pytest.mark.parametrize("name", OFFSETS)
def test_an_absurd_offset_is_refused_by_name(name: str, value: int) -> None:
    offsets = next(o for o in ERAS if name in o.fields)
    layout = make_layout(offsets.fields)
    setattr(layout, member(name), value)
    error = refused(layout)
    assert (error.what, error.errnum) == (name, errno.ERANGE)


@pytest.mark.parametrize("name", [name for name in OFFSETS if NAMED[name].shape != "E"])
def test_a_misaligned_offset_is_refused_by_name(name: str) -> None:
    offsets = next(o for o in ERAS if name in o.fields)
    layout = make_layout(offsets.fields)
    setattr(layout, member(name), offsets.fields[name] + 1)
    assert (refused(layout).what, refused(layout).errnum) == (name, errno.ERANGE)


@pytest.mark.parametrize("value", [-2, 0, 3, 5, 7, 12, 129, 4097, (1 << 31) - 1])
@pytest.mark.parametrize("name", SIZES)
def test_an_absurd_size_is_refused_by_name(name: str, value: int) -> None:
    offsets = next(o for o in ERAS if name in o.fields)
    layout = make_layout(offsets.fields)
    setattr(layout, member(name), value)
    assert refused(layout).what == name


@pytest.mark.parametrize("stdlib", [-1, 3, 1 << 30])
def test_an_unknown_library_is_refused(stdlib: int) -> None:
    layout = make_layout(ERAS[1].fields)
    layout.stdlib = stdlib
    assert refused(layout).what == "stdlib"


def related(a: str, b: str) -> bool:
    """Whether members of class a and of class b lie in the same object, as one derives from the other."""

    def bases(owner: str) -> set[str]:
        return {owner, BASE.get(owner, owner)} | (set() if owner in NOT_OBJ else {"Obj"})

    return a in bases(b) or b in bases(a)


@given(layouts(), st.data())
def test_overlapping_members_are_refused(offsets: Offsets, data: st.DataObject) -> None:
    present = [name for name in OFFSETS if name in offsets.fields]
    pairs = [(a, b) for a in present for b in present if a < b and related(NAMED[a].owner, NAMED[b].owner)]
    a, b = data.draw(st.sampled_from(pairs))
    layout = make_layout(offsets.fields, offsets.stdlib)
    # Onto the other, at an offset that its alignment allows.
    align = min(8, offsets.width(a))
    setattr(layout, member(a), offsets.fields[b] // align * align)
    assert refused(layout).what in present


def test_locations_wider_than_the_walker_reads_are_refused() -> None:
    layout = make_layout(ERAS[1].fields)
    layout.Location_last_line = 64
    assert (refused(layout).what, refused(layout).errnum) == ("Location.last_line", errno.ERANGE)


@given(st.lists(st.tuples(st.sampled_from(sorted(NAMED)), st.integers(-2, 4200)), max_size=6), layouts(), st.integers())
def test_whatever_is_accepted_can_be_walked(changes: list[tuple[str, int]], offsets: Offsets, seed: int) -> None:
    """No table, however wrong, makes the walker do more than find other things."""
    layout = make_layout(offsets.fields, offsets.stdlib)
    for name, value in changes:
        setattr(layout, member(name), value)
    image = write(Script((Entry(Function("f", "event")), Entry(Function("g", "hook"), True))), offsets, seed)
    error = ffi.new("struct zs_error *")
    if lib.zs_layout_validate(layout, error) < 0:
        assert error.code == lib.ZS_ELAYOUT
        assert ffi.string(error.what).decode() in NAMED
        return
    fields = {name: getattr(layout, member(name)) for name in NAMED if getattr(layout, member(name)) >= 0}
    image.offsets = Offsets(fields, offsets.stdlib, "changed")
    image.g_frame_stack = image.g_frame_stack or image.call_stack
    assert len(walker_of(image).walk().frames) <= lib.ZS_MAX_DEPTH
