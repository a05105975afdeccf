"""The shipped tables, their loader, and ``zeekspy offsets``."""

from __future__ import annotations

import argparse
import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zeekspy.offsets import find, tables

from tests.support import shapes
from zeekspy import layout
from zeekspy.cli import offsets as cli
from zeekspy.errors import BadLayout, FileError, UnknownBuild, UsageError
from zeekspy.layout import Layout
from zeekspy.zeek_types import CLASSES, EITHER, SYMBOLS

TABLES: tuple[Layout, ...] = tables()


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    args = parser.parse_args(["offsets", *words])
    result: int = args.func(args)
    return result


def test_there_are_tables_of_both_eras() -> None:
    assert any("CallInfo.func" in t.fields for t in TABLES)
    assert any("CallInfo.frame" in t.fields for t in TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: t.origin)
def test_every_table(table: Layout) -> None:
    table.validate()
    assert table.origin.startswith("zeek-")
    assert table.origin.endswith(f"-{table.stdlib}.json")
    needed = {f"{c.name}.{m.name}" for c in CLASSES for m in c.members if m.need != "extra"}
    assert needed <= table.fields.keys()
    assert all(sum(name in table.fields for name in either) == 1 for either in EITHER)
    assert table.symbols.keys() == SYMBOLS.keys()
    assert table.symbols["call_stack"]
    assert (table.symbols["g_frame_stack"] is not None) == ("CallInfo.func" in table.fields)
    assert table.provenance
    assert all(table.covers(p["version"]) and p["source"] == "dwarf" for p in table.provenance)
    assert find(table.since, table.stdlib) is table
    assert find(table.until, table.stdlib) is table


def test_no_version_has_two_tables() -> None:
    for a, b in itertools.combinations(TABLES, 2):
        if a.stdlib == b.stdlib:
            assert not any([a.covers(b.since), a.covers(b.until), b.covers(a.since)])


@pytest.mark.parametrize("version", ["2.6", "99.0.0", "not a version", ""])
def test_no_table_for(version: str) -> None:
    assert find(version, "libstdc++") is None


def test_those_before_a_release_have_none_of_its_tables() -> None:
    """Snapshots of development and betas may have any layout; that of 4.1.0-beta and of 5.1.0-rc1 differed."""
    for version in ("3.0.0-dev.7", "4.1.0-beta", "5.1.0-rc1", "8.1.0-dev.12"):
        assert find(version, "libstdc++") is None


def test_patch_level_breaks_are_kept_apart() -> None:
    """3.0.2 and 8.0.4 moved members within a series."""
    for old, new in (("3.0.1", "3.0.2"), ("8.0.3", "8.0.4")):
        before, after = find(old, "libstdc++"), find(new, "libstdc++")
        assert before is None or before is not after


RELEASES = {
    "3.0": 14,
    "3.1": 5,
    "3.2": 4,
    "4.0": 9,
    "4.1": 1,
    "4.2": 2,
    "5.0": 10,
    "5.1": 3,
    "5.2": 2,
    "6.0": 9,
    "6.1": 1,
    "6.2": 1,
    "7.0": 11,
    "7.1": 1,
    "7.2": 2,
    "8.0": 10,
    "8.1": 2,
    "8.2": 2,
}
"""Series to the last patch level that is tagged."""
CANDIDATES = {"3.0": 2, "4.0": 3, "4.1": 2, "4.2": 2, "5.0": 2, "5.2": 2, "6.0": 3, "7.0": 4, "8.0": 2, "8.1": 2}
CANDIDATES |= dict.fromkeys(("3.1", "3.2", "6.1", "6.2", "7.1", "7.2", "8.2", "9.0"), 1)
"""Series to the last release candidate that is tagged. Not 5.1: the dictionaries of its only one were others."""
TAGS = [f"{series}.{patch}" for series, last in RELEASES.items() for patch in range(last + 1)]
TAGS += [f"{series}.0-rc{n}" for series, last in CANDIDATES.items() for n in range(1, last + 1)]


@pytest.mark.parametrize("version", TAGS)
def test_every_tagged_release_has_a_table(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "--zeek-version", version, "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert table["fields"]["sizeof.CallInfo"] in (16, 24)
    assert [p["source"] for p in table["provenance"]] == ["dwarf"] * len(table["provenance"])


@pytest.mark.parametrize("series", ["4.0.0", "4.1.1", "4.2.2", "6.0.9", "7.0.11", "8.0.3", "8.0.10", "9.0.0-rc1"])
def test_libcxx_has_tables_too(series: str) -> None:
    table, usual = find(series, "libc++"), find(series, "libstdc++")
    assert table is not None
    assert usual is not None
    assert table.fields.keys() == usual.fields.keys()
    assert table.fields["sizeof.Func"] == usual.fields["sizeof.Func"] - 8  # the one std::string
    assert all("clang" in p["compiler"] for p in table.provenance)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(key=st.sampled_from(["format", "zeek", "stdlib", "pointer_size", "symbols", "fields", "provenance"]), value=JSON)
def test_any_value_in_a_table_is_taken_or_named(key: str, value: Any) -> None:
    table = json.loads(TABLES[0].to_json()) | {key: value}
    with suppress(BadLayout):
        assert layout.parse(json.dumps(table), "a table").stdlib in layout.STDLIBS


@settings(max_examples=200)
@given(data=st.data())
def test_any_offset_is_taken_or_named(data: st.DataObject) -> None:
    table = json.loads(TABLES[-1].to_json())
    for name in data.draw(st.lists(st.sampled_from(sorted(table["fields"])), min_size=1, max_size=4)):
        table["fields"][name] = data.draw(st.none() | st.integers(-(2**70), 2**70) | st.integers(-1, 200))
    with suppress(BadLayout):
        assert layout.parse(json.dumps(table), "a table").fields.keys() <= table["fields"].keys()


@settings(max_examples=100)
@given(text=st.text(max_size=40))
def test_no_text_is_a_table_by_accident(text: str) -> None:
    with pytest.raises(BadLayout):
        layout.parse(text, "a table")


def test_a_table_survives_writing_and_reading() -> None:
    for table in TABLES:
        assert layout.parse(table.to_json(), table.origin) == table


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    text = capsys.readouterr().out
    assert all(t.origin in text and t.since in text for t in TABLES)
    assert run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [r["file"] for r in rows] == [t.origin for t in TABLES]
    assert rows[0]["provenance"]


def test_show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = TABLES[-1]
    assert run("show", "--zeek-version", table.until) == 0
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.strip().startswith("next_stmt;"))
    assert line.split("/*")[1].split()[0] == str(table.fields["Frame.next_stmt"])
    file = tmp_path / "table.json"
    file.write_text(table.to_json())
    assert run("show", str(file), "--json") == 0
    assert capsys.readouterr().out == table.to_json()


def test_show_what_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(UnknownBuild, match=r"no shipped table is for Zeek 2\.6") as e:
        run("show", "--zeek-version", "2.6")
    assert e.value.exit_code == 5
    with pytest.raises(FileError, match="cannot read"):
        run("show", str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(BadLayout, match="not text"):
        run("show", str(tmp_path / "binary"))
    with pytest.raises(UsageError, match="which table"):
        run("show")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shapes.build(tmp_path_factory.mktemp("offsets"), 2)


def test_generate(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "table.json"
    assert run("generate", str(program), "-o", str(out), "--until", "9.0.4") == 0
    said = capsys.readouterr()
    assert "9.0.0-rc1 - 9.0.4" in said.out
    assert said.err == ""  # no bar where there is no terminal
    table = cli.load(out)
    assert dict(table.fields) == shapes.truth(program)
    assert table.covers("9.0.2")
    assert run("generate", str(program)) == 0
    assert json.loads(capsys.readouterr().out)["fields"] == shapes.truth(program)


def test_merge_adds_a_build_of_the_same_layout(program: Path, tmp_path: Path) -> None:
    objects = [str(program.with_name(n)) for n in ("Func.o", "main.o")]
    out = str(tmp_path / "table.json")
    run("generate", str(program), "-o", out)
    with pytest.raises(UsageError, match=r"is for Zeek 9\.0\.0-rc1"):
        run("generate", *objects, "--zeek-version", "9.0.3", "--merge", out, "-o", out)
    run(
        "generate",
        *objects,
        "--zeek-version",
        "9.0.3",
        "--until",
        "9.0.3",
        "--since",
        "9.0.0-rc1",
        "--merge",
        out,
        "-o",
        out,
    )
    table = cli.load(Path(out))
    assert [p["version"] for p in table.provenance] == ["9.0.0-rc1", "9.0.3"]
    assert (table.since, table.until) == ("9.0.0-rc1", "9.0.3")
    again = json.loads(Path(out).read_text())
    fields = again["fields"]
    fields["Frame.call"], fields["Frame.next_stmt"] = fields["Frame.next_stmt"], fields["Frame.call"]
    Path(out).write_text(json.dumps(again))
    with pytest.raises(BadLayout, match=r"Frame\.call, Frame\.next_stmt differ"):
        run("generate", str(program), "--merge", out, "-o", out)


def test_generate_cannot_write(program: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write"):
        run("generate", str(program), "-o", str(tmp_path / "no" / "such" / "folder"))


def test_the_bar_appears_on_a_terminal_and_goes(
    program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "BAR_AFTER", -1)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    run("generate", str(program))
    err = capsys.readouterr().err
    assert "reading debug info [####" in err
    assert err.endswith("\r\x1b[K")
