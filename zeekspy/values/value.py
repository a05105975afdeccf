"""Values as they were found, and how much of them is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """What is shown of one value, and how much is read for it."""

    depth: int = 1
    """Records within records that are shown with their fields."""
    string: int = 256
    """Bytes of a string."""
    elements: int = 12
    """Of a table, set, vector or list."""
    values: int = 1000
    """Values within one, over all levels."""
    reads: int = 20_000
    """Of memory, for one value."""
    nesting: int = 16
    """Containers within containers."""
    text: int = 8192
    """Characters printed of one value."""


@dataclass(slots=True)
class Value:
    """One value. ``tag`` is that of its type, or unset, unreadable, cycle, or more (what the limits left out)."""

    tag: str = "unreadable"
    data: int | float | bytes | str | None = None
    """What a value without parts consists of. Addresses and subnets are their text; strings are cut bytes."""
    size: int = 0
    """Of a string, its bytes; of a container, its elements: all of them, not only those that are here."""
    names: tuple[str, ...] = ()
    """Of a record, its fields."""
    keys: list[list[Value]] = field(default_factory=list)
    """Of a table or set, the parts of each index."""
    items: list[Value] = field(default_factory=list)
    """Elements of a vector or list, fields of a record, what a table yields. Fewer than ``size`` where cut."""


UNSET = "unset"
"""A variable that has not been assigned to, or an &optional field that is not there."""


@dataclass(frozen=True, slots=True)
class Variable:
    """An argument or a local variable of one frame."""

    name: str
    type: str | None
    """As Zeek describes the type that was declared; None if unknown."""
    value: Value
