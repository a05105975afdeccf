"""Small C++ programs with classes like Zeek's, compiled by the tests, that print their own offsets."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent
ERAS = (0, 1, 2)


def compiler(name: str) -> str:
    """The path of a tool; skips the test where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install g++ clang binutils dwz")
    return found


def run(*command: str | Path) -> str:
    """What a command prints. pytest shows its errors where it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(
    folder: Path, era: int, cxx: str = "g++", flags: Sequence[str] = ("-g",), sources: Path = SOURCES, link: bool = True
) -> Path:
    """The program of an era, compiled in ``folder``; without ``link`` the folder then has Func.o and main.o."""
    common = [compiler(cxx), "-std=c++17", f"-DERA={era}", "-w", *flags]
    objects = []
    for name in ("Func", "main"):
        objects.append(folder / f"{name}.o")
        run(*common, "-c", sources / f"{name}.cc", "-o", objects[-1])
    program = folder / "shapes"
    if link:
        run(*common, *objects, "-rdynamic", "-Wl,--build-id", "-o", program)
    return program


@cache
def clang_with_libcxx() -> str:
    """clang++, where it can link with libc++; skips the test elsewhere."""
    found = compiler("clang++")
    source = "#include <string>\nint main() { return std::string().size(); }\n"
    command = [found, "-stdlib=libc++", "-x", "c++", "-", "-o", "/dev/null"]
    if subprocess.run(command, input=source, capture_output=True, text=True).returncode:
        pytest.skip("clang++ has no libc++ here: apt-get install libc++-dev libc++abi-dev")
    return found


@cache
def truth(program: Path) -> dict[str, int]:
    """Every field as the program itself sees it."""
    return {name: int(value) for name, value in (line.split() for line in run(program).splitlines())}
