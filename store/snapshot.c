/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - reading records, each checked against its seal. */
#include "base/alloc.h"
#include "store/internal.h"

int cairn_snapshot_begin(cairn_snapshot **out, cairn_store *store, cairn_error *err)
{
	cairn_snapshot *snapshot = cairn_alloc(1, sizeof(*snapshot));
	int rc;

	if (!snapshot)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	rc = cairn_index__begin(&snapshot->txn, store->index, false, err);
	if (rc) {
		free(snapshot);
		return rc;
	}
	*out = snapshot;
	return 0;
}

void cairn_snapshot_end(cairn_snapshot *snapshot)
{
	if (!snapshot)
		return;
	CAIRN_ASSERT(!snapshot->is_borrowed);
	cairn_index__abort(snapshot->txn);
	free(snapshot);
}

int cairn_snapshot_get(cairn_snapshot *snapshot, const char *table_name, const void *key,
	size_t key_len, const void **value, size_t *value_len, cairn_error *err)
{
	enum cairn_table table;
	int rc = cairn_index__table(&table, table_name, err);

	if (rc)
		return rc;
	if (key_len == 0 || key_len > CAIRN_MAX_KEY)
		return CAIRN_ENOTFOUND; /* no such key can have been put */
	return cairn_catalog__get(snapshot->txn, table, key, key_len, value, value_len, err);
}

bool cairn_snapshot_has(cairn_snapshot *snapshot, const cairn_id *id)
{
	const void *value;
	size_t len;

	return cairn_index__get(snapshot->txn, CAIRN_TABLE_ARTIFACT, id->bytes, sizeof(id->bytes),
		       &value, &len, NULL) == 0;
}

uint64_t cairn_snapshot_losses(cairn_snapshot *snapshot)
{
	uint64_t losses;

	/* A damaged count is no count: then nothing that was seen earlier is believed. */
	return cairn_catalog__number(snapshot->txn, CAIRN_LOSSES, &losses, NULL) == 0 ? losses
										      : UINT64_MAX;
}

struct scan {
	enum cairn_table table;
	cairn_scan_fn fn;
	void *arg;
};

static int unseal_and_tell(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	const struct scan *scan = arg;
	int rc = cairn_catalog__unseal(scan->table, key, key_len, &value, &value_len, err);

	return rc ? rc : scan->fn(key, key_len, value, value_len, scan->arg, err);
}

int cairn_snapshot_scan(cairn_snapshot *snapshot, const char *table_name, const void *prefix,
	size_t prefix_len, bool descending, cairn_scan_fn fn, void *arg, cairn_error *err)
{
	struct scan scan = {.fn = fn, .arg = arg};
	int rc = cairn_index__table(&scan.table, table_name, err);

	if (rc || prefix_len > CAIRN_MAX_KEY)
		return rc;
	return cairn_index__scan(snapshot->txn, scan.table, prefix, prefix_len, descending,
		unseal_and_tell, &scan, err);
}
