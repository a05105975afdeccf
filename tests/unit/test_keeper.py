"""The keeper's process: everything that waits is written, what is too much is counted, and its end is noticed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import zeekspy

CODE = """
import json, os, signal, sys, time
from pathlib import Path
from zeekspy import access
from zeekspy.profile import Frame
from zeekspy.rolling import keeper, ring
from zeekspy.rolling import window as windows
from zeekspy.rolling.ring import Part
from zeekspy.rolling.shelf import Shelf
from zeekspy.rolling.sources import Command
from zeekspy.rolling.window import Window

S = 10**9
frames = tuple(Frame(f"f{i}", "event", "a.zeek", i, None) for i in range(500))
columns = ring.columns()
for i in range(500):
    for column, value in zip(columns, (i * 10**7, i, 1, 10**7, 10**7)):
        column.append(value)
part = Part(tuple((f,) for f in frames), columns)
about = {"trigger": "signal", "word": "signal", "meta": {}}
labels = (("node", "worker-1"), ("pid", "7"))
window = Window(part, labels, 0, 20 * S, 10 * S, 5 * S, 1_700_000_000 * S, 10**7, about)
what = sys.argv[2]
sources = [Command(["true"])] if what == "command" else []
k = keeper.Keeper(Shelf(Path(sys.argv[1]), 5), sources)
if what == "many":
    for _ in range(keeper.WAITING + 3):
        k.keep(window)
    k.tell({"nodes": []})
    k.start()
elif what in ("plain", "command"):
    k.start()
    k.keep(window)
    while not k.captures.get("written"):
        time.sleep(0.01)
    found = dict(line.split(":\\t") for line in Path(f"/proc/{k._pid}/status").read_text().splitlines())
    print(json.dumps({"ours": int(access.status("self")["CapEff"], 16), "eff": int(found["CapEff"], 16),
        "permitted": int(found["CapPrm"], 16), "sealed": found["NoNewPrivs"]}))
    k.close()
    sys.stdout.flush()
    os._exit(0)
elif what == "killed":
    k.start()
    os.kill(k._pid, signal.SIGKILL)
    while not k.gone:
        time.sleep(0.01)
    k.keep(window)
elif what in ("orphaned", "orphaned late"):
    for line in windows.lines(window) if what == "orphaned late" else []:
        os.write(k._to, line.encode())
    os.write(k._to, b'["status",{"running":true}]\\n["window",{}]\\n["frames",[')
    sys.stdout.flush()
    os._exit(0)
elif what == "damaged":
    k.start()
    os.write(k._to, b'["window",{}]\\n["runs",[[1,2,3]]]\\n')
    while not k.gone:
        time.sleep(0.01)
print(json.dumps({"closed": k.close(), "lost": k.lost, "captures": k.captures, "notes": len(k.notes())}))
"""


def said(folder: Path, what: str) -> tuple[dict[str, Any], str]:
    """What a process that has a keeper tells in the end, and what the keeper has said on standard error."""
    env = {"PYTHONPATH": str(Path(zeekspy.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", CODE, folder, what], capture_output=True, text=True, timeout=120, env=env, check=True
    )
    return json.loads(done.stdout or "{}"), done.stderr


def test_what_waits_is_written_and_what_is_too_much_is_counted(tmp_path: Path) -> None:
    found, _ = said(tmp_path, "many")
    assert found["closed"] is True
    assert found["lost"] == 3
    assert (found["captures"]["written"], found["captures"]["kept"], found["captures"]["removed"]) == (64, 5, 59)
    assert found["notes"] == 64
    assert len(list(tmp_path.glob("0*.pb.gz"))) == len(list(tmp_path.glob("0*.json"))) == 5
    sidecar = json.loads(next(tmp_path.glob("0*.json")).read_text())
    assert (sidecar["samples"], sidecar["node"], sidecar["before_s"]) == (500, "worker-1", 10.0)
    assert sidecar["fired"] == "2023-11-14T22:13:30.000Z"


def test_it_has_no_power_but_to_write_files(tmp_path: Path) -> None:
    write_files = 1 << 1  # CAP_DAC_OVERRIDE
    found, _ = said(tmp_path / "plain", "plain")
    assert found["eff"] == found["permitted"] == found["ours"] & write_files
    assert found["sealed"] == "1"
    found, _ = said(tmp_path / "command", "command")  # what the command may need, nobody here knows
    assert (found["eff"], found["sealed"]) == (found["ours"], "0")


def test_a_keeper_that_is_killed_is_noticed(tmp_path: Path) -> None:
    found, _ = said(tmp_path, "killed")
    assert found["closed"] is False


def test_a_damaged_message_ends_it_with_a_sentence(tmp_path: Path) -> None:
    found, err = said(tmp_path, "damaged")
    assert found["closed"] is False
    assert "arrived damaged" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("what", "captures"), [("orphaned", 0), ("orphaned late", 1)])
def test_a_sampler_that_is_killed_leaves_a_status_that_says_so(tmp_path: Path, what: str, captures: int) -> None:
    said(tmp_path, what)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        status = tmp_path / "status.json"
        if status.exists() and json.loads(status.read_text())["running"] is False:
            break
        time.sleep(0.05)
    assert json.loads((tmp_path / "status.json").read_text())["running"] is False
    assert len(list(tmp_path.glob("0*.pb.gz"))) == captures, "what had been sent is written"
