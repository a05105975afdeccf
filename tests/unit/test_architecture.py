"""Imports and includes form the graph that ARCHITECTURE.md describes; no file has grown beyond a page or three."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import zeekspy

PACKAGE = Path(zeekspy.__file__).parent
CSRC = PACKAGE.parent / "csrc"
LONGEST = 400
LONGER = {"elf.py": 420, "_core.pyx": 440}
"""One subject that does not fall into two: the ELF format, the binding."""
CORE_USERS = {"layout", "selfcheck", "session", "several", "snapshot", "stacks", "confine", "cli.dump", "cli.capture"}
"""Who may import _core: field names, the self-check's reads, samplers, definitions, and one walk."""
LIBC = {
    *(
        "ctype.h",
        "dirent.h",
        "errno.h",
        "fcntl.h",
        "inttypes.h",
        "limits.h",
        "malloc.h",
        "pthread.h",
        "sched.h",
        "signal.h",
    ),
    *("stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "time.h", "unistd.h"),
    *("sys/syscall.h", "sys/types.h", "sys/uio.h", "sys/stat.h", "sys/prctl.h", "sys/resource.h"),
    *(
        "stdatomic.h",
        "sys/ptrace.h",
        "sys/wait.h",
        "linux/audit.h",
        "linux/futex.h",
        "linux/capability.h",
        "linux/filter.h",
        "linux/seccomp.h",
        "netinet/in.h",
        "netinet/tcp.h",
        "sys/socket.h",
    ),
}

if not CSRC.is_dir():
    pytest.skip("the sources are not here: run the tests in a checkout", allow_module_level=True)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


@cache
def modules() -> dict[str, ast.Module]:
    """By name within the package, "" for the package itself."""
    return {name_of(p): ast.parse(p.read_text(), str(p)) for p in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports() -> dict[str, frozenset[str]]:
    """Module to the modules of ours it imports, wherever in it; not those for the type checker alone."""
    return {name: frozenset(_imported(tree)) for name, tree in modules().items()}


def _imported(tree: ast.Module) -> set[str]:
    unreal = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and isinstance(guard.test, ast.Name) and guard.test.id == "TYPE_CHECKING"
        for statement in guard.body
        for node in ast.walk(statement)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in unreal:
            continue
        if isinstance(node, ast.Import):
            found |= {_ours(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = _ours(f"{node.module}.{alias.name}")
                found.add(inner if inner in known() else _ours(node.module or ""))
    return found - {None, ""}  # type: ignore[return-value]


def _ours(module: str) -> str | None:
    if module == "zeekspy":
        return ""
    return module.removeprefix("zeekspy.") if module.startswith("zeekspy.") else None


@cache
def known() -> frozenset[str]:
    return frozenset(name_of(p) for p in PACKAGE.rglob("*.py")) | {"_core", "offsets"}


def importers(module: str) -> set[str]:
    return {name for name, found in imports().items() if module in found}


def test_what_is_read_is_not_nothing() -> None:
    assert "session" in imports()["cli.record"]
    assert "_core" in imports()["session"]
    assert len(modules()) > 25


def test_imports_form_no_cycle() -> None:
    TopologicalSorter(imports()).prepare()  # raises CycleError


def test_the_command_line_is_at_the_top() -> None:
    below = {name: found for name, found in imports().items() if name.split(".")[0] not in ("cli", "__main__")}
    assert {n: f for n, f in below.items() if any(m.split(".")[0] == "cli" for m in f)} == {}


def test_exporters_know_profiles_and_errors_alone() -> None:
    for name, found in imports().items():
        if name.split(".")[0] == "export":
            others = {m for m in found if m.split(".")[0] != "export"}
            assert others <= {"profile", "errors", "timeline", "latency"}, name


def test_profile_and_errors_know_nothing_of_ours() -> None:
    assert imports()["profile"] == imports()["errors"] == imports()["timeline"] == frozenset()


def test_few_know_the_core() -> None:
    assert importers("_core") == CORE_USERS


def test_sessions_are_for_the_command_line() -> None:
    assert {n for n in importers("session") if not n.startswith("cli.")} <= {"spawn", "background", "follow"}


def test_what_top_shows_needs_no_process() -> None:
    for name, found in imports().items():
        if name == "live" or name.split(".")[0] == "top":
            assert not found & {"session", "background", "target", "_core", "layout"}, name


def test_what_serve_answers_needs_no_process() -> None:
    for name, found in imports().items():
        if name.split(".")[0] == "serve":
            assert not found & {"session", "background", "follow", "target", "_core", "layout", "confine"}, name


def test_what_keeps_captures_never_sees_a_process() -> None:
    for name, found in imports().items():
        if name in (
            "rolling.keeper",
            "rolling.sources",
            "rolling.shelf",
            "rolling.window",
            "rolling.digest",
            "rolling.ring",
        ):
            assert not found & {"session", "several", "follow", "target", "_core", "layout", "process"}, name


def test_what_reads_debug_info_never_sees_a_process() -> None:
    for name in ("classes", "debug_files", "dies", "dwarf", "elf", "forms", "symbol_hash", "zeek_types"):
        assert not imports()[name] & {"target", "session", "access", "_core", "stacks"}, name


def test_one_module_knows_what_zeek_calls_things() -> None:
    guilty = {
        (name, node.value)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if name != "zeek_types"
        and isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"(?<!`)\bzeek::|_ZN4zeek", node.value)
        and "\n" not in node.value
    }
    assert guilty == set()


def test_every_module_says_what_it_is() -> None:
    assert [name for name, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_no_file_is_long() -> None:
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.glob("*.pyx"), *CSRC.glob("*.[ch]"), *PACKAGE.glob("standin/*.[ch]*")]
    lengths = {path.name: len(path.read_text().splitlines()) for path in files}
    assert {name: n for name, n in lengths.items() if n > LONGER.get(name, LONGEST)} == {}


@cache
def includes() -> dict[str, tuple[set[str], set[str]]]:
    """File of csrc to what it includes: its own headers, and the system's."""
    result = {}
    for path in sorted(CSRC.glob("*.[ch]")):
        text = path.read_text()
        result[path.name] = (
            set(re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)),
            set(re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.MULTILINE)),
        )
    return result


def test_the_core_is_libc_alone() -> None:
    assert set().union(*(system for _, system in includes().values())) <= LIBC
    assert not any("Python.h" in path.read_text() for path in CSRC.glob("*.[ch]"))


def test_the_core_includes_its_own_headers_without_a_cycle() -> None:
    graph = {name: own for name, (own, _) in includes().items()}
    assert set().union(*graph.values()) <= graph.keys()
    assert not any(name.endswith(".c") for own in graph.values() for name in own)
    TopologicalSorter(graph).prepare()
    assert graph["zs.h"] == set()  # the public header stands for itself


def test_every_file_of_the_core_includes_its_header() -> None:
    graph = {name: own for name, (own, _) in includes().items()}
    for name, own in graph.items():
        header = Path(name).with_suffix(".h").name
        if name.endswith(".c") and header in graph:
            assert header in own, name


def test_the_binding_sees_the_public_header_alone() -> None:
    text = (PACKAGE / "_core.pxd").read_text()
    assert set(re.findall(r'extern from "([^"]+)"', text)) == {"zs.h"}
