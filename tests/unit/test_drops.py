"""Sources of packet drops: what they say, what they may not say, and counters that begin anew."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy.errors import UsageError
from zeekspy.rolling import sources
from zeekspy.rolling.grammar import parse
from zeekspy.rolling.measures import STALE_S, Drops, Measured
from zeekspy.rolling.sources import Command, Counted, Metrics, NoAnswer, Reading, StatsLog, metrics, source

TEXT = """\
# HELP zeek_net_dropped_packets_total Total number of packets dropped
# TYPE zeek_net_dropped_packets_total counter
zeek_net_dropped_packets_total{endpoint="worker-1"} 7
zeek_net_dropped_packets_total{endpoint="worker-2"} 1
# TYPE zeek_net_received_packets_total counter
zeek_net_received_packets_total{endpoint="worker-1"} 1000
zeek_net_received_packets_total{endpoint="worker-2"} 2e3
# TYPE something_else gauge
something_else{a="} 1
"""


def test_metrics() -> None:
    found = metrics(TEXT, 5.0, "here")
    assert found == {"worker-1": Counted(7, 1000, 5.0), "worker-2": Counted(1, 2000, 5.0)}
    assert metrics(TEXT.replace("endpoint", "node"), 5.0, "here") == found
    alone = "zeek_net_dropped_packets_total 3\nzeek_net_received_packets_total 4\n"
    assert metrics(alone, 1.0, "here") == {"": Counted(3, 4, 1.0)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zeek_net_dropped_packets_total 3\n",
        "zeek_net_dropped_packets_total -3\nzeek_net_received_packets_total 4\n",
        "zeek_net_dropped_packets_total NaN\nzeek_net_received_packets_total 4\n",
        "zeek_net_dropped_packets_total +Inf\nzeek_net_received_packets_total 4\n",
        "zeek_net_dropped_packets_total{ 3\nzeek_net_received_packets_total 4\n",
        "zeek_net_dropped_packets_total many\n",
    ],
)
def test_metrics_that_say_nothing(text: str) -> None:
    with pytest.raises(NoAnswer):
        metrics(text, 1.0, "here")


@given(st.text(st.sampled_from('zeek_net_dropped_packets_total{="}1,\n .-'), max_size=200))
def test_metrics_that_are_nonsense(text: str) -> None:
    try:
        found = metrics("zeek_net_" + text, 1.0, "here")
    except NoAnswer:
        return
    assert found


@contextmanager
def server(handle: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}/metrics"
    finally:
        made.shutdown()
        made.server_close()


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TEXT.encode())

    def log_message(self, *args: object) -> None: ...


class Refuses(Answers):
    def do_GET(self) -> None:
        self.send_error(404)


def test_a_server() -> None:
    with server(Answers) as url:
        assert Metrics(url).read()["worker-1"].dropped == 7
    with pytest.raises(NoAnswer, match="does not answer"):
        Metrics(url).read()
    with server(Refuses) as url, pytest.raises(NoAnswer):
        Metrics(url).read()


def test_a_server_that_hangs_or_speaks_no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/metrics"
        with pytest.raises(NoAnswer):
            Metrics(url).read()

        def answer() -> None:
            for _ in range(2):  # the one that was not answered, and the next
                connection, _ = silent.accept()
                connection.recv(4096)
                connection.sendall(b"\x00\x01garbage\r\n\r\n")
                connection.close()

        monkeypatch.setattr(sources, "TIMEOUT_S", 5.0)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(NoAnswer):
            Metrics(url).read()
        thread.join(5)


HEAD = "#separator \\x09\n#fields\tts\tpeer\tmem\tpkts_proc\tpkts_dropped\n"


def test_stats_log(tmp_path: Path) -> None:
    path = tmp_path / "stats.log"
    log = StatsLog(path)
    with pytest.raises(NoAnswer):
        log.read()
    path.write_text(HEAD + "100.0\tworker-1\t5\t1000\t10\n")
    assert log.read() == {"worker-1": Counted(0, 0, 100.0)}  # before we came
    with path.open("a") as f:
        f.write("400.0\tworker-1\t5\t900\t100\n400.0\tlogger\t5\t-\t-\n700.0\tworker-1\t5")
    assert log.read() == {"worker-1": Counted(100, 900, 400.0)}
    with path.open("a") as f:
        f.write("\t1\t2\n#close\n")
    assert log.read() == {"worker-1": Counted(102, 901, 700.0)}
    path.rename(tmp_path / "old")
    path.write_text(json.dumps({"ts": 1000.0, "peer": "worker-1", "pkts_proc": 8, "pkts_dropped": 3}) + "\n[\n{\n")
    assert log.read() == {"worker-1": Counted(105, 909, 1000.0)}


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_BYTES", 1 << 18)
    path = tmp_path / "stats.log"
    path.write_text(HEAD + "".join(f"{t}.0\tw\t5\t100\t1\n" for t in range(40_000)))
    log = StatsLog(path)
    assert log.read() == {"w": Counted(0, 0, 39_999.0)}
    with path.open("a") as f:
        f.write("50000.0\tw\t5\t100\t7\n")
    assert log.read() == {"w": Counted(7, 100, 50_000.0)}


def test_a_command() -> None:
    assert Command(["echo", "5 10"]).read()[""].dropped == 5
    both = Command(["printf", "worker-1 1 2\\nworker-2 3 4\\n"]).read()
    assert {n: (c.dropped, c.received) for n, c in both.items()} == {"worker-1": (1, 2), "worker-2": (3, 4)}


@pytest.mark.parametrize(
    "words", [["false"], ["echo"], ["echo", "1 2 3 4"], ["echo", "a b"], ["echo", "-1 5"], ["/nowhere"]]
)
def test_a_command_that_says_nothing(words: list[str]) -> None:
    with pytest.raises(NoAnswer):
        Command(words).read()


def test_a_command_that_hangs_or_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "TIMEOUT_S", 0.3)
    began = time.monotonic()
    for words in (["sh", "-c", "sleep 60 & sleep 60"], ["yes", "x" * 100]):
        with pytest.raises(NoAnswer):
            Command(words).read()
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("text", ["", "command:", "command:'", "ftp://x/y"])
def test_no_source(text: str) -> None:
    with pytest.raises(UsageError):
        source(text)


def test_which_source_is_meant() -> None:
    assert isinstance(source("http://h/metrics"), Metrics)
    assert isinstance(source("stats.log"), StatsLog)
    assert source("command:cat 'a b'").name == "cat 'a b'"


SHARE, RATE = parse("drops>10%"), parse("drops>5/s")


def measured(drops: Drops, counted: Counted | None, at: float, name: str = "worker-1") -> tuple[Measured, Measured]:
    readings: dict[int, tuple[float, Reading]] = {0: (at, {name: counted})} if counted is not None else {}
    drops.add(readings)
    return tuple(drops.measured(c, readings, {0: "it is silent"} if not readings else {}, at) for c in (SHARE, RATE))  # type: ignore[return-value,arg-type]


def test_counters_between_two_readings() -> None:
    drops = Drops("worker-1", ["here"], 0.0, False)
    assert measured(drops, None, 0.0)[0] == Measured(None, "it is silent")
    assert measured(drops, Counted(5, 95, 10.0), 10.0)[0].value is None
    share, rate = measured(drops, Counted(25, 175, 12.0), 12.0)
    assert (share.value, rate.value) == (0.2, 10.0)
    share, rate = measured(drops, Counted(25, 175, 14.0), 14.0)
    assert (share.value, rate.value) == (0.0, 0.0)


def test_counters_that_begin_anew_are_no_drops() -> None:
    drops = Drops("worker-1", ["here"], 0.0, False)
    measured(drops, Counted(50, 100, 1.0), 1.0)
    measured(drops, Counted(51, 200, 2.0), 2.0)
    share, rate = measured(drops, Counted(3, 10, 3.0), 3.0)
    assert (share.value, rate.value) == (None, None)
    assert "anew" in share.why
    assert drops.resets == 1
    assert measured(drops, Counted(3, 20, 4.0), 4.0)[0].value == 0.0


def test_an_old_answer_says_nothing() -> None:
    drops = Drops("worker-1", ["here"], 0.0, False)
    for t in (1.0, 2.0):
        measured(drops, Counted(t, t, t), t)
    readings: dict[int, tuple[float, Reading]] = {0: (2.0, {"worker-1": Counted(2, 2, 2)})}
    assert isinstance(SHARE, type(RATE))
    found = drops.measured(SHARE, readings, {0: "connection refused"}, 2.0 + STALE_S + 1)  # type: ignore[arg-type]
    assert found == Measured(None, "connection refused")


def test_whose_counters_they_are() -> None:
    one = Counted(1, 1, 1)
    assert Drops("a", ["x"], 0, True)._of({"b": one}) is one  # the only node and the only one spoken of
    assert Drops("a", ["x"], 0, False)._of({"b": one}) is None
    assert Drops("a", ["x"], 0, False)._of({"": one}) is one
    assert Drops("a", ["x"], 0, True)._of({"b": one, "c": one}) is None


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.floats(0.1, 5)), min_size=2, max_size=30))
def test_over_a_time_it_is_what_was_counted_in_it(steps: list[tuple[int, int, float]]) -> None:
    condition = parse("drops>1%/10s")
    drops = Drops("w", ["x"], 10.0, False)
    seen, dropped, received, at = [], 0, 0, 0.0
    for more, got, seconds in steps:
        dropped, received, at = dropped + more, received + got, at + seconds
        seen.append(Counted(dropped, received, at))
        drops.add({0: (at, {"w": seen[-1]})})
    first = next(c for c in seen if c.at >= at - 10.0)
    first = seen[-2] if first is seen[-1] else first
    a, b = dropped - first.dropped, received - first.received
    value = drops.measured(condition, {0: (at, {"w": seen[-1]})}, {}, at).value  # type: ignore[arg-type]
    assert value == pytest.approx(a / (a + b) if a + b else 0.0)
