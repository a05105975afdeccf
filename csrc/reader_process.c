// A live process's memory: process_vm_readv, or pread on /proc/PID/mem where the call is missing or refused.
#define _GNU_SOURCE
#include "reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BATCH = 256 }; // spans a call; the kernel's limit is 1024

static int use_mem(struct zs_reader *reader)
{
	reader->use_mem = true;
	reader->method = "/proc/PID/mem";
	return ZS_OK;
}

static int read_mem(struct zs_reader *reader, struct zs_span *spans, size_t n, struct zs_error *error)
{
	for (size_t i = 0; i < n; i++) {
		struct zs_span *span = &spans[i];
		while (span->got < span->len) {
			reader->calls++;
			ssize_t got = pread(reader->mem_fd, (char *)span->buf + span->got, span->len - span->got,
			                    (off_t)(span->addr + span->got));
			if (got > 0) {
				span->got += (uint32_t)got;
				continue;
			}
			// The file keeps the address space it was opened on: 0 means that space is gone (exit or exec).
			if (got == 0)
				return zs_fail(error, ZS_EGONE, 0, span->addr, "/proc/PID/mem");
			if (errno != EINTR)
				break;
		}
	}
	return ZS_OK;
}

static int read_some(struct zs_reader *reader, struct zs_span *spans, size_t n, struct zs_error *error)
{
	struct iovec local[BATCH], remote[BATCH];
	size_t first = 0;
	while (first < n) {
		uint64_t total = 0;
		for (size_t i = first; i < n; i++) {
			local[i - first] = (struct iovec){ spans[i].buf, spans[i].len };
			remote[i - first] = (struct iovec){ (void *)(uintptr_t)spans[i].addr, spans[i].len };
			total += spans[i].len;
		}
		reader->calls++;
		ssize_t got = process_vm_readv(reader->pid, local, n - first, remote, n - first, 0);
		if (got < 0 && errno != EFAULT) {
			if (errno == ESRCH)
				return zs_fail(error, ZS_EGONE, errno, 0, "process_vm_readv");
			if (errno == EPERM || errno == EACCES)
				return zs_fail(error, ZS_EPERM, errno, 0, "process_vm_readv");
			if (errno == ENOSYS && reader->mem_fd >= 0) {
				use_mem(reader);
				return read_mem(reader, spans + first, n - first, error);
			}
			if (errno != EINVAL) // EINVAL: an address that no process can have; that span is a hole
				return zs_fail(error, ZS_ESYS, errno, 0, "process_vm_readv");
		}
		uint64_t left = got > 0 ? (uint64_t)got : 0;
		if (left == total) {
			for (size_t i = first; i < n; i++)
				spans[i].got = spans[i].len;
			return ZS_OK;
		}
		while (first < n && left >= spans[first].len) {
			spans[first].got = spans[first].len;
			left -= spans[first].len;
			first++;
		}
		if (first < n) // the hole: go on behind it
			spans[first++].got = (uint32_t)left;
	}
	return ZS_OK;
}

static int read_process(struct zs_reader *reader, struct zs_span *spans, size_t n, struct zs_error *error)
{
	if (reader->use_mem)
		return read_mem(reader, spans, n, error);
	for (size_t i = 0; i < n; i += BATCH) {
		int rc = read_some(reader, spans + i, n - i < BATCH ? n - i : BATCH, error);
		if (rc < 0)
			return rc;
	}
	return ZS_OK;
}

static void close_process(struct zs_reader *reader)
{
	if (reader->mem_fd >= 0)
		close(reader->mem_fd);
}

// Reads address 0, which no process has: EFAULT means that reading is allowed.
static int probe(struct zs_reader *reader)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { NULL, 1 };
	return process_vm_readv(reader->pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT ? errno : 0;
}

int zs_reader_open_process(int pid, int flags, struct zs_reader **ret, struct zs_error *error)
{
	if (pid <= 0)
		return zs_fail(error, ZS_EINVAL, 0, 0, "pid");
	struct zs_reader *reader = calloc(1, sizeof *reader);
	if (!reader)
		return zs_fail(error, ZS_ENOMEM, 0, 0, "reader");
	*reader = (struct zs_reader){ .read = read_process, .close = close_process, .method = "process_vm_readv", .pid = pid };
	char path[32];
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	reader->mem_fd = open(path, O_RDONLY | O_CLOEXEC);
	int mem_errno = reader->mem_fd < 0 ? errno : 0;
	int vm_errno = flags & ZS_NO_VM_READV ? ENOSYS : probe(reader);
	if (vm_errno && reader->mem_fd >= 0)
		use_mem(reader);
	else if (vm_errno) {
		bool gone = vm_errno == ESRCH || mem_errno == ENOENT;
		zs_reader_destroy(reader);
		return gone ? zs_fail(error, ZS_EGONE, ESRCH, 0, "process_vm_readv")
		            : zs_fail(error, ZS_EPERM, mem_errno, 0, "/proc/PID/mem");
	}
	*ret = reader;
	return ZS_OK;
}
