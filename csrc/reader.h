// What every address space shares; each kind fills in read and close.
#ifndef ZS_READER_H
#define ZS_READER_H

#include "internal.h"

struct zs_reader {
	int (*read)(struct zs_reader *reader, struct zs_span *spans, size_t n, struct zs_error *error);
	void (*close)(struct zs_reader *reader);
	const char *method;
	uint64_t calls, bytes; // system calls made, bytes asked for
	// process
	int pid, mem_fd;
	bool use_mem;
	// image
	const struct zs_segment *segments;
	size_t nsegments;
	// what was read, for captures
	struct zs_segment *remembered;
	uint32_t nremembered, remembered_capacity;
	size_t remembered_bytes, remembered_limit;
};

#endif
