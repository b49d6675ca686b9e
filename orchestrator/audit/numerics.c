/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/numerics.h"

#include <string.h>

#define MAX_PARTS 8

/* The pieces of a name between its dashes. */
struct parts {
	char of[MAX_PARTS][32];
	size_t n;
};

static void split(struct parts *out, const char *name)
{
	out->n = 0;
	while (*name && out->n < MAX_PARTS) {
		size_t len = strcspn(name, "-");

		snprintf(out->of[out->n++], sizeof(out->of[0]), "%.*s", (int)len, name);
		name += len + (name[len] == '-');
	}
}

static const char *kind_of(const struct parts *parts)
{
	const char *first = parts->n ? parts->of[0] : "";

	if (strcmp(first, "cuda") == 0)
		return "CUDA";
	return strncmp(first, "fp", 2) == 0 ? "CPU" : NULL;
}

static void add(cairn_text *out, size_t start, const char *text)
{
	cairn_text_printf(out, "%s%s", out->len > start ? ", " : "", text);
}

void cairn_numerics_change(cairn_text *out, const char *before, const char *after)
{
	/* What the parts of CUDA's name are, behind its first. */
	static const char *const changed[] = {
		"", "", "another version of the kernels", "another GPU", "another cuBLASLt"};
	struct parts was, is;
	const char *from, *to;
	size_t start = out->len;
	char text[80];

	if (!before || !after)
		return;
	split(&was, before);
	split(&is, after);
	from = kind_of(&was);
	to = kind_of(&is);
	if (!from || !to)
		return;
	if (from != to) {
		cairn_text_printf(out, "%s to %s", from, to);
		return;
	}
	if (strcmp(from, "CPU") == 0) {
		if (strcmp(before, after) != 0)
			add(out, start, "another version of the CPU's kernels");
		return;
	}
	if (was.n > 1 && is.n > 1 && strcmp(was.of[1], is.of[1]) != 0) {
		snprintf(text, sizeof(text), "%s to %s", was.of[1], is.of[1]);
		add(out, start, text);
	}
	for (size_t i = 2; i < CAIRN_COUNT(changed) && i < was.n && i < is.n; i++) {
		if (strcmp(was.of[i], is.of[i]) != 0)
			add(out, start, changed[i]);
	}
}
