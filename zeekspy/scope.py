"""Every function of a target: the events, hooks, functions and BiFs of Zeek's global scope, by their Funcs' addresses.

The global scope is a static variable (``scopes`` in Zeek's Scope.cc), so no exported symbol names it. What is exported
is the function that returns it, ``global_scope()``: its first loads name the variable. Each candidate is tried; that it
is the scope is known by what is found there.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from zeekspy import zeek_types
from zeekspy.layout import Layout, version_key
from zeekspy.target import Target

if TYPE_CHECKING:
    from zeekspy._core import Memory

CODE_BYTES = 128
"""Of global_scope() that are looked at: less than its length in any build."""
MAX_GLOBALS = 1 << 18
"""Bounds the walk over what may be no tree at all; a Zeek with all its policy scripts has some 20 000."""
MAX_CHAIN = 256
MAX_TABLES = 4096
BEHIND_TABLE = 8
"""Words of a TableVal that are looked at behind its table: def_val is among them, or before it."""
_STRING_SIZE = {"libstdc++": 32, "libc++": 24, "libstdc++-old": 8}
_NEEDED = frozenset(("Scope.local", "ID.type", "ID.val", "Type.tag", "sizeof.Type.tag", "FuncVal.func_val"))


class GlobalScope:
    """The global scope of one target. All reads are bounded; what cannot be read is left out."""

    def __init__(self, target: Target, layout: Layout, memory: Memory) -> None:
        self._fields, self._stdlib, self._memory, self._target = layout.fields, layout.stdlib, memory, target
        self._chained = version_key(target.version) < (3, 1)
        self._variable = 0  # address of the pointer to the pointer to the scope, 0 while it is not known

    def size(self) -> int:
        """How many globals there are: it changes while scripts are being parsed. 0 if they cannot be found."""
        local = self._local()
        if not local:
            return 0
        if self._chained:
            return self._number(local + self._fields["Dictionary.num_entries"], 4)
        return self._number(local + (16 if self._stdlib == "libc++" else 40), 8)

    def functions(self) -> list[int]:
        """Addresses of the Funcs with bodies that are values of globals now, each once; [] if there is no scope."""
        f, local = self._fields, self._local()
        if not local:
            return []
        ids = [at for at in (self._chains(local) if self._chained else self._tree(local)) if at]
        types = self._pointers(ids, f["ID.type"])
        tags = self._memory.read_many([t + f["Type.tag"] for t in types], f["sizeof.Type.tag"])
        wanted = zeek_types.func_tag(self._target.version)
        tagged = [(at, int.from_bytes(tag, "little")) for at, tag in zip(ids, tags, strict=True) if tag]
        values = [v for v in self._pointers([at for at, tag in tagged if tag == wanted], f["ID.val"]) if v]
        table = zeek_types.table_tag(self._target.version)
        values += self._defaults([at for at, tag in tagged if tag == table], values)
        funcs = list(dict.fromkeys(p for p in self._pointers(values, f["FuncVal.func_val"]) if p))
        kinds = self._memory.read_many([at + f["Func.kind"] for at in funcs], f["sizeof.Func.kind"])
        return [at for at, kind in zip(funcs, kinds, strict=True) if kind and not any(kind)]  # 1 is a BiF

    def _defaults(self, ids: list[int], values: list[int]) -> list[int]:
        """FuncVals in the tables that are values of ``ids``: what a &default of a table was made from.

        A lambda that is evaluated while scripts are parsed has a copy of its body, and the table's ``def_val`` (Val.h)
        is all that leads to it. It is known by the first word of every FuncVal, as ``values`` have it.
        """
        tables = [t for t in self._pointers(ids[:MAX_TABLES], self._fields["ID.val"]) if t]
        words = self._fields.get("TableVal.table_val", 0) // 8 + BEHIND_TABLE
        firsts = Counter(self._memory.read_many(values, 8))
        held = [d for d in self._memory.read_many(tables, 8 * words) if len(d) == 8 * words]
        at = list(dict.fromkeys(array("Q", b"".join(held))))
        at = [p for p in at if _plausible(p) and p % 8 == 0]
        vptr = firsts.most_common(1)[0][0] if firsts else b""
        return [p for p, first in zip(at, self._memory.read_many(at, 8), strict=True) if vptr and first == vptr]

    def _local(self) -> int:
        """Address of the scope's table of names; 0 if it is not there (yet)."""
        needed = _NEEDED | ({"Dictionary.tbl", "DictEntry.value", "List.entries"} if self._chained else frozenset())
        at = self._target.symbols.get("global_scope", 0)
        if not at or not needed <= self._fields.keys():
            return 0
        if self._variable:
            return self._table(self._variable)
        code = self._memory.read(at, CODE_BYTES)
        for variable in loads(code, at, self._target.arch):
            found = self._table(variable)
            if found:
                self._variable = variable
                return found
        return 0

    def _table(self, variable: int) -> int:
        """The table of the scope that the first element of the vector or list at ``variable`` points to, else 0."""
        scope = self._pointer(self._pointer(variable))
        low, high = self._target.data
        if not scope or (high and not low <= self._pointer(scope) < high):
            return 0
        local = scope + self._fields["Scope.local"]
        if self._chained:
            local = self._pointer(local)
            return local if low <= self._pointer(local) < high else 0
        node = self._pointer(local + (8 if self._stdlib == "libc++" else 16))
        # The root of the map must be a name and an ID, which is an object.
        ident = self._pointer(node + 32 + _STRING_SIZE[self._stdlib])
        return local if ident and (not high or low <= self._pointer(ident) < high) else 0

    def _tree(self, local: int) -> list[int]:
        """Addresses of the IDs of a std::map<std::string, IDPtr>, level by level."""
        libcxx = self._stdlib == "libc++"
        left, right, root, value = (0, 8, 8, 56) if libcxx else (16, 24, 16, 32 + _STRING_SIZE[self._stdlib])
        found: list[int] = []
        level = [n for n in [self._pointer(local + root)] if n]
        while level and len(found) < MAX_GLOBALS:
            nodes = self._memory.read_many(level, value + 8)
            nodes = [n for n in nodes if len(n) == value + 8]
            found += array("Q", b"".join(n[value:] for n in nodes))
            level = [at for at in array("Q", b"".join(n[left : right + 8] for n in nodes)) if _plausible(at)]
            level = level[: MAX_GLOBALS - len(found)]
        return found

    def _chains(self, local: int) -> Iterator[int]:
        """Addresses of the IDs of a PDict of Zeek 3.0: a table of Lists of DictEntries."""
        f = self._fields
        buckets = min(self._number(local + f["Dictionary.num_buckets"], 4), MAX_GLOBALS)
        table = self._pointer(local + f["Dictionary.tbl"])
        lists = self._pointers([table + 8 * i for i in range(buckets)], 0) if table else []
        for chain in lists:
            count = self._number(chain + f["List.num_entries"], 4) if chain else 0
            entries = self._pointer(chain + f["List.entries"]) if count else 0
            if entries:
                at = self._pointers([entries + 8 * k for k in range(min(count, MAX_CHAIN))], 0)
                yield from self._pointers(at, f["DictEntry.value"])

    def _pointer(self, at: int) -> int:
        return self._number(at, 8)

    def _number(self, at: int, size: int) -> int:
        if not _plausible(at):
            return 0
        data = self._memory.read(at, size)
        return int.from_bytes(data, "little") if len(data) == size else 0

    def _pointers(self, objects: Sequence[int], offset: int) -> list[int]:
        """The pointer at ``offset`` of each object; 0 where it cannot be read or cannot be one."""
        found = self._memory.read_many([at + offset for at in objects], 8)
        words = array("Q", b"".join(w if len(w) == 8 else bytes(8) for w in found))
        return [p if 0x1000 <= p < 1 << 56 else 0 for p in words]


def loads(code: bytes, at: int, arch: str) -> Iterator[int]:
    """Fixed addresses that the machine code at ``at`` loads 8 bytes from; each once, in order."""
    found = _loads_x86(code, at) if arch == "x86_64" else _loads_arm(code, at) if arch == "aarch64" else iter(())
    yield from dict.fromkeys(a for a in found if _plausible(a))


def _loads_x86(code: bytes, at: int) -> Iterator[int]:
    """``mov r64, [rip + disp32]``: REX.W, 8B, a ModRM byte with mod 00 and rm 101."""
    for i in range(len(code) - 6):
        if code[i] & 0xF8 == 0x48 and code[i + 1] == 0x8B and code[i + 2] & 0xC7 == 0x05:
            yield at + i + 7 + int.from_bytes(code[i + 3 : i + 7], "little", signed=True)


def _loads_arm(code: bytes, at: int) -> Iterator[int]:
    """``adrp x, page``, perhaps ``add x, x, #n``, then ``ldr`` or ``ldp`` of 64 bits from it."""
    known: dict[int, int] = {}
    for i in range(0, len(code) - 3, 4):
        word = int.from_bytes(code[i : i + 4], "little")
        register, base = word & 31, word >> 5 & 31
        if word & 0x9F000000 == 0x90000000:  # adrp
            page = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
            page -= (page & 1 << 20) << 1
            known[register] = (at + i & ~0xFFF) + (page << 12)
        elif word & 0xFFC00000 == 0x91000000 and base in known:  # add, immediate
            known[register] = known[base] + (word >> 10 & 0xFFF)
        elif word & 0xFFC00000 == 0xF9400000 and base in known:  # ldr, unsigned offset
            yield known[base] + (word >> 10 & 0xFFF) * 8
        elif word & 0xFFC00000 == 0xA9400000 and base in known:  # ldp, signed offset
            offset = word >> 15 & 0x7F
            yield known[base] + (offset - (offset & 0x40) * 2) * 8


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _plausible(at: int) -> bool:
    return 0x1000 <= at < 1 << 56
