"""The server with a Feed that tests fill: what is bounded, what is shared, and what happens when sampling stops."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from zeekspy.profile import CORE, Frame, Values
from zeekspy.serve import server, web
from zeekspy.serve.render import Renderer
from zeekspy.serve.series import Series
from zeekspy.serve.store import Store

LABELS = (("node", "worker-1"),)
SOON_S = 20.0


class FilledByHand:
    """What server.Service sees of a feed.Feed."""

    def __init__(self) -> None:
        self.alive, self.attached = True, ()
        self.on_tick: Callable[[], None] = lambda: None
        self.started = threading.Event()

    def start(self) -> None:
        self.started.set()

    def stop(self) -> None:
        self.alive = False


class Running:
    def __init__(self, max_rows: int = 1 << 20) -> None:
        self.feed = FilledByHand()
        self.series = Series()
        self.series.come("worker-1", 0.0)
        self.store = Store(time.monotonic(), time.time_ns(), keep_s=400, max_rows=max_rows)
        sock = server.listen("127.0.0.1", 0)
        self.port = sock.getsockname()[1]
        self.stopped = threading.Event()
        self.service = server.Service(self.store, self.series, {"hz_asked": 100.0}, None)
        run = lambda: self.service.run(self.feed, sock, lambda: None, self.stopped.is_set)  # type: ignore[arg-type]  # noqa: E731
        self.thread = threading.Thread(target=run)
        self.thread.start()
        assert self.feed.started.wait(SOON_S)

    def tick(self, n: int = 1) -> None:
        samples = [((Frame(f"f{i}", "event", None, None, None),), LABELS, Values(1, 1, 1)) for i in range(n)]
        self.store.add(time.monotonic(), time.time_ns(), [((CORE,), LABELS, Values(1, 1, 1)), *samples])
        self.feed.on_tick()

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOON_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def waiting(self, n: int) -> bool:
        deadline = time.monotonic() + SOON_S
        while time.monotonic() < deadline:
            if f"\nzeekspy_waiting_requests {n}.0\n".encode() in self.get("/metrics")[1]:
                return True
            time.sleep(0.02)
        return False

    def end(self) -> None:
        self.stopped.set()
        self.thread.join(SOON_S)


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.end()
    assert not made.thread.is_alive()


def connected(running: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=SOON_S)


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_half_a_request_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "QUIET_S", 0.2)
    running = Running()
    try:
        for said in (b"", b"GET /healthz HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "):
            with connected(running) as connection:
                connection.sendall(said)
                assert closed(connection), said
    finally:
        running.end()


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    kept = [connected(running) for _ in range(3)]
    with connected(running) as connection:
        assert closed(connection)
    for connection in kept:
        connection.close()
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        try:
            if running.get("/debug/pprof/")[0] == 200:
                return
        except (ConnectionError, http.client.HTTPException):
            time.sleep(0.02)
    pytest.fail("it answers no more")


def test_waiting_is_bounded_and_ends_when_whoever_asked_leaves(
    monkeypatch: pytest.MonkeyPatch, running: Running
) -> None:
    monkeypatch.setattr(web, "WAITING", 2)
    waiting = [connected(running) for _ in range(2)]
    for connection in waiting:
        connection.sendall(b"GET /debug/pprof/profile?seconds=250 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert running.waiting(2)
    status, said = running.get("/debug/pprof/profile?seconds=1")
    assert status == 503
    assert b"2 requests are waiting already" in said
    for connection in waiting:
        connection.close()
    assert running.waiting(0)


def test_many_that_ask_for_one_window_share_its_making(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    made = []
    profile = Renderer.profile

    def counted(self: Renderer, after: int, until: int, node: str | None) -> bytes:
        made.append((after, until, node))
        return profile(self, after, until, node)

    monkeypatch.setattr(Renderer, "profile", counted)
    running.tick()
    answers: list[tuple[int, bytes]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(running.get("/debug/pprof/profile?seconds=0.3")))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    assert running.waiting(20)
    time.sleep(0.4)
    running.tick()
    for thread in threads:
        thread.join(SOON_S)
    assert {status for status, _ in answers} == {200}
    assert len(answers) == 20
    assert len({data for _, data in answers}) == 1
    assert made == [(1, 2, None)]


def test_a_window_that_is_not_kept_is_refused() -> None:
    running = Running(max_rows=100)
    try:
        for _ in range(20):
            running.tick(9)
        status, said = running.get("/debug/pprof/profile?seconds=0.000001&after=2")
        assert status == 503
        assert b"ask for a shorter window" in said
        assert running.get("/debug/pprof/profile?seconds=0.000001&after=15")[0] == 200
    finally:
        running.end()


def test_metrics_are_compressed_for_those_who_say_so(running: Running) -> None:
    plain = running.get("/metrics")[1]
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=SOON_S)
    connection.request("GET", "/metrics", headers={"Accept-Encoding": "identity, gzip"})
    answer = connection.getresponse()
    assert answer.headers["Content-Encoding"] == "gzip"
    data = gzip.decompress(answer.read())
    connection.close()
    assert data.splitlines()[:20] == plain.splitlines()[:20]
    assert len(data) > 500


def test_health_says_when_sampling_stands_still(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    running.tick()
    assert running.get("/healthz") == (200, b"ok\n")
    monkeypatch.setattr(web, "STALLED_S", 0.0)
    status, said = running.get("/healthz")
    assert status == 503
    assert b"nothing has been sampled for" in said


def test_the_end_of_sampling_ends_it(running: Running) -> None:
    running.tick()
    with connected(running) as connection:
        connection.sendall(b"GET /debug/pprof/profile?seconds=250 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert running.waiting(1)
        running.feed.alive = False
        running.feed.on_tick()
        assert b"200 OK" in connection.recv(1000)  # with what there is
    running.thread.join(SOON_S)
    assert not running.thread.is_alive()
