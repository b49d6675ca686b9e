/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <string.h>

void *cairn_alloc(size_t n, size_t size)
{
	return calloc(n ? n : 1, size ? size : 1);
}

void *cairn_realloc(void *block, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return realloc(block, bytes ? bytes : 1);
}

char *cairn_strndup(const char *text, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		return NULL;
	copy = cairn_alloc(len + 1, 1);
	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *cairn_strdup(const char *text)
{
	return cairn_strndup(text, strlen(text));
}
