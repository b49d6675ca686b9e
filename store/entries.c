/* SPDX-License-Identifier: Apache-2.0 */
/* entries.c - which entries of two artifacts are the same: by their digests, without their bytes.
 */
#include "store/internal.h"

static int get_node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err)
{
	int rc = cairn_catalog__get_blob(arg, CAIRN_TABLE_BLOB, id, bytes, len, err);

	return rc == CAIRN_ENOTFOUND ? cairn_error_set(err, CAIRN_EINTEGRITY,
					       "the store has lost a part of an artifact")
				     : rc;
}

int cairn_store_entry_ids(
	cairn_store *store, const cairn_id *artifact, cairn_id **out, uint64_t *n, cairn_error *err)
{
	cairn_manifest manifest;
	const void *bytes;
	cairn_txn *txn;
	size_t len;
	int rc = cairn_index__begin(&txn, store->index, false, err);

	if (rc < 0)
		return rc;
	rc = cairn_catalog__get_blob(txn, CAIRN_TABLE_ARTIFACT, artifact, &bytes, &len, err);
	if (rc == 0)
		rc = cairn_manifest__read(&manifest, bytes, len, err);
	if (rc == 0)
		rc = cairn_manifest__read_list(out, manifest.list, manifest.list_len,
			manifest.n_entries, get_node, txn, err);
	if (rc == 0)
		*n = manifest.n_entries;
	cairn_index__abort(txn);
	return rc;
}
