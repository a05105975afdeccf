"""An event registry in a fake address space: what the self-check walks, under any layout."""

from __future__ import annotations

import os
import random
import struct

from tests.support import image
from tests.support.image import Body, Entry, Function, Image, Place, Script, Writer
from tests.support.layouts import STRING_SIZE, Offsets
from zeekspy.layout import Layout
from zeekspy.target import Target, exe_id, start_time
from zeekspy.zeek_types import SYMBOLS, list_tag

FILE = "/opt/zeek/share/zeek/base/frameworks/notice/main.zeek"
EVENTS = 40


def written(layout: Layout, noise: bool = True) -> tuple[Image, Target]:
    """A Zeek of that layout's first version: events with bodies in the registry; a stack of four that call, and a BiF.

    Without ``noise`` the bytes between the members are 0.
    """
    events = [event(i, list_tag(layout.since)) for i in range(EVENTS)]
    at, call = Place(FILE, 3, 3), Place(FILE, 4, 4)
    bif = Entry(Function("Log::__write", "bif"), True, call)
    inner = [Entry(event, True, call, at) for event in events[1:4]]
    script = Script((Entry(events[0], at=at), *inner, bif))
    offsets = Offsets(layout.fields, layout.stdlib, layout.origin)
    # A seed for which the ranges of vtables and of the stack are known.
    tried = (image.write(script, offsets, seed, noise=noise) for seed in range(100))
    made = next(m for m in tried if m.data[1] and m.stack[1])
    made.put(made.call_stack + 16, made.vector + 8 * layout.fields["sizeof.CallInfo"])  # capacities double
    writer = Writer(made, random.Random(1) if noise else image.Quiet(1), high=image.HEAP + (1 << 33))
    handlers = [handler(writer, layout, writer.function(f)) for f in events]
    registry = writer.room(256)
    at = registry + layout.fields["EventRegistry.handlers"]
    names = [f.name for f in events]
    if layout.covers("3.0.0") or layout.covers("3.0.2"):
        chains(writer, at, handlers)
    else:
        tree(writer, at, list(zip(names, handlers, strict=True)))
    pointer = writer.room(8)
    made.put(pointer, registry)
    symbols = {"call_stack": made.call_stack, "event_registry": pointer, "version": image.HEAP}
    if made.g_frame_stack:
        symbols["g_frame_stack"] = made.g_frame_stack
    return made, target(layout, made, symbols)


def event(number: int, tag: int) -> Function:
    lines = Place(FILE, 10 * number + 1, 10 * number + 8)
    body = Body(lines, tag, tuple(Place(FILE, 10 * number + i, 10 * number + i) for i in (2, 3)))
    name = f"event_{number}" if number % 2 else f"an_event_with_a_long_name_{number}"
    return Function(name, "event", (body,) * (number % 3 + 1))


def target(layout: Layout, made: Image, symbols: dict[str, int]) -> Target:
    assert symbols.keys() <= SYMBOLS.keys()
    return Target(
        pid=os.getpid(),
        exe="/opt/zeek/bin/zeek",
        arch="x86_64",
        build_id=None,
        version=layout.since,
        stdlib=layout.stdlib,
        debug=False,
        bias=0,
        symbols=symbols,
        sizes=dict.fromkeys(symbols, 0),
        data=made.data,
        stack=made.stack,
        start_time=start_time(os.getpid()),
        exe_id=exe_id(os.getpid()),
    )


def handler(writer: Writer, layout: Layout, function: int) -> int:
    at = writer.room(layout.fields["EventHandler.local"] + 64)
    writer.image.put(at + layout.fields["EventHandler.local"], function)
    return at


def tree(writer: Writer, at: int, items: list[tuple[str, int]]) -> None:
    """A std::map<std::string, …> of these: its header at ``at``."""
    libcxx = writer.offsets.stdlib == "libc++"
    left, right, root = (0, 8, 8) if libcxx else (16, 24, 16)

    def node(part: list[tuple[str, int]]) -> int:
        if not part:
            return 0
        middle = len(part) // 2
        name, value = part[middle]
        here = writer.room(48 + STRING_SIZE[writer.offsets.stdlib])
        writer.string(here + 32, name)
        writer.image.put(here + 32 + STRING_SIZE[writer.offsets.stdlib], value)
        writer.image.put(here + left, node(part[:middle]))
        writer.image.put(here + right, node(part[middle + 1 :]))
        return here

    writer.image.put(at + root, node(items))


def chains(writer: Writer, at: int, values: list[int]) -> None:
    """A Dictionary of Zeek 3.0: a table of Lists of DictEntries."""
    f = writer.f
    writer.image.put(at, writer.image.data[0] + 128)
    table = writer.bytes(bytes(8 * len(values)))
    writer.image.put(at + f["Dictionary.num_buckets"], len(values), 4)
    writer.image.put(at + f["Dictionary.tbl"], table)
    for i, value in enumerate(values):
        entry = writer.room(f["DictEntry.value"] + 8)
        writer.image.put(entry + f["DictEntry.value"], value)
        chain = writer.room(max(f["List.entries"] + 8, f["List.num_entries"] + 4))
        writer.image.put(chain + f["List.entries"], writer.bytes(struct.pack("<Q", entry)))
        writer.image.put(chain + f["List.num_entries"], 1, 4)
        writer.image.put(table + 8 * i, chain)
