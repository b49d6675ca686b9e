/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map.h - names to numbers, for tables that a workflow file may make large.
 *
 * Open addressing over an arena: nothing is ever removed. The order of the slots reaches
 * nothing: every list that a person or a key sees is kept in an array beside the map.
 */
#ifndef CAIRN_WORKFLOW_MAP_H
#define CAIRN_WORKFLOW_MAP_H

#include "base/arena.h"

#define CAIRN_MAP_NONE SIZE_MAX

struct cairn_map_slot;

/* {0} is empty and valid. Names are borrowed. */
typedef struct cairn_map {
	struct cairn_map_slot *slots;
	size_t n, cap;
} cairn_map;

/* The number under that name, or CAIRN_MAP_NONE. */
size_t cairn_map_get(const cairn_map *map, const char *name);
/* As above, for a name that is not NUL-terminated. */
size_t cairn_map_get_n(const cairn_map *map, const char *name, size_t len);
/* Puts a name that is not there yet. Answers CAIRN_MAP_NONE; where the name is there already, its
 * number, and changes nothing. */
size_t cairn_map_put(cairn_map *map, cairn_arena *arena, const char *name, size_t number);

/* Room for n names in one step. */
void cairn_map_reserve(cairn_map *map, cairn_arena *arena, size_t n);

#endif
