// What this process can no longer do once it has attached. The filter is a list of refusals that leaves out no way to
//   write another process: process_vm_writev, ptrace, /proc/PID/mem (no file can be opened for writing any more, by any
//     of the calls that open files, io_uring included), descriptors taken from others, shared memory, signals, limits,
//     priorities;
//   reach the network: no socket is made, bound, connected or written to by its own calls (a server keeps those that were
//     bound before, and answers whoever connects to them);
//   become or start another program: exec, fork, clone without CLONE_THREAD;
//   change the kernel or the view of the file system: modules, bpf, mounts, namespaces, keys, clocks.
// A list of what is allowed would be shorter to argue for, but Python, its C library and its next version decide which
// calls they need. What such a list is for, calls nobody has thought of, is done by LAST: calls that are younger than this
// file do not exist. Refusals are EPERM and never a signal, so that Python has a sentence to print; ENOSYS is for calls
// whose arguments lie in memory, where a filter cannot look, and which libc then makes in another way.
#define _GNU_SOURCE
#include "internal.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

enum { // From 424 on the numbers are the same everywhere; headers may be older than the kernel.
	NR_pidfd_send_signal = 424, NR_io_uring_setup, NR_io_uring_enter, NR_io_uring_register, NR_open_tree, NR_move_mount,
	NR_fsopen, NR_fsconfig, NR_fsmount, NR_fspick, NR_pidfd_open, NR_clone3, NR_close_range, NR_openat2, NR_pidfd_getfd,
	NR_process_madvise = 440, NR_mount_setattr = 442, NR_quotactl_fd, NR_process_mrelease = 448, NR_fchmodat2 = 452,
	LAST = 462, // mseal, of Linux 6.10
};

#ifdef ARCH

enum {
	ALLOW = SECCOMP_RET_ALLOW,
	REFUSE = SECCOMP_RET_ERRNO | EPERM,
	UNKNOWN = SECCOMP_RET_ERRNO | ENOSYS,
	MAX_CODE = 512,
};

// Calls that are made with every sample: first, for kernels that run the filter each time.
static const int often[] = { __NR_process_vm_readv, __NR_pread64, __NR_clock_nanosleep, __NR_read, __NR_futex };

static const int refused[] = {
	__NR_process_vm_writev, NR_process_madvise, NR_process_mrelease, NR_pidfd_getfd, NR_pidfd_send_signal, __NR_kcmp,
	__NR_move_pages, __NR_migrate_pages, __NR_tkill, __NR_userfaultfd,
	__NR_setpriority, __NR_ioprio_set, // may name all processes of a user
	__NR_shmget, __NR_shmat, __NR_shmctl, __NR_msgget, __NR_msgsnd, __NR_msgctl, __NR_semget, __NR_semop, __NR_semctl,
	__NR_mq_open, __NR_mq_unlink, __NR_mq_timedsend,
	__NR_execve, __NR_execveat,
	__NR_socket, __NR_socketpair, __NR_connect, __NR_bind, __NR_sendmmsg,
	__NR_open_by_handle_at, NR_io_uring_setup, NR_io_uring_enter, NR_io_uring_register, __NR_io_setup, __NR_io_submit,
	__NR_fanotify_init, __NR_truncate, __NR_mknodat, __NR_mkdirat, __NR_symlinkat, __NR_fchmodat, NR_fchmodat2,
	__NR_fchownat, __NR_utimensat, __NR_setxattr, __NR_lsetxattr, __NR_removexattr, __NR_lremovexattr,
	__NR_mount, __NR_umount2, __NR_pivot_root, __NR_chroot, NR_open_tree, NR_move_mount, NR_fsopen, NR_fsconfig,
	NR_fsmount, NR_fspick, NR_mount_setattr, __NR_quotactl, NR_quotactl_fd, __NR_swapon, __NR_swapoff,
	__NR_setns, __NR_unshare, __NR_bpf, __NR_perf_event_open, __NR_init_module, __NR_finit_module, __NR_delete_module,
	__NR_kexec_load, __NR_reboot, __NR_syslog, __NR_acct, __NR_sethostname, __NR_setdomainname, __NR_vhangup,
	__NR_settimeofday, __NR_clock_settime, __NR_clock_adjtime, __NR_adjtimex, __NR_add_key, __NR_request_key, __NR_keyctl,
	__NR_personality,
#ifdef __NR_kexec_file_load
	__NR_kexec_file_load,
#endif
#ifdef __x86_64__ // the older half of pairs that other architectures never had
	__NR_fork, __NR_vfork, __NR_creat, __NR_mknod, __NR_mkdir, __NR_rmdir, __NR_symlink, __NR_chmod, __NR_chown,
	__NR_lchown, __NR_utime, __NR_utimes, __NR_futimesat, __NR_iopl, __NR_ioperm, __NR_modify_ldt, __NR_uselib,
#endif
};

static const int publishing[] = {
	__NR_linkat, __NR_unlinkat, __NR_renameat2,
#ifdef __NR_renameat
	__NR_renameat,
#endif
#ifdef __x86_64__
	__NR_link, __NR_unlink, __NR_rename,
#endif
};

static const int answering[] = { __NR_listen, __NR_accept, __NR_accept4, __NR_sendto, __NR_sendmsg, __NR_setsockopt };

// Calls that name a process or a thread of one: 0 is the caller.
static const int of_a_process[] = {
	__NR_sched_setaffinity, __NR_sched_setscheduler, __NR_sched_setparam, __NR_sched_setattr, __NR_prlimit64, __NR_setpgid,
};

struct program {
	struct sock_filter code[MAX_CODE];
	unsigned short n;
};

static void emit(struct program *p, int code, uint32_t k, int jt, int jf)
{
	if (p->n < MAX_CODE)
		p->code[p->n] = (struct sock_filter){ (uint16_t)code, (uint8_t)jt, (uint8_t)jf, k };
	p->n++;
}

static void load(struct program *p, size_t offset) { emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0); }

static void end(struct program *p, uint32_t answer) { emit(p, BPF_RET | BPF_K, answer, 0, 0); }

// What lies in the accumulator, if it is k, ends the filter with this answer.
static void end_if(struct program *p, uint32_t k, uint32_t answer)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, k, 0, 1);
	end(p, answer);
}

// Goes on behind the next n instructions unless the call is nr. What follows loads an argument and must not go on itself.
static void only(struct program *p, int nr, int n) { emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, n); }

// The lower half of an argument: ints, and flags that all lie in it. Both architectures are little-endian.
static void load_arg(struct program *p, int i) { load(p, offsetof(struct seccomp_data, args) + 8 * (size_t)i); }

static void allow_without(struct program *p, int nr, int arg, uint32_t bits)
{
	only(p, nr, 4);
	load_arg(p, arg);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
	end(p, REFUSE);
	end(p, ALLOW);
}

static void allow_with(struct program *p, int nr, int arg, uint32_t bits)
{
	only(p, nr, 4);
	load_arg(p, arg);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0);
	end(p, REFUSE);
	end(p, ALLOW);
}

static void answer_among(struct program *p, int nr, int arg, const uint32_t *values, int n, uint32_t among, uint32_t other)
{
	only(p, nr, 2 * n + 2);
	load_arg(p, arg);
	for (int i = 0; i < n; i++)
		end_if(p, values[i], among);
	end(p, other);
}

static void filter_ptrace(struct program *p, bool stops)
{
	static const uint32_t harmless[] = { PTRACE_INTERRUPT, PTRACE_CONT,       PTRACE_LISTEN,
		                             PTRACE_DETACH,    PTRACE_GETSIGINFO, PTRACE_GETEVENTMSG };
	enum { N = sizeof harmless / sizeof *harmless };
	if (!stops) {
		end_if(p, __NR_ptrace, REFUSE);
		return;
	}
	only(p, __NR_ptrace, 2 * N + 8);
	load_arg(p, 0);
	for (int i = 0; i < N; i++)
		end_if(p, harmless[i], ALLOW);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, PTRACE_SEIZE, 2, 0);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, PTRACE_SETOPTIONS, 1, 0);
	end(p, REFUSE);
	load_arg(p, 3);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, PTRACE_O_EXITKILL, 0, 1); // the target must outlive us
	end(p, REFUSE);
	end(p, ALLOW);
}

static void filter_files(struct program *p, bool publish)
{
	const uint32_t writing = O_ACCMODE | O_CREAT | O_TRUNC; // O_TMPFILE needs one of them
	allow_without(p, __NR_openat, 2, writing);
#ifdef __NR_open
	allow_without(p, __NR_open, 1, writing);
#endif
	end_if(p, NR_openat2, UNKNOWN);
	for (size_t i = 0; !publish && i < sizeof publishing / sizeof *publishing; i++)
		end_if(p, (uint32_t)publishing[i], REFUSE);
	const uint32_t signalling[] = { F_SETOWN, F_SETOWN_EX, F_SETSIG };
	answer_among(p, __NR_fcntl, 1, signalling, 3, REFUSE, ALLOW);
	// TIOCSTI and TIOCLINUX type on a terminal; FIOSETOWN and SIOCSPGRP are F_SETOWN.
	const uint32_t typing[] = { 0x5412, 0x541c, 0x8901, 0x8902 };
	answer_among(p, __NR_ioctl, 1, typing, 4, REFUSE, ALLOW);
}

// Without socket and connect, the only sockets there can be are those of before and the connections that they accept. To
// these an answer goes without an address; MSG_FASTOPEN would connect.
static void filter_sockets(struct program *p, bool serve)
{
	for (size_t i = 0; !serve && i < sizeof answering / sizeof *answering; i++)
		end_if(p, (uint32_t)answering[i], REFUSE);
	if (!serve)
		return;
	only(p, __NR_sendto, 8);
	load_arg(p, 3);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, MSG_FASTOPEN, 5, 0);
	load_arg(p, 4);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
	load(p, offsetof(struct seccomp_data, args) + 8 * 4 + 4); // the upper half of the address
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
	end(p, ALLOW);
	end(p, REFUSE);
	allow_without(p, __NR_sendmsg, 2, MSG_FASTOPEN);
	only(p, __NR_setsockopt, 6);
	load_arg(p, 1);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 3);
	load_arg(p, 2);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, TCP_NODELAY, 0, 1);
	end(p, ALLOW);
	end(p, REFUSE);
}

static void filter_processes(struct program *p, int child)
{
	const uint32_t self = (uint32_t)getpid(), ours[] = { self, child > 0 ? (uint32_t)child : self }, us[] = { 0, self };
	allow_with(p, __NR_clone, 0, CLONE_THREAD);
	end_if(p, NR_clone3, UNKNOWN);
	answer_among(p, __NR_kill, 0, ours, 2, ALLOW, REFUSE);
	answer_among(p, __NR_tgkill, 0, ours, 1, ALLOW, REFUSE);
	answer_among(p, __NR_rt_sigqueueinfo, 0, ours, 1, ALLOW, REFUSE);
	answer_among(p, __NR_rt_tgsigqueueinfo, 0, ours, 1, ALLOW, REFUSE);
	for (size_t i = 0; i < sizeof of_a_process / sizeof *of_a_process; i++)
		answer_among(p, of_a_process[i], 0, us, 2, ALLOW, REFUSE);
}

static void fill(struct program *p, int flags, int child)
{
	load(p, offsetof(struct seccomp_data, arch));
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	end(p, REFUSE); // 32-bit calls have other numbers
	load(p, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < sizeof often / sizeof *often; i++)
		end_if(p, (uint32_t)often[i], ALLOW);
	emit(p, BPF_JMP | BPF_JGT | BPF_K, LAST, 0, 1); // the numbers of x32 are far beyond it
	end(p, UNKNOWN);
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		end_if(p, (uint32_t)refused[i], REFUSE);
	filter_ptrace(p, flags & ZS_ALLOW_STOPS);
	filter_files(p, flags & ZS_ALLOW_PUBLISH);
	filter_sockets(p, flags & ZS_ALLOW_SERVE);
	filter_processes(p, child);
	end(p, ALLOW);
}

static int install_filter(int flags, int child, struct zs_error *error)
{
	struct program program = { .n = 0 };
	fill(&program, flags, child);
	if (program.n > MAX_CODE)
		return zs_fail(error, ZS_ENOMEM, 0, 0, "seccomp filter");
	struct sock_fprog fprog = { .len = program.n, .filter = program.code };
	long rc = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &fprog);
	if (rc > 0) // the thread that has a filter of its own already
		return zs_fail(error, ZS_ESYS, EBUSY, 0, "seccomp");
	return rc < 0 ? zs_fail(error, ZS_ESYS, errno, 0, "seccomp") : ZS_OK;
}

#else

static int install_filter(int flags, int child, struct zs_error *error)
{
	(void)flags, (void)child;
	return zs_fail(error, ZS_ESYS, ENOSYS, 0, "seccomp");
}

#endif

static int drop_capabilities(uint64_t keep, struct zs_error *error)
{
	for (int i = 0; i < 64; i++)
		if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0) // not ours to drop, or the last one
			break;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); // unknown before Linux 4.3, which has none
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(__NR_capget, &header, data) < 0)
		return zs_fail(error, ZS_ESYS, errno, 0, "capget");
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(keep >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(__NR_capset, &header, data) < 0 ? zs_fail(error, ZS_ESYS, errno, 0, "capset") : ZS_OK;
}

int zs_drop(uint64_t capabilities, struct zs_error *error)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return zs_fail(error, ZS_ESYS, errno, 0, "PR_SET_NO_NEW_PRIVS");
	return drop_capabilities(capabilities, error);
}

int zs_confine(int flags, int child, uint64_t capabilities, struct zs_error *error)
{
	int rc = zs_drop(capabilities, error);
	return rc < 0 ? rc : install_filter(flags, child, error);
}
