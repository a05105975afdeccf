// Strings in the target.
#ifndef ZS_TEXT_H
#define ZS_TEXT_H

#include "internal.h"

enum { ZS_MAX_NAME = 1024, ZS_MAX_PATH = 4096 };

// Where the characters of a std::string lie, from the bytes of the object itself (at addr). False if they cannot be one:
// longer than ZS_MAX_NAME, or an inline string that does not point at itself. The old ABI keeps the length in front of
// the characters: len is 0 then, and the word at addr_ret - 24 holds it.
bool zs_string_span(int stdlib, uint64_t addr, const unsigned char *object, uint64_t *addr_ret, uint32_t *len_ret);
uint32_t zs_string_size(int stdlib); // sizeof(std::string)
// Whether bytes can be a name or path of a script: printable, no control characters.
bool zs_printable(const char *bytes, uint32_t len);
// Reads a NUL-terminated string of at most ZS_MAX_PATH bytes; the length, or 0 if there is none.
int zs_read_c_string(struct zs_reader *reader, uint64_t addr, char *buf, uint32_t *len_ret, struct zs_error *error);

#endif
