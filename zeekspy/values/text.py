"""Values as Zeek prints them (ODesc in Desc.cc, Val::Describe), on one line, strings in quotes, with what was cut."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator

from zeekspy.values.value import UNSET, Value

UNITS = ((86400.0, "day"), (3600.0, "hr"), (60.0, "min"), (1.0, "sec"), (1e-3, "msec"), (1e-6, "usec"))
"""Of an interval."""
PORT_KINDS = ("unknown", "tcp", "udp", "icmp")
"""By the bits above a port's number (PORT_SPACE_MASK)."""
MAPPED = bytes(10) + b"\xff\xff"
"""How an IPv6 address begins that stands for one of IPv4."""
WORDS = {UNSET: "<uninitialized>", "unreadable": "<unreadable>", "cycle": "<cycle>", "more": "...", "error": "error"}


def text(value: Value, limit: int, *, doubles: str = "shortest") -> str:
    """``value`` in at most ``limit`` characters and ``...``. ``doubles``: as zeek_types.Containers says."""
    done: list[str] = []
    todo: list[Value | str] = [value]
    length = 0
    while todo and length <= limit:
        item = todo.pop()
        if isinstance(item, Value):
            todo += reversed([*_parts(item, doubles)])
        else:
            done.append(item)
            length += len(item)
    whole = "".join(done)
    return whole if not todo and length <= limit else whole[:limit] + "..."


def _parts(value: Value, doubles: str) -> Iterator[Value | str]:
    if value.tag == "record" and value.size and not value.items:
        yield f"[... {value.size} {'field' if value.size == 1 else 'fields'}]"
    elif value.tag == "record":
        yield "["
        for i, (name, item) in enumerate(zip(value.names, value.items, strict=False)):
            yield f"{', ' if i else ''}{printable(name)}="
            yield item
        if len(value.items) < value.size:
            yield f", ... ({value.size} fields)"
        yield "]"
    elif value.tag == "table":
        yield "{"
        for i, key in enumerate(value.keys):
            if i:
                yield ", "
            single = not value.items and len(key) == 1
            yield "" if single else "["
            yield from _between(key)
            yield "" if single else "]"
            if value.items:
                yield " = "
                yield value.items[i]
        yield from _cut(len(value.keys), value.size, "entry", "entries")
        yield "}"
    elif value.tag in ("vector", "list"):
        yield "[" if value.tag == "vector" else ""
        yield from _between(value.items)
        yield from _cut(len(value.items), value.size, "element", "elements")
        yield "]" if value.tag == "vector" else ""
    else:
        yield leaf(value, doubles)


def _between(values: list[Value]) -> Iterator[Value | str]:
    for i, value in enumerate(values):
        if i:
            yield ", "
        if value.tag != UNSET:  # a hole in a vector prints as nothing
            yield value


def _cut(here: int, size: int, one: str, many: str) -> Iterator[str]:
    if here < size:
        yield f"{', ' if here else ''}... ({size} {one if size == 1 else many})"


def leaf(value: Value, doubles: str = "shortest") -> str:
    """A value that has no parts."""
    data = value.data
    if value.tag == "string" and isinstance(data, bytes):
        shown = "".join(chr(b) if 32 <= b <= 126 else f"\\x{b:02x}" for b in data)
        return f'"{shown}"' + (f"... ({value.size} bytes)" if len(data) < value.size else "")
    if value.tag == "bool":
        return "T" if data else "F"
    if value.tag == "port" and isinstance(data, int):
        kind = data >> 16 & 0xFFFFFFFF
        return f"{data & 0xFFFF}/{PORT_KINDS[kind] if kind < len(PORT_KINDS) else 'unknown'}"
    if isinstance(data, float):
        return interval(data, doubles) if value.tag == "interval" else double(data, doubles)
    if data is None:
        return WORDS.get(value.tag, "<no value description>")
    return printable(str(data))


def printable(text: str) -> str:
    """``text`` without characters that a terminal obeys; of names and paths, which may hold any."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def double(number: float, doubles: str = "shortest") -> str:
    """As ODesc::Add(double) prints it: six digits behind the point, ``.0`` where it is a whole number."""
    if math.isnan(number):
        return "nan"
    size = abs(number)
    sign = "-" if number < 0 else ""
    if math.isinf(size):
        return sign + "inf"
    if size > 0x7FFFFFFF or 0 < size < 1e-6:
        if doubles == "all":
            return sign + _stripped(f"{size:.16e}")
        if size > 1:
            return sign + (_scientific(size) if doubles == "shortest" else f"{size:e}")
    tiny = doubles == "shortest" and 0 < size < 1e-6
    shown = f"{size:.6g}" if tiny else f"{size:.6f}".rstrip("0").rstrip(".")
    whole = abs(size - round(size)) < 1e-9 and "e" not in shown
    return sign + shown + (".0" if whole and "." not in shown else "")


def _stripped(number: str) -> str:
    """One in scientific notation, without the zeros its fraction ends in."""
    digits, _, exponent = number.partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{exponent}"


def _scientific(number: float) -> str:
    """With the fewest digits that give the same number again, as std::to_chars does; 17 always do."""
    return next(s for s in (f"{number:.{digits}e}" for digits in range(17)) if float(s) == number)


def interval(seconds: float, doubles: str = "shortest") -> str:
    """As IntervalVal::ValDescribe prints it: ``1.0 day 2.0 hrs``."""
    if seconds == 0 or not math.isfinite(seconds):
        return "0 secs" if seconds == 0 else double(seconds)
    words, left = [], seconds
    for size, word in UNITS:
        if word == "usec":
            count = left / size
            if abs(count) < 1e-6:
                break
        elif abs(left) < size:
            continue
        else:
            count = float(math.trunc(left / size))
            left -= count * size
        words.append(f"{double(count, doubles)} {word}{'' if abs(abs(count) - 1) < 1e-6 else 's'}")
    return " ".join(words) or "0 secs"


def address(packed: bytes) -> str:
    """Of the 16 bytes of an IPAddr."""
    if packed.startswith(MAPPED):
        return str(ipaddress.IPv4Address(packed[12:]))
    return str(ipaddress.IPv6Address(packed))


def subnet(packed: bytes, width: int) -> str:
    """Of an IPAddr and a width that for IPv4 is one of 32 bits."""
    return f"{address(packed)}/{width}"
