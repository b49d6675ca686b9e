/* SPDX-License-Identifier: Apache-2.0 */
#include "run/gpus.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* A list as CUDA reads it: what stands behind a number below 0 is not seen. */
static void take_list(cairn_gpus *out, const char *list, cairn_arena *arena)
{
	while (*list && out->n < CAIRN_MAX_GPUS) {
		size_t len = strcspn(list, ","), skip = strspn(list, " ");

		skip = skip < len ? skip : len;
		if (skip == len || list[skip] == '-')
			return;
		out->names[out->n++] = cairn_arena_strndup(arena, list + skip, len - skip);
		list += len + (list[len] == ',');
	}
}

void cairn_gpus_find(cairn_gpus *out, cairn_arena *arena)
{
	const char *visible = getenv(CAIRN_GPUS_ENV);
	glob_t found = {0};

	*out = (cairn_gpus){0};
	if (visible) {
		take_list(out, visible, arena);
		return;
	}
	/* CUDA counts those that there are, whatever the numbers of their files. */
	if (glob("/dev/nvidia[0-9]*", 0, NULL, &found) == 0) {
		while (out->n < CAIRN_MAX_GPUS && (size_t)out->n < found.gl_pathc) {
			out->names[out->n] = cairn_arena_printf(arena, "%d", out->n);
			out->n++;
		}
	}
	globfree(&found);
}

int cairn_gpus_claim(const cairn_gpus *gpus, int64_t claim)
{
	return claim < gpus->n ? (int)claim : gpus->n;
}

uint64_t cairn_gpus_choose(const cairn_gpus *gpus, int n, uint64_t used)
{
	uint64_t some = 0;

	for (int i = 0; i < gpus->n && n > 0; i++) {
		if (used >> i & 1)
			continue;
		some |= (uint64_t)1 << i;
		n--;
	}
	return n > 0 ? 0 : some;
}

char *cairn_gpus_text(const cairn_gpus *gpus, uint64_t some, cairn_arena *arena)
{
	cairn_text text = {0};
	char *copy;

	for (int i = 0; i < gpus->n; i++) {
		if (some >> i & 1)
			cairn_text_printf(&text, "%s%s", text.len ? "," : "", gpus->names[i]);
	}
	copy = cairn_arena_strdup(arena, cairn_text_get(&text));
	cairn_text_free(&text);
	return copy;
}
