"""The hash tables of dynamic symbols, read in place: which entries of .dynsym may have a name.

DT_GNU_HASH as documented with the GNU linker, DT_HASH as in the System V ABI. Tables are hostile: chains are bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

ReadAt = Callable[[int, int], bytes]
"""(vaddr, length) to exactly so many bytes."""


def gnu_candidates(read_at: ReadAt, table: int, name: bytes) -> Iterator[int]:
    """Indexes of the dynamic symbols whose hash (but for the last bit) is that of ``name``."""
    wanted = 5381
    for c in name:
        wanted = (wanted * 33 + c) & 0xFFFFFFFF
    nbuckets, first, bloom_words, shift = struct.unpack("<IIII", read_at(table, 16))
    if not nbuckets or not bloom_words:
        return
    (word,) = struct.unpack("<Q", read_at(table + 16 + 8 * (wanted // 64 % bloom_words), 8))
    if not word >> wanted % 64 & 1 or not word >> (wanted >> (shift & 31)) % 64 & 1:
        return
    buckets = table + 16 + 8 * bloom_words
    (index,) = struct.unpack("<I", read_at(buckets + 4 * (wanted % nbuckets), 4))
    if index < first:
        return
    chains = buckets + 4 * nbuckets
    for _ in range(4096):  # chains of a real table have a handful of members
        (value,) = struct.unpack("<I", read_at(chains + 4 * (index - first), 4))
        if value | 1 == wanted | 1:
            yield index
        if value & 1:
            return
        index += 1


def sysv_candidates(read_at: ReadAt, table: int, name: bytes) -> Iterator[int]:
    """Indexes of the dynamic symbols in the bucket of ``name``: DT_HASH, in programs of before 2006 and by request."""
    wanted = 0
    for c in name:
        wanted = (wanted << 4) + c
        high = wanted & 0xF0000000
        wanted = (wanted ^ high >> 24) & ~high & 0xFFFFFFFF
    nbuckets, nchains = struct.unpack("<II", read_at(table, 8))
    if not nbuckets:
        return
    (index,) = struct.unpack("<I", read_at(table + 8 + 4 * (wanted % nbuckets), 4))
    for _ in range(4096):
        if not 0 < index < nchains:
            return
        yield index
        (index,) = struct.unpack("<I", read_at(table + 8 + 4 * (nbuckets + index), 4))
