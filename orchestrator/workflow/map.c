/* SPDX-License-Identifier: Apache-2.0 */
/* map.c - FNV-1a and linear probing at a load of at most one half. */
#include "workflow/map.h"

#include <string.h>

struct cairn_map_slot {
	const char *name; /* NULL: free */
	uint32_t hash, number;
};

static uint32_t hash_of(const char *name, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3u;
	return (uint32_t)(hash ^ hash >> 32);
}

/* The slot that holds the name, or the free one where it belongs. */
static struct cairn_map_slot *slot_of(
	const cairn_map *map, const char *name, size_t len, uint32_t hash)
{
	size_t i = hash & (map->cap - 1);

	for (;; i = (i + 1) & (map->cap - 1)) {
		struct cairn_map_slot *slot = &map->slots[i];

		if (!slot->name || (slot->hash == hash && strncmp(slot->name, name, len) == 0 &&
					   !slot->name[len]))
			return slot;
	}
}

size_t cairn_map_get_n(const cairn_map *map, const char *name, size_t len)
{
	const struct cairn_map_slot *slot;

	if (!map->n)
		return CAIRN_MAP_NONE;
	slot = slot_of(map, name, len, hash_of(name, len));
	return slot->name ? slot->number : CAIRN_MAP_NONE;
}

size_t cairn_map_get(const cairn_map *map, const char *name)
{
	return cairn_map_get_n(map, name, strlen(name));
}

static void grow(cairn_map *map, cairn_arena *arena, size_t cap)
{
	cairn_map old = *map;

	map->cap = cap;
	map->slots = cairn_arena_alloc(arena, map->cap, sizeof(*map->slots));
	for (size_t i = 0; i < old.cap; i++) {
		const struct cairn_map_slot *slot = &old.slots[i];

		if (slot->name)
			*slot_of(map, slot->name, strlen(slot->name), slot->hash) = *slot;
	}
}

void cairn_map_reserve(cairn_map *map, cairn_arena *arena, size_t n)
{
	size_t cap = 16;

	while (cap < n * 2)
		cap *= 2;
	if (cap > map->cap)
		grow(map, arena, cap);
}

size_t cairn_map_put(cairn_map *map, cairn_arena *arena, const char *name, size_t number)
{
	size_t len = strlen(name);
	uint32_t hash = hash_of(name, len);
	struct cairn_map_slot *slot;

	CAIRN_ASSERT(number <= UINT32_MAX);
	if (map->n * 2 >= map->cap)
		grow(map, arena, map->cap ? map->cap * 2 : 16);
	slot = slot_of(map, name, len, hash);
	if (slot->name)
		return slot->number;
	*slot = (struct cairn_map_slot){name, hash, (uint32_t)number};
	map->n++;
	return CAIRN_MAP_NONE;
}
