"""The attempts of ``attempts.py`` by what becomes of them."""

WORKS_BEFORE = (
    *("process_vm_writev", "ptrace seize and poke", "ptrace attach and poke", "mem open O_RDWR", "mem open O_WRONLY"),
    *("mem openat", "kill", "pidfd_send_signal", "pidfd_getfd", "affinity of another", "limits of another", "socket"),
    *("unix socket", "socketpair", "fork", "posix_spawn", "unshare", "create", "truncate", "publish", "ptrace seize"),
    *("ptrace exitkill", "bind", "connect", "send to an address", "socket option"),
)
ANSWERS = ("listen", "accept", "answer", "answer by message", "no delay")
"""What a server may do with the sockets that it has; all others may not."""
REACHED_BEFORE = (
    *("fast open", "message fast open"),
    *("execve", "execveat", "io_uring", "bpf", "perf_event_open", "setns", "init_module"),
)
UNKNOWN = ("mem openat2", "clone3")
"""Answered as by a kernel that does not know the call."""
NEVER = ("mem opened for reading",)
ALLOWED = ("read", "kill self", "affinity of self", "mseal")
