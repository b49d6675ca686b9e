/* SPDX-License-Identifier: Apache-2.0 */
/* realdata.h - what people wrote, where it is at hand: $CAIRN_DATA or ../shared/data. */
#ifndef CAIRN_TESTS_REALDATA_H
#define CAIRN_TESTS_REALDATA_H

#include <stdio.h>
#include <stdlib.h>

#include "fakehost.h"

/* A whole file, with a NUL behind it; the test is skipped where there is none. */
static inline char *realdata_read(const char *name, size_t *len)
{
	const char *folder = getenv("CAIRN_DATA");
	char path[1024], *text;
	FILE *file;
	long size;

	if (folder)
		snprintf(path, sizeof(path), "%s/%s", folder, name);
	else
		snprintf(path, sizeof(path), "%s/../shared/data/%s", CAIRN_SOURCE_DIR, name);
	file = fopen(path, "rb");
	if (!file) {
		print_message("no %s: skipped\n", path);
		skip();
	}
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size = ftell(file);
	assert_true(size > 0);
	rewind(file);
	text = malloc((size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	text[size] = '\0';
	fclose(file);
	*len = (size_t)size;
	return text;
}

/* The file as it is, bound to an input port. */
static inline void realdata_bind(struct fakehost *host, const char *port, const char *name)
{
	size_t len;
	char *bytes = realdata_read(name, &len);

	fake_add(fakehost_input(host, port, "file", name), "data", CAIRN_U8, 0, NULL, bytes, len);
	free(bytes);
}

#endif
