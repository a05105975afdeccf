"""The stand-in target is what the other tests take it for."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tests.support.targets import running, truth
from zeekspy import standin
from zeekspy.errors import FileError


def exported(executable: Path) -> dict[str, int]:
    """Names and sizes of what .dynsym defines."""
    with executable.open("rb") as f:
        table = ELFFile(f).get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        return {s.name: s["st_size"] for s in table.iter_symbols() if s["st_shndx"] != "SHN_UNDEF"}


def test_exports_the_symbols_of_its_era(era: str) -> None:
    symbols = exported(standin.path(era))
    assert symbols["_ZN4zeek6detail10call_stackE"] == 24
    assert symbols["_ZN4zeek14event_registryE"] == 8
    assert symbols["version"] == len(f"0.{7 + int(era)}.0-standin") + 1
    assert ("g_frame_stack" in symbols) == (era == "1")


def test_carries_debug_information(era: str) -> None:
    with standin.path(era).open("rb") as f:
        assert ELFFile(f).has_dwarf_info()


def test_an_era_that_was_not_built_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(standin, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(FileError, match="not built") as caught:
        standin.path("1")
    assert "g++" in caught.value.hint
    with pytest.raises(ValueError, match="no such era"):
        standin.path("3")


def test_truth_adds_up(era: str) -> None:
    table = truth(era, "--idle", "0.25", "--core", "0.5", "--stale")
    assert (table["era"], table["idle"], table["core"], table["stale"]) == (int(era), 0.25, 0.5, 1)
    assert table["events"] == pytest.approx(
        {"connection_state_remove": 0.50, "http_header": 0.30, "dns_request": 0.15, "ssl_established": 0.05}
    )
    assert sum(body["share"] for body in table["bodies"]) == pytest.approx(1)
    for body in table["bodies"]:
        if body["kind"] == "bif":
            assert (body["file"], body["first_line"], body["last_line"], body["lines"]) == (None, None, None, {})
            continue
        assert sum(body["lines"].values()) == pytest.approx(body["share"], abs=1e-5)
        assert all(body["first_line"] <= int(line) <= body["last_line"] for line in body["lines"])


def test_truth_has_what_real_stacks_have() -> None:
    one, two = truth("1")["bodies"], truth("2")["bodies"]
    assert one == two
    share = {(body["name"], body["file"] and body["file"].split("/")[-2]): body["share"] for body in one}
    assert share["DNS::walk_labels", "dns"] == pytest.approx(0.12)  # twelve levels of one percent
    headers = [body for body in one if body["name"] == "http_header"]
    assert len({body["file"] for body in headers}) == 3
    assert sorted(body["share"] for body in headers) == pytest.approx([0.02, 0.06, 0.10])
    assert sorted(body["share"] for body in one if body["name"] == "Conn::finalize") == pytest.approx([0.04, 0.06])
    assert {body["kind"] for body in one} == {"event", "hook", "function", "bif"}
    assert any(body["name"].startswith("lambda_<") for body in one)


def test_steps_depend_on_the_iterations_alone() -> None:
    def steps(era: str, *args: str) -> str:
        command = [standin.path(era), "--micro", "--steps", *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    first = steps("1", "--iterations", "300")
    assert first.startswith("ready\niterations 300 checksum ")
    assert steps("1", "--iterations", "300", "--idle", "0.2") == first
    assert steps("2", "--iterations", "300") == first
    assert steps("1", "--iterations", "301").split()[-1] != first.split()[-1]
    assert steps("1", "--iterations", "300", "--stale") != first  # one statement list more was executed


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_ends_cleanly_on_a_signal(era: str, ending: signal.Signals) -> None:
    with running(era, "--idle", "0.5", "--steps") as target:
        target.send_signal(ending)
        out, _ = target.communicate(timeout=10)
    assert target.returncode == 0
    assert out.startswith(b"iterations ")


def test_keeps_to_the_fractions_asked_for(era: str) -> None:
    command = [standin.path(era), "--micro", "--iterations", "3000", "--idle", "0.2", "--core", "0.4", "--measured"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took = json.loads(out.splitlines()[-1])
    cpu = took["script_s"] + took["core_s"]
    assert took["iterations"] == 3000
    assert took["core_s"] / cpu == pytest.approx(0.4, abs=0.02)
    assert took["idle_s"] / (cpu + took["idle_s"]) == pytest.approx(0.2, abs=0.05)


def test_has_threads_beside_the_main_thread(target: subprocess.Popen[bytes]) -> None:
    tasks = Path(f"/proc/{target.pid}/task")
    names = {task.name: (task / "comm").read_text().strip() for task in tasks.iterdir()}
    assert sorted(name for tid, name in names.items() if tid != str(target.pid)) == ["zk.dns/Log::W", "zk.http/Log::W"]


@pytest.mark.parametrize("args", [["--idle", "1"], ["--core", "x"], ["--duration"], ["--nonsense"]])
def test_refuses_what_it_does_not_understand(args: list[str]) -> None:
    done = subprocess.run([standin.path("2"), *args], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage: standin" in done.stderr
