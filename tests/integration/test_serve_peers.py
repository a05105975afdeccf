"""serve asked by the programs it is for: go tool pprof and Prometheus, with a real Zeek where there is one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_serve import Served, serving
from tests.support import targets

pytestmark = pytest.mark.live
SCRAPED_S = float(os.environ.get("ZEEKSPY_TEST_PROMETHEUS_S", "4"))
"""For how long Prometheus scrapes."""
SCRIPT = """
global tick: event();
function burn(n: count): count { local s = 0; local i = 0; while ( i < n ) { s += i; ++i; } return s; }
event tick() { burn(20000); schedule 5msec { tick() }; }
event zeek_init() { schedule 10msec { tick() }; }
redef exit_only_after_terminate = T;
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Of the newest Zeek that is here, else of the stand-in."""
    zeeks = targets.zeeks()
    if not zeeks:
        with targets.running("2") as standin, serving("--pid", standin.pid) as made:
            yield made
        return
    folder = tmp_path_factory.mktemp("zeek")
    (folder / "load.zeek").write_text(SCRIPT)
    zeek = subprocess.Popen([zeeks[-1], "-b", "load.zeek"], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            time.sleep(0.5)
            assert time.monotonic() < deadline
            assert zeek.poll() is None
            if Path(f"/proc/{zeek.pid}/schedstat").read_text().split()[0] > "0":
                break
        with serving("--node", f"zeek-{zeek.pid}") as made:
            while made.value("zeekspy_attached") != 1 or not made.metrics().get("zeekspy_samples_total"):
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield made
    finally:
        zeek.kill()
        zeek.wait()


def test_go_tool_pprof(served: Served, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("needs go tool pprof: install Go")
    url = f"http://127.0.0.1:{served.port}/debug/pprof/profile?seconds=2"
    env = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["go", "tool", "pprof", "-top", url], capture_output=True, text=True, timeout=120, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Type: cpu" in done.stdout
    assert "flat  flat%" in done.stdout
    assert len(done.stdout.partition("flat  flat%")[2].splitlines()) >= 3, done.stdout


def asked(port: int, query: str) -> list[Any]:
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])
    except OSError:  # it is not there yet, or not ready
        return []


def test_prometheus(served: Served, tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    (tmp_path / "p.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        f"scrape_configs: [{{job_name: z, static_configs: [{{targets: ['127.0.0.1:{served.port}']}}]}}]\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(prometheus, f"--config.file={tmp_path}/p.yml", f"--storage.tsdb.path={tmp_path}/data"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        own = "zeek_absolute_cpu_time_per_function_seconds"
        deadline = time.monotonic() + SCRAPED_S + 60
        while not asked(port, f"max_over_time({own}[1h])") and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(SCRAPED_S)
        scrapes = asked(port, "count_over_time(up[1h])")
        assert float(scrapes[0]["value"][1]) >= max(2, SCRAPED_S / 3)
        assert asked(port, "min_over_time(up[1h])")[0]["value"][1] == "1"
        for name in (own, "zeek_cpu_time_per_function_seconds", "zeek_function_calls_total", "zeekspy_samples_total"):
            assert asked(port, f"sum(resets({name}[1h]))")[0]["value"][1] == "0", name
        for row in asked(port, own):
            assert {"node", "name", "type"} <= row["metric"].keys()
        assert float(asked(port, f"sum(increase({own}[1h]))")[0]["value"][1]) > 0
    finally:
        process.terminate()
        process.wait(30)
    assert b"level=error" not in (tmp_path / "log").read_bytes()
