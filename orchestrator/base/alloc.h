/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.h - allocation that checks its arithmetic. Returns NULL where there is no memory. */
#ifndef CAIRN_BASE_ALLOC_H
#define CAIRN_BASE_ALLOC_H

#include "cairn/base.h"

/* Zeroed; n * size is checked. */
void *cairn_alloc(size_t n, size_t size);
/* As realloc for n * size bytes; on failure the old block stays. */
void *cairn_realloc(void *block, size_t n, size_t size);
char *cairn_strdup(const char *text);
char *cairn_strndup(const char *text, size_t len);

#endif
