/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes.h - integers as bytes: least significant first in values, most significant first in keys,
 * so that they sort as numbers.
 */
#ifndef CAIRN_BASE_BYTES_H
#define CAIRN_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline void cairn_put_le(uint8_t *to, uint64_t value, size_t width)
{
	for (size_t i = 0; i < width; i++)
		to[i] = (uint8_t)(value >> 8 * i);
}

static inline uint64_t cairn_get_le(const uint8_t *from, size_t width)
{
	uint64_t value = 0;

	for (size_t i = 0; i < width; i++)
		value |= (uint64_t)from[i] << 8 * i;
	return value;
}

static inline void cairn_put_be(uint8_t *to, uint64_t value, size_t width)
{
	for (size_t i = 0; i < width; i++)
		to[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

static inline uint64_t cairn_get_be(const uint8_t *from, size_t width)
{
	uint64_t value = 0;

	for (size_t i = 0; i < width; i++)
		value = value << 8 | from[i];
	return value;
}

#endif
