"""serve as its users ask it: windows and counters over HTTP, many at once, malformed ones, and who may ask at all."""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands import ZEEKSPY
from tests.support.targets import running
from zeekspy import cli, confine, standin
from zeekspy.export import pprof_read
from zeekspy.profile import Profile

pytestmark = pytest.mark.live
MANY = int(os.environ.get("ZEEKSPY_TEST_SCRAPES", "200"))
TOKEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


class Served:
    """A running ``zeekspy serve`` and a way to ask it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, said: str) -> None:
        self.process, self.port, self.said = process, port, said

    def get(self, path: str, timeout: float = 60, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def profile(self, query: str) -> tuple[Profile, int, int]:
        status, headers, data = self.get(f"/debug/pprof/{query}")
        assert status == 200, data
        return parsed(data), int(headers["X-Zeekspy-After"]), int(headers["X-Zeekspy-Until"])

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        status, _, data = self.get("/metrics")
        assert status == 200
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(data.decode()):
            for s in family.samples:
                found.setdefault(s.name, []).append((s.labels, s.value))
        return found

    def value(self, name: str) -> float:
        return sum(value for _, value in self.metrics()[name])

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(*args: object, command: list[str] | None = None) -> Iterator[Served]:
    process = subprocess.Popen(
        [*(command or []), *ZEEKSPY, "serve", "--listen", "127.0.0.1:0", *map(str, args)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        said = b""
        while b"listening on" not in said:
            line = process.stderr.readline()
            assert line, said.decode()
            said += line
        port = re.search(rb"listening on http://[^ ]*:([0-9]+)/", said)
        assert port is not None
        yield Served(process, int(port[1]), said.decode())
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def parsed(data: bytes) -> Profile:
    return pprof_read.read(io.BytesIO(data))


def sums(*profiles: Profile) -> Counter[Any]:
    result: Counter[Any] = Counter()
    for profile in profiles:
        for stack, labels, v in profile:
            result.update({(stack, labels, i): n for i, n in enumerate((v.count, v.cpu_ns, v.wall_ns)) if n})
    return result


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with running("2") as target, serving("--pid", target.pid, "--hz", 200) as made:
        yield made


def test_a_window_as_continuous_profilers_scrape_it(served: Served) -> None:
    began = time.monotonic()
    status, headers, data = served.get("/debug/pprof/profile?seconds=1")
    assert 1.0 <= time.monotonic() - began < 30
    assert status == 200
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == 'attachment; filename="zeek.pb.gz"'
    assert data.startswith(b"\x1f\x8b")
    profile = parsed(data)
    assert profile.duration_ns >= 1e9
    assert profile.total().count > 20
    assert profile.period_ns == 5_000_000
    assert {key for _, labels, _ in profile for key, _ in labels} <= {"node", "role"}
    assert any(frame.name and len(stack) > 1 for stack, _, _ in profile for frame in stack)


def test_windows_one_after_the_other_add_up_to_all(served: Served) -> None:
    first, zero, until = served.profile("total")
    assert zero == 0
    windows = [first]
    for _ in range(3):
        window, after, end = served.profile(f"profile?seconds=0.6&after={until}")
        assert after == until < end
        windows.append(window)
        until = end
    whole, _, last = served.profile("total")
    if last > until:
        rest, after, end = served.profile(f"profile?seconds=0.000001&after={until}")
        assert after == until
        windows.append(rest)
        until = end
    for _ in range(20):  # until both end with the same tick
        if last == until:
            break
        whole, _, last = served.profile("total")
        if last > until:
            rest, _, until = served.profile(f"profile?seconds=0.000001&after={until}")
            windows.append(rest)
    assert last == until
    assert sums(*windows) == sums(whole)
    assert sum(v.count for _, _, v in whole) > 100


def test_metrics_health_and_page(served: Served) -> None:
    served.get("/debug/pprof/profile?seconds=1")
    before, after = served.metrics(), served.metrics()
    own, every = "zeek_absolute_cpu_time_per_function_seconds", "zeek_cpu_time_per_function_seconds"
    assert {frozenset(labels) for labels, _ in before[own]} == {frozenset({"node", "name", "type", "script"})}
    assert len(before[every]) >= 3
    total = {tuple(labels.items()): value for labels, value in after[every]}
    for name in (own, every, "zeek_function_calls_total", "zeekspy_samples_total"):
        later = {tuple(labels.items()): value for labels, value in after[name]}
        assert all(later[tuple(labels.items())] >= value for labels, value in before[name])
    assert all(total[tuple(labels.items())] >= value - 1e-6 for labels, value in after[own])
    cpu = sum(value for _, value in after["zeekspy_target_cpu_seconds_total"])
    assert sum(value for _, value in after[own]) == pytest.approx(cpu, rel=0.1, abs=0.3)
    assert after["zeekspy_attached"][0][1] == 1
    assert served.get("/healthz")[0] == 200
    status, headers, page = served.get("/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.findall(rb"""(?:src|href)="?(?:https?:)?//""", page)
    live = json.loads(served.get("/live.json")[2])
    assert live["attached"] == 1
    assert live["bodies"][0]["own"] > 0
    assert b'id="data"' in served.get("/flamegraph?seconds=60")[2]
    assert b"profile?seconds=N" in served.get("/debug/pprof/")[2]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/debug/pprof/profile?seconds=0", 400, b"above 0"),
        ("/debug/pprof/profile?seconds=301", 400, b"300 at most"),
        ("/debug/pprof/profile?seconds=nan", 400, b"a number"),
        ("/debug/pprof/profile?seconds=-1", 400, b"a number"),
        ("/debug/pprof/profile?seconds=1e9", 400, b"a number"),
        ("/debug/pprof/profile?seconds=1&seconds=2", 400, b"given 2 times"),
        ("/debug/pprof/profile?seconds=1&after=999999999999", 400, b"number of a tick"),
        ("/debug/pprof/profile?node=worker-9", 404, b"no node is called 'worker-9'. There are zeek-"),
        ("/flamegraph?node=%ff%00", 404, b"no node is called"),
        ("/debug/pprof/heap", 404, b""),
        ("/../../etc/passwd", 404, b""),
    ],
)
def test_what_cannot_be_answered(served: Served, path: str, status: int, said: bytes) -> None:
    found, _, text = served.get(path)
    assert found == status
    assert said in text


def test_another_sites_name_is_refused(served: Served) -> None:
    assert served.get("/", Host="evil.example")[0] == 421
    assert served.get("/", Host=f"localhost:{served.port}")[0] == 200


def test_a_browser_shows_it(served: Served, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium: apt-get install chromium")
    served.get("/debug/pprof/profile?seconds=1")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=5000", "--dump-dom", f"http://127.0.0.1:{served.port}/"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    page = done.stdout.decode()
    if not page:
        pytest.skip(f"chromium does not work here: {done.stderr.decode()[-200:]}")
    assert "1 attached, " in page
    assert len(re.findall(r"<td>zeek-[0-9]+</td>", page)) == 1
    assert page.count('class="place"') >= 3


def malformed(random_: random.Random) -> bytes:
    """A request that is wrong in some way, or none at all."""
    good = b"GET /debug/pprof/profile?seconds=0.1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    kind = random_.randrange(8)
    if kind == 0:
        return random_.randbytes(random_.randrange(1, 2000))
    if kind == 1:
        return good[: random_.randrange(1, len(good))]
    if kind == 2:
        at = random_.randrange(len(good))
        return good[:at] + random_.randbytes(1) + good[at + 1 :]
    if kind == 3:
        return b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n"
    if kind == 4:
        return b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000 + b"\r\n"
    if kind == 5:
        return b"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
    if kind == 6:
        return b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100000
    return b"GET /debug/pprof/profile?" + random_.randbytes(30).hex().encode() + b"&seconds=%00 HTTP/9.9\r\n\r\n"


def test_two_hundred_scrapes_and_malformed_requests(served: Served) -> None:
    served.get("/debug/pprof/profile?seconds=0.5")
    files, resident = served.files(), served.resident()
    _, _, before = served.profile("total")
    taken = served.value("zeekspy_samples_total")
    answers: list[tuple[int, int]] = []

    def scrape() -> None:
        status, _, data = served.get("/debug/pprof/profile?seconds=2")
        answers.append((status, parsed(data).total().count if status == 200 else 0))

    threads = [threading.Thread(target=scrape) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    random_ = random.Random(6)
    for _ in range(MANY):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection, suppress(OSError):
            connection.sendall(malformed(random_))
            connection.settimeout(0.005)
            connection.recv(100)
    for thread in threads:
        thread.join(60)
    assert Counter(status for status, _ in answers) == {200: MANY}
    assert min(count for _, count in answers) > 20
    _, _, after = served.profile("total")
    assert after > before + 2
    # How many it can be depends on what this test itself leaves of the CPUs.
    assert served.value("zeekspy_samples_total") > taken + 20
    assert served.get("/healthz")[0] == 200
    assert served.value("zeekspy_waiting_requests") == 0
    deadline = time.monotonic() + 20
    while served.files() > files + 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert served.files() <= files + 3
    assert served.resident() < resident + (32 << 20)


def test_it_gives_up_all_but_answering(served: Served) -> None:
    if not confine.available():
        pytest.skip("this kernel has no seccomp filters")
    for task in Path(f"/proc/{served.process.pid}/task").iterdir():
        text = (task / "status").read_text()
        assert "\nSeccomp:\t2\n" in text
        kept = int(text.partition("CapPrm:\t")[2].split()[0], 16)
        assert not kept & ~sum(1 << n for n in confine.CAPABILITIES.values())


def test_nodes_come_and_go_and_sigterm_ends_it(tmp_path: Path) -> None:
    exe = tmp_path / "zeek"
    shutil.copy(standin.path("2"), exe)
    name = f"t{os.getpid()}-worker-1"

    def node() -> subprocess.Popen[bytes]:
        return subprocess.Popen([exe, "--duration", "60"], env={**os.environ, "CLUSTER_NODE": name}, stdout=-3)

    def until(attaches: int, attached: int) -> None:
        deadline = time.monotonic() + 30
        while True:
            found = served.metrics()
            if (
                sum(n for _, n in found.get("zeekspy_attaches_total", [])) == attaches
                and sum(n for _, n in found.get("zeekspy_attached", [])) == attached
            ):
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    with serving("--node", name) as served:
        assert f"no Zeek here is called {name!r}, and one that comes will be sampled" in served.said
        assert served.get("/debug/pprof/profile?seconds=0.1&node=nobody")[0] == 404
        for n in (1, 2):
            process = node()
            try:
                until(n, 1)
            finally:
                process.kill()
                process.wait()
            until(n, 0)
        assert {labels["node"] for labels, _ in served.metrics()["zeekspy_attaches_total"]} == {name}
        whole, _, _ = served.profile(f"total?node={name}")
        assert {labels for _, labels, _ in whole} == {(("node", name), ("role", "worker"))}
        waiting = threading.Thread(target=served.get, args=("/debug/pprof/profile?seconds=200",))
        waiting.start()
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
        waiting.join(20)
        assert not waiting.is_alive()


def test_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("short\n")
    token.chmod(0o600)

    def refused(code: int, said: str, hint: str, *args: object) -> None:
        assert cli.main(["serve", *map(str, args)]) == code
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2
        assert said in lines[0]
        assert hint in lines[1]

    refused(2, "say which Zeeks", "zeekspy ps")
    refused(2, "can be reached from other hosts", "--token-file", "all", "--listen", "0.0.0.0:0")
    refused(1, "has 5 characters", "urandom", "all", "--token-file", token)
    refused(2, "not an address", "127.0.0.1:6060", "all", "--listen", "127.0.0.1")
    token.write_text(TOKEN)
    refused(2, "no such address", "ip address", "all", "--listen", "192.0.2.1:6060", "--token-file", token)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        refused(1, "the port is in use", "--listen", "all", "--listen", where)
    refused(3, "no Zeek here is called 'nobody'", "zeekspy ps", "nobody", "--no-follow", "--listen", "127.0.0.1:0")


NET = """
set -e
ip link set lo up
ip address add 192.0.2.1/32 dev lo
exec "$@"
"""

ASK = """
import http.client, sys
connection = http.client.HTTPConnection("192.0.2.1", 6060, timeout=30)
connection.request("GET", "/metrics", headers={"Authorization": word for word in sys.argv[1:]})
print(connection.getresponse().status, end="")
"""


def test_from_another_address_only_with_the_token(tmp_path: Path) -> None:
    enter = ["unshare", "-n", "sh", "-c", NET, "sh"]
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("needs unshare and ip: install util-linux and iproute2")
    tried = subprocess.run([*enter, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(
            f"a network namespace of our own is not permitted here ({tried.stderr.decode().strip()}): run as root"
        )
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    with running("2") as target:
        command = [*enter, *ZEEKSPY, "serve", "--listen", "192.0.2.1:6060", "--pid", str(target.pid)]
        process = subprocess.Popen([*command, "--token-file", token], stderr=subprocess.PIPE)
        try:
            assert process.stderr is not None
            assert b"listening on http://192.0.2.1:6060/" in process.stderr.readline()
            ask = ["nsenter", "-n", "-t", str(process.pid), sys.executable, "-c", ASK]
            headers = {"nobody": [], "wrong": [f"Bearer {TOKEN[:-1]}x"], "right": [f"Bearer {TOKEN}"]}
            found = {
                who: subprocess.run([*ask, *those], capture_output=True, check=True).stdout.decode()
                for who, those in headers.items()
            }
        finally:
            process.kill()
            process.communicate()
    assert found == {"nobody": "401", "wrong": "401", "right": "200"}
