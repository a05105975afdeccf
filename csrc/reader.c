// Address spaces, the saved image among them; the live process is in reader_process.c.
#include "reader.h"

static void remember(struct zs_reader *reader, const struct zs_span *span)
{
	uint32_t limit = UINT32_MAX / 2;
	if (span->got == 0 || reader->remembered_bytes + span->got > reader->remembered_limit)
		return;
	if (!zs_grow((void **)&reader->remembered, &reader->remembered_capacity, reader->nremembered, 1, limit,
	             sizeof *reader->remembered))
		return;
	void *copy = malloc(span->got);
	if (!copy)
		return;
	memcpy(copy, span->buf, span->got);
	reader->remembered[reader->nremembered++] = (struct zs_segment){ span->addr, copy, span->got };
	reader->remembered_bytes += span->got;
}

int zs_reader_read(struct zs_reader *reader, struct zs_span *spans, size_t n, struct zs_error *error)
{
	for (size_t i = 0; i < n; i++) {
		spans[i].got = 0;
		reader->bytes += spans[i].len;
	}
	int rc = reader->read(reader, spans, n, error);
	if (rc < 0)
		return rc;
	int whole = 0;
	for (size_t i = 0; i < n; i++) {
		whole += spans[i].got == spans[i].len;
		if (reader->remembered_limit)
			remember(reader, &spans[i]);
	}
	return whole;
}

static void forget(struct zs_reader *reader)
{
	for (uint32_t i = 0; i < reader->nremembered; i++)
		free((void *)reader->remembered[i].bytes);
	free(reader->remembered);
	reader->remembered = NULL;
	reader->nremembered = reader->remembered_capacity = 0;
	reader->remembered_bytes = 0;
}

int zs_reader_remember(struct zs_reader *reader, size_t limit)
{
	forget(reader);
	reader->remembered_limit = limit;
	return ZS_OK;
}

const struct zs_segment *zs_reader_remembered(const struct zs_reader *reader, size_t i)
{
	return i < reader->nremembered ? &reader->remembered[i] : NULL;
}

const char *zs_reader_method(const struct zs_reader *reader) { return reader->method; }

void zs_reader_destroy(struct zs_reader *reader)
{
	if (!reader)
		return;
	reader->close(reader);
	forget(reader);
	free(reader);
}

// The last segment that begins at or before addr, or nsegments.
static size_t find_segment(const struct zs_reader *reader, uint64_t addr)
{
	size_t low = 0, high = reader->nsegments;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (reader->segments[mid].addr <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? low - 1 : reader->nsegments;
}

static int read_image(struct zs_reader *reader, struct zs_span *spans, size_t n, struct zs_error *error)
{
	(void)error;
	reader->calls++;
	for (size_t i = 0; i < n; i++) {
		struct zs_span *span = &spans[i];
		// Neighbouring segments continue each other.
		for (size_t s = find_segment(reader, span->addr); s < reader->nsegments && span->got < span->len; s++) {
			const struct zs_segment *segment = &reader->segments[s];
			uint64_t addr = span->addr + span->got;
			if (!segment->len)
				continue;
			if (addr < segment->addr || addr - segment->addr >= segment->len)
				break;
			uint64_t skip = addr - segment->addr;
			uint32_t take = (uint32_t)zs_min64(segment->len - skip, span->len - span->got);
			memcpy((char *)span->buf + span->got, (const char *)segment->bytes + skip, take);
			span->got += take;
		}
	}
	return ZS_OK;
}

static void close_image(struct zs_reader *reader) { (void)reader; }

int zs_reader_open_image(const struct zs_segment *segments, size_t n, struct zs_reader **ret, struct zs_error *error)
{
	for (size_t i = 0; i < n; i++) {
		if (segments[i].addr > UINT64_MAX - segments[i].len)
			return zs_fail(error, ZS_EINVAL, 0, segments[i].addr, "segment");
		if (i && segments[i].addr < segments[i - 1].addr + segments[i - 1].len)
			return zs_fail(error, ZS_EINVAL, 0, segments[i].addr, "segment order");
	}
	struct zs_reader *reader = calloc(1, sizeof *reader);
	if (!reader)
		return zs_fail(error, ZS_ENOMEM, 0, 0, "reader");
	*reader = (struct zs_reader){ .read = read_image, .close = close_image, .method = "image", .mem_fd = -1 };
	reader->segments = segments;
	reader->nsegments = n;
	*ret = reader;
	return ZS_OK;
}
