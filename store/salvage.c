/* SPDX-License-Identifier: Apache-2.0 */
/*
 * salvage.c - what can still be read of a damaged index.
 *
 * LMDB trusts its pages: one that is damaged ends a scan with an error, or the process with a
 * signal. So each table is read by a child, from its first key up; where that one does not come
 * to the end, again in small transactions, so that little of what came before the damage is lost,
 * and from the last key down. What a child took is in the new index already; how far it came, it
 * leaves in memory that it shares with its parent.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/quiet.h"
#include "store/internal.h"

enum {
	LARGE_BATCH = 4096, /* values a transaction */
	SMALL_BATCH = 16,
};

/* Shared by parent and child. */
typedef struct progress {
	cairn_salvage found;
	bool is_wrong; /* the new index could not be written: `error` */
	cairn_error error;
} progress;

typedef struct pass {
	progress *shared;
	cairn_index *to;
	cairn_txn *txn; /* of `to` */
	enum cairn_table table;
	size_t batch, n_in_txn;
	uint64_t n_seen, n_damaged;
} pass;

static int commit(pass *p, cairn_error *err)
{
	cairn_txn *txn = p->txn;

	p->txn = NULL;
	p->n_in_txn = 0;
	return txn ? cairn_index__commit(txn, err) : 0;
}

static int take(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	pass *p = arg;
	const void *there;
	size_t there_len;
	uint8_t *room;
	int rc = 0;

	p->n_seen++;
	if (cairn_catalog__check(p->table, key, key_len, value, value_len, NULL) != 0) {
		p->n_damaged++;
		return 0;
	}
	if (!p->txn) {
		cairn_index__tend(p->to);
		rc = cairn_index__begin(&p->txn, p->to, true, err);
	}
	if (!rc)
		rc = cairn_index__get(p->txn, p->table, key, key_len, &there, &there_len, err);
	if (rc != CAIRN_ENOTFOUND)
		return rc;
	rc = cairn_index__reserve(p->txn, p->table, key, key_len, value_len, &room, err);
	if (rc)
		return rc;
	if (value_len)
		memcpy(room, value, value_len);
	return ++p->n_in_txn >= p->batch ? commit(p, err) : 0;
}

/* One table, in one direction: true where it came to the end. */
static bool read_table(pass *p, cairn_index *from, bool is_descending)
{
	progress *shared = p->shared;
	cairn_error why = {0}, failure = {0};
	uint64_t n_values = 0;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, from, false, &why);

	if (rc)
		return false;
	rc = cairn_index__scan(txn, p->table, NULL, 0, is_descending, take, p, &why);
	/* A page of zeros is one without values: nothing but their number misses them. */
	if (!rc)
		rc = cairn_index__count(txn, p->table, &n_values, &why);
	cairn_index__abort(txn);
	if (commit(p, &failure) != 0) {
		shared->is_wrong = true;
		shared->error = failure;
	} else if (rc && rc != CAIRN_EINTEGRITY && rc != CAIRN_EIO) {
		shared->is_wrong = true;
		shared->error = why;
	}
	return rc == 0 && p->n_seen == n_values && !p->n_damaged && !shared->is_wrong;
}

struct job {
	const char *from, *to;
	enum cairn_table table;
	size_t batch;
	bool is_descending;
};

/* The child's life. */
static void work(const struct job *job, progress *shared)
{
	cairn_index *from = NULL, *to = NULL;
	pass p = {.shared = shared, .table = job->table, .batch = job->batch};

	if (cairn_index__open_damaged(&from, job->from, NULL) != 0)
		return;
	shared->found.is_open = true;
	if (cairn_index__open(&to, job->to, false, false, CAIRN_MAP_BYTES, &shared->error) != 0) {
		shared->is_wrong = true;
		return;
	}
	p.to = to;
	shared->found.is_whole[job->table] = read_table(&p, from, job->is_descending);
	cairn_index__close(to);
	cairn_index__close(from);
}

static int run_child(const struct job *job, progress *shared, cairn_error *err)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return cairn_error_set(err, CAIRN_EIO, "cannot start a process");
	if (pid == 0) {
		cairn_die_quietly();
		work(job, shared);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	if (!shared->is_wrong)
		return 0;
	if (err)
		*err = shared->error;
	return shared->error.code ? shared->error.code : CAIRN_EIO;
}

static int copy_table(const char *from, const char *to, enum cairn_table table, progress *shared,
	cairn_error *err)
{
	struct job job = {.from = from, .to = to, .table = table, .batch = LARGE_BATCH};
	int rc = run_child(&job, shared, err);

	if (rc || shared->found.is_whole[table] || !shared->found.is_open)
		return rc;
	job.batch = SMALL_BATCH;
	rc = run_child(&job, shared, err);
	if (rc)
		return rc;
	job.is_descending = true;
	rc = run_child(&job, shared, err);
	/* From both ends is not from end to end. */
	shared->found.is_whole[table] = false;
	return rc;
}

int cairn_salvage__copy(
	cairn_salvage *out, const char *from, const char *to, const bool *skip, cairn_error *err)
{
	progress *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rc = 0;

	if (shared == MAP_FAILED)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	for (int table = 0; table < CAIRN_TABLES && !rc; table++) {
		if (!skip || !skip[table])
			rc = copy_table(from, to, (enum cairn_table)table, shared, err);
	}
	*out = shared->found;
	munmap(shared, sizeof(*shared));
	return rc;
}
