"""What is counted on real Zeeks, not sampled: calls, against Zeek's own --profile-scripts; instructions of ZAM."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import targets
from tests.support.scripts_profile import rank_correlation, record
from zeekspy import session
from zeekspy.layout import version_key
from zeekspy.profile import Profile
from zeekspy.spawn import Spawned

pytestmark = [pytest.mark.zeek, pytest.mark.live]


def version(zeek: Path) -> str:
    return subprocess.run([zeek, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]


def since(*least: int) -> list[Path]:
    return [z for z in targets.zeeks() if version_key(version(z)) >= least]


COSTS = [3000, 4200, 5900, 8200, 11500, 16100, 22600, 31600, 44200, 61900]
"""Turns of the loop in each of ten bodies, 1.4 times more from one to the next: no noise changes their order."""
ROUNDS = 200


def script() -> str:
    """A Zeek script that runs such bodies ROUNDS times each, as functions, events of two bodies and hooks, and ends."""
    lines = [
        "function turn(n: count): count",
        "\t{",
        "\tlocal x = 0;",
        "\twhile ( x < n )",
        "\t\t++x;",
        "\treturn x;",
        "\t}",
    ]
    for i, cost in enumerate(COSTS):
        head = (f"function f{i}()", f"event e{i % 2}()", f"hook h{i}()")[i % 3]
        lines += [head, "\t{", "\tlocal x = 0;", f"\twhile ( x < {cost} )", "\t\t++x;", "\tturn(7);", "\t}"]
    calls = [
        ("f{}();", "event e{}();", "hook h{}();")[i % 3].format(i % 2 if i % 3 == 1 else i) for i in range(len(COSTS))
    ]
    calls = list(dict.fromkeys(calls))
    lines += ["global rounds = 0;", "event again()", "\t{", *(f"\t{c}" for c in calls)]
    lines += [f"\tif ( ++rounds < {ROUNDS} )", "\t\tevent again();", "\telse", "\t\tterminate();", "\t}"]
    lines += ["event zeek_init()", "\t{", "\tevent again();", "\t}"]
    # Events must be declared before the first handler that is not Zeek's own.
    return "\n".join(["global e0: event();", "global e1: event();", "redef exit_only_after_terminate = T;", *lines, ""])


@pytest.mark.parametrize("zeek", since(6, 0, 0, 3, 0) or [None], ids=str)
def test_calls_are_those_of_zeeks_own_profile(zeek: Path | None, tmp_path: Path) -> None:
    if zeek is None:
        pytest.skip("no Zeek from 6.0 on: name one in ZEEKSPY_TEST_ZEEK")
    source = tmp_path / "load.zeek"
    source.write_text(script())
    both = record([str(zeek), "-b", str(source)], tmp_path / "table", 1000)
    assert both.calls == both.ncall
    turn = next(p for p in both.calls if p[0] == "turn")
    assert both.calls[turn] == len(COSTS) * ROUNDS
    costliest = [p for p in both.costliest(len(COSTS) + 1) if p[0] != "again"][: len(COSTS)]
    assert len(costliest) == len(COSTS)
    times = [both.tot_cpu[p] for p in costliest], [both.total.get(p, 0.0) for p in costliest]
    assert rank_correlation(*times) >= 0.9, dict(zip(costliest, zip(*times, strict=True), strict=True))


TURNS = 20_000
COMPILED = """\
redef exit_only_after_terminate = T;
global total = 0;
global state: table[count] of count;

function small(n: count): count
	{
	state[n % 16] = n;
	return n + |state|;
	}

function large(): count
	{
	local x = 0;
	while ( x < TURNS )
		{
		total += small(x);
		++x;
		}
	return x;
	}

event ready()
	{
	system("touch ready");
	}

event zeek_init()
	{
	large();
	event ready();
	}
"""


def compiled_profile(zeek: Path, folder: Path) -> tuple[Profile, Path]:
    """Of a Zeek that has run COMPILED with -O ZAM and waits."""
    source = folder / "compiled.zeek"
    source.write_text(COMPILED.replace("TURNS", str(TURNS)).replace("touch ready", f"touch {folder / 'ready'}"))
    spawned = Spawned([str(zeek), "-b", "-O", "ZAM", str(source)], quiet=True)
    try:
        found = session.Session(spawned.attach(None, lambda: False), 200)
        for elapsed in session.run([found], 30):
            if (folder / "ready").exists() and elapsed > 0.5:
                break
        found.finish()
    finally:
        spawned.end()
    return found.profile, source


@pytest.mark.parametrize("zeek", since(9, 0, 0, 2, 0) or [None], ids=str)
def test_instructions_of_compiled_code_are_counted_by_line(zeek: Path | None, tmp_path: Path) -> None:
    if zeek is None:
        pytest.skip("no Zeek from 9.0 on: name one in ZEEKSPY_TEST_ZEEK")
    profile, source = compiled_profile(zeek, tmp_path)
    ours = {chain: n for chain, n in profile.instructions.items() if chain[-1][1] == str(source)}
    lines: dict[int, int] = {}
    for chain, n in ours.items():
        lines[chain[-1][2]] = lines.get(chain[-1][2], 0) + n
    text = source.read_text().splitlines()
    at = {line.strip(): number for number, line in enumerate(text, start=1)}
    # One instruction adds, one fills the table (with one for the modulus), whatever else they are made of.
    for line in ("++x;", "state[n % 16] = n;"):
        assert lines[at[line]] % TURNS == 0, (line, lines)
        assert lines[at[line]] >= TURNS, (line, lines)
    filled = {chain for chain in ours if chain[-1][2] == at["state[n % 16] = n;"]}
    assert {chain[-1][0] for chain in filled} == {"small"}
    assert "small" not in {chain[0][0] for chain in filled}  # it is part of what calls it
    ready = next(key for key in profile.calls if key.name == "ready")
    assert profile.calls[ready] == 1


@pytest.mark.parametrize("zeek", since(7, 0, 0, 3, 0) or [None], ids=str)
def test_compiled_frames_are_marked(zeek: Path | None, tmp_path: Path) -> None:
    if zeek is None:
        pytest.skip("no Zeek from 7.0 on: name one in ZEEKSPY_TEST_ZEEK")
    profile, _ = compiled_profile(zeek, tmp_path)
    frames = [f for stack, _, _ in profile for f in stack if f.kind == "event"]
    assert all("zam" in f.flags for f in frames)
    if version_key(version(zeek)) < (9, 0):  # such a Zeek counts neither
        assert not profile.instructions
        assert not [key for key in profile.calls if key.name == "ready"]
