/* SPDX-License-Identifier: Apache-2.0 */
/* path.c - by text alone: no link is followed, nothing is looked up. */
#include "workflow/path.h"

#include <string.h>

const char *cairn_path__directory(cairn_arena *arena, const char *file)
{
	const char *slash = strrchr(file, '/');

	if (!slash)
		return ".";
	return cairn_arena_strndup(arena, file, slash == file ? 1 : (size_t)(slash - file));
}

const char *cairn_path__join(
	cairn_arena *arena, const char *directory, const char *path, size_t len)
{
	if (path[0] == '/' || strcmp(directory, ".") == 0)
		return cairn_arena_strndup(arena, path, len);
	return cairn_arena_printf(arena, "%s/%.*s", directory, (int)len, path);
}
