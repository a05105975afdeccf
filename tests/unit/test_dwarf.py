"""Layouts from DWARF are what the compiler says itself, whatever way it writes debug info."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import shapes
from zeekspy import debug_files, dwarf
from zeekspy.debug_files import DebugFile
from zeekspy.elf import Elf
from zeekspy.errors import DebugInfoError, UsageError

VERSIONS = {0: "3.0.1", 1: "5.0.10", 2: "9.0.0-rc1"}

WAYS = {
    "dwarf4": ["-g", "-gdwarf-4"],
    "dwarf5": ["-g", "-gdwarf-5"],
    "optimized": ["-g", "-O2"],
    "compressed": ["-g", "-gz"],
    "types4": ["-g", "-gdwarf-4", "-fdebug-types-section"],
    "types5": ["-g", "-gdwarf-5", "-fdebug-types-section"],
    "dwarf64": ["-g", "-gdwarf-5", "-gdwarf64"],
    "dwarf3": ["-g", "-gdwarf-3"],
}


def build_id(program: Path) -> str:
    with Elf(program) as elf:
        assert elf.build_id is not None
        return elf.build_id


@pytest.mark.parametrize("era", shapes.ERAS)
@pytest.mark.parametrize("cxx", ["g++", "clang++"])
def test_every_era(tmp_path: Path, cxx: str, era: int) -> None:
    program = shapes.build(tmp_path, era, cxx)
    layout = dwarf.generate(program)
    assert dict(layout.fields) == shapes.truth(program)
    assert (layout.since, layout.until) == (VERSIONS[era], VERSIONS[era])
    assert layout.stdlib == "libstdc++"
    assert layout.symbols["call_stack"] == ("call_stack" if era == 0 else "_ZN4zeek6detail10call_stackE")
    assert layout.symbols["g_frame_stack"] == ("g_frame_stack" if era < 2 else None)
    seen = layout.provenance[0]
    assert seen["source"] == "dwarf"
    assert seen["build_id"] == build_id(program)
    assert str(seen["compiler"]).split()[0] in ("GNU", "Debian", "clang", "Ubuntu")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cxx", ["g++", "clang++"])
def test_every_way_to_write_it(tmp_path: Path, cxx: str, way: str) -> None:
    program = shapes.build(tmp_path, 1, cxx, WAYS[way])
    assert dict(dwarf.generate(program).fields) == shapes.truth(program)


def test_old_strings(tmp_path: Path) -> None:
    program = shapes.build(tmp_path, 1, "g++", ["-g", "-D_GLIBCXX_USE_CXX11_ABI=0"])
    layout = dwarf.generate(program)
    assert layout.stdlib == "libstdc++-old"
    assert dict(layout.fields) == shapes.truth(program)


LIBCXX = ["-g", "-stdlib=libc++"]


@pytest.mark.parametrize("era", shapes.ERAS)
@pytest.mark.parametrize("way", [[], ["-fstandalone-debug"], ["-gdwarf-4", "-O2"], ["-gdwarf-5", "-gz"]], ids=" ".join)
def test_libcxx(tmp_path: Path, era: int, way: list[str]) -> None:
    shapes.clang_with_libcxx()
    program = shapes.build(tmp_path, era, "clang++", [*LIBCXX, *way])
    layout = dwarf.generate(program)
    assert layout.stdlib == "libc++"
    assert dict(layout.fields) == shapes.truth(program)


def test_libcxx_object_files(tmp_path: Path) -> None:
    """Those of g++ and clang++ are told apart by the size of a std::string."""
    shapes.clang_with_libcxx()
    program = shapes.build(tmp_path, 1, "clang++", [*LIBCXX, "-fstandalone-debug"])
    layout = dwarf.generate(tmp_path / "Func.o", objects=[tmp_path / "main.o"], version="5.0.9")
    assert layout.stdlib == "libc++"
    assert dict(layout.fields) == shapes.truth(program)


@pytest.mark.parametrize("era", shapes.ERAS)
def test_objects_for_aarch64(tmp_path: Path, era: int) -> None:
    """They share the layouts of x86_64, so that program's own offsets are theirs too."""
    cxx = "aarch64-linux-gnu-g++"
    if shutil.which(cxx) is None:
        pytest.skip(f"{cxx} is not installed: apt-get install g++-aarch64-linux-gnu")
    (tmp_path / "here").mkdir()
    shapes.build(tmp_path, era, cxx, ["-g", "-fsigned-char"], link=False)
    layout = dwarf.generate(tmp_path / "Func.o", objects=[tmp_path / "main.o"], version=VERSIONS[era])
    assert layout.provenance[0]["arch"] == "aarch64"
    assert layout.stdlib == "libstdc++"
    assert dict(layout.fields) == shapes.truth(shapes.build(tmp_path / "here", era))


def test_all_in_one_file_of_another_name(tmp_path: Path) -> None:
    source = tmp_path / "everything.cpp"
    source.write_text(f'#include "{shapes.SOURCES}/main.cc"\n#include "{shapes.SOURCES}/Func.cc"\n')
    program = tmp_path / "shapes"
    shapes.run(shapes.compiler("g++"), "-std=c++17", "-DERA=2", "-w", "-g", "-rdynamic", source, "-o", program)
    assert dict(dwarf.generate(program).fields) == shapes.truth(program)


@pytest.mark.parametrize("flags", [["-g"], ["-g", "-gz"], ["-g", "-gdwarf-4", "-fdebug-types-section"]])
def test_object_files(tmp_path: Path, flags: list[str]) -> None:
    program = shapes.build(tmp_path, 1, "g++", flags)
    objects = [tmp_path / "Func.o", tmp_path / "main.o"]
    layout = dwarf.generate(objects[0], objects=objects[1:], version="5.0.9")
    assert dict(layout.fields) == shapes.truth(program)
    assert layout.symbols == dwarf.generate(program).symbols
    assert layout.provenance[0]["version"] == "5.0.9"


def test_an_object_file_needs_a_version(tmp_path: Path) -> None:
    shapes.build(tmp_path, 1, link=False)
    with pytest.raises(UsageError, match="does not say which Zeek") as e:
        dwarf.generate(tmp_path / "Func.o")
    assert "--zeek-version" in e.value.hint


def test_a_range_can_be_claimed(tmp_path: Path) -> None:
    program = shapes.build(tmp_path, 2)
    layout = dwarf.generate(program, since="9.0.0-rc1", until="9.1.0")
    assert layout.covers("9.0.5")
    assert layout.provenance[0]["version"] == "9.0.0-rc1"
    with pytest.raises(UsageError, match="not a version"):
        dwarf.generate(program, until="newest")


def test_progress_ends_at_one(tmp_path: Path) -> None:
    told: list[float] = []
    dwarf.generate(shapes.build(tmp_path, 2), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, int]]:
    """A program without debug info that links to shapes.debug beside it, and what it says itself."""
    folder = tmp_path_factory.mktemp("split")
    program = shapes.build(folder, 2)
    debug = folder / "shapes.debug"
    objcopy = shapes.compiler("objcopy")
    shapes.run(objcopy, "--only-keep-debug", program, debug)
    shapes.run(objcopy, "--strip-all", f"--add-gnu-debuglink={debug}", program)
    return program, debug, shapes.truth(program)


Split = tuple[Path, Path, dict[str, int]]


@pytest.mark.parametrize("folder", [".", ".debug"])
def test_debuglink(split: Split, tmp_path: Path, folder: str) -> None:
    program, debug, truth = split
    shutil.copy(program, tmp_path)
    (tmp_path / folder).mkdir(exist_ok=True)
    shutil.copy(debug, tmp_path / folder)
    assert dict(dwarf.generate(tmp_path / "shapes").fields) == truth


def test_build_id(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, debug, truth = split
    shutil.copy(program, tmp_path)
    ident = build_id(program)
    place = tmp_path / "debug" / ".build-id" / ident[:2]
    place.mkdir(parents=True)
    shutil.copy(debug, place / f"{ident[2:]}.debug")
    monkeypatch.setattr(debug_files, "DEBUG_ROOT", tmp_path / "debug")
    assert dict(dwarf.generate(tmp_path / "shapes").fields) == truth


@pytest.fixture
def debuginfod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the only debuginfod-find on PATH finds; it takes notes of what it is asked in ``asked`` beside it."""
    found = tmp_path / "found.debug"
    program = tmp_path / "bin" / "debuginfod-find"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ -e {found} ] || exit 2\necho {found}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("DEBUGINFOD_URLS", "http://localhost:1/")
    monkeypatch.setattr(debug_files, "DEBUG_ROOT", tmp_path / "none")
    return found


@pytest.fixture
def alone(split: Split, tmp_path: Path) -> Path:
    """The program without its debug info, in a folder of its own."""
    folder = tmp_path / "alone"
    folder.mkdir()
    return Path(shutil.copy(split[0], folder))


def test_debuginfod(split: Split, alone: Path, debuginfod: Path) -> None:
    shutil.copy(split[1], debuginfod)
    assert dict(dwarf.generate(alone).fields) == split[2]
    assert (debuginfod.parent / "asked").read_text() == f"debuginfo {build_id(alone)}\n"


def test_debuginfod_that_has_it_not(alone: Path, debuginfod: Path) -> None:
    with pytest.raises(DebugInfoError, match=r"no debug info; looked in .*, debuginfod"):
        dwarf.generate(alone)


def test_debuginfod_that_gives_another_build(alone: Path, debuginfod: Path) -> None:
    shutil.copy(shutil.which("true", path="/bin:/usr/bin") or "", debuginfod)
    with pytest.raises(DebugInfoError, match="no debug info"):
        dwarf.generate(alone)


def test_debuginfod_is_asked_only_where_it_is_configured(
    split: Split, alone: Path, debuginfod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(split[1], debuginfod)
    monkeypatch.delenv("DEBUGINFOD_URLS")
    with pytest.raises(DebugInfoError, match="no debug info"):
        dwarf.generate(alone)
    assert not (debuginfod.parent / "asked").exists()


def test_without_debuginfod_find(alone: Path, debuginfod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DebugInfoError, match="no debug info"):
        dwarf.generate(alone)


def test_named_debug_file(split: Split, tmp_path: Path) -> None:
    program, debug, truth = split
    shutil.copy(program, tmp_path)
    layout = dwarf.generate(tmp_path / "shapes", debug_file=debug)
    assert dict(layout.fields) == truth
    assert layout.provenance[0]["build_id"] == build_id(program)


def test_debug_info_of_another_build_is_not_taken(split: Split, tmp_path: Path) -> None:
    program, debug, _ = split
    shutil.copy(program, tmp_path)
    shutil.copy(debug, tmp_path)
    with (tmp_path / "shapes.debug").open("ab") as f:
        f.write(b"\0")  # another checksum
    with pytest.raises(DebugInfoError, match=r"no debug info; looked in .*shapes\.debug"):
        dwarf.generate(tmp_path / "shapes")
    other = shapes.build(tmp_path, 1)
    with pytest.raises(DebugInfoError, match="two builds"):
        dwarf.generate(program, debug_file=other)


def test_without_debug_info_the_hint_says_where_to_get_it(tmp_path: Path) -> None:
    program = shapes.build(tmp_path, 2, flags=[])
    with pytest.raises(DebugInfoError, match="has no debug info") as e:
        dwarf.generate(program)
    assert "--debug-file" in e.value.hint
    with pytest.raises(DebugInfoError, match="holds no DWARF"):
        dwarf.generate(program, debug_file=program)


def test_debug_info_in_dwo_files(tmp_path: Path) -> None:
    program = shapes.build(tmp_path, 2, flags=["-g", "-gsplit-dwarf"])
    with pytest.raises(DebugInfoError, match="in files of its own"):
        dwarf.generate(program)


def test_partial_units(tmp_path: Path) -> None:
    """dwz moves what several units of a program have to units that these import."""
    dwz = shapes.compiler("dwz")
    program = shapes.build(tmp_path, 1)
    truth = shapes.truth(program)
    size = program.stat().st_size
    shapes.run(dwz, program)
    assert program.stat().st_size < size
    assert dict(dwarf.generate(program).fields) == truth


def test_debug_info_shared_between_programs(tmp_path: Path) -> None:
    """dwz -m moves what two programs have to a third file."""
    dwz = shapes.compiler("dwz")
    pair = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pair.append(shapes.build(tmp_path / name, 1))
    before = [shapes.truth(p) for p in pair]
    shapes.run(dwz, "-m", tmp_path / "common", "-r", *pair)
    with Elf(pair[0]) as elf:
        assert DebugFile(elf).alt().has_dwarf
    assert [dict(dwarf.generate(p).fields) for p in pair] == before
    (tmp_path / "common").unlink()
    with pytest.raises(DebugInfoError, match="dwz"):
        dwarf.generate(pair[0])
