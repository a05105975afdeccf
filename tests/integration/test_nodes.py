"""ps, selectors, and record of several nodes on processes that look like a cluster's; one dies and comes again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import ZEEKSPY
from zeekspy import recording, standin

pytestmark = pytest.mark.live


class Cluster:
    """Stand-ins that are called zeek, each with a node's environment. Its nodes are the test's own by their names."""

    def __init__(self, folder: Path) -> None:
        self.exe = folder / "zeek"
        shutil.copy(standin.path("2"), self.exe)
        self.tag = f"t{os.getpid()}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, node: str) -> str:
        name = f"{self.tag}-{node}"
        self.processes[name] = subprocess.Popen(
            [self.exe, "--idle", "0.5", "--duration", "120"],
            env={**os.environ, "CLUSTER_NODE": name},
            stdout=subprocess.DEVNULL,
        )
        return name

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        for name in list(made.processes):
            made.stop(name)


def zeekspy(*args: str | Path, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ZEEKSPY, *map(str, args)], capture_output=True, text=True, timeout=timeout, check=False)


def rows() -> dict[str, dict[str, object]]:
    return {row["node"]: row for row in json.loads(zeekspy("ps", "--json").stdout)}


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def test_ps_and_selectors(cluster: Cluster, tmp_path: Path) -> None:
    names = [cluster.start(n) for n in ("worker-1", "worker-2", "manager")]
    until(lambda: set(names) <= rows().keys())
    found = rows()
    assert [found[n]["role"] for n in names] == ["worker", "worker", "manager"]
    assert [found[n]["pid"] for n in names] == [cluster.processes[n].pid for n in names]
    assert {found[n]["exe"] for n in names} == {str(cluster.exe)}
    text = zeekspy("ps").stdout
    assert text.splitlines()[0].split()[:3] == ["NODE", "ROLE", "PID"]
    assert all(n in text for n in names)

    both = zeekspy("dump", "--node", f"{cluster.tag}-worker-*")
    assert both.returncode == 2
    assert all(f"{n} (pid {cluster.processes[n].pid})" in both.stderr for n in names[:2])
    nobody = zeekspy("record", f"{cluster.tag}-nobody")
    assert nobody.returncode == 3
    assert names[0] in nobody.stderr
    assert zeekspy("dump", "--node", names[0]).returncode == 0
    assert zeekspy("offsets", "check", "--node", names[2]).returncode == 0


def test_a_file_for_each_node(cluster: Cluster, tmp_path: Path) -> None:
    names = [cluster.start(n) for n in ("worker-1", "worker-2")]
    until(lambda: set(names) <= rows().keys())
    done = zeekspy("record", f"{cluster.tag}-worker-*", "--duration", "2", "-o", f"{tmp_path}/out/")
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"all.pb.gz", *(f"{n}.pb.gz" for n in names)}
    merged = recording.read(str(tmp_path / "out" / "all.pb.gz"))
    for name in names:
        own = recording.read(str(tmp_path / "out" / f"{name}.pb.gz"))
        expected = ("node", name), ("pid", str(cluster.processes[name].pid)), ("role", "worker")
        assert {labels for _, labels, _ in own} == {expected}
        part = sum(v.count for _, labels, v in merged if labels == expected)
        assert part == own.total().count > 20
    compared = zeekspy("report", tmp_path / "out" / "all.pb.gz", "--by", "node")
    assert compared.returncode == 0
    assert all(n in compared.stdout for n in names)


def test_who_dies_and_comes_again_is_followed(cluster: Cluster, tmp_path: Path) -> None:
    name = cluster.start("worker-1")
    until(lambda: name in rows())
    first = cluster.processes[name].pid
    command = [*ZEEKSPY, "record", f"{cluster.tag}-worker-*", "--follow", "-o", f"{tmp_path}/out/", "--stats"]
    recorder = subprocess.Popen([*command, str(tmp_path / "stats.json")], stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(3)
        cluster.stop(name)
        time.sleep(1)
        assert cluster.start("worker-1") == name
        other = cluster.start("worker-2")
        time.sleep(8)
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=60)
    finally:
        recorder.kill()
    assert recorder.returncode == 0, said
    assert (
        f"{name} (pid {cluster.processes[name].pid}) is sampled from now on, started again: it was pid {first}" in said
    )
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert {(r["node"], r["pid"]) for r in stats} == {
        (name, first),
        (name, cluster.processes[name].pid),
        (other, cluster.processes[other].pid),
    }
    assert all(r["samples"] > 10 for r in stats)
    merged = recording.read(str(tmp_path / "out" / "all.pb.gz"))
    assert merged.total().count == sum(r["samples"] for r in stats)
    assert (tmp_path / "out" / f"{other}.pb.gz").exists()


def test_words_that_do_not_go_together(cluster: Cluster) -> None:
    assert zeekspy("record", "--follow", "--pid", "1").returncode == 2
    assert zeekspy("record").returncode == 2
    assert zeekspy("dump", "--pid", "1", "--core", "x").returncode == 2
