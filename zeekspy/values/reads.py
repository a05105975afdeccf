"""Bounded reads of the C++ objects that values consist of. What is read is hostile: every pointer, size and count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zeekspy._core import Memory

LOWEST, HIGHEST = 0x1000, 1 << 56
"""Where a pointer can point: beyond the first page, below the addresses of the kernel."""
STRING_SIZES = {"libstdc++": 32, "libc++": 24, "libstdc++-old": 8}
"""sizeof(std::string)."""
MAX_NODES = 4096
"""Of a std::map or std::unordered_map that are looked at."""


class Unreadable(Exception):
    """What is there cannot be read, or cannot be what it should be. Never leaves this package."""


class Reads:
    """Reads of one target's memory, ``allow`` of them at a time and ``total`` altogether."""

    def __init__(
        self,
        memory: Memory,
        fields: Mapping[str, int],
        stdlib: str,
        vtables: tuple[int, int] = (0, 0),
        total: int = 500_000,
    ) -> None:
        """``vtables``: [low, high) in which the vtables of Zeek's own classes lie; (0, 0) if unknown."""
        self.fields = fields
        self.stdlib = stdlib
        self.string_size = STRING_SIZES[stdlib]
        self._memory = memory
        self._vtables = vtables
        self._left, self._total = 0, total

    def allow(self, reads: int) -> None:
        """From now on so many reads; then everything is Unreadable."""
        self._left = min(reads, self._total)

    def read(self, address: int, length: int) -> bytes:
        """Exactly ``length`` bytes."""
        self._left -= 1
        self._total -= 1
        if self._left < 0 or not LOWEST <= address < HIGHEST or not 0 <= length <= 1 << 20:
            raise Unreadable
        data = self._memory.read(address, length)
        if len(data) < length:
            raise Unreadable
        return data

    def number(self, address: int, size: int = 8, *, signed: bool = False) -> int:
        return int.from_bytes(self.read(address, size), "little", signed=signed)

    def field(self, address: int, name: str, size: int = 8) -> int:
        """The number in the member ``name`` of the object at ``address``. Unreadable if this layout has none such."""
        return self.number(address + self.offset(name), size)

    def tag(self, address: int, name: str) -> int:
        """As ``field``, of a member whose width the layout gives."""
        return self.field(address, name, self.offset(f"sizeof.{name}"))

    def offset(self, name: str) -> int:
        found = self.fields.get(name)
        if found is None:
            raise Unreadable
        return found

    def is_object(self, address: int) -> bool:
        """Whether an object of one of Zeek's own classes with virtual functions lies there."""
        low, high = self._vtables
        vptr = self.number(address)
        return not high or low <= vptr < high

    def string(self, address: int, limit: int = 256) -> bytes:
        """The first ``limit`` bytes of a std::string."""
        raw = self.read(address, self.string_size)
        word = [int.from_bytes(raw[i : i + 8], "little") for i in range(0, self.string_size, 8)]
        if self.stdlib == "libstdc++":
            start, length = word[0], word[1]
        elif self.stdlib == "libc++":
            start, length = (word[2], word[1]) if raw[0] & 1 else (address + 1, raw[0] >> 1)
        else:
            start, length = word[0], self.number(word[0] - 24)
        if length >= 1 << 40:
            raise Unreadable
        return self.read(start, min(length, limit)) if length else b""

    def c_string(self, address: int, limit: int = 256) -> bytes:
        """The bytes before the first 0, at most ``limit``. May end with the readable memory."""
        found = b""
        while len(found) < limit:
            # Not beyond the page, so that a string at the end of memory can be read.
            piece = self.read(address + len(found), min(64, 4096 - (address + len(found)) % 4096))
            text, end, _ = piece.partition(b"\0")
            found += text
            if end:
                break
        return found[:limit]

    def vector(self, address: int, stride: int) -> tuple[int, int]:
        """Where the elements of a std::vector begin, and how many there are."""
        raw = self.read(address, 16)
        begin, end = int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little")
        if begin > end or (end - begin) % stride or end - begin >= 1 << 40:
            raise Unreadable
        return begin, (end - begin) // stride

    def plist(self, address: int) -> tuple[int, int]:
        """Where the pointers of a List (List.h) begin, and how many there are."""
        own = "PList" if "PList.entries" in self.fields else "List"
        count = self.field(address, f"{own}.num_entries", 4)
        if count >= 1 << 31:
            raise Unreadable
        return self.field(address, f"{own}.entries"), count

    def pointers(self, begin: int, count: int) -> tuple[int, ...]:
        raw = self.read(begin, 8 * count) if count else b""
        return tuple(int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8))

    def map(self, address: int) -> Iterator[tuple[bytes, int]]:
        """(key, address of the value) of a std::map with std::string keys and values of 8-byte alignment, in order."""
        libcxx = self.stdlib == "libc++"
        left, right, root = (0, 8, 8) if libcxx else (16, 24, 16)
        path: list[int] = []
        node, seen = self.number(address + root), 0
        while (node or path) and seen < MAX_NODES and len(path) < 128:
            if node:
                path.append(node)
                node = self.number(node + left)
                continue
            node = path.pop()
            seen += 1
            yield self.string(node + 32), node + 32 + self.string_size
            node = self.number(node + right)

    def unordered_map(self, address: int) -> Iterator[tuple[bytes, int]]:
        """The same of a std::unordered_map, in no order."""
        value = 16 if self.stdlib == "libc++" else 8
        node = self.number(address + 16)
        for _ in range(MAX_NODES):
            if not node:
                return
            yield self.string(node + value), node + value + self.string_size
            node = self.number(node)
