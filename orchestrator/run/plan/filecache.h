/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filecache.h - what a file's bytes were when we last read them, so that an unchanged file
 * is not read again.
 *
 * A file counts as unchanged while size, mtime, ctime, inode and device are the same - and
 * if it was already two seconds old when it was read: a write in the same tick of the file
 * system's clock would leave the same times behind (git calls such entries racy).
 *
 * Kept in the store's table `filecache`: name -> {"size","mtime_ns","ctime_ns","inode",
 * "dev","read_ms","id"}. The name is the absolute path for inputs (id: their artifact), "so:"
 * and the path for shared objects (id: their SHA-256).
 */
#ifndef CAIRN_RUN_FILECACHE_H
#define CAIRN_RUN_FILECACHE_H

#include <stdbool.h>

#include "cairn/store.h"

typedef struct cairn_filestamp {
	int64_t size, mtime_ns, ctime_ns, inode, dev;
	int64_t read_ms; /* when the bytes are, or were, read */
} cairn_filestamp;

/* Looks at an open regular file. EINPUT where it is none. */
CAIRN_MUST int cairn_filestamp_take(
	cairn_filestamp *out, int fd, const char *path, cairn_error *err);
bool cairn_filestamp_equal(const cairn_filestamp *a, const cairn_filestamp *b);

/* The id kept under that name, if the file is unchanged since. */
bool cairn_filecache_get(cairn_snapshot *snapshot, const char *name, const cairn_filestamp *now,
	char *id, size_t cap);
/* Names too long for the index are left out: the file is then read each time. */
CAIRN_MUST int cairn_filecache_put(cairn_batch *batch, const char *name,
	const cairn_filestamp *stamp, const char *id, cairn_error *err);

#endif
