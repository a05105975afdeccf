"""Threads of a process and network time: what is there, what has gone, and what cannot be."""

from __future__ import annotations

import os
import struct
import threading
import time

import pytest

from zeekspy._core import Memory
from zeekspy.process import Threads, cpu_between, network_time


def test_the_busy_thread_is_found() -> None:
    stop, ids = threading.Event(), []

    def spin() -> None:
        ids.append(threading.get_native_id())
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=spin)
    threads = Threads(os.getpid())
    before, begin = threads.look(), time.monotonic()
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            time.sleep(0.05)
            found = cpu_between(before, threads.look(), time.monotonic() - begin, os.getpid())
            spun = [t for t in found if t.tid in ids]
            if spun and spun[0].cpu > 0.01:
                break
        assert spun
        assert 0.01 < spun[0].cpu < 1.5
        assert not spun[0].main
        assert [t.tid for t in found if t.main] == [os.getpid()]
    finally:
        stop.set()
        thread.join()
    deadline = time.monotonic() + 10
    while ids[0] in threads.look() and time.monotonic() < deadline:  # joined before the kernel is done with it
        time.sleep(0.01)
    assert ids[0] not in threads.look()


def test_shares_are_of_what_was_used_since() -> None:
    before = {1: ("zeek", 5_000_000_000), 2: ("old", 10**9), 3: ("gone", 10**9)}
    now = {1: ("zeek", 7_000_000_000), 2: ("old", 10**9), 4: ("new", 500_000_000)}
    found = cpu_between(before, now, 2.0, 1)
    assert [(t.name, t.cpu, t.main) for t in found] == [("zeek", 1.0, True), ("new", 0.25, False), ("old", 0.0, False)]
    assert cpu_between(before, now, 0.0, 1) == ()


def test_times_that_run_backwards_are_nothing() -> None:
    assert cpu_between({1: ("a", 100)}, {1: ("a", 50)}, 1.0, 1)[0].cpu == 0  # the number is another thread's now


def test_no_process() -> None:
    assert Threads((1 << 22) + 1).look() == {}


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (struct.pack("<d", 1.7e9), 1.7e9),
        (struct.pack("<d", 0.0), None),
        (struct.pack("<d", float("nan")), None),
        (struct.pack("<d", float("inf")), None),
        (struct.pack("<d", -1.7e9), None),
        (b"\0\0\0\0", None),
    ],
)
def test_network_time(data: bytes, wanted: float | None) -> None:
    assert network_time(Memory.image([(0x1000, data)]), 0x1000) == wanted


def test_no_network_time() -> None:
    memory = Memory.image([(0x1000, bytes(8))])
    assert network_time(memory, 0) is None
    assert network_time(memory, 0x9000) is None
