/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - blocks chained newest first; a request that does not fit opens a new block.
 * Blocks double from 4 KiB to 1 MiB, so that small plans stay small and large ones cheap.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <string.h>

#define BLOCK_MIN (4u << 10)
#define BLOCK_MAX (1u << 20)
#define ALIGN     16u

struct block {
	struct block *next;
	size_t used, cap;
};

#define BLOCK_HEAD ((sizeof(struct block) + ALIGN - 1) / ALIGN * ALIGN)

struct cairn_arena {
	struct block *newest;
	size_t next_cap;
};

static CAIRN_NORETURN void out_of_memory(void)
{
	fputs("cairn: out of memory while building the plan\n", stderr);
	abort();
}

cairn_arena *cairn_arena_new(void)
{
	cairn_arena *arena = calloc(1, sizeof(*arena));

	if (!arena)
		out_of_memory();
	arena->next_cap = BLOCK_MIN;
	return arena;
}

void cairn_arena_free(cairn_arena *arena)
{
	if (!arena)
		return;
	while (arena->newest) {
		struct block *next = arena->newest->next;

		free(arena->newest);
		arena->newest = next;
	}
	free(arena);
}

void *cairn_arena_alloc(cairn_arena *arena, size_t n, size_t size)
{
	size_t bytes;
	struct block *block = arena->newest;
	void *out;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 4)
		out_of_memory();
	bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
	if (!block || block->cap - block->used < bytes) {
		size_t cap = arena->next_cap;

		if (cap < bytes)
			cap = bytes;
		block = malloc(BLOCK_HEAD + cap);
		if (!block)
			out_of_memory();
		*block = (struct block){.next = arena->newest, .cap = cap};
		arena->newest = block;
		if (arena->next_cap < BLOCK_MAX)
			arena->next_cap *= 2;
	}
	out = (char *)block + BLOCK_HEAD + block->used;
	block->used += bytes;
	memset(out, 0, bytes);
	return out;
}

char *cairn_arena_strndup(cairn_arena *arena, const char *text, size_t len)
{
	char *copy = cairn_arena_alloc(arena, len + 1, 1);

	memcpy(copy, text, len);
	return copy;
}

char *cairn_arena_strdup(cairn_arena *arena, const char *text)
{
	return cairn_arena_strndup(arena, text, strlen(text));
}

char *cairn_arena_printf(cairn_arena *arena, const char *format, ...)
{
	va_list args, again;
	char *out;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	CAIRN_ASSERT(len >= 0);
	out = cairn_arena_alloc(arena, (size_t)len + 1, 1);
	vsnprintf(out, (size_t)len + 1, format, again);
	va_end(again);
	return out;
}
