/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compact.c - the index without the pages that deletions left free: LMDB never gives them back.
 *
 *   1. gc.lock, and a lock on the directory that says: nobody else has the store open
 *   2. LMDB copies the pages in use to meta/data.compact, which is synced
 *   3. the copy is opened and must have as many records in each table
 *   4. our index is closed, lock.mdb (readers, last transaction: none) removed
 *   5. data.compact is renamed to data.mdb, and meta/ synced
 *   6. the index is opened again
 *
 * Until the rename the old file is the index, after it the new one, and both say the same. Every
 * opener takes the directory's lock shared and keeps it, so nobody maps a file that is about to
 * be replaced, and who comes meanwhile waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cairn/gc.h"
#include "store/internal.h"

#define COPY "meta/data.compact"

static int in_use(const cairn_store *store, cairn_error *err)
{
	cairn_error_set(err, CAIRN_EBUSY, "other processes have the store '%s' open", store->path);
	cairn_error_hint(
		err, "The index can be compacted when they are done; segments need not wait.");
	return CAIRN_EBUSY;
}

/* A lock that is asked for and refused is lost, too: so that nobody swaps the index under us in
 * that moment (another compaction cannot, a rebuild could), it is opened again under the new one.
 */
static int be_alone(cairn_store *store, cairn_error *err)
{
	int rc;

	if (flock(store->directory_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	cairn_index__close(store->index);
	store->index = NULL;
	while (flock(store->directory_fd, LOCK_SH) != 0 && errno == EINTR)
		;
	rc = cairn_index__open(&store->index, store->path, false, false, CAIRN_MAP_BYTES, err);
	return rc ? rc : in_use(store, err);
}

static int write_copy(cairn_store *store, cairn_error *err)
{
	int fd = openat(store->directory_fd, COPY, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int rc;

	if (fd < 0)
		return cairn_disk__fail(
			err, errno, store->path, "cannot create '%s/" COPY "'", store->path);
	rc = cairn_index__copy(store->index, fd, err);
	cairn_store__step("compact copied");
	if (!rc && fsync(fd) != 0)
		rc = cairn_disk__fail(
			err, errno, store->path, "cannot sync '%s/" COPY "'", store->path);
	close(fd);
	return rc;
}

static int check_copy(cairn_store *store, cairn_error *err)
{
	uint64_t had[CAIRN_TABLES], has[CAIRN_TABLES], bytes, used;
	cairn_text path = {0};
	int rc;

	cairn_text_printf(&path, "%s/" COPY, store->path);
	if (path.failed)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	else if (!(rc = cairn_index__sizes(store->index, had, &bytes, &used, err)))
		rc = cairn_index__sizes_of_file(path.data, has, err);
	if (!rc && memcmp(had, has, sizeof(had)) != 0)
		rc = cairn_error_set(err, CAIRN_EINTEGRITY,
			"the copy of the index of '%s' lacks records", store->path);
	cairn_text_free(&path);
	return rc;
}

/* Between the two the store has no index; where it cannot be opened again, the next transaction
 * tries that anew. */
static int swap(cairn_store *store, cairn_error *err)
{
	int directory = store->directory_fd, failed = 0;

	cairn_index__shut(store->index);
	cairn_store__step("compact closed");
	(void)unlinkat(directory, "meta/lock.mdb", 0);
	cairn_store__step("compact unlocked");
	if (renameat(directory, COPY, directory, "meta/data.mdb") != 0)
		failed = errno;
	cairn_store__step("compact renamed");
	if (!failed)
		failed = cairn_disk__sync_directory(directory, "meta");
	return failed ? cairn_disk__fail(err, failed, store->path,
				"cannot put a new index into '%s/meta'", store->path)
		      : 0;
}

static int compact_index(cairn_store *store, cairn_compact_report *report, cairn_error *err)
{
	uint64_t entries[CAIRN_TABLES], used;
	int rc = be_alone(store, err);

	if (rc)
		return rc;
	rc = cairn_index__sizes(store->index, entries, &report->index_before, &used, err);
	if (!rc)
		rc = write_copy(store, err);
	if (!rc)
		rc = check_copy(store, err);
	if (!rc)
		rc = swap(store, err);
	if (rc)
		(void)unlinkat(store->directory_fd, COPY, 0);
	if (!rc)
		rc = cairn_index__sizes(store->index, entries, &report->index_after, &used, err);
	while (flock(store->directory_fd, LOCK_SH) != 0 && errno == EINTR)
		;
	return rc;
}

int cairn_store_compact(cairn_store *store, cairn_compact_report *report, cairn_error *err)
{
	int lock, rc;

	*report = (cairn_compact_report){0};
	if (store->is_readonly)
		return cairn_error_set(
			err, CAIRN_EBUG, "the store '%s' is open for reading only", store->path);
	if (store->lease.batches || !cairn_index__is_idle(store->index))
		return cairn_error_set(err, CAIRN_EBUG,
			"the store '%s' cannot be compacted inside a batch or a snapshot",
			store->path);
	rc = cairn_gc__lock(store, &lock, err);
	if (rc)
		return rc;
	rc = cairn_reclaim__segments(store, &report->segments, err);
	if (!rc)
		rc = compact_index(store, report, err);
	close(lock);
	return rc;
}
