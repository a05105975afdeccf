"""Zeek's objects in memory, as a layout sees them. Nothing here raises: what cannot be read is 0, None or empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zeekspy import selfcheck
from zeekspy.layout import Layout
from zeekspy.target import Target

if TYPE_CHECKING:
    from zeekspy._core import Memory

NODE, CHILDREN = 160, 16
"""Bytes of a node of a syntax tree that are looked at, and statements of a list."""
MIN_ADDRESS = 1 << 16
MAX_FUNCTIONS = 5000
EXPR_NAME = 0
CALLEE = ("CallExpr.func", "Expr.tag", "NameExpr.id", "ID.val", "FuncVal.func_val")
"""The way from a call to the function that it names. They are proved together, under the first one's name."""


class Objects:
    """Reads one target by one layout. ``functions`` are the addresses at which one has been found."""

    def __init__(self, target: Target, layout: Layout, memory: Memory) -> None:
        self._target, self._layout, self._memory = target, layout, memory
        self._fields = layout.fields
        self.functions: dict[int, None] = {}

    def read(self, at: int, length: int) -> bytes:
        return self._memory.read(at, length) if 0 < at < 1 << 56 and length > 0 else b""

    @staticmethod
    def word(data: bytes, at: int) -> int:
        return int.from_bytes(data[at : at + 8], "little")

    def pointer(self, at: int) -> int:
        """The 8 bytes there; 0 where nothing can be read."""
        data = self.read(at, 8)
        return self.word(data, 0) if len(data) == 8 else 0

    def vector(self, symbol: str) -> tuple[int, int, int]:
        """begin, end and capacity of a std::vector; zeros where there is none."""
        data = self.read(self._target.symbols.get(symbol, 0), 24)
        return self.word(data, 0), self.word(data, 8), self.word(data, 16)

    def called(self, call: int) -> int:
        """The function whose name a call expression holds; 0 if it calls something else than a name, or is none."""
        f = self._fields
        if not f.keys() >= set(CALLEE) or not self.is_object(call) or self.tag(call) <= selfcheck.MAX_TAG:
            return 0
        name = self.pointer(call + f["CallExpr.func"])
        if not self.is_object(name) or self.tag(name) != EXPR_NAME:
            return 0
        return self.pointer(self.pointer(self.pointer(name + f["NameExpr.id"]) + f["ID.val"]) + f["FuncVal.func_val"])

    def tag(self, expression: int) -> int:
        f = self._fields
        return int.from_bytes(self.read(expression + f["Expr.tag"], f["sizeof.Expr.tag"]), "little")

    def is_object(self, at: int) -> bool:
        low, high = self._target.data
        vptr = self.pointer(at)
        return low <= vptr < high if high else vptr != 0

    def is_func(self, at: int) -> bool:
        """Whether an object with a function's name lies there."""
        if at not in self.functions and self.is_object(at):
            name = at + self._fields["Func.name"]
            if (
                selfcheck.text(self._memory, self._layout.stdlib, name) is not None
                and len(self.functions) < MAX_FUNCTIONS
            ):
                self.functions[at] = None
        return at in self.functions

    def is_statement(self, at: int) -> bool:
        """Whether a statement with a place lies there: no expression, whose tag would be that of a call."""
        f = self._fields
        if not self.is_object(at):
            return False
        tag = self.read(at + f["Stmt.tag"], f["sizeof.Stmt.tag"]) if "Stmt.tag" in f else b""
        location = self.pointer(at + f["Obj.location"])
        lines = [
            int.from_bytes(self.read(location + f[name], 4), "little")
            for name in ("Location.first_line", "Location.last_line")
        ]
        tagged = int.from_bytes(tag, "little") <= selfcheck.MAX_TAG
        return tagged and bool(location) and any(lines) and max(lines) <= selfcheck.MAX_LINE

    def on_stack(self, frame: int) -> bool:
        low, high = self._target.stack
        return low <= frame < high if high else frame != 0

    def bodies(self, function: int) -> list[int]:
        f, size = self._fields, self._fields["sizeof.Func.Body"]
        bodies = self.read(function + f["Func.bodies"], 16)
        begin, end = self.word(bodies, 0), self.word(bodies, 8)
        room = self.read(begin, min(max(0, end - begin), 4 * size))
        return [self.word(room, at + f["Func.Body.stmts"]) for at in range(0, len(room) - size + 1, size)]

    def below(self, node: int) -> Iterator[int]:
        """Objects that one of the syntax tree points to: directly, or through the array of a list."""
        data = self.read(node, NODE)
        for at in range(self._fields["Obj.location"] + 8, len(data) - 7, 8):
            to = self.word(data, at)
            if to % 8 or not MIN_ADDRESS < to < 1 << 47:
                continue
            if self.is_object(to):
                yield to
                continue
            array = self.read(to, 8 * CHILDREN)
            for i in range(0, len(array) - 7, 8):
                item = self.word(array, i)
                if item % 8 or not MIN_ADDRESS < item < 1 << 47 or not self.is_object(item):
                    break
                yield item
