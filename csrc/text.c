#include "text.h"

uint32_t zs_string_size(int stdlib) { return stdlib == ZS_LIBSTDCXX ? 32 : stdlib == ZS_LIBCXX ? 24 : 8; }

bool zs_string_span(int stdlib, uint64_t addr, const unsigned char *object, uint64_t *addr_ret, uint32_t *len_ret)
{
	uint64_t chars = zs_load64(object), len = 0;
	if (stdlib == ZS_LIBSTDCXX) {
		len = zs_load64(object + 8);
		if (len < 16 && chars != addr + 16 && !zs_plausible(chars & ~7ull))
			return false;
	} else if (stdlib == ZS_LIBCXX) {
		if (object[0] & 1) {
			len = zs_load64(object + 8);
			chars = zs_load64(object + 16);
		} else {
			len = object[0] >> 1;
			chars = addr + 1;
			if (len > 22)
				return false;
		}
	}
	if (len > ZS_MAX_NAME || chars < 4096)
		return false;
	*addr_ret = chars;
	*len_ret = (uint32_t)len;
	return true;
}

bool zs_printable(const char *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
			return false;
	return true;
}

int zs_read_c_string(struct zs_reader *reader, uint64_t addr, char *buf, uint32_t *len_ret, struct zs_error *error)
{
	*len_ret = 0;
	for (uint32_t have = 0; have < ZS_MAX_PATH;) {
		// Up to the next boundary of 256 bytes, so that no read crosses into a page the string does not reach.
		uint32_t chunk = zs_min32(256 - (uint32_t)((addr + have) % 256), ZS_MAX_PATH - have);
		struct zs_span span = { .addr = addr + have, .buf = buf + have, .len = chunk };
		int rc = zs_reader_read(reader, &span, 1, error);
		if (rc < 0)
			return rc;
		const char *end = span.got ? memchr(buf + have, '\0', span.got) : NULL;
		if (end) {
			*len_ret = (uint32_t)(end - buf);
			return ZS_OK;
		}
		if (span.got < chunk)
			return ZS_OK;
		have += chunk;
	}
	return ZS_OK;
}
