"""Discovery over made-up process trees: every way of starting a Zeek, and processes that go meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Process, tree
from zeekspy import discovery, standin
from zeekspy.discovery import Discovery

ZEEK = "/usr/local/zeek/bin/zeek"
ZEEKCTL = "-U .status -p zeekctl -p zeekctl-live -p local -p {} local zeekctl base/frameworks/cluster zeekctl/auto"

STANDALONE = ("-i", "eth0", "-p", "zeekctl", "-p", "standalone", "-p", "local", "-p", "zeek", "local")


@pytest.fixture
def exe(tmp_path: Path) -> Path:
    """A Zeek as far as its symbols go, under the name that one has."""
    path = tmp_path / "bin" / "zeek"
    path.parent.mkdir()
    path.symlink_to(standin.path("2"))
    return path


def found(folder: Path, *processes: Process) -> dict[int, discovery.Node]:
    return {n.pid: n for n in Discovery(tree(folder / "proc", *processes)).find()}


def zeekctl(node: str, *before: str) -> list[str]:
    return [ZEEK, *before, *ZEEKCTL.format(node).split()]


@pytest.mark.parametrize(
    ("more", "name", "role", "by"),
    [
        # zeekctl: the last -p, and the environment
        ({"argv": zeekctl("worker-1-2", "-i", "af_packet::enp0s25")}, "worker-1-2", "worker", "zeekctl"),
        ({"argv": zeekctl("manager"), "environ": {"CLUSTER_NODE": "manager"}}, "manager", "manager", "CLUSTER_NODE"),
        ({"argv": zeekctl("logger")}, "logger", "logger", "zeekctl"),
        ({"argv": zeekctl("proxy-2")}, "proxy-2", "proxy", "zeekctl"),
        (
            {"argv": [ZEEK, *STANDALONE]},
            "zeek",
            "standalone",
            "zeekctl",
        ),
        # the systemd generator: nothing in the arguments
        (
            {
                "argv": [ZEEK, "-i", "af_packet::eth1", "policy/misc/systemd-generator", "local"],
                "environ": {"CLUSTER_NODE": "c-w-01-worker-eth1-1", "INTERFACE": "eth1"},
                "cgroup": "0::/zeek.slice/zeek-workers.slice/zeek-worker-eth1@1.service",
            },
            "c-w-01-worker-eth1-1",
            "worker",
            "CLUSTER_NODE",
        ),
        (
            {"environ": None, "cgroup": "0::/zeek.slice/zeek-workers.slice/zeek-worker@3.service"},
            "worker-3",
            "worker",
            "unit",
        ),
        (
            {"environ": None, "cgroup": "0::/zeek.slice/zeek-proxies.slice/zeek-proxy@1.service"},
            "proxy-1",
            "proxy",
            "unit",
        ),
        # the supervisor: titles
        ({"argv": [ZEEK, "-j", "cluster.zeek"], "comm": "zeek.worker-12"}, "worker-12", "worker", "title"),
        ({"argv": [ZEEK, "-j", "cluster.zeek"]}, "supervisor", "supervisor", "-j"),
        ({"argv": [ZEEK, "--jobs", "cluster.zeek"], "comm": "zeek.logger-1"}, "logger-1", "logger", "title"),
        (
            {"argv": [ZEEK, "-j"], "comm": "zeek.worker-eth", "cwd": "/var/zeek/worker-eth1-10"},
            "worker-eth1-10",
            "worker",
            "title",
        ),
        # plain
        ({"argv": [ZEEK, "-i", "eth0", "local"]}, "zeek-77", "standalone", "pid"),
        ({"argv": [ZEEK, "-p", "zeekctl-like"], "cwd": "/opt/zeek/spool/worker-9"}, "worker-9", "worker", "folder"),
        ({"environ": {"CLUSTER_NODE": "sniffer"}, "argv": [ZEEK, "-i", "eth0"]}, "sniffer", "worker", "CLUSTER_NODE"),
        ({"environ": {"CLUSTER_NODE": "sniffer"}}, "sniffer", None, "CLUSTER_NODE"),
    ],
)
def test_names_and_roles(more: dict[str, Any], name: str, role: str | None, by: str, exe: Path, tmp_path: Path) -> None:
    node = found(tmp_path, Process(77, exe=exe, **more))[77]
    assert (node.name, node.role, node.by) == (name, role, by)
    assert (node.role is None) == ("role" in node.why)


@pytest.mark.parametrize(
    "more",
    [
        {"argv": [ZEEK, "-j"], "comm": "zeek.stem"},
        {"argv": [ZEEK, "-a", "local"]},
        {"argv": [ZEEK, "local"], "cwd": "/srv/zeek/spool/tmp/check-config-worker-1"},
        {"comm": "zeekctl", "exe": Path("/usr/bin/python3")},
        {"comm": "bash", "argv": ["bash", "/opt/zeek/share/zeekctl/scripts/run-zeek", "-1"], "exe": Path("/bin/bash")},
        {"state": "Z"},
    ],
)
def test_what_is_no_node(more: dict[str, Any], exe: Path, tmp_path: Path) -> None:
    assert found(tmp_path, Process(77, **{"exe": exe, **more})) == {}


def test_what_a_name_alone_makes_no_zeek(tmp_path: Path) -> None:
    fake = tmp_path / "zeek"
    fake.symlink_to("/bin/true")
    assert found(tmp_path, Process(77, exe=fake)) == {}


def test_a_title_that_the_kernel_has_cut_is_said(exe: Path, tmp_path: Path) -> None:
    node = found(tmp_path, Process(77, exe=exe, argv=[ZEEK, "-j"], comm="zeek.worker-eth", cwd="/"))[77]
    assert node.name == "worker-eth"
    assert "15 characters" in node.why["node"]


def test_containers(exe: Path, tmp_path: Path) -> None:
    container = "4f" * 32
    nodes = found(
        tmp_path,
        Process(77, exe=exe, cgroup=f"0::/system.slice/docker-{container}.scope", nspid="77\t1"),
        Process(78, exe=exe, cgroup=f"12:cpu:/x\n1:name=systemd:/docker/{container}", nspid="78\t6\t2"),
        Process(79, exe=exe, nspid="79"),
    )
    assert [(nodes[p].container, nodes[p].pid_inside) for p in (77, 78, 79)] == [
        ("4f4f4f4f4f4f", 1),
        ("4f4f4f4f4f4f", 2),
        (None, None),
    ]


def test_version_layout_and_pinning(exe: Path, tmp_path: Path) -> None:
    nodes = found(tmp_path, Process(77, exe=exe, cpus="2,4-5"), Process(78, exe=exe, cpus="0-7"))
    assert nodes[77].cpus == {2, 4, 5}
    assert nodes[78].cpus is None
    assert nodes[77].version is not None
    assert nodes[77].version.startswith("0.")
    assert nodes[77].layout in ("cache", "debug info", "none")


def test_what_may_not_be_read_is_blank_with_a_reason(tmp_path: Path) -> None:
    """As to a user who is not root: only comm, cmdline, stat and status of others' processes."""
    folder = tree(tmp_path / "proc", Process(77, exe=None, argv=zeekctl("worker-1"), environ=None, cwd=None))
    node = Discovery(folder).find()[0]
    assert (node.name, node.role) == ("worker-1", "worker")
    assert node.exe is node.version is node.layout is None
    assert node.why.keys() >= {"exe", "version", "layout"}


def test_nodes_come_in_natural_order(exe: Path, tmp_path: Path) -> None:
    names = ["worker-2", "worker-10", "manager", "worker-1"]
    processes = [Process(70 + i, exe=exe, environ={"CLUSTER_NODE": name}) for i, name in enumerate(names)]
    nodes = Discovery(tree(tmp_path / "proc", *processes)).find()
    assert [n.name for n in nodes] == ["manager", "worker-1", "worker-2", "worker-10"]


def test_names_cannot_move_the_cursor(exe: Path, tmp_path: Path) -> None:
    node = found(tmp_path, Process(77, exe=exe, environ={"CLUSTER_NODE": "worker\x1b[2J\n" + "x" * 999}))[77]
    assert node.name.isprintable()
    assert len(node.name) <= 128


@pytest.mark.parametrize("missing", ["stat", "comm", "cmdline", "environ", "status", "cgroup", "exe", "cwd"])
def test_a_process_may_go_between_any_two_reads(missing: str, exe: Path, tmp_path: Path) -> None:
    folder = tree(tmp_path / "proc", *(Process(pid, exe=exe) for pid in range(70, 80)))
    for pid in range(70, 79):
        (folder / str(pid) / missing).unlink()
    assert 79 in {n.pid for n in Discovery(folder).find()}


def test_a_process_that_becomes_another_is_left_out(exe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree(tmp_path / "proc", Process(77, exe=exe))
    times = iter([1, 2])
    monkeypatch.setattr(discovery, "_start_time", lambda _: next(times))
    assert Discovery(folder).find() == []


def test_an_executable_is_read_once(exe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tree(tmp_path / "proc", *(Process(pid, exe=exe) for pid in range(100, 600)))
    opened = []
    real = discovery._read_build

    def counting(path: Path) -> Any:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(discovery, "_read_build", counting)
    assert len(Discovery(folder).find()) == 500
    assert len(opened) == 1  # the executable is one


def test_nothing_is_there(tmp_path: Path) -> None:
    assert Discovery(tmp_path / "none").find() == []
    assert Discovery(tmp_path).node(os.getpid()) is None
