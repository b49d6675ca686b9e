/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crc.h"

#include <pthread.h>

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

uint32_t cairn_crc32c(uint32_t crc, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	pthread_once(&table_once, fill_table);
	crc = ~crc;
	for (size_t i = 0; i < len; i++)
		crc = crc >> 8 ^ table[(crc ^ at[i]) & 0xff];
	return ~crc;
}
