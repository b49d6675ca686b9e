/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void fill_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t word = i;

		for (int bit = 0; bit < 8; bit++)
			word = word & 1 ? word >> 1 ^ POLYNOMIAL : word >> 1;
		table[i] = word;
	}
}

#if defined(__x86_64__)
/* Processors of the last fifteen years compute just this one. */
__attribute__((target("sse4.2"))) static uint32_t by_instruction(
	uint32_t crc, const uint8_t *at, size_t len)
{
	uint64_t wide = (uint32_t)~crc, word;

	for (; len >= sizeof(word); len -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; len; len--)
		crc = __builtin_ia32_crc32qi(crc, *at++);
	return ~crc;
}
#endif

uint32_t cairn_crc32c(uint32_t crc, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return by_instruction(crc, at, len);
#endif
	pthread_once(&table_once, fill_table);
	crc = ~crc;
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ at[i]) & 0xff];
	return ~crc;
}
