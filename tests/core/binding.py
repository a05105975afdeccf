"""The C core as its tests use it: layouts, images, walks and what they found, in Python's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.core import build_core
from tests.support.image import ExpectedBody, ExpectedFrame, Image
from zeekspy.layout import STDLIBS

ffi, lib = build_core.load()
KINDS = (None, "function", "event", "hook", "bif")
TORN, UNREADABLE, STALE, TRUNCATED = lib.ZS_TORN, lib.ZS_UNREADABLE, lib.ZS_STALE, lib.ZS_TRUNCATED


class Failed(Exception):
    """A call's negative code, with what its struct zs_error says."""

    def __init__(self, code: int, error: Any) -> None:
        self.code, self.errnum, self.addr = code, error.errnum, error.addr
        self.what = ffi.string(error.what).decode() if error.what else ""
        super().__init__(f"{ffi.string(lib.zs_code_name(code)).decode()}: {self.what} (errno {self.errnum})")


def call(function: Any, *args: Any) -> int:
    """Calls with an error to fill in as the last argument; raises Failed where the result is negative."""
    error = ffi.new("struct zs_error *")
    rc: int = function(*args, error)
    if rc < 0:
        assert error.code == rc
        raise Failed(rc, error)
    return rc


def make_layout(fields: Mapping[str, int], stdlib: str = "libstdc++") -> Any:
    layout = ffi.new("struct zs_layout *")
    lib.zs_layout_init(layout)
    layout.stdlib = STDLIBS.index(stdlib)
    for name, value in fields.items():
        assert lib.zs_layout_set(layout, name.encode(), value) == 1, name
    return layout


def _fill(array: Any, segments: Sequence[tuple[int, bytes | bytearray]]) -> list[Any]:
    """Each piece in memory of its own, so that the sanitizer sees a read past its end; the rows left over are empty."""
    buffers = [ffi.from_buffer(bytearray(data)) if data else ffi.NULL for _, data in segments]
    for row, (address, data), buffer in zip(array, segments, buffers, strict=False):
        row.addr, row.bytes, row.len = address, buffer, len(data)
    for i in range(len(segments), len(array)):
        array[i].addr, array[i].bytes, array[i].len = 1 << 63, ffi.NULL, 0
    return buffers


class Reader:
    """An address space; ``read`` gives the bytes of each span that could be read."""

    def __init__(self, handle: Any, keep: list[Any] | None = None) -> None:
        self.handle, self._keep = ffi.gc(handle, lib.zs_reader_destroy), keep or []

    @staticmethod
    def image(segments: Sequence[tuple[int, bytes | bytearray]], spare: int = 0) -> Reader:
        """Saved bytes, with room for that many more pieces in ``replace``."""
        array = ffi.new("struct zs_segment[]", len(segments) + spare)
        keep = _fill(array, segments)
        ret = ffi.new("struct zs_reader **")
        call(lib.zs_reader_open_image, array, len(array), ret)
        return Reader(ret[0], [array, keep])

    def replace(self, segments: Sequence[tuple[int, bytes | bytearray]]) -> None:
        """Puts other bytes in the place of the image's, as a target's memory changes."""
        self._keep[1] = _fill(self._keep[0], segments)

    @staticmethod
    def process(pid: int, flags: int = 0) -> Reader:
        ret = ffi.new("struct zs_reader **")
        call(lib.zs_reader_open_process, pid, flags, ret)
        return Reader(ret[0])

    @property
    def method(self) -> str:
        return str(ffi.string(lib.zs_reader_method(self.handle)).decode())

    def read(self, *spans: tuple[int, int]) -> list[bytes]:
        """The bytes got of each (address, length); checks the count that the call returns."""
        buffers = [ffi.new("char[]", max(1, length)) for _, length in spans]
        array = ffi.new("struct zs_span[]", len(spans))
        for row, (address, length), buffer in zip(array, spans, buffers, strict=True):
            row.addr, row.len, row.buf, row.got = address, length, buffer, 0xFFFF
        whole = call(lib.zs_reader_read, self.handle, array, len(spans))
        assert whole == sum(row.got == row.len for row in array)
        return [ffi.buffer(buffer, row.got)[:] if row.got else b"" for row, buffer in zip(array, buffers, strict=True)]

    def remembered(self) -> list[tuple[int, bytes]]:
        result = []
        while row := lib.zs_reader_remembered(self.handle, len(result)):
            result.append((row.addr, ffi.buffer(ffi.cast("const char *", row.bytes), row.len)[:]))
        return result


@dataclass(frozen=True)
class Look:
    """What one walk found. A frame without a function is None."""

    frames: list[ExpectedFrame | None]
    flags: int
    stale: int
    calls: int
    """Reads made for it."""


class Walker:
    def __init__(self, reader: Reader, layout: Any, target: Mapping[str, int]) -> None:
        self._reader, self._layout = reader, layout
        self._target = ffi.new("struct zs_target *", dict(target))
        ret = ffi.new("struct zs_walker **")
        call(lib.zs_walker_create, reader.handle, layout, self._target, ret)
        self.handle = ffi.gc(ret[0], lib.zs_walker_destroy)

    def walk(self) -> Look:
        look = ffi.new("struct zs_look *")
        before = self.reads()
        call(lib.zs_walk, self.handle, look)
        definitions = Definitions(self.handle)
        frames = definitions.stack(look.stack) if look.stack else []
        assert look.depth == len(frames)
        return Look(frames, look.flags, look.stale, self.reads() - before)

    def replace(self, segments: Sequence[tuple[int, bytes | bytearray]]) -> None:
        self._reader.replace(segments)

    def reads(self) -> int:
        calls, size = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        lib.zs_walker_reads(self.handle, calls, size)
        return int(calls[0])


class Definitions:
    """Everything a walker has defined so far; every id is checked before it is followed."""

    def __init__(self, walker: Any) -> None:
        self._d = ffi.new("struct zs_definitions *")
        lib.zs_walker_definitions(walker, ffi.new("struct zs_definitions *"), self._d)

    def text(self, number: int) -> str | None:
        assert number < self._d.nstrings
        s = self._d.strings[number]
        return ffi.buffer(self._d.bytes + s.start, s.len)[:].decode("utf-8", "surrogateescape") if number else None

    def stack(self, number: int) -> list[ExpectedFrame | None]:
        assert number < self._d.nstacks
        s = self._d.stacks[number]
        return [self.frame(self._d.frame_ids[s.start + i]) for i in range(s.depth)]

    def frame(self, number: int) -> ExpectedFrame | None:
        assert 0 < number < self._d.nframes
        f = self._d.frames[number]
        assert f.func < self._d.nfuncs
        if not f.func:
            assert f.flags & (lib.ZS_FRAME_UNREADABLE | lib.ZS_FRAME_TOP_LEVEL)
            return None
        func = self._d.funcs[f.func]
        name, kind = self.text(func.name), KINDS[func.kind]
        assert name
        assert kind
        bodies = tuple(self._body(self._d.bodies[func.body + i]) for i in range(func.nbodies))
        return ExpectedFrame(name, kind, self.text(f.file), f.line, bool(f.flags & lib.ZS_FRAME_CALL), bodies)

    def _body(self, b: Any) -> ExpectedBody:
        assert b.first_line <= b.last_line
        return ExpectedBody(self.text(b.file), b.first_line, b.last_line, b.tag)


def target_of(image: Image) -> dict[str, int]:
    """The members of struct zs_target for an image."""
    return {
        "pid": 0,
        "call_stack": image.call_stack,
        "g_frame_stack": image.g_frame_stack,
        "stack_low": image.stack[0],
        "stack_high": image.stack[1],
        "data_low": image.data[0],
        "data_high": image.data[1],
    }


def walker_of(image: Image, segments: Sequence[tuple[int, bytes | bytearray]] | None = None, spare: int = 0) -> Walker:
    """A new walker over the image, or over other bytes at its addresses."""
    layout = make_layout(image.offsets.fields, image.offsets.stdlib)
    reader = Reader.image(image.segments() if segments is None else segments, spare)
    return Walker(reader, layout, target_of(image))
