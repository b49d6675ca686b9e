/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup.c - a copy of the index beside it: records exist nowhere else (rebuild.c).
 *
 *   meta/backup.mdb   a compact LMDB file, of one moment; put in place by a rename
 *
 * It guards against a damaged page and a removed data.mdb, not against the loss of the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cairn/fsck.h"
#include "store/internal.h"

#define DAY_S (24 * 60 * 60)

static bool is_due(int meta)
{
	struct stat st;

	return fstatat(meta, "backup.mdb", &st, 0) != 0 || time(NULL) - st.st_mtime > DAY_S ||
	       st.st_mtime > time(NULL);
}

static int write_copy(cairn_store *store, int meta, const char *name, cairn_error *err)
{
	int fd = openat(meta, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int rc = 0;

	if (fd < 0)
		return cairn_disk__fail(
			err, errno, store->path, "cannot create '%s/meta/%s'", store->path, name);
	rc = cairn_index__copy(store->index, fd, err);
	if (!rc && fsync(fd) != 0)
		rc = cairn_disk__fail(
			err, errno, store->path, "cannot write '%s/meta/%s'", store->path, name);
	close(fd);
	return rc;
}

int cairn_store_backup(cairn_store *store, uint64_t max_bytes, bool *out, cairn_error *err)
{
	cairn_text path = {0};
	uint64_t bytes;
	char name[48];
	int meta, rc = cairn_index__size(store->index, &bytes, err);

	*out = false;
	if (rc || (max_bytes && bytes > max_bytes))
		return rc;
	cairn_text_printf(&path, "%s/meta", store->path);
	meta = open(cairn_text_get(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cairn_text_free(&path);
	if (meta < 0)
		return cairn_disk__fail(
			err, errno, store->path, "cannot open '%s/meta'", store->path);
	if (max_bytes && !is_due(meta)) {
		close(meta);
		return 0;
	}
	snprintf(name, sizeof(name), "backup.new.%ld", (long)getpid());
	rc = write_copy(store, meta, name, err);
	if (!rc && (renameat(meta, name, meta, "backup.mdb") != 0 || fsync(meta) != 0))
		rc = cairn_disk__fail(err, errno, store->path,
			"cannot put '%s/meta/backup.mdb' in place", store->path);
	if (rc)
		(void)unlinkat(meta, name, 0);
	close(meta);
	*out = rc == 0;
	return rc;
}
