"""A real cluster under Zeek's supervisor, on loopback: every node and role, and a worker that dies and comes back.

By hand, with load: ZEEKSPY_CLUSTER_PCAP names a trace that tcpreplay puts on the loopback interface, where every worker
listens (as root), ZEEKSPY_CLUSTER_MBPS how fast; ZEEKSPY_CLUSTER_ZEEK names the executable.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import targets
from tests.support.commands import ZEEKSPY
from zeekspy import recording
from zeekspy.discovery import Discovery, Node
from zeekspy.profile import Profile

pytestmark = [pytest.mark.zeek, pytest.mark.live]
ROLES = {"manager": "manager", "logger-1": "logger", "proxy-1": "proxy"} | {
    f"worker-{i}": "worker" for i in range(1, 5)
}
FOLLOWED_S = 2.0
"""From the start of a worker's process to its first sample, on a machine that has a CPU to spare."""
PCAP = os.environ.get("ZEEKSPY_CLUSTER_PCAP")
MBPS = os.environ.get("ZEEKSPY_CLUSTER_MBPS", "10")
TRAFFIC = {"connection_state_remove", "new_connection", "get_file_handle", "http_header", "http_request", "dns_request"}
SCRIPT = """
@load base/frameworks/cluster
LOAD
redef exit_only_after_terminate = T;
redef Log::default_rotation_interval = 0secs;
global tick: event();
function burn(n: count): count { local s = 0; local i = 0; while ( i < n ) { s += i; ++i; } return s; }
event tick() { burn(3000); schedule 5msec { tick() }; }
event zeek_init()
	{
	if ( ! Supervisor::is_supervisor() )
		{
		schedule 10msec { tick() };
		return;
		}
	local roles = table(["manager"] = Supervisor::MANAGER, ["logger-1"] = Supervisor::LOGGER,
		["proxy-1"] = Supervisor::PROXY, ["worker-1"] = Supervisor::WORKER,
		["worker-2"] = Supervisor::WORKER, ["worker-3"] = Supervisor::WORKER,
		["worker-4"] = Supervisor::WORKER);
	local ports = table(PORTS);
	local cluster: table[string] of Supervisor::ClusterEndpoint;
	for ( name, role in roles )
		cluster[name] = [$role=role, $host=127.0.0.1, $p=ports[name]];
	for ( name, e in cluster )
		{
		local node = Supervisor::NodeConfig($name=name, $directory=name);
		node$cluster = cluster;
		if ( role == Supervisor::WORKER && "INTERFACE" != "" )
			node$interface = "INTERFACE";
		local problem = Supervisor::create(node);
		if ( problem != "" )
			print problem;
		}
	}
"""
"""Without PCAP nodes read no packets, so that no capability for that is needed."""


def zeek() -> Path:
    """The newest one that has a supervisor and a cluster without further services."""
    if named := os.environ.get("ZEEKSPY_CLUSTER_ZEEK"):
        return Path(named)
    found = [z for z in targets.zeeks() if "-8." in z.parent.parent.name or "-7." in z.parent.parent.name]
    if not found:
        pytest.skip("no Zeek 7 or 8 here: name its executable in ZEEKSPY_TEST_ZEEK")
    return found[-1]


def free_ports(n: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def ours(supervisor: int) -> dict[str, Node]:
    """The supervisor's nodes by name."""
    return {n.name: n for n in Discovery().find() if n.by in ("title", "-j") and _session(n.pid) == supervisor}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    ports = ", ".join(f'["{n}"] = {p}/tcp' for n, p in zip(ROLES, free_ports(len(ROLES)), strict=True))
    broker = zeek().parent.parent / "share/zeek/policy/frameworks/cluster/backend/broker"
    backend = "@load policy/frameworks/cluster/backend/broker" if broker.is_dir() else ""  # the default until 8.1
    script = SCRIPT.replace("PORTS", ports).replace("LOAD", backend).replace("INTERFACE", "lo" if PCAP else "")
    (tmp_path / "cluster.zeek").write_text(script)
    load: subprocess.Popen[bytes] | None = None
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [zeek(), "-C", "-j", "cluster.zeek"], cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    try:
        end = time.monotonic() + 120
        while not ROLES.keys() <= ours(process.pid).keys():
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.5)
        time.sleep(10)  # scripts are being read
        if PCAP:
            command = ["tcpreplay", "--intf1", "lo", "--mbps", MBPS, "--loop", "0", "--quiet", PCAP]
            with (tmp_path / "tcpreplay").open("wb") as said:
                load = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        yield process
        assert load is None or load.poll() is None, (tmp_path / "tcpreplay").read_text()[-1000:]
    finally:
        if load is not None:
            load.kill()
            load.wait()
        rest = [n.pid for n in ours(process.pid).values()]
        process.kill()
        process.wait()
        for pid in rest:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def started(node: Node) -> float:
    """When its process was started, seconds since the epoch."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot + node.start_time / os.sysconf("SC_CLK_TCK")


def first_sample(profile: Profile, pid: int) -> float:
    """When that process was first sampled, seconds since the epoch."""
    assert profile.times is not None
    keys = profile.times.keys
    first = next(t_us for t_us, slot, _ in profile.times if ("pid", str(pid)) in keys[slot][1])
    return profile.time_ns / 1e9 + first / 1e6


def test_a_cluster(supervisor: subprocess.Popen[bytes], tmp_path: Path) -> None:
    nodes = ours(supervisor.pid)
    assert {name: node.role for name, node in nodes.items()} == {**ROLES, "supervisor": "supervisor"}
    assert all(node.version for node in nodes.values())
    first = nodes["worker-2"].pid
    recorder = subprocess.Popen(
        [*ZEEKSPY, "record", "workers", "--follow", "-o", f"{tmp_path}/out/", "--stats", f"{tmp_path}/stats.json"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(15 if PCAP else 5)
        os.kill(first, signal.SIGKILL)
        end = time.monotonic() + 60
        while ours(supervisor.pid).get("worker-2", nodes["worker-2"]).pid == first:
            assert time.monotonic() < end, "the supervisor has not started the worker again"
            time.sleep(0.2)
        time.sleep(25 if PCAP else 15)
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=60)
    finally:
        recorder.kill()
    assert recorder.returncode == 0, said
    again = ours(supervisor.pid)["worker-2"]
    second = again.pid
    assert f"worker-2 (pid {second}) is sampled from now on, started again: it was pid {first}" in said
    stats = [
        r
        for r in json.loads((tmp_path / "stats.json").read_text())
        if r["pid"] in {n.pid for n in nodes.values()} | {second}
    ]
    assert sorted(r["node"] for r in stats) == ["worker-1", "worker-2", "worker-2", "worker-3", "worker-4"]
    assert all(r["samples"] > 20 for r in stats), said
    merged = recording.read(str(tmp_path / "out" / "all.pb.gz"))
    for name in (n for n, role in ROLES.items() if role == "worker"):
        own = recording.read(str(tmp_path / "out" / f"{name}.pb.gz"))
        part = sum(v.count for _, labels, v in merged if dict(labels)["node"] == name)
        assert part == own.total().count > 20
    late = first_sample(recording.read(str(tmp_path / "out" / "worker-2.pb.gz")), second) - started(again)
    print(f"worker-2 was sampled {late:.2f} s after it had been started again")
    assert late <= (FOLLOWED_S if os.getloadavg()[0] < len(os.sched_getaffinity(0)) else 20)
    if PCAP:
        assert TRAFFIC & {frame.name for stack, _, _ in merged for frame in stack}
    assert "burn" in {frame.name for stack, _, _ in merged for frame in stack}
