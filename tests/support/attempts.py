"""A program: tries every way to write another process, to send, to start and to damage; then confines itself and tries
them again. Prints one JSON object: by attempt [errno before, errno after], 0 where it went well.

Arguments: an empty folder, and those of ``_core.confine``'s "stops", "publish" and "serve" that are to be on.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from zeekspy import _core

X86 = platform.machine() == "x86_64"
SYSCALLS = {
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "execveat": (322, 281),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "unshare": (272, 97),
    "setns": (308, 268),
    "init_module": (175, 105),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "mseal": (462, 462),
}
SEIZE, INTERRUPT, POKEDATA, DETACH, ATTACH, SETOPTIONS = 0x4206, 0x4207, 5, 17, 16, 0x4200
EXITKILL = 1 << 20
SECRET = 0x5EC2E7
ANY = -1 & (1 << 64) - 1

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
word = ctypes.c_uint64(SECRET)  # the target, a fork, has it at the same address
address = ctypes.addressof(word)


class Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


def call(name: str, *args: object) -> int:
    """A system call as it is; raises OSError."""
    number = SYSCALLS[name][0 if X86 else 1]
    got: int = libc.syscall(ctypes.c_long(number), *(ctypes.c_ulong(a) if isinstance(a, int) else a for a in args))
    if got < 0:
        raise OSError(ctypes.get_errno(), name)
    return got


def peek() -> int:
    with open(f"/proc/{target}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return int.from_bytes(memory.read(8), sys.byteorder)


def writes(how: Callable[[], object]) -> Callable[[], None]:
    """An attempt that must have changed the target's word if it raises nothing."""

    def attempt() -> None:
        how()
        assert peek() == SECRET + 1, "nothing was written"
        how_back()

    def how_back() -> None:
        local, remote = Iovec(ctypes.addressof(word), 8), Iovec(address, 8)
        call("process_vm_writev", target, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)

    return attempt


def vm_writev() -> None:
    value = ctypes.c_uint64(SECRET + 1)
    local, remote = Iovec(ctypes.addressof(value), 8), Iovec(address, 8)
    call("process_vm_writev", target, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)


def poke(attach: int) -> None:
    try:
        call("ptrace", attach, target, 0, 0)
        if attach == SEIZE:
            call("ptrace", INTERRUPT, target, 0, 0)
        os.waitpid(target, 0x40000000)  # __WALL
        call("ptrace", POKEDATA, target, address, SECRET + 1)
    finally:
        with contextlib.suppress(OSError):
            call("ptrace", DETACH, target, 0, 0)


def memory_file(flags: int, how: Callable[..., int] = os.open) -> None:
    fd = how(f"/proc/{target}/mem", flags)
    try:
        os.pwrite(fd, (SECRET + 1).to_bytes(8, sys.byteorder), address)
    finally:
        os.close(fd)


def open_by_at(path: str, flags: int) -> int:
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        return os.open(os.path.basename(path), flags, dir_fd=folder)
    finally:
        os.close(folder)


def openat2(path: str, flags: int) -> int:
    how = ctypes.create_string_buffer(struct.pack("QQQ", flags, 0, 0))
    return call("openat2", -100 & ANY, ctypes.c_char_p(path.encode()), how, 24)


def pwrite_on_read_only() -> None:
    memory_file(os.O_RDONLY)


def pidfd_signal() -> None:
    fd = call("pidfd_open", target, 0)
    try:
        call("pidfd_send_signal", fd, 0, 0, 0)
    finally:
        os.close(fd)


def pidfd_getfd() -> None:
    fd = call("pidfd_open", target, 0)
    try:
        os.close(call("pidfd_getfd", fd, 0, 0))
    finally:
        os.close(fd)


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def clone3() -> None:
    args = ctypes.create_string_buffer(struct.pack("8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
    child = call("clone3", args, 64)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def spawn() -> None:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


def execute() -> None:
    os.execv("/nonexistent", ["x"])  # comes back with another error than a refusal


def create(folder: Path) -> None:
    (folder / "new").write_bytes(b"")
    (folder / "new").unlink()


def publish(folder: Path) -> None:
    os.link(folder / "there", folder / "linked")
    os.rename(folder / "linked", folder / "renamed")
    os.unlink(folder / "renamed")


def attempts(folder: Path) -> dict[str, Callable[[], object]]:
    mine = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "process_vm_writev": writes(vm_writev),
        "ptrace seize and poke": writes(lambda: poke(SEIZE)),
        "ptrace attach and poke": writes(lambda: poke(ATTACH)),
        "mem open O_RDWR": writes(lambda: memory_file(os.O_RDWR)),
        "mem open O_WRONLY": writes(lambda: memory_file(os.O_WRONLY)),
        "mem openat": writes(lambda: memory_file(os.O_RDWR, open_by_at)),
        "mem openat2": writes(lambda: memory_file(os.O_RDWR, openat2)),
        "mem opened for reading": pwrite_on_read_only,
        "kill": lambda: os.kill(target, 0),
        "pidfd_send_signal": pidfd_signal,
        "pidfd_getfd": pidfd_getfd,
        "affinity of another": lambda: os.sched_setaffinity(target, os.sched_getaffinity(target)),
        "limits of another": lambda: resource.prlimit(target, resource.RLIMIT_NOFILE, mine),
        "socket": lambda: socket.socket().close(),
        "unix socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "socketpair": lambda: [s.close() for s in socket.socketpair()],
        "bind": lambda: unbound.bind(("127.0.0.1", 0)),
        "connect": lambda: unconnected.connect(listening.getsockname()),
        "send to an address": lambda: datagrams.sendto(b"x", datagrams.getsockname()),
        "fast open": lambda: unconnected.sendto(b"", 0x20000000, listening.getsockname()),
        "message fast open": lambda: connected.sendmsg([b"x"], [], 0x20000000),
        "socket option": lambda: connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        "listen": lambda: listening.listen(5),
        "accept": accept,
        "answer": lambda: connected.send(b"x"),
        "answer by message": lambda: connected.sendmsg([b"x"]),
        "no delay": lambda: connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        "fork": fork,
        "clone3": clone3,
        "posix_spawn": spawn,
        "execve": execute,
        "execveat": lambda: call("execveat", -1 & ANY, b"/nonexistent", 0, 0, 0),
        "io_uring": lambda: call("io_uring_setup", 1, 0),
        "bpf": lambda: call("bpf", 0, 0, 0),
        "perf_event_open": lambda: call("perf_event_open", 0, 0, -1 & ANY, -1 & ANY, 0),
        "unshare": lambda: call("unshare", 0),
        "setns": lambda: call("setns", -1 & ANY, 0),
        "init_module": lambda: call("init_module", 0, 0, 0),
        "create": lambda: create(folder),
        "truncate": lambda: os.truncate(folder / "there", 0),
        "publish": lambda: publish(folder),
        "ptrace seize": lambda: [call("ptrace", SEIZE, target, 0, 0), stop_and_detach()],
        "ptrace exitkill": lambda: [call("ptrace", SEIZE, target, 0, EXITKILL), stop_and_detach()],
        "read": lambda: (folder / "there").read_bytes(),
        "kill self": lambda: os.kill(os.getpid(), 0),
        "affinity of self": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
        "mseal": lambda: call("mseal", address & ~4095, 0, 0),
    }


def accept() -> None:
    with contextlib.suppress(BlockingIOError):  # nobody is waiting: it may be asked
        listening.accept()[0].close()


def stop_and_detach() -> None:
    call("ptrace", INTERRUPT, target, 0, 0)
    os.waitpid(target, 0x40000000)
    call("ptrace", DETACH, target, 0, 0)


def result(attempt: Callable[[], object]) -> int:
    try:
        attempt()
    except OSError as e:
        return e.errno or -1
    return 0


parent = os.getpid()
target = os.fork()
if target == 0:
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: nothing can end it once its parent is confined
    while os.getppid() == parent:
        signal.pause()
    os._exit(0)
listening = socket.create_server(("127.0.0.1", 0))
connected = socket.create_connection(listening.getsockname())
peer = listening.accept()[0]
listening.setblocking(False)
unbound, unconnected, datagrams = socket.socket(), socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
place = Path(sys.argv[1])
(place / "there").touch()
tried = attempts(place)
before = {name: result(attempt) for name, attempt in tried.items()}
_core.confine(stops="stops" in sys.argv, publish="publish" in sys.argv, serve="serve" in sys.argv, capabilities=1 << 19)
after = {name: result(attempt) for name, attempt in tried.items()}
status = Path("/proc/self/status").read_text()
print(
    json.dumps(
        {
            "attempts": {name: [before[name], after[name]] for name in tried},
            "unharmed": peek() == SECRET,
            "status": dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line),
        }
    )
)
