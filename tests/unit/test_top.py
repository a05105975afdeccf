"""The lines that top shows, at every width; numbers; the order and choice of rows; JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support.live import PID, Still, live, tick
from tests.support.profiles import HOOK, HTTP, profiles
from zeekspy.live import Live, View
from zeekspy.profile import CORE, IDLE, Profile, body_key
from zeekspy.top import bars, lines, numbers, once, table
from zeekspy.top.lines import text

SUBJECT = Still().subject()


@given(st.lists(st.tuples(st.text(max_size=8), st.just(""))), st.integers(0, 30))
def test_a_cut_line_is_as_wide_as_asked(line: lines.Line, width: int) -> None:
    line = [("".join(c for c in part if c.isprintable()), style) for part, style in line]
    assert cell_len(text(lines.cut(line, width))) == width


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0xFFFF, categories=["L", "N", "P"])), st.integers(0, 30))
def test_what_is_cut_is_never_too_wide(what: str, width: int) -> None:
    for cut in (lines.beginning, lines.end, lines.middle):
        assert cell_len(cut(what, width)) <= width
    assert cell_len(lines.padded(what, width)) == width


def test_what_is_left_of_a_name() -> None:
    assert lines.beginning("connection_state_remove", 10) == "connectio…"
    assert lines.end("/opt/zeek/share/x.zeek:12", 10) == "…x.zeek:12"
    assert lines.middle("http_header [http/main.zeek:297]", 21) == "http_head….zeek:297]"


@pytest.mark.parametrize("width", range(1, 240))
def test_every_line_fits_every_width(width: int) -> None:
    view, choice = live().view(), table.Choice()
    for line in (
        *bars.lines(SUBJECT, view, width),
        table.head(choice, 5, width),
        *(table.row(r, width) for r in view.rows),
    ):
        assert cell_len(text(line)) == width


@given(profiles(), st.integers(1, 130), st.sampled_from(["body", "line", "file"]))
def test_whatever_a_target_calls_things(profile: Profile, width: int, by: str) -> None:
    shown = Live(PID, 5.0, tick(0.0))
    shown.add(tick(1.0, profile.samples, samples=8))
    view = shown.view(by)
    for r in table.chosen(view, table.Choice(by=by, idle=True)):
        line = text(table.row(r, width))
        assert cell_len(line) == width
        assert line.isprintable()
        for drawn in table.neighbours(r.frame, shown.neighbours(r.frame, by), width, 12):
            assert cell_len(text(drawn)) == width
            assert text(drawn).isprintable()
    json.dumps(once.as_json(SUBJECT, view, table.Choice(by=by)))


@given(st.floats(0, 1), st.floats(0, 1), st.integers(8, 60))
def test_the_bar_is_shared_out_to_the_last_cell(script: float, core: float, width: int) -> None:
    core = (1 - script) * core
    cells = text(bars._cells({"script": script, "core": core, "idle": 1 - script - core}, width))
    assert len(cells) == width
    assert abs(cells.count("█") - width * script) <= 1
    assert " " not in cells


def test_a_busy_process_that_runs_few_scripts() -> None:
    shown = Live(PID, 5.0, tick(0.0))
    shown.add(tick(1.0, samples=100, script=5, core=95))
    said = "\n".join(text(line) for line in bars.lines(SUBJECT, shown.view(), 100))
    assert "CPU 98.5%" in said
    assert "script 5.0%" in said
    assert "threads main 95.0%  zk.conn/Log::WR 3.1%  caf.multiplexer 0.40%  1 more 0.0%" in said
    assert "lag 0.25 s" in said


def view() -> View:
    return live().view()


@pytest.mark.parametrize("sort", table.SORTS)
def test_rows_stand_in_order(sort: str) -> None:
    order = next(c.order for c in table.COLUMNS if c.key == sort)
    found = [order(r) for r in table.chosen(view(), table.Choice(sort=sort))]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) > 1 or sort in ("calls", "us")


def test_rows_that_are_looked_for() -> None:
    assert {r.frame for r in table.chosen(view(), table.Choice(search="HTTP/MAIN"))} == {body_key(HTTP)}
    assert table.chosen(view(), table.Choice(search="no such thing")) == []
    shown = {r.frame for r in table.chosen(view(), table.Choice())}
    assert CORE in shown
    assert IDLE not in shown
    assert IDLE in {r.frame for r in table.chosen(view(), table.Choice(idle=True))}


def test_neighbours_have_their_shares() -> None:
    said = [text(line).rstrip() for line in table.neighbours(body_key(HOOK), live().neighbours(body_key(HOOK)), 60, 20)]
    assert said[0].startswith("callers")
    assert any("http_request [http/main.zeek:100]" in line for line in said)
    assert " Foo::bar" in said
    assert any(line.endswith("  itself") for line in said)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.251, "0.25"), (12.34, "12.3"), (1234.4, "1234"), (56_700, "56.7k"), (8.9e6, "8.90M"), (None, "-")],
)
def test_short_numbers(value: float | None, said: str) -> None:
    assert numbers.short(value) == said


@given(st.floats(0, 1e12))
def test_short_numbers_are_short(value: float) -> None:
    assert len(numbers.short(value)) <= 5


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0.0"), (0.0004, "0.04"), (0.0123, "1.2"), (0.9996, "100"), (1.04, "104"), (None, "-")]
)
def test_percentages(share: float | None, said: str) -> None:
    assert numbers.percent(share) == said


def test_clocks() -> None:
    assert [numbers.clock(s) for s in (0, 59.9, 60, 3723)] == ["0:00", "0:59", "1:00", "1:02:03"]


def test_json_of_a_view() -> None:
    found = once.as_json(SUBJECT, view(), table.Choice())
    assert found["pid"] == PID
    assert found["samples"] == 550
    assert found["script"] == pytest.approx(39 / 55, abs=1e-6)
    assert found["lag_s"] == 0.25
    assert found["threads"][0] == {"tid": PID, "name": "zeek", "cpu": 0.95, "main": True}
    http = next(r for r in found["rows"] if r["name"].startswith("http_request [http"))
    assert http["calls_per_s"] == 900
    assert http["line"] == 100
    assert sum(r["own"] for r in found["rows"]) == pytest.approx(1, abs=1e-5)
    assert json.loads(json.dumps(found)) == found


def test_text_of_a_view() -> None:
    said = once.as_text(SUBJECT, view(), table.Choice(), 100, 3).splitlines()
    assert len(said) == 9
    assert said[-1] == f"and {len(table.chosen(view(), table.Choice())) - 3} more"
    assert said[4].split()[:2] == ["▼own", "5s"]
