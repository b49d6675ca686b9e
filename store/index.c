/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.c - the door to LMDB; only it and index_read.c use lmdb.h.
 *
 * Default synchronisation, no writable map, no duplicate-sorted tables: README.md says why.
 * Three things LMDB leaves to its user are handled here:
 *
 *   the map   is large and sparse from the start. It may be doubled only while this process
 *             has no transaction: `live` counts them under `lock`, and nobody ever waits for
 *             that, so a caller who holds a snapshot while he commits cannot deadlock.
 *   readers   that were killed keep old pages alive: their slots are cleared at open and once
 *             a minute.
 *   size      a truncated data file would raise SIGBUS on first touch, so it is measured
 *             against the index's own idea of its size before anything is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/index.h"

#define MAX_READERS       1022
#define SECONDS_PER_CHECK 60
#define LOCK_FILE_BYTES   (64 << 10) /* what LMDB makes of so many readers */

static const struct {
	const char *name;
	bool is_public;
} tables[] = {
#define TABLE_ROW(id, name, is_public) {name, is_public},
	CAIRN_TABLE_MAP(TABLE_ROW)
#undef TABLE_ROW
};

const char *cairn_index__table_name(enum cairn_table table)
{
	return tables[table].name;
}

int cairn_index__table(enum cairn_table *out, const char *name, cairn_error *err)
{
	for (int i = 0; i < CAIRN_TABLES; i++) {
		if (tables[i].is_public && !strcmp(tables[i].name, name)) {
			*out = (enum cairn_table)i;
			return 0;
		}
	}
	return cairn_error_set(err, CAIRN_EBUG, "the store has no table '%s'", name);
}

int cairn_index__fail(const cairn_index *index, int mdb_rc, const char *doing, cairn_error *err)
{
	int code = CAIRN_EIO;

	if (mdb_rc > 0 && mdb_rc != ENOMEM)
		return cairn_disk__fail(
			err, mdb_rc, index->path, "cannot %s '%s'", doing, index->path);
	switch (mdb_rc) {
	case ENOMEM:
		code = CAIRN_ENOMEM;
		break;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_CURSOR_FULL:  /* a tree without an end, or of another kind; or a transaction */
	case MDB_INCOMPATIBLE: /* that met one before */
	case MDB_BAD_TXN:
		code = CAIRN_EINTEGRITY;
		break;
	case MDB_VERSION_MISMATCH:
		code = CAIRN_EINPUT;
		break;
	case MDB_READERS_FULL:
	case MDB_MAP_RESIZED:
	case MDB_MAP_FULL:
		code = CAIRN_EBUSY;
		break;
	default:
		break;
	}
	cairn_error_set(err, code, "cannot %s '%s'", doing, index->path);
	cairn_error_detail(err, "%s", mdb_strerror(mdb_rc));
	if (code == CAIRN_EBUSY)
		cairn_error_hint(err, "The index must grow, or has too many readers: end other "
				      "programs that use this store and try again.");
	else if (code == CAIRN_EINTEGRITY)
		cairn_error_hint(err, "The index was damaged after it was written. `cairn fsck "
				      "--rebuild` makes it anew, of what can be read.");
	return code;
}

/* ---- open and close --------------------------------------------------------------- */

static void close_env(cairn_index *index)
{
	if (index->env)
		mdb_env_close(index->env);
	index->env = NULL;
}

/* Handles are valid for all later transactions once this one is committed. */
static int open_tables(cairn_index *index, bool create)
{
	MDB_txn *txn = NULL;
	int rc = mdb_txn_begin(index->env, NULL, create ? 0 : MDB_RDONLY, &txn);

	for (int i = 0; i < CAIRN_TABLES && !rc; i++)
		rc = mdb_dbi_open(txn, tables[i].name, create ? MDB_CREATE : 0, &index->tables[i]);
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* 0, or EINTEGRITY where the file is shorter than the index in it. */
static int check_length(const cairn_index *index, cairn_error *err)
{
	MDB_envinfo info;
	MDB_stat stat_;
	struct stat st;
	uint64_t needed;
	int fd, rc;

	if ((rc = mdb_env_info(index->env, &info)) || (rc = mdb_env_stat(index->env, &stat_)) ||
		(rc = mdb_env_get_fd(index->env, &fd)))
		return cairn_index__fail(index, rc, "examine", err);
	if (fstat(fd, &st) != 0)
		return cairn_index__fail(index, errno, "examine", err);
	needed = ((uint64_t)info.me_last_pgno + 1) * stat_.ms_psize;
	if ((uint64_t)st.st_size >= needed)
		return 0;
	cairn_error_set(err, CAIRN_EINTEGRITY, "the index '%s' is truncated", index->path);
	cairn_error_detail(err, "it has %llu bytes and needs %llu", (unsigned long long)st.st_size,
		(unsigned long long)needed);
	cairn_error_hint(
		err, "`cairn fsck --rebuild` makes it anew, of its backup and the segments.");
	return CAIRN_EINTEGRITY;
}

/* LMDB maps its lock file, which it leaves sparse: on a full disk the first touch would be SIGBUS.
 * Once its blocks are there nothing can take them away. Answers an errno. */
static int reserve_lock_file(const char *directory)
{
	cairn_text path = {0};
	struct stat st;
	int fd, rc = 0;

	cairn_text_printf(&path, "%s/lock.mdb", directory);
	if (stat(cairn_text_get(&path), &st) < 0 || st.st_size < LOCK_FILE_BYTES) {
		fd = open(cairn_text_get(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0 || fallocate(fd, 0, 0, LOCK_FILE_BYTES) < 0)
			rc = errno;
		if (fd >= 0)
			close(fd);
	}
	cairn_text_free(&path);
	return rc == ENOSPC || rc == EDQUOT ? rc : 0; /* of all else LMDB speaks */
}

/* One process at a time. The first to open an index makes its lock file anew, with the number of
 * the last transaction at the very end. LMDB lets a second one wait for that, but if the first is
 * killed before the end, the second goes on with the number 0: it commits to the wrong meta page,
 * and later openers do not see it (0.9.24; tests/store/storm.c). Behind this lock, the second is a
 * first one again. */
static int open_env(cairn_index *index, bool readonly)
{
	int fd = open(index->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0)
		return errno;
	do
		rc = flock(fd, LOCK_EX) != 0 ? errno : 0;
	while (rc == EINTR);
	if (!rc)
		rc = mdb_env_open(
			index->env, index->path, MDB_NOTLS | (readonly ? MDB_RDONLY : 0), 0666);
	close(fd);
	return rc;
}

static int create_env(cairn_index *index, bool readonly, size_t map_bytes)
{
	int fd, rc = readonly ? 0 : reserve_lock_file(index->path);

	if (rc || (rc = mdb_env_create(&index->env)))
		return rc;
	if ((rc = mdb_env_set_mapsize(index->env, map_bytes)) ||
		(rc = mdb_env_set_maxdbs(index->env, 32)) ||
		(rc = mdb_env_set_maxreaders(index->env, MAX_READERS)))
		return rc;
	if ((rc = open_env(index, readonly)))
		return rc;
	/* LMDB 0.9.24 leaves this one open for the programs that we start. */
	if ((rc = mdb_env_get_fd(index->env, &fd)))
		return rc;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : errno;
}

static int open_index(cairn_index **out, const char *directory, bool create, bool readonly,
	bool takes_any, size_t map_bytes, cairn_error *err)
{
	cairn_index *index = cairn_alloc(1, sizeof(*index));
	cairn_text path = {0};
	int rc;

	cairn_text_printf(&path, "%s/meta", directory);
	if (!index || path.failed) {
		free(index);
		cairn_text_free(&path);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	index->path = path.data;
	index->pid = getpid();
	index->is_readonly = readonly;
	index->map_bytes = map_bytes;
	pthread_mutex_init(&index->lock, NULL);
	if (!takes_any && (rc = cairn_pages__check_meta(index->path, err)))
		goto out;
	/* Where address space is limited (ulimit -v), a smaller map does: it can grow. */
	while ((rc = create_env(index, readonly, map_bytes)) == ENOMEM &&
		map_bytes > (size_t)64 << 20) {
		close_env(index);
		index->map_bytes = map_bytes /= 8;
	}
	if (rc) {
		rc = cairn_index__fail(index, rc, "open", err);
		goto out;
	}
	if ((rc = check_length(index, err)))
		goto out;
	rc = open_tables(index, create);
	if (rc == MDB_NOTFOUND && !readonly)
		rc = open_tables(index, true); /* made by an older cairn, or only half made */
	if (rc) {
		rc = cairn_index__fail(index, rc, "open the tables of", err);
		goto out;
	}
	cairn_index__tend(index);
	*out = index;
	index = NULL;
out:
	cairn_index__close(index);
	return rc;
}

int cairn_index__open(cairn_index **out, const char *directory, bool create, bool readonly,
	size_t map_bytes, cairn_error *err)
{
	return open_index(out, directory, create, readonly, false, map_bytes, err);
}

int cairn_index__open_damaged(cairn_index **out, const char *directory, cairn_error *err)
{
	return open_index(out, directory, false, true, true, CAIRN_MAP_BYTES, err);
}

void cairn_index__close(cairn_index *index)
{
	if (!index)
		return;
	close_env(index);
	pthread_mutex_destroy(&index->lock);
	free(index->path);
	free(index);
}

void cairn_index__shut(cairn_index *index)
{
	pthread_mutex_lock(&index->lock);
	CAIRN_ASSERT(index->live == 0);
	close_env(index);
	pthread_mutex_unlock(&index->lock);
}

/* ---- sizes and copies --------------------------------------------------------------- */

static int count_tables(MDB_env *env, MDB_txn *txn, const MDB_dbi *dbis, bool must_open,
	uint64_t entries[CAIRN_TABLES], uint64_t *used)
{
	MDB_stat st;
	int rc = mdb_env_stat(env, &st);

	*used = rc ? 0 : 2 * (uint64_t)st.ms_psize; /* the meta pages */
	for (int i = 0; i < CAIRN_TABLES && !rc; i++) {
		MDB_dbi dbi = must_open ? 0 : dbis[i];

		if (must_open)
			rc = mdb_dbi_open(txn, tables[i].name, 0, &dbi);
		if (!rc)
			rc = mdb_stat(txn, dbi, &st);
		if (rc)
			break;
		entries[i] = st.ms_entries;
		*used += (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) *
			 (uint64_t)st.ms_psize;
	}
	return rc;
}

int cairn_index__sizes(cairn_index *index, uint64_t entries[CAIRN_TABLES], uint64_t *bytes,
	uint64_t *used, cairn_error *err)
{
	cairn_txn *txn;
	struct stat st;
	int fd, rc = cairn_index__begin(&txn, index, false, err);

	if (rc)
		return rc;
	rc = count_tables(index->env, txn->txn, index->tables, false, entries, used);
	if (!rc)
		rc = mdb_env_get_fd(index->env, &fd);
	if (!rc && fstat(fd, &st) != 0)
		rc = errno;
	cairn_index__abort(txn);
	if (rc)
		return cairn_index__fail(index, rc, "examine", err);
	*bytes = (uint64_t)st.st_size;
	return 0;
}

int cairn_index__sizes_of_file(const char *path, uint64_t entries[CAIRN_TABLES], cairn_error *err)
{
	cairn_index file = {.path = (char *)path};
	MDB_txn *txn = NULL;
	uint64_t used;
	int rc = mdb_env_create(&file.env);

	if (!rc)
		rc = mdb_env_set_maxdbs(file.env, 32);
	if (!rc)
		rc = mdb_env_open(file.env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0666);
	if (!rc)
		rc = mdb_txn_begin(file.env, NULL, MDB_RDONLY, &txn);
	if (!rc)
		rc = count_tables(file.env, txn, NULL, true, entries, &used);
	if (txn)
		mdb_txn_abort(txn);
	if (file.env)
		mdb_env_close(file.env);
	return rc ? cairn_index__fail(&file, rc, "examine", err) : 0;
}

int cairn_index__walk_pages(cairn_index *index, cairn_pages_fn fn, void *arg, cairn_error *err)
{
	int rc = 1;

	/* 1: two commits came between the transaction and the look at its meta page. */
	while (rc == 1) {
		cairn_txn *txn;
		MDB_stat st;
		int fd, failure;

		if ((rc = cairn_index__begin(&txn, index, false, err)))
			return rc;
		if ((failure = mdb_env_get_fd(index->env, &fd)) ||
			(failure = mdb_env_stat(index->env, &st)))
			rc = cairn_index__fail(index, failure, "examine", err);
		else
			rc = cairn_pages__walk(
				fd, st.ms_psize, mdb_txn_id(txn->txn), index->path, fn, arg, err);
		cairn_index__abort(txn);
	}
	return rc;
}

int cairn_index__count(cairn_txn *txn, enum cairn_table table, uint64_t *out, cairn_error *err)
{
	MDB_stat st;
	int rc = mdb_stat(txn->txn, txn->index->tables[table], &st);

	if (rc)
		return cairn_index__fail(txn->index, rc, "examine", err);
	*out = st.ms_entries;
	return 0;
}

int cairn_index__size(cairn_index *index, uint64_t *out, cairn_error *err)
{
	MDB_envinfo info;
	MDB_stat st;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, index, false, err); /* keeps it open */

	if (rc)
		return rc;
	rc = mdb_env_info(index->env, &info);
	if (!rc)
		rc = mdb_env_stat(index->env, &st);
	cairn_index__abort(txn);
	if (rc)
		return cairn_index__fail(index, rc, "examine", err);
	*out = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
	return 0;
}

int cairn_index__copy(cairn_index *index, int fd, cairn_error *err)
{
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, index, false, err); /* keeps it open */

	if (rc)
		return rc;
	rc = mdb_env_copyfd2(index->env, fd, MDB_CP_COMPACT);
	cairn_index__abort(txn);
	return rc ? cairn_index__fail(index, rc, "copy", err) : 0;
}

bool cairn_index__is_idle(cairn_index *index)
{
	bool is_idle;

	pthread_mutex_lock(&index->lock);
	is_idle = index->live == 0;
	pthread_mutex_unlock(&index->lock);
	return is_idle;
}

/* ---- the map ---------------------------------------------------------------------- */

/* Takes over the size that another process gave the map. */
static bool adopt(cairn_index *index)
{
	bool is_done = false;

	pthread_mutex_lock(&index->lock);
	if (index->live == 0)
		is_done = mdb_env_set_mapsize(index->env, 0) == 0;
	pthread_mutex_unlock(&index->lock);
	return is_done;
}

/* After a failed write of its meta page LMDB refuses everything (MDB_PANIC), for what the disk
 * holds may not be what it remembers. Opened again, it reads that: no program must be started anew.
 * 0 or an LMDB code. */
static int reopen(cairn_index *index)
{
	int rc = MDB_PANIC;

	pthread_mutex_lock(&index->lock);
	if (index->live == 0) {
		close_env(index);
		rc = cairn_pages__check_meta(index->path, NULL)
			     ? MDB_CORRUPTED
			     : create_env(index, index->is_readonly, index->map_bytes);
		if (!rc && check_length(index, NULL))
			rc = MDB_CORRUPTED;
		if (!rc)
			rc = open_tables(index, false);
		if (rc)
			close_env(index);
	}
	pthread_mutex_unlock(&index->lock);
	return rc;
}

/* false where the map is large enough, or this process has transactions. */
static bool grow(cairn_index *index, bool only_if_half_full)
{
	MDB_envinfo info;
	MDB_stat stat_;
	bool is_done = false;

	pthread_mutex_lock(&index->lock);
	if (index->live > 0 || !index->env || mdb_env_info(index->env, &info) ||
		mdb_env_stat(index->env, &stat_))
		goto out;
	if (only_if_half_full &&
		(uint64_t)info.me_last_pgno * stat_.ms_psize <= info.me_mapsize / 2)
		goto out;
	is_done = mdb_env_set_mapsize(index->env, info.me_mapsize * 2) == 0;
	if (is_done)
		index->map_bytes = info.me_mapsize * 2;
out:
	pthread_mutex_unlock(&index->lock);
	return is_done;
}

void cairn_index__tend(cairn_index *index)
{
	struct timespec now;
	int n_dead;

	clock_gettime(CLOCK_MONOTONIC, &now);
	pthread_mutex_lock(&index->lock);
	if (index->env &&
		(index->checked == 0 || now.tv_sec - index->checked >= SECONDS_PER_CHECK)) {
		(void)mdb_reader_check(index->env, &n_dead);
		index->checked = now.tv_sec;
	}
	pthread_mutex_unlock(&index->lock);
	(void)grow(index, true); /* if not now, then at a later commit */
}

bool cairn_index__grow_if_full(cairn_index *index)
{
	bool was_full = index->is_full;

	index->is_full = false;
	return was_full && grow(index, false);
}

/* ---- transactions ----------------------------------------------------------------- */

static void enter(cairn_index *index, bool writes)
{
	pthread_mutex_lock(&index->lock);
	/* A commit inside the callback of another: LMDB would wait for ever. */
	CAIRN_ASSERT(
		!(writes && index->has_writer && pthread_equal(index->writer, pthread_self())));
	index->live++;
	pthread_mutex_unlock(&index->lock);
}

static void leave(cairn_index *index)
{
	pthread_mutex_lock(&index->lock);
	index->live--;
	pthread_mutex_unlock(&index->lock);
}

/* Called between begin and end of a write transaction, so by one thread at a time. */
static void mark_writer(cairn_index *index, bool has_writer)
{
	pthread_mutex_lock(&index->lock);
	index->has_writer = has_writer;
	index->writer = pthread_self();
	pthread_mutex_unlock(&index->lock);
}

int cairn_index__begin(cairn_txn **out, cairn_index *index, bool writes, cairn_error *err)
{
	cairn_txn *txn = cairn_alloc(1, sizeof(*txn));
	int rc;

	CAIRN_ASSERT(index->pid == getpid()); /* LMDB's locks do not survive a fork */
	if (!txn)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	txn->index = index;
	txn->writes = writes;
	do {
		enter(index, writes);
		rc = index->env
			     ? mdb_txn_begin(index->env, NULL, writes ? 0 : MDB_RDONLY, &txn->txn)
			     : MDB_PANIC;
		if (rc)
			leave(index);
	} while ((rc == MDB_MAP_RESIZED && adopt(index)) ||
		 (rc == MDB_PANIC && (rc = reopen(index)) == 0));
	if (rc) {
		free(txn);
		return cairn_index__fail(index, rc, writes ? "write" : "read", err);
	}
	if (writes) {
		index->is_full = false;
		mark_writer(index, true);
	}
	*out = txn;
	return 0;
}

int cairn_index__commit(cairn_txn *txn, cairn_error *err)
{
	cairn_index *index = txn->index;
	int rc;

	if (txn->writes)
		mark_writer(index, false);
	rc = mdb_txn_commit(txn->txn);
	if (rc == MDB_MAP_FULL)
		index->is_full = true;
	leave(index);
	free(txn);
	return rc ? cairn_index__fail(index, rc, "write", err) : 0;
}

void cairn_index__abort(cairn_txn *txn)
{
	if (!txn)
		return;
	if (txn->writes)
		mark_writer(txn->index, false);
	mdb_txn_abort(txn->txn);
	leave(txn->index);
	free(txn);
}

/* ---- values ----------------------------------------------------------------------- */

int cairn_index__reserve(cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len,
	size_t value_len, uint8_t **room, cairn_error *err)
{
	MDB_val key_ = {key_len, (void *)key}, value_ = {value_len, NULL};
	int rc = mdb_put(txn->txn, txn->index->tables[table], &key_, &value_, MDB_RESERVE);

	if (rc == MDB_MAP_FULL)
		txn->index->is_full = true;
	if (rc)
		return cairn_index__fail(txn->index, rc, "write", err);
	*room = value_.mv_data;
	return 0;
}

int cairn_index__delete(
	cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len, cairn_error *err)
{
	MDB_val key_ = {key_len, (void *)key};
	int rc = mdb_del(txn->txn, txn->index->tables[table], &key_, NULL);

	if (rc == MDB_MAP_FULL) /* also deleting copies pages */
		txn->index->is_full = true;
	return rc && rc != MDB_NOTFOUND ? cairn_index__fail(txn->index, rc, "write", err) : 0;
}

int cairn_index__clear(cairn_txn *txn, enum cairn_table table, cairn_error *err)
{
	int rc = mdb_drop(txn->txn, txn->index->tables[table], 0);

	if (rc == MDB_MAP_FULL)
		txn->index->is_full = true;
	return rc ? cairn_index__fail(txn->index, rc, "write", err) : 0;
}

int cairn_index__write(cairn_index *index, cairn_write_fn fn, void *arg, cairn_error *err)
{
	bool is_again;
	cairn_txn *txn;
	int rc;

	cairn_index__tend(index);
	do {
		cairn_error failure = {0};

		rc = cairn_index__begin(&txn, index, true, &failure);
		if (!rc && (rc = fn(txn, arg, &failure)) != 0)
			cairn_index__abort(txn);
		else if (!rc)
			rc = cairn_index__commit(txn, &failure);
		is_again = rc && cairn_index__grow_if_full(index);
		if (rc && !is_again && err && !err->code)
			*err = failure;
	} while (is_again);
	return rc;
}
