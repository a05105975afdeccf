"""Values from the memory of real Zeeks, whole and corrupted; how they print; what the limits leave out."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import values
from tests.support.values import Saved
from zeekspy import zeek_types
from zeekspy._core import Memory
from zeekspy.cli.dump import lines
from zeekspy.errors import LayoutError, ZeekspyError
from zeekspy.layout import Layout
from zeekspy.snapshot import Looker, Snapshot, Wanted
from zeekspy.target import Target
from zeekspy.values import keys, text
from zeekspy.values.reader import ValueReader
from zeekspy.values.reads import Reads, Unreadable
from zeekspy.values.types import Types
from zeekspy.values.value import Limits, Value
from zeekspy.values.variables import Variables

SAVED = values.saved()
TOTAL = 500_000
BOTH = Wanted(arguments=True, locals=True)


def target(saved: Saved) -> Target:
    return Target(
        pid=1,
        exe="zeek",
        arch="x86_64",
        build_id=None,
        version=saved.version,
        stdlib=saved.layout.stdlib,
        debug=False,
        bias=0,
        symbols=saved.symbols,
        sizes={},
        data=saved.data,
        stack=(0, 0),
        start_time=0,
        exe_id=(0, 0),
    )


def look(saved: Saved, wanted: Wanted = BOTH, layout: Layout | None = None) -> Snapshot:
    memory = Memory.image(saved.segments)
    return Looker(target(saved), layout or saved.layout, memory, lambda: saved.sp).look(wanted)


def named(snapshot: Snapshot) -> dict[str, Value]:
    groups = [g for g in (*snapshot.arguments, *snapshot.locals) if g is not None]
    return {v.name: v.value for group in groups for v in group}


@pytest.mark.parametrize("saved", SAVED, ids=lambda s: s.version)
def test_real_memory(saved: Saved) -> None:
    assert tuple(lines(saved.version, look(saved), BOTH)) == saved.expected


def test_there_is_memory_of_every_way_to_hold_values() -> None:
    ways = [zeek_types.containers(s.version) for s in SAVED]
    assert {w.plists for w in ways} == {w.vals for w in ways} == {w.indirect for w in ways} == {True, False}
    assert {"CallInfo.frame" in s.layout.fields for s in SAVED} == {True, False}


@pytest.mark.parametrize("saved", SAVED, ids=lambda s: s.version)
def test_limits(saved: Saved) -> None:
    whole = named(look(saved, replace(BOTH, limits=Limits(depth=2))))
    assert [item.tag for item in whole["r"].items] == ["count", "unset", "record", "table", "unset", "enum", "port"]
    assert [item.data for item in whole["r"].items[2].items] == [1, b"in"]
    short = named(look(saved, replace(BOTH, limits=Limits(depth=0, string=3, elements=2))))
    assert (short["r"].size, short["r"].items) == (7, [])
    assert (short["long_s"].size, short["long_s"].data) == (2000, b"012")
    assert (short["vc"].size, [v.data for v in short["vc"].items]) == (3, [1, 2])
    assert text.text(short["vc"], 100) == "[1, 2, ... (3 elements)]"
    assert text.text(short["r"], 100) == "[... 7 fields]"
    few = named(look(saved, replace(BOTH, limits=Limits(values=3))))
    assert text.text(few["vc"], 100) == "[1, 2, ... (3 elements)]"
    none = named(look(saved, replace(BOTH, limits=Limits(reads=2))))
    assert text.text(none["vc"], 100) == "<unreadable>"
    assert text.text(whole["long_s"], 20) == '"0123456789012345678...'


@pytest.mark.parametrize("saved", SAVED, ids=lambda s: s.version)
def test_a_table_of_offsets_from_before_says_so(saved: Saved) -> None:
    fields = {k: v for k, v in saved.layout.fields.items() if not k.startswith("PatternVal.")}
    old = replace(saved.layout, fields=fields)
    assert len(look(saved, Wanted(), old).stack) == 3
    with pytest.raises(LayoutError, match="values are not available") as e:
        look(saved, BOTH, old)
    assert "offsets generate" in e.value.hint


def test_a_frame_below_the_stack_pointer_is_stale() -> None:
    saved = SAVED[-1]
    assert "CallInfo.frame" in saved.layout.fields
    frames = [e.frame for e in look(saved).entries]
    one = look(replace(saved, sp=frames[0] + 8), Wanted())
    assert (len(one.stack), one.stale) == (0, 3)  # those above it lie lower still
    for sp in (frames[2], 0):
        assert (len(look(replace(saved, sp=sp), Wanted()).stack), look(replace(saved, sp=sp), Wanted()).stale) == (3, 0)


@dataclass
class Counted:
    """An image that counts what is read of it."""

    image: Memory
    reads: int = 0

    def read(self, address: int, length: int) -> bytes:
        self.reads += 1
        assert length <= 1 << 20
        return self.image.read(address, length)


@st.composite
def corrupted(draw: st.DrawFn) -> Saved:
    """Real memory, of which some words are others: noise, pointers into it, lengths, extremes; or pieces are gone."""
    saved = draw(st.sampled_from(SAVED))
    segments = [(address, bytearray(data)) for address, data in saved.segments]
    pointers = st.sampled_from(segments).flatmap(lambda s: st.integers(s[0], s[0] + len(s[1])))
    odd = st.sampled_from([0, 1, 8, 0x1000, (1 << 31) - 1, 1 << 31, (1 << 56) - 8, (1 << 63) - 8, (1 << 64) - 1])
    for _ in range(draw(st.integers(1, 40))):
        _, data = draw(st.sampled_from(segments))
        at = draw(st.integers(0, max(0, len(data) - 8))) & ~draw(st.sampled_from([0, 7]))
        word = draw(st.one_of(pointers, odd, st.integers(0, (1 << 64) - 1), st.integers(0, 255)))
        data[at : at + 8] = struct.pack("<Q", word)[: len(data) - at]
    for _ in range(draw(st.integers(0, 3))):
        segments.pop(draw(st.integers(0, len(segments) - 1)))
    return replace(saved, segments=[(address, bytes(data)) for address, data in segments])


@given(corrupted())
def test_whatever_the_memory_holds(saved: Saved) -> None:
    try:
        found = look(saved)
    except ZeekspyError:
        return
    shown = list(lines(saved.version, found, BOTH))
    assert sum(map(len, shown)) < 20_000_000
    assert all(line.isprintable() for line in shown)


@given(corrupted())
def test_reads_are_bounded(saved: Saved) -> None:
    memory = Counted(Memory.image(saved.segments))
    variables = Variables(memory, saved.layout, saved.version, saved.symbols, saved.data)  # type: ignore[arg-type]
    for entry in (variables.entries() or [])[:1000]:
        variables.arguments(entry)
        variables.locals(entry, None, 1)
    assert memory.reads <= TOTAL


@dataclass
class Made:
    """Memory made word by word, for the layout of the newest Zeek."""

    saved: Saved = field(default_factory=lambda: SAVED[-1])
    bytes: bytearray = field(default_factory=bytearray)

    BASE = 0x10000

    def room(self, size: int = 256) -> int:
        self.bytes += bytes(size)
        return self.BASE + len(self.bytes) - size

    def put(self, at: int, name: str, value: int, size: int = 8) -> None:
        start = at + self.saved.layout.fields[name] - self.BASE
        self.bytes[start : start + size] = value.to_bytes(size, "little")

    def type(self, tag: str) -> int:
        at = self.room()
        self.put(at, "Type.tag", zeek_types.type_tags(self.saved.version).index(tag), 1)
        self.word(at + self.saved.layout.fields["Type.name"], at + self.saved.layout.fields["Type.name"] + 16)
        return at

    def word(self, at: int, value: int) -> None:
        self.bytes[at - self.BASE : at - self.BASE + 8] = value.to_bytes(8, "little")

    def vector(self, kind: int, count: int) -> tuple[int, int]:
        """A VectorVal with room for so many elements, and where they begin."""
        at, elements = self.room(), self.room(16 * count)
        self.put(at, "Val.type", kind)
        self.put(at, "VectorVal.vector_val", elements)
        self.word(at + self.saved.layout.fields["VectorVal.vector_val"] + 8, elements + 16 * count)
        return at, elements

    def element(self, at: int, word: int) -> None:
        self.word(at, word)
        self.word(at + 8, 1)

    def reads(self) -> Reads:
        reads = Reads(Memory.image([(self.BASE, bytes(self.bytes))]), self.saved.layout.fields, "libstdc++")
        reads.allow(100_000)
        return reads

    def text(self, at: int, limits: Limits | None = None) -> str:
        reads = self.reads()
        reader = ValueReader(reads, Types(reads, self.saved.version), self.saved.version, limits or Limits())
        return text.text(reader.value(at), 10_000)


def vector_of_any(made: Made) -> int:
    kind = made.type("vector")
    made.put(kind, "VectorType.yield_type", made.type("any"))
    return kind


def test_a_value_within_itself() -> None:
    made = Made()
    at, elements = made.vector(vector_of_any(made), 2)
    made.element(elements, at)
    assert made.text(at) == "[<cycle>, ]"  # the second is a hole


def test_deep_nesting_ends() -> None:
    made = Made()
    kind = vector_of_any(made)
    inner = 0
    for _ in range(1000):
        at, elements = made.vector(kind, 1)
        made.element(elements, inner)
        inner = at
    assert made.text(at) == "[" * 16 + "..." + "]" * 16


def test_many_that_share_one_are_not_many() -> None:
    made = Made()
    kind = vector_of_any(made)
    inner = 0
    for _ in range(12):
        at, elements = made.vector(kind, 12)
        for i in range(12):
            made.element(elements + 16 * i, inner)
        inner = at
    shown = made.text(at, Limits(nesting=16, values=500))
    assert shown.count("[") <= 500
    assert len(shown) < 10_000


@pytest.mark.parametrize("number", [1, 4, 1 << 20, 1 << 60])
def test_a_vector_with_a_size_that_cannot_be(number: int) -> None:
    made = Made()
    at, elements = made.vector(vector_of_any(made), 1)
    made.word(at + made.saved.layout.fields["VectorVal.vector_val"] + 8, elements + number)
    shown = made.text(at)
    assert shown in ("<unreadable>", f"[... ({number // 16} elements)]")


def index(tags: str, data: bytes, limit: int = 100) -> list[str]:
    made = Made()
    parts = tuple(made.type(tag) for tag in tags.split())
    return [text.leaf(v) for v in keys.index(data, Types(made.reads(), made.saved.version), parts, limit)]


def test_keys() -> None:
    mapped = bytes(10) + b"\xff\xff\x01\x02\x03\x04"
    assert index("string", b"alone") == ['"alone"']
    assert index("string", b"alone", 2) == ['"al"... (5 bytes)']
    assert index("string", b"") == ['""']
    assert index("count string", struct.pack("<QI", 7, 3) + b"abc") == ["7", '"abc"']
    assert index("string count", struct.pack("<I3sxQ", 3, b"abc", 7)) == ['"abc"', "7"]
    assert index("addr", mapped) == ["1.2.3.4"]
    assert index("func count", struct.pack("<I4xQ", 2, 7)) == ["<function 2>", "7"]
    assert index("subnet", mapped + struct.pack("<I", 24)) == ["1.2.3.4/24"]
    assert index("int bool double", struct.pack("<qqd", -5, 1, 0.25)) == ["-5", "T", "0.25"]
    assert index("bool addr port", struct.pack("<q", 0) + mapped + struct.pack("<Q", 0x2_0035)) == [
        "F",
        "1.2.3.4",
        "53/udp",
    ]


@pytest.mark.parametrize(
    ("tags", "data"),
    [
        ("count", b"1234567"),
        ("string string", struct.pack("<I", 2)),
        ("string count", struct.pack("<i", -1)),
        ("addr", b""),
        ("table", bytes(100)),
    ],
)
def test_keys_that_cannot_be(tags: str, data: bytes) -> None:
    with pytest.raises(Unreadable):
        index(tags, data)


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (1.0, "1.0"),
        (-2.25, "-2.25"),
        (3.141592653589793, "3.141593"),
        (1700000000.123456, "1700000000.123456"),
        (2147483647.0, "2147483647.0"),
        (1e100, "1e+100"),
        (-1.5e300, "-1.5e+300"),
        (2.5e-7, "2.5e-07"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
    ],
)
def test_doubles(number: float, shown: str) -> None:
    assert text.double(number) == shown


def test_doubles_of_older_zeeks() -> None:
    assert text.double(1e100, "six") == "1.000000e+100"
    assert text.double(1e-7, "six") == "0"
    assert text.double(-1.5e300, "all") == "-1.5000000000000001e+300"
    assert text.double(1e100, "all") == "1e+100"
    assert text.double(1e-7, "all") == "9.9999999999999995e-08"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 secs"),
        (1.0, "1.0 sec"),
        (300.0, "5.0 mins"),
        (-90.0, "-1.0 min -30.0 secs"),
        (93784.5, "1.0 day 2.0 hrs 3.0 mins 4.0 secs 500.0 msecs"),
        (0.000005, "5.0 usecs"),
        (float("inf"), "inf"),
    ],
)
def test_intervals(seconds: float, shown: str) -> None:
    assert text.interval(seconds) == shown


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    assert text.leaf(Value("pattern", data="/\x1b[31m/")) == r"/\x1b[31m/"
    assert text.leaf(Value("string", data=b"\x1b[2J\xff", size=5)) == r'"\x1b[2J\xff"'
    assert text.printable("a\nb") == r"a\x0ab"
