"""dump --args --locals of real Zeeks agrees with gdb's view of the same core file, and with what the script printed."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import targets
from tests.support.commands import refused, zeekspy
from zeekspy import dwarf
from zeekspy.elf import Elf
from zeekspy.layout import version_key

pytestmark = [pytest.mark.zeek, pytest.mark.live]

SUPPORT = Path(targets.__file__).parent
SCRIPT = SUPPORT / "values.zeek"
ZEEKS = targets.zeeks() or [Path("none")]
PARAMETERS = 29
"""Of Values::many."""


@dataclass(frozen=True)
class Stopped:
    """A core file of a Zeek that waits in values.zeek, and the Zeek, which waits on."""

    zeek: Path
    core: Path
    pid: int
    printed: dict[str, str]
    """What the script printed of its variables, by name."""


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed: apt-get install gdb")
    return found


@pytest.fixture(scope="module", params=ZEEKS, ids=lambda zeek: zeek.parent.parent.name)
def stopped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stopped]:
    gcore, folder = need("gcore"), tmp_path_factory.mktemp("core")
    output = folder / "out"
    with output.open("wb") as out:
        process = subprocess.Popen([request.param, "-b", SCRIPT], stdout=out, stderr=subprocess.PIPE, cwd=folder)
        try:
            until = time.monotonic() + 60
            while not output.read_text().endswith("ready\n"):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            time.sleep(0.5)  # from there to where it waits
            subprocess.run([gcore, "-o", folder / "core", str(process.pid)], check=True, capture_output=True)
            printed = dict(line.split("=", 1) for line in output.read_text().splitlines() if "=" in line)
            core = folder / f"core.{process.pid}"
            yield Stopped(request.param, core, process.pid, printed)
            core.unlink()
        finally:
            subprocess.run(["pkill", "-P", str(process.pid)], check=False)  # the shell it waits for
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def frames(stopped: Stopped) -> dict[str, dict[str, Any]]:
    """The frames of the core, by name, with every record's fields."""
    done = zeekspy("dump", "--core", stopped.core, "--exe", stopped.zeek, "--args", "--locals", "--json", "--depth", 3)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = json.loads(done.stdout)
    assert shown["pid"] == stopped.pid
    return {f["name"]: f for f in shown["frames"]}


def test_the_stack(stopped: Stopped, frames: dict[str, dict[str, Any]]) -> None:
    assert list(frames) == ["zeek_init", "Values::many", "piped_exec"]
    assert frames["piped_exec"]["args"][1] == {"name": "to_write", "type": "string", "value": '""'}
    assert frames["piped_exec"]["locals"] is None
    lines = SCRIPT.read_text().splitlines()
    assert "piped_exec" in lines[frames["Values::many"]["line"] - 1]
    assert lines[frames["zeek_init"]["line"] - 1].strip().startswith("many(")
    # zeek_init has two bodies, and its scope is the other's: values have no names, and types of their own.
    assert frames["zeek_init"]["args"] == []
    assert frames["zeek_init"]["locals"][0] == {"name": "<slot 0>", "type": "count", "value": "99"}
    assert "".join(ascii(frames)).count("<unreadable>") == 0


def plain(text: str) -> str:
    """Without what differs between the two by intent: quotes, line breaks, blanks between elements."""
    text = text.replace(r"\x0a", " ").replace(r"\x09", " ").replace('"', "")
    return re.sub(r"\s+", "", text)


def test_as_zeek_itself_prints_them(stopped: Stopped, frames: dict[str, dict[str, Any]]) -> None:
    seen = {v["name"]: v["value"] for key in ("args", "locals") for v in frames["Values::many"][key]}
    old = version_key(json.loads(zeekspy("dump", "--core", stopped.core, "--json").stdout)["version"]) < (6, 1)
    for name, printed in stopped.printed.items():
        value = seen[name]
        if name in ("long_s", "long_v"):
            head, _, size = value.partition("...")
            assert plain(printed).startswith(plain(head).rstrip(","))
            assert size.strip(" (])") in ("2000 bytes", "1000 elements")
        elif old and name in ("o", "l_opaque"):
            assert printed == "<no value description>"
        else:
            assert plain(value) == plain(printed), name
    assert len(stopped.printed) == 49
    assert seen["l_unset"] == "<uninitialized>"
    assert seen["l_func"] == seen["f"] == "Values::callback"


def test_types(frames: dict[str, dict[str, Any]]) -> None:
    types = {v["name"]: v["type"] for key in ("args", "locals") for v in frames["Values::many"][key]}
    assert types["multi"] == "table[addr,port] of string"
    assert types["keyed"] == "table[Values::Key] of vector of count"
    assert types["e"] == "Values::Colour"
    assert types["f"] == types["l_func"] == "function(a:count, b:string) : string"
    assert types["o"] == "opaque of md5"
    assert types["x"] == "any"
    assert types["fl"] == "file of string"
    assert types["l_set"] == "set[subnet]"
    assert types["l_records"] == "vector of Values::Inner"


def number(raw: str) -> int:
    return int.from_bytes(bytes.fromhex(raw), "little")


def signed(raw: str) -> int:
    return int.from_bytes(bytes.fromhex(raw), "little", signed=True)


def real(raw: str) -> float:
    return float(struct.unpack("<d", bytes.fromhex(raw))[0])


def is_near(raw: str, value: str) -> None:
    assert math.isclose(float(value), real(raw), rel_tol=1e-15, abs_tol=5e-7)


def is_interval(raw: str, value: str) -> None:
    units = {"day": 86400, "hr": 3600, "min": 60, "sec": 1, "msec": 1e-3, "usec": 1e-6}
    words = value.split()
    total = sum(float(n) * units[u.removesuffix("s")] for n, u in zip(words[::2], words[1::2], strict=True))
    assert math.isclose(total, real(raw), abs_tol=1e-6)


def is_string(raw: str, value: str) -> None:
    data, held = bytes.fromhex(raw), value.partition("... (")[0]
    shown = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), held[1:-1].encode())
    assert data[: len(shown)] == shown
    assert len(data) == len(shown) or f"({len(data)} bytes)" in value


def ip(raw: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.IPv6Address(bytes.fromhex(raw))
    return address.ipv4_mapped or address


def is_subnet(raw: str, length: int, value: str) -> None:
    address = ip(raw)
    assert value == f"{address}/{length - (96 if address.version == 4 else 0)}"


def is_vector(elements: list[list[Any]], value: str) -> None:
    shown = value.strip("[]").split(", ") if "=" not in value else re.findall(r"\[.*?\]", value[1:-1])
    assert len(elements) == len(shown) or f"({len(elements)} elements)" in value
    for element, text in zip(elements, shown, strict=False):
        if not text.startswith(("...", '"', "[")):
            raw = element[1]
            assert text == str(number(raw)) or math.isclose(float(text), real(raw), abs_tol=5e-7)


def is_table(count: int, keys: list[str], value: str) -> None:
    assert len(keys) == count
    assert value.startswith("{")
    first, _, others = value[1:-1].lstrip("[").partition(", ")
    if re.fullmatch('"[a-z]+"', first):  # a set of strings: the keys are the strings
        assert bytes.fromhex(keys[0]).decode() == first[1:-1]
    if count == 0:
        assert value == "{}"
    assert others or count < 2


def is_record(count: int, are_set: int, value: str) -> None:
    outer = re.sub(r"\{.*?\}|(?<!^)\[[^][]*\]", "_", value)
    fields = re.findall(r"\w+=([^,\]]*)", outer)
    assert len(fields) == count
    assert sum(f != "<uninitialized>" for f in fields) == are_set


def agrees(seen: list[Any] | None, value: str, type_: str) -> None:
    if seen is None:
        assert value == "<uninitialized>"
        return
    ports = {1: "tcp", 2: "udp", 3: "icmp"}
    checks: dict[str, Callable[..., None]] = {
        "string": is_string,
        "count": lambda raw, v: same(v, str(number(raw))),
        "int": lambda raw, v: same(v, str(signed(raw))),
        "bool": lambda raw, v: same(v, "FT"[number(raw)]),
        "double": is_near,
        "time": is_near,
        "interval": is_interval,
        "port": lambda raw, v: same(v, f"{number(raw) & 0xFFFF}/{ports[number(raw) >> 16]}"),
        "addr": lambda raw, v: same(v, str(ip(raw))),
        "subnet": is_subnet,
        "pattern": lambda text, v: same(v, f"/{text}/"),
        "vector": is_vector,
        "set": is_table,
        "table": is_table,
        "record": is_record,
        "function": same,
        "enum": lambda raw, v: same(v, "Values::" + ["RED", "GREEN", "BLUE"][number(raw)]),
        "opaque": lambda *_: same(value, f"<opaque of {seen[0]}>"),
        "file": lambda *_: same(value, 'file "/dev/null" of string'),
        "any": is_string,
    }
    kinds = {"Values::Colour": "enum", "Values::Outer": "record", "Values::Inner": "record"}
    kind = kinds.get(type_) or re.split(r"\W", type_)[0]
    held = seen[1] if kind == "record" else seen[1:]
    held = [h for h in held if not str(h).startswith("TYPE_")]
    checks[kind](*held, value)


def same(one: str, other: str) -> None:
    assert one == other


def test_gdb_sees_the_same(stopped: Stopped, frames: dict[str, dict[str, Any]]) -> None:
    gdb = need("gdb")
    with Elf(stopped.zeek) as elf:
        if elf.section(".debug_info") is None:
            pytest.skip(f"{stopped.zeek} has no debug info: build Zeek with -g, which is ./configure's default")
    done = subprocess.run(
        [gdb, "-nx", "-batch", "-ex", f"source {SUPPORT / 'gdb_values.py'}", str(stopped.zeek), str(stopped.core)],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("VALUES ")] or [done.stderr]
    seen = json.loads(line.removeprefix("VALUES "))
    many = frames["Values::many"]
    assert len(seen["args"]) == len(many["args"]) == PARAMETERS
    assert seen["args"] == seen["slots"][:PARAMETERS]
    assert len(many["locals"]) == len(seen["slots"]) - PARAMETERS
    for raw, variable in zip(
        [*seen["args"], *seen["slots"][PARAMETERS:]], [*many["args"], *many["locals"]], strict=True
    ):
        agrees(raw, variable["value"], variable["type"])


def test_live(stopped: Stopped, frames: dict[str, dict[str, Any]]) -> None:
    done = zeekspy("dump", "--pid", stopped.pid, "--args", "--locals", "--json", "--depth", 3)
    assert done.returncode == 0, done.stderr
    assert {f["name"]: f for f in json.loads(done.stdout)["frames"]} == frames


def test_text(stopped: Stopped) -> None:
    done = zeekspy("dump", "--core", stopped.core, "--args", "--locals")
    head, *lines = done.stdout.decode().splitlines()
    assert re.fullmatch(rf".*core\.{stopped.pid}, process {stopped.pid}: Zeek \S+, 3 frames", head)
    assert lines[0] == '#0 piped_exec(program: string = "exec sleep 7200", to_write: string = "")'
    assert lines[1].startswith('#1 Values::many(s: string = "hello", c: count = 42, i: int = -7, d: double = -0.5, b: ')
    assert re.search(r"empty_t: table\[count\] of count = \{\}\) at \S*values\.zeek:\d+$", lines[1])
    assert "     l_port: port = 53/udp" in lines
    assert re.match(r"#2 zeek_init\(\) at \S*values\.zeek:\d+ \[body at line \d+\]$", lines[-7])
    assert re.search(r"inner=\[\.\.\. 2 fields\]", lines[1])


def test_another_executable_is_refused(stopped: Stopped) -> None:
    others = [zeek for zeek in ZEEKS if zeek != stopped.zeek]
    if not others:
        pytest.skip("only one Zeek here: name executables in ZEEKSPY_TEST_ZEEK (colons between)")
    done = zeekspy("dump", "--core", stopped.core, "--exe", others[0])
    refused(done, 1, str(others[0]), hint="--exe")


def test_truncated_anywhere_it_says_so(stopped: Stopped, tmp_path: Path) -> None:
    size = stopped.core.stat().st_size
    part = tmp_path / "core"
    for length in (0, 3, 63, 64, 1000, 1 << 20, size - 1):
        with stopped.core.open("rb") as whole:
            part.write_bytes(whole.read(min(length, 4 << 20)))
        with part.open("r+b") as file:
            file.truncate(length)
        refused(zeekspy("dump", "--core", part, "--exe", stopped.zeek), 1, str(part))


@pytest.mark.parametrize("zeek", ZEEKS, ids=lambda zeek: zeek.parent.parent.name)
def test_compiled_bodies_have_no_variables(zeek: Path, tmp_path: Path) -> None:
    with Elf(zeek) as elf:
        if version_key(dwarf.read_version(elf) or "9.0") < (6, 1):
            pytest.skip(f"{zeek} does not compile whole scripts with -O ZAM")
    output = tmp_path / "out"
    with output.open("wb") as out:
        process = subprocess.Popen([zeek, "-O", "ZAM", "-b", SCRIPT], stdout=out, stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        until = time.monotonic() + 60
        while not output.read_text().endswith("ready\n"):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.5)
        done = zeekspy("dump", "--pid", process.pid, "--args", "--locals")
    finally:
        subprocess.run(["pkill", "-P", str(process.pid)], check=False)
        process.kill()
        process.communicate()
    _, *lines = done.stdout.decode().splitlines()
    assert "     compiled by -O ZAM: no local variables" in lines
    assert lines[0].startswith("#0 piped_exec(program: string = ")
