/* SPDX-License-Identifier: Apache-2.0 */
/* bytes.h - little-endian integers appended to a text, and read with bounds. */
#ifndef CAIRN_STORE_BYTES_H
#define CAIRN_STORE_BYTES_H

#include <string.h>

#include "base/bytes.h"
#include "base/text.h"

static inline void cairn_add_le(cairn_text *to, uint64_t value, size_t width)
{
	uint8_t bytes[8];

	cairn_put_le(bytes, value, width);
	cairn_text_add_bytes(to, bytes, width);
}

/* Reads from left to right. A read past the end answers zeros and sets is_bad for good. */
typedef struct cairn_bytes {
	const uint8_t *at;
	size_t left;
	bool is_bad;
} cairn_bytes;

/* NULL past the end. */
static inline const uint8_t *cairn_bytes_take(cairn_bytes *bytes, size_t len)
{
	const uint8_t *at = bytes->at;

	if (bytes->is_bad || len > bytes->left) {
		bytes->is_bad = true;
		return NULL;
	}
	bytes->at += len;
	bytes->left -= len;
	return at;
}

static inline uint64_t cairn_bytes_le(cairn_bytes *bytes, size_t width)
{
	const uint8_t *at = cairn_bytes_take(bytes, width);

	return at ? cairn_get_le(at, width) : 0;
}

static inline void cairn_bytes_expect(cairn_bytes *bytes, const void *text, size_t len)
{
	const uint8_t *at = cairn_bytes_take(bytes, len);

	if (!at || memcmp(at, text, len) != 0)
		bytes->is_bad = true;
}

#endif
