/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.c - every byte of a store against its digest.
 *
 * The reader (object.c) checks what somebody asks for; this is for what nobody has asked for in a
 * year. What is found is told and gone past. Three parts, see cairn/fsck.h; what the first two
 * find damaged is remembered (`bad`), and the third says which artifacts that hurts.
 *
 * Transactions are short: tables with digests as keys are read by the first byte of those, so
 * that LMDB can reuse its pages. Only the walk over the pages themselves (pages.c) is one view of
 * the whole index, of 0.2 s a GiB that is in memory. Here is the index; fsck_segments.c and
 * fsck_artifacts.c go on.
 */
#include "store/fsck.h"

#include <string.h>

#include "base/alloc.h"

int cairn_fsck_new(cairn_fsck **out, cairn_store *store, bool is_quick,
	const cairn_fsck_observer *observer, cairn_error *err)
{
	cairn_fsck *fsck = cairn_alloc(1, sizeof(*fsck));

	if (!fsck)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	fsck->store = store;
	fsck->is_quick = is_quick;
	fsck->observer = *observer;
	*out = fsck;
	return 0;
}

void cairn_fsck_free(cairn_fsck *fsck)
{
	if (!fsck)
		return;
	free(fsck->bads);
	free(fsck);
}

void cairn_fsck__progress(const cairn_fsck *fsck, const char *part)
{
	if (fsck->observer.progress)
		fsck->observer.progress(fsck->observer.arg, part, fsck->done, fsck->total);
}

/* ---- what is damaged ---------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	const cairn_fsck_bad *x = a, *y = b;

	return x->table != y->table ? (x->table > y->table) - (x->table < y->table)
				    : cairn_id_compare(&x->id, &y->id);
}

const cairn_fsck_bad *cairn_fsck__find(cairn_fsck *fsck, enum cairn_table table, const cairn_id *id)
{
	cairn_fsck_bad key = {.table = table, .id = *id};

	if (!fsck->n_bads)
		return NULL;
	if (!fsck->is_sorted)
		qsort(fsck->bads, fsck->n_bads, sizeof(*fsck->bads), by_id);
	fsck->is_sorted = true;
	return bsearch(&key, fsck->bads, fsck->n_bads, sizeof(*fsck->bads), by_id);
}

int cairn_fsck__remember(cairn_fsck *fsck, enum cairn_table table, const cairn_id *id,
	const cairn_place *place, cairn_error *err)
{
	cairn_fsck_bad *grown;

	if (fsck->n_bads == fsck->cap_bads) {
		size_t cap = fsck->cap_bads ? 2 * fsck->cap_bads : 16;

		grown = cairn_realloc(fsck->bads, cap, sizeof(*grown));
		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		fsck->bads = grown;
		fsck->cap_bads = cap;
	}
	fsck->bads[fsck->n_bads] =
		(cairn_fsck_bad){.table = table, .id = *id, .has_place = place != NULL};
	if (place)
		fsck->bads[fsck->n_bads].place = *place;
	fsck->n_bads++;
	fsck->is_sorted = false;
	return 0;
}

int cairn_fsck_mark(cairn_fsck *fsck, const char *table, const cairn_id *id, cairn_error *err)
{
	static const enum cairn_table tables[] = {
		CAIRN_TABLE_CHUNK, CAIRN_TABLE_BLOB, CAIRN_TABLE_ARTIFACT};

	for (size_t i = 0; i < CAIRN_COUNT(tables); i++) {
		if (!strcmp(table, cairn_index__table_name(tables[i])))
			return cairn_fsck__remember(fsck, tables[i], id, NULL, err);
	}
	return cairn_error_set(err, CAIRN_EBUG, "table '%s' holds no part of artifacts", table);
}

void cairn_fsck__tell(cairn_fsck *fsck, const char *what, enum cairn_table table, const void *key,
	size_t key_len, const cairn_place *place, const cairn_error *why)
{
	cairn_damage damage = {.what = what,
		.table = cairn_index__table_name(table),
		.key = key,
		.key_len = key_len,
		.why = why};

	if (place) {
		damage.has_place = true;
		damage.segment = place->segment;
		damage.offset = place->offset;
	}
	fsck->observer.damage(fsck->observer.arg, &damage);
}

/* ---- the index ---------------------------------------------------------------------- */

struct table_check {
	cairn_fsck *fsck;
	enum cairn_table table;
	uint64_t n_seen;
};

static bool holds_parts(enum cairn_table table)
{
	return table == CAIRN_TABLE_CHUNK || table == CAIRN_TABLE_BLOB ||
	       table == CAIRN_TABLE_ARTIFACT;
}

static int check_value(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct table_check *check = arg;
	static const char *const names[] = {[CAIRN_TABLE_CHUNK] = "chunk",
		[CAIRN_TABLE_BLOB] = "blob",
		[CAIRN_TABLE_ARTIFACT] = "manifest"};
	bool is_part = holds_parts(check->table);
	cairn_error why = {0};
	cairn_id id;
	int rc = cairn_catalog__check(check->table, key, key_len, value, value_len, &why);

	check->n_seen++;
	if (rc == 0)
		return 0;
	cairn_fsck__tell(check->fsck, is_part ? names[check->table] : "record", check->table, key,
		key_len, NULL, &why);
	if (!is_part || key_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, key, key_len);
	return cairn_fsck__remember(check->fsck, check->table, &id, NULL, err);
}

/* One transaction. A page that cannot be read is told; behind it nothing can be reached. */
static int check_range(struct table_check *check, const uint8_t *prefix, size_t prefix_len,
	bool *is_broken, cairn_error *err)
{
	cairn_error why = {0};
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, check->fsck->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_index__scan(
		txn, check->table, prefix, prefix_len, false, check_value, check, &why);
	cairn_index__abort(txn);
	if (rc == CAIRN_EINTEGRITY) {
		cairn_fsck__tell(check->fsck, "index", check->table, NULL, 0, NULL, &why);
		*is_broken = true;
		return 0;
	}
	if (rc && err)
		*err = why;
	return rc;
}

static int count_value(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	(void)key, (void)key_len, (void)value, (void)value_len, (void)err;
	(*(uint64_t *)arg)++;
	return 0;
}

/* A page of zeros reads as one without values: nothing but their number misses them. One
 * transaction, for others may write. */
static int check_number(struct table_check *check, cairn_error *err)
{
	cairn_error why = {0};
	uint64_t n_values, n_seen = 0;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, check->fsck->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_index__count(txn, check->table, &n_values, err);
	if (!rc && n_values != check->n_seen)
		rc = cairn_index__scan(
			txn, check->table, NULL, 0, false, count_value, &n_seen, err);
	else
		n_seen = n_values;
	cairn_index__abort(txn);
	if (rc || n_seen == n_values)
		return rc;
	cairn_error_set(&why, CAIRN_EINTEGRITY, "a table of the index has lost values");
	cairn_error_detail(&why, "table '%s' has %llu and should have %llu",
		cairn_index__table_name(check->table), (unsigned long long)n_seen,
		(unsigned long long)n_values);
	cairn_fsck__tell(check->fsck, "index", check->table, NULL, 0, NULL, &why);
	return 0;
}

static int check_table(cairn_fsck *fsck, enum cairn_table table, cairn_error *err)
{
	struct table_check check = {.fsck = fsck, .table = table};
	bool is_broken = false;
	int rc = 0;

	if (!holds_parts(table))
		rc = check_range(&check, NULL, 0, &is_broken, err);
	for (int i = 0; i < CAIRN_FSCK_FIRST_BYTES && !rc && !is_broken && holds_parts(table);
		i++) {
		uint8_t first = (uint8_t)i;

		rc = check_range(&check, &first, 1, &is_broken, err);
	}
	return rc || is_broken ? rc : check_number(&check, err);
}

static void tell_page(void *arg, const char *table, const cairn_error *why)
{
	const cairn_fsck *fsck = arg;
	const cairn_damage damage = {.what = "index", .table = table, .why = why};

	fsck->observer.damage(fsck->observer.arg, &damage);
}

int cairn_fsck_index(cairn_fsck *fsck, cairn_error *err)
{
	int rc = cairn_index__walk_pages(fsck->store->index, tell_page, fsck, err);

	fsck->total = CAIRN_TABLES;
	for (int i = 0; i < CAIRN_TABLES && !rc; i++) {
		fsck->done = (uint64_t)i;
		cairn_fsck__progress(fsck, "index");
		rc = check_table(fsck, (enum cairn_table)i, err);
	}
	fsck->done = fsck->total;
	cairn_fsck__progress(fsck, "index");
	return rc;
}
