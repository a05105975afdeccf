"""A target built by clang with libc++: its strings and maps lie otherwise, and are read all the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import shapes, targets
from tests.support.commands import profile_of, zeekspy
from zeekspy import choice, selfcheck, session, stackcheck, standin, target
from zeekspy.errors import UnknownBuild
from zeekspy.layout import STDLIBS, Layout

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", params=standin.ERAS, ids=lambda era: f"era{era}")
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(era, the stand-in of that era, built with libc++)."""
    era = str(request.param)
    sources = sorted(Path(standin.__file__).parent.glob("*.cc"))
    program = tmp_path_factory.mktemp("libcxx") / f"standin-{era}"
    flags = ["-std=c++17", f"-DZEEK_ERA={era}", "-O2", "-g", "-fstandalone-debug", "-rdynamic", "-pthread"]
    shapes.run(shapes.clang_with_libcxx(), "-stdlib=libc++", *flags, *sources, "-o", program)
    return era, program


@pytest.fixture
def process(build: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    monkeypatch.setattr(standin, "path", lambda era: build[1])
    with targets.running(build[0]) as running:
        yield running


def test_every_check_passes(process: subprocess.Popen[bytes]) -> None:
    attachment = session.attach(process.pid)
    assert attachment.target.stdlib == attachment.layout.stdlib == "libc++"
    checks = stackcheck.everything(attachment.target, attachment.layout, attachment.memory)
    assert [c for c in checks if not c.passed] == []
    names = {c.what: c.evidence for c in checks}
    assert names["event registry"] == "4 handlers, 4 functions and 6 bodies look right"
    assert {"Func.name", "EventRegistry.handlers", "Frame.function", "Frame.next_stmt"} <= names.keys()


def test_recording(build: tuple[str, Path], process: subprocess.Popen[bytes], tmp_path: Path) -> None:
    out, stats = tmp_path / "zeek.pb.gz", tmp_path / "stats.json"
    done = zeekspy("--pid", process.pid, "--hz", 500, "--duration", 3, "-o", out, "--stats", stats)
    assert done.returncode == 0, done.stderr
    known = {
        (b["name"], b["kind"], b["file"], b["first_line"])
        for b in targets.truth(build[0])["bodies"]
        if b["share"] > 0.02
    }
    seen = {
        (f.name, f.kind, f.body.file if f.body else None, f.body.first_line if f.body else None)
        for stack, _, _ in profile_of(out)
        for f in stack
    }
    assert known
    assert known <= seen
    assert json.loads(stats.read_text())["script"] > 100


@pytest.mark.parametrize("wrong", [s for s in STDLIBS if s != "libc++"])
def test_the_table_of_another_library_is_refused(process: subprocess.Popen[bytes], wrong: str) -> None:
    found = target.find(process.pid)
    table: Layout = replace(choice.choose(found), stdlib=wrong)
    with pytest.raises(UnknownBuild, match="does not fit this Zeek"):
        selfcheck.check(found, table, session.open_memory(process.pid))


def test_names_at_another_place_are_refused(process: subprocess.Popen[bytes]) -> None:
    found = target.find(process.pid)
    table = choice.choose(found)
    for by in (-8, 8):
        shifted = replace(table, fields={**table.fields, "Func.name": table.fields["Func.name"] + by})
        with pytest.raises(UnknownBuild, match=r"Func\.name"):
            selfcheck.check(found, shifted, session.open_memory(process.pid))
