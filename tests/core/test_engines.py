"""Engines: what they do to a target's signals, calls and state, to our own threads, and that exact ones are exact."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core.binding import ffi, lib
from tests.support.commands import untouched
from tests.support.plain import Plain, plain
from tests.support.targets import running
from zeekspy import _core, session
from zeekspy.errors import AccessDenied, NoSuchTarget
from zeekspy.standin import path as standin_path

pytestmark = pytest.mark.live
MS = 1_000_000
STOPPING = ("preempt", "ptrace")
every_engine = pytest.mark.parametrize("engine", _core.ENGINES)
TRACER = """
import ctypes, sys, time
while ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), 0, 0):  # PTRACE_SEIZE; for a moment it may be ours
    time.sleep(0.001)
print("traces", flush=True)
time.sleep(60)
"""


def threads() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/task")}


def settle(wanted: set[int]) -> set[int]:
    """The threads, once they are those wanted: a joined one is still there for a moment."""
    deadline = time.monotonic() + 10
    while threads() != wanted and time.monotonic() < deadline:
        time.sleep(0.005)
    return threads()


@contextmanager
def sampling(sampler: _core.Sampler) -> Iterator[int]:
    """Samples in a thread of its own all the while; the id of the sampler's thread."""
    before = threads()
    done, lost = threading.Event(), []

    def poll() -> None:
        while not done.is_set():
            batch = sampler.poll(50 * MS)
            if batch.lost is not None:
                lost.append(batch.lost)
                return

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        deadline = time.monotonic() + 20
        while sampler.stats()["samples"] < 3:
            assert not lost
            assert time.monotonic() < deadline
            time.sleep(0.005)
        (own,) = threads() - before - {poller.native_id or 0}
        yield own
        assert not lost
    finally:
        done.set()
        poller.join()


def test_the_names_are_those_of_the_core() -> None:
    assert _core.ENGINES == ("nonblocking", "preempt", "ptrace")
    assert lib.zs_engine_name(-1) == lib.zs_engine_name(3) == ffi.NULL
    with plain("busy(60)") as target, pytest.raises(ValueError, match="tuple"):
        target.sampler(100, "kprobe")


@pytest.mark.parametrize("engine", STOPPING)
def test_what_an_exact_engine_sees_is_whole(engine: str, era: str) -> None:
    """Functions of microseconds: the free-running engine loses part of a tenth and more of these stacks."""
    with running(era, "--micro") as process:
        s = _core.Sampler(session.attach(process.pid, None).walker(), process.pid, 1000, 3, engine=engine)
        deadline = time.monotonic() + 60
        while s.stats()["script"] < 1000 and time.monotonic() < deadline:
            assert s.poll(200 * MS).lost is None
        stats = s.stats()
        assert untouched(process)
    assert stats["script"] >= 1000
    assert stats["unreadable"] <= 0.001 * stats["script"]
    assert stats["torn"] <= 0.01 * stats["samples"]  # a target may be moved to another CPU while it is looked at


def test_an_engine_can_be_changed_between_polls(era: str) -> None:
    with running(era) as process:
        s = _core.Sampler(session.attach(process.pid, None).walker(), process.pid, 500, 3)
        stacks = 1
        for engine in (*_core.ENGINES, "nonblocking"):
            s.use(engine)
            before = s.stats()["samples"]
            batch = s.poll(200 * MS)
            stacks += len(batch.definitions[3]) - (stacks == 1)
            assert batch.lost is None
            assert s.stats()["samples"] > before
            assert all(run[1] < stacks for run in batch.runs)  # ids go on
        assert untouched(process)


@every_engine
def test_our_own_threads_stay_as_they_were(engine: str) -> None:
    before, cpus, policy = threads(), os.sched_getaffinity(0), os.sched_getscheduler(0)
    with plain("busy(60)") as target:
        s = target.sampler(500, engine)
        with sampling(s):
            assert os.sched_getaffinity(0) == cpus
            assert os.sched_getscheduler(0) == policy
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
        del s
        gc.collect()
    assert settle(before) == before
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0)) == (cpus, policy)


def test_preempt_sits_on_the_targets_cpu() -> None:
    with plain("busy(60)") as target:
        cpu = max(os.sched_getaffinity(0))
        os.sched_setaffinity(target.pid, {cpu})
        s = target.sampler(200, "preempt")
        with sampling(s) as own:
            deadline = time.monotonic() + 20
            while os.sched_getaffinity(own) != {cpu}:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            realtime = os.sched_getscheduler(own) in (os.SCHED_FIFO, os.SCHED_RR)
            assert s.stats()["realtime"] == realtime
            if os.geteuid() == 0:
                assert realtime


def test_others_keep_off_the_targets_cpu() -> None:
    cpus = os.sched_getaffinity(0)
    with plain("busy(60)") as target:
        os.sched_setaffinity(target.pid, {min(cpus)})
        for engine in ("nonblocking", "ptrace"):
            with sampling(target.sampler(200, engine)) as own:
                assert os.sched_getaffinity(own) == (cpus - {min(cpus)} or cpus)


def test_cpus_of_others_are_avoided_where_there_is_a_choice() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    with plain("busy(60)") as target:
        os.sched_setaffinity(target.pid, {cpus[0]})
        # All but the target's: then that one is the lesser evil to be kept off alone.
        with sampling(target.sampler(200, "nonblocking", avoid=(*cpus[1:], 100_000))) as own:
            assert os.sched_getaffinity(own) == (set(cpus[1:]) or set(cpus))
        if len(cpus) > 2:
            with sampling(target.sampler(200, "nonblocking", avoid=(cpus[1],))) as own:
                assert os.sched_getaffinity(own) == set(cpus[2:])


@every_engine
def test_signals_arrive(engine: str) -> None:
    with plain("while True: busy(1)") as target:
        s = target.sampler(5000, engine)
        with sampling(s):
            for _ in range(100):
                os.kill(target.pid, signal.SIGUSR1)
                assert target.line() == "signal"
        assert untouched(target.process)


@every_engine
@pytest.mark.parametrize("work", ["sleeps(300)", "reads(300)"])
def test_system_calls_are_not_interrupted(engine: str, work: str) -> None:
    with plain(f"sys.stdin.read(1); say({work})") as target:
        s = target.sampler(5000, engine)
        with sampling(s):
            assert target.process.stdin is not None
            target.process.stdin.write(b"x")
            assert target.line() == "0"


@every_engine
def test_job_control(engine: str) -> None:
    with plain("while True: busy(1)") as target:
        s = target.sampler(2000, engine)
        with sampling(s):
            for _ in range(5):
                os.kill(target.pid, signal.SIGSTOP)
                # To wait for it as its parent would take the tracer's own stops away, for both are this process.
                assert target.reaches("T")
                idle = s.stats()["idle"]
                deadline = time.monotonic() + 20
                while s.stats()["idle"] < idle + 20:
                    assert time.monotonic() < deadline
                    assert target.state() == "T"
                    time.sleep(0.001)
                os.kill(target.pid, signal.SIGCONT)
                assert target.reaches("RS")
                os.kill(target.pid, signal.SIGUSR1)
                assert target.line() == "signal"
        assert untouched(target.process)


@every_engine
def test_an_exit_is_the_parents(engine: str) -> None:
    with plain("busy(0.3); os._exit(7)") as target:
        batch = target.sampler(2000, engine).poll(60_000 * MS)
        assert isinstance(batch.lost, NoSuchTarget)
        assert target.process.wait(20) == 7


@every_engine
def test_the_main_thread_alone_exits(engine: str) -> None:
    with plain("busy(0.3); end_main_thread()") as target:
        s = target.sampler(2000, engine)
        assert isinstance(s.poll(60_000 * MS).lost, NoSuchTarget)
        assert target.reaches("Z")
        assert target.process.poll() is None  # the other thread goes on
        tracers = [t.read_text() for t in Path(f"/proc/{target.pid}/task").glob("*/status")]
        assert all("\nTracerPid:\t0\n" in text for text in tracers)


@every_engine
def test_after_an_exec_nothing_more_is_sampled(engine: str) -> None:
    with plain(
        "sys.stdin.read(1); say('go'); os.execv(sys.executable, [sys.executable, '-c', 'while 1: pass'])"
    ) as target:
        s = target.sampler(2000, engine)
        assert target.process.stdin is not None
        target.process.stdin.write(b"x")
        batch = s.poll(60_000 * MS)
        assert isinstance(batch.lost, NoSuchTarget)
        # A look in the middle of the exec itself may find memory that is neither program's.
        assert sum(run[3] for run in batch.runs if run[1]) <= 1
        assert untouched(target.process)


@contextmanager
def traced(target: Plain) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", TRACER, str(target.pid)], stdout=subprocess.PIPE) as tracer:
        assert tracer.stdout is not None
        assert tracer.stdout.readline() == b"traces\n"
        yield tracer.pid
        tracer.kill()


def test_a_traced_target_is_refused_by_ptrace_alone() -> None:
    with plain("while True: busy(1)") as target, traced(target) as tracer:
        with pytest.raises(AccessDenied, match=f"process {tracer} traces") as caught:
            target.sampler(100, "ptrace")
        assert caught.value.hint
        for engine in ("nonblocking", "preempt"):
            assert target.sampler(500, engine).poll(100 * MS).lost is None


def test_a_debugger_that_comes_later_costs_samples() -> None:
    with plain("while True: busy(1)") as target:
        s = target.sampler(500, "ptrace")
        with sampling(s):
            with traced(target):
                missed = s.stats()["missed"]
                deadline = time.monotonic() + 20
                while s.stats()["missed"] < missed + 20:
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
            samples = s.stats()["samples"]
            while s.stats()["samples"] < samples + 20:
                assert time.monotonic() < deadline + 20
                time.sleep(0.01)


class _CloneArgs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64) for name in ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack")
    ]
    _fields_ += [(name, ctypes.c_uint64) for name in ("stack_size", "tls", "set_tid", "set_tid_size", "cgroup")]


def start_as(pid: int, *command: str) -> int:
    """Runs a command under that pid, which must be free, by clone3's set_tid. Its pid, or -errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = ctypes.c_int(pid)
    args = _CloneArgs(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    child: int = libc.syscall(435, ctypes.byref(args), ctypes.c_size_t(ctypes.sizeof(args)))
    if child == 0:
        os.execv(command[0], command)
    return child if child > 0 else -ctypes.get_errno()


@every_engine
def test_a_pid_given_to_another_process_ends_the_sampling(engine: str, era: str) -> None:
    with running(era) as process:
        attachment = session.attach(process.pid, None)
        s = _core.Sampler(attachment.walker(), process.pid, 2000, 42, engine=engine)
        first = s.poll(100 * MS)
        assert first.lost is None
        process.kill()
        process.wait()
        again = start_as(process.pid, str(standin_path(era)), "--duration", "20")
        if again < 0:
            pytest.skip(f"no process can be given a pid of choice here: {os.strerror(-again)}")
        try:
            assert again == process.pid
            time.sleep(0.1)
            batch = s.poll(200 * MS)
            assert isinstance(batch.lost, NoSuchTarget)
            assert batch.runs == []
            assert not attachment.target.alive()
            assert "\nTracerPid:\t0\n" in Path(f"/proc/{again}/status").read_text()
        finally:
            os.kill(again, signal.SIGKILL)
            os.waitpid(again, 0)
