"""What is in the sdist and in the wheel, and that the wheel can be built from the sdist alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"


def build(what: str, source: Path, out: Path) -> Path:
    """Runs a PEP 517 hook of the build backend in ``source``, without isolation: nothing is downloaded."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, built from a copy of the tree, so that building leaves nothing behind in it."""
    tree = tmp_path_factory.mktemp("tree")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("needs a git work tree: the files of the project are those that git lists")
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    return build("build_sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as tar:
        tar.extractall(where, filter="data")
    (tree,) = where.iterdir()
    return tree


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = shutil.copytree(unpacked, tmp_path_factory.mktemp("source") / "zeekspy")
    return build("build_wheel", source, tmp_path_factory.mktemp("wheel"))


def names_under(folder: str, *endings: str) -> set[str]:
    return {str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob("*") if p.suffix in endings}


def test_sdist_has_all_sources(unpacked: Path) -> None:
    there = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}
    wanted = names_under("csrc", ".c", ".h") | names_under("offsets", ".json", ".py") | names_under("tests", ".py")
    wanted |= names_under("zeekspy", ".py", ".pyx", ".pyi", ".cc", ".h")
    wanted |= {"Makefile", "LICENSE", "README.md", ".ci/run", "zeekspy/py.typed"}
    assert wanted - there == set()


def test_sdist_has_nothing_built(unpacked: Path) -> None:
    built = [p for p in unpacked.rglob("*") if p.suffix in {".so", ".o", ".pyc"} or p.parent.name == "bin"]
    assert built == []


def test_wheel_has_the_package_and_its_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as z:
        there = set(z.namelist())
        modes = {i.filename: i.external_attr >> 16 for i in z.infolist()}
    wanted = names_under("zeekspy", ".py", ".pyi", ".cc", ".h") | {"zeekspy/py.typed"}
    wanted |= {f"zeekspy/{name}" for name in names_under("offsets", ".json", ".py")}
    assert wanted - there == set()
    for era in "12":
        assert modes[f"zeekspy/standin/bin/standin-{era}"] & 0o111 == 0o111
    assert [n for n in there if n.startswith(("csrc/", "tests/", "offsets/")) or n.endswith((".pyx", ".c"))] == []


def test_wheel_serves_every_python_from_3_11_on(wheel: Path) -> None:
    assert re.fullmatch(r"zeekspy-[\d.]+-cp311-abi3-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as z:
        assert "zeekspy/_core.abi3.so" in z.namelist()


def test_installed_wheel_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as z:
        z.extractall(tmp_path)
    find = (
        "import importlib.resources as r, zeekspy.standin as s, zeekspy._core as c;"
        "print(c.__file__, s.__file__, sum(p.name.endswith('.json') for p in r.files('zeekspy.offsets').iterdir()))"
    )
    # First on the path: before this tree and an editable install.
    run = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {find}"
    out = subprocess.run([sys.executable, "-I", "-c", run], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    core, standin, tables = out.stdout.split()
    assert core.startswith(str(tmp_path))
    assert standin.startswith(str(tmp_path))
    assert int(tables) == len(names_under("offsets", ".json"))


def test_groups_and_extras_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["dependency-groups"] == project["project"]["optional-dependencies"]
    assert project["project"]["version"] == version("zeekspy")


def test_without_a_cxx_compiler_the_rest_is_built(unpacked: Path, tmp_path: Path) -> None:
    # The command alone: what it must not do is stop the build.
    source = shutil.copytree(unpacked, tmp_path / "zeekspy")
    done = subprocess.run(
        [sys.executable, "setup.py", "build_standin"],
        cwd=source,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no C++ compiler" in done.stdout + done.stderr
    assert list(source.rglob("standin-*")) == []
