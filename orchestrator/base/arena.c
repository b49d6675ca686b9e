/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - blocks chained newest first; a request that does not fit opens a new block.
 * Blocks double from 4 KiB to 1 MiB, so that small plans stay small and large ones cheap.
 *
 * Structures fill a block from its beginning, aligned; strings from its end, side by side: a
 * plan of 100,000 stages has a million short ones. Blocks come zeroed from calloc, which costs
 * nothing for pages that are fresh from the kernel.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#define BLOCK_MIN (4u << 10)
#define BLOCK_MAX (1u << 20)
#define ALIGN     16u

struct block {
	struct block *next;
	size_t used; /* from the beginning, by structures */
	size_t end;  /* where the strings begin */
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

/* The newest block, if so much fits in between its two ends, or a new one. A large request gets a
 * block of its own behind the newest, which has room for small ones yet. */
static struct block *block_with(cairn_arena *arena, size_t bytes)
{
	struct block *block = arena->newest;
	bool is_large = block && bytes > arena->next_cap / 4;
	size_t cap = is_large || bytes > arena->next_cap ? bytes : arena->next_cap;

	if (block && block->end - block->used >= bytes)
		return block;
	block = calloc(1, BLOCK_HEAD + cap);
	if (!block)
		out_of_memory();
	*block = (struct block){.next = arena->newest, .end = cap};
	if (is_large) {
		block->next = arena->newest->next;
		arena->newest->next = block;
		return block;
	}
	arena->newest = block;
	if (arena->next_cap < BLOCK_MAX)
		arena->next_cap *= 2;
	return block;
}

void *cairn_arena_alloc(cairn_arena *arena, size_t n, size_t size)
{
	size_t bytes;
	struct block *block;
	void *out;

	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 4)
		out_of_memory();
	bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
	block = block_with(arena, bytes);
	out = (char *)block + BLOCK_HEAD + block->used;
	block->used += bytes;
	return out;
}

char *cairn_arena_bytes(cairn_arena *arena, size_t len)
{
	struct block *block;

	if (len > SIZE_MAX / 4)
		out_of_memory();
	block = block_with(arena, len);
	block->end -= len;
	return (char *)block + BLOCK_HEAD + block->end;
}

char *cairn_arena_strndup(cairn_arena *arena, const char *text, size_t len)
{
	char *copy = cairn_arena_bytes(arena, len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *cairn_arena_strdup(cairn_arena *arena, const char *text)
{
	return cairn_arena_strndup(arena, text, strlen(text));
}

char *cairn_arena_printf(cairn_arena *arena, const char *format, ...)
{
	va_list args, again;
	char short_text[256], *out;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(short_text, sizeof(short_text), format, args);
	va_end(args);
	CAIRN_ASSERT(len >= 0);
	out = cairn_arena_bytes(arena, (size_t)len + 1);
	if ((size_t)len < sizeof(short_text))
		memcpy(out, short_text, (size_t)len + 1);
	else
		vsnprintf(out, (size_t)len + 1, format, again);
	va_end(again);
	return out;
}
