/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - memory that is freed all at once: for whole parsed files and plans.
 *
 * Allocation never returns NULL: an arena that cannot grow ends the process with a
 * message (plans are small; the store holds no dirty state at that time).
 */
#ifndef CAIRN_BASE_ARENA_H
#define CAIRN_BASE_ARENA_H

#include "cairn/base.h"

typedef struct cairn_arena cairn_arena;

cairn_arena *cairn_arena_new(void);
void cairn_arena_free(cairn_arena *arena);
/* Zeroed, aligned to 16. */
void *cairn_arena_alloc(cairn_arena *arena, size_t n, size_t size);
/* For text: not aligned, and not to be relied on to be zero. */
char *cairn_arena_bytes(cairn_arena *arena, size_t len);
char *cairn_arena_strdup(cairn_arena *arena, const char *text);
char *cairn_arena_strndup(cairn_arena *arena, const char *text, size_t len);
char *cairn_arena_printf(cairn_arena *arena, const char *format, ...) CAIRN_PRINTF(2, 3);

/* Bytes that were handed out, as far as they count for memory: without what blocks have left. */
size_t cairn_arena_size(const cairn_arena *arena);

#endif
