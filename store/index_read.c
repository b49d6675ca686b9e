/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_read.c - looking values up, and scans.
 *
 * A page of the index has no checksum. Where one was damaged that leads to others, a lookup ends
 * on the wrong page, where the value is not; so before one is said to be missing, its neighbours
 * are looked at, which are in order only where it truly is. That takes 0.3 microseconds, which
 * only lookups pay that find nothing. fsck sees the rest (pages.c).
 */
#include <string.h>

#include "store/index.h"

/* ---- values ----------------------------------------------------------------------- */

/* As LMDB does. */
static int compare(const MDB_val *a, const MDB_val *b)
{
	size_t len = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
	int order = len ? memcmp(a->mv_data, b->mv_data, len) : 0;

	return order ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
}

/* Moves to the first key that is not below `key`. A damaged branch page leads past it; then the
 * neighbours are not where they should be: MDB_CORRUPTED. */
static int move_to(MDB_cursor *cursor, const MDB_val *key, MDB_val *found, MDB_val *value)
{
	MDB_val before, ignored;
	int rc;

	*found = *key;
	rc = mdb_cursor_get(cursor, found, value, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND) {
		rc = mdb_cursor_get(cursor, &before, &ignored, MDB_LAST);
		return rc == 0 ? (compare(&before, key) < 0 ? MDB_NOTFOUND : MDB_CORRUPTED) : rc;
	}
	if (rc)
		return rc;
	if (compare(found, key) < 0)
		return MDB_CORRUPTED;
	rc = mdb_cursor_get(cursor, &before, &ignored, MDB_PREV);
	if (rc == MDB_NOTFOUND)
		return 0; /* it was the first, and the cursor is still there */
	if (rc == 0 && compare(&before, key) >= 0)
		return MDB_CORRUPTED;
	return rc ? rc : mdb_cursor_get(cursor, found, value, MDB_NEXT);
}

/* MDB_NOTFOUND, if that is true. */
static int confirm_missing(cairn_txn *txn, enum cairn_table table, const MDB_val *key)
{
	MDB_val found, value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn->txn, txn->index->tables[table], &cursor);

	if (rc)
		return rc;
	rc = move_to(cursor, key, &found, &value);
	mdb_cursor_close(cursor);
	return rc == 0 ? (compare(&found, key) > 0 ? MDB_NOTFOUND : MDB_CORRUPTED) : rc;
}

int cairn_index__get(cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len,
	const void **value, size_t *value_len, cairn_error *err)
{
	MDB_val key_ = {key_len, (void *)key}, value_;
	int rc = mdb_get(txn->txn, txn->index->tables[table], &key_, &value_);

	if (rc == MDB_NOTFOUND && (rc = confirm_missing(txn, table, &key_)) == MDB_NOTFOUND)
		return CAIRN_ENOTFOUND;
	if (rc)
		return cairn_index__fail(txn->index, rc, "read", err);
	*value = value_.mv_data;
	*value_len = value_.mv_size;
	return 0;
}

/* ---- scans ------------------------------------------------------------------------ */

/* The smallest key above all that start with prefix; false where there is none. */
static bool successor(const void *prefix, size_t len, uint8_t *out, size_t *out_len)
{
	if (len)
		memcpy(out, prefix, len);
	while (len > 0 && out[len - 1] == 0xff)
		len--;
	if (len == 0)
		return false;
	out[len - 1]++;
	*out_len = len;
	return true;
}

/* Moves to the first record of the scan. */
static int seek(MDB_cursor *cursor, const void *prefix, size_t prefix_len, bool descending,
	MDB_val *key, MDB_val *value)
{
	uint8_t above[CAIRN_MAX_KEY];
	size_t above_len;
	MDB_val start;
	int rc;

	if (!descending) {
		start = (MDB_val){prefix_len, (void *)prefix};
		return prefix_len ? move_to(cursor, &start, key, value)
				  : mdb_cursor_get(cursor, key, value, MDB_FIRST);
	}
	if (!successor(prefix, prefix_len, above, &above_len))
		return mdb_cursor_get(cursor, key, value, MDB_LAST);
	start = (MDB_val){above_len, above};
	rc = move_to(cursor, &start, key, value);
	if (rc == MDB_NOTFOUND)
		return mdb_cursor_get(cursor, key, value, MDB_LAST);
	return rc ? rc : mdb_cursor_get(cursor, key, value, MDB_PREV);
}

/* From `start` on (descending: from the last key that begins with it), while keys begin with the
 * first prefix_len bytes of it. */
static int scan(cairn_txn *txn, enum cairn_table table, const MDB_val *start, size_t prefix_len,
	bool descending, cairn_scan_fn fn, void *arg, cairn_error *err)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int answer = 0;
	int rc = mdb_cursor_open(txn->txn, txn->index->tables[table], &cursor);

	if (rc)
		return cairn_index__fail(txn->index, rc, "read", err);
	rc = seek(cursor, start->mv_data, start->mv_size, descending, &key, &value);
	while (!rc && key.mv_size >= prefix_len &&
		(prefix_len == 0 || !memcmp(key.mv_data, start->mv_data, prefix_len))) {
		answer = fn(key.mv_data, key.mv_size, value.mv_data, value.mv_size, arg, err);
		if (answer)
			break;
		rc = mdb_cursor_get(cursor, &key, &value, descending ? MDB_PREV : MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (rc && rc != MDB_NOTFOUND)
		return cairn_index__fail(txn->index, rc, "read", err);
	return answer < 0 ? answer : 0;
}

int cairn_index__scan(cairn_txn *txn, enum cairn_table table, const void *prefix, size_t prefix_len,
	bool descending, cairn_scan_fn fn, void *arg, cairn_error *err)
{
	const MDB_val start = {prefix_len, (void *)prefix};

	return scan(txn, table, &start, prefix_len, descending, fn, arg, err);
}

int cairn_index__scan_from(cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len,
	cairn_scan_fn fn, void *arg, cairn_error *err)
{
	const MDB_val start = {key_len, (void *)key};

	return scan(txn, table, &start, 0, false, fn, arg, err);
}
