/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuts.c - where the bytes of an entry are cut into chunks.
 *
 * Tensors are cut every 4 MiB: what repeats between checkpoints are whole tensors. A file of bytes,
 * a data set above all, gets a line in its middle, and all behind that moves; so its cuts are where
 * the bytes themselves say, and find their places again a chunk or two behind an edit. The sum over
 * the last 64 bytes below is known as a gear hash. FORMAT.md, section 4, has the rule; README.md
 * the measurement that chose its numbers. Changing anything here changes ids.
 */
#include <string.h>

#include "base/digest.h"
#include "store/bytes.h"
#include "store/internal.h"

enum {
	WINDOW = 64,    /* bytes that the sum depends on: one bit of it for each */
	HARD_BITS = 18, /* must be zero at a cut up to the normal length, */
	EASY_BITS = 16, /* and beyond it: lengths gather around the normal one */
};

static uint64_t gear[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* For each byte a number that nobody chose. */
static void fill_gear(void)
{
	uint8_t text[] = "cairn cut ", digest[CAIRN_DIGEST_BYTES];

	for (int i = 0; i < 256; i++) {
		text[sizeof(text) - 1] = (uint8_t)i; /* where the NUL was */
		cairn_sha256(text, sizeof(text), digest);
		gear[i] = cairn_get_le(digest, 8);
	}
}

bool cairn_cuts__by_content(uint32_t dtype, uint32_t n_dims, uint64_t bytes)
{
	return dtype == CAIRN_U8 && n_dims == 1 && bytes > CAIRN_CUT_MIN;
}

/* The first length in [from, to] after which the sum's highest `bits` are zero, or 0. *sum is over
 * all bytes before the last of `from`. */
static size_t find_cut(const uint8_t *bytes, size_t from, size_t to, int bits, uint64_t *sum)
{
	uint64_t h = *sum;

	for (size_t i = from - 1; i < to; i++) {
		h = (h << 1) + gear[bytes[i]];
		if (h >> (64 - bits) == 0)
			return i + 1;
	}
	*sum = h;
	return 0;
}

static size_t cut_by_content(const uint8_t *bytes, size_t left)
{
	size_t last = left < CAIRN_CUT_MAX ? left : CAIRN_CUT_MAX;
	size_t normal = last < CAIRN_CUT_NORMAL ? last : CAIRN_CUT_NORMAL;
	uint64_t sum = 0;
	size_t len;

	if (left <= CAIRN_CUT_MIN)
		return left;
	pthread_once(&once, fill_gear);
	for (size_t i = CAIRN_CUT_MIN - WINDOW; i < CAIRN_CUT_MIN - 1; i++)
		sum = (sum << 1) + gear[bytes[i]];
	len = find_cut(bytes, CAIRN_CUT_MIN, normal, HARD_BITS, &sum);
	if (!len)
		len = find_cut(bytes, normal + 1, last, EASY_BITS, &sum);
	return len ? len : last;
}

size_t cairn_cuts__next(bool by_content, const void *bytes, uint64_t left)
{
	if (by_content)
		return cut_by_content(bytes, left);
	return left < CAIRN_CHUNK_BYTES ? (size_t)left : CAIRN_CHUNK_BYTES;
}
