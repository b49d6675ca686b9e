/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.c - a batch as bytes, for another process of this program to commit.
 *
 * Many short writers and one committer: each writer packs what it has, the committer unpacks
 * all of it into one batch, and one transaction (with one sync) publishes what would have been
 * hundreds. A packet lives between two processes of one machine and one version; it is no
 * format of files.
 *
 * An item is a byte (table, and NEW where the bytes follow), the id, and then u32 and bytes.
 * Chunks in segments do not travel: only the process that appended them may sync and name them.
 *
 * Invariant: what is unpacked is either known to the index or has been hashed here. The process
 * that packed ran somebody's plugin; the committer believes no id of it.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/bytes.h"
#include "store/internal.h"

#define NEW 0x80u

static void pack_item(cairn_text *out, const cairn_pending_item *item)
{
	cairn_add_le(out, (uint64_t)item->table | (item->is_new ? NEW : 0), 1);
	cairn_text_add_bytes(out, item->id.bytes, sizeof(item->id.bytes));
	if (!item->is_new)
		return;
	cairn_add_le(out, item->len, 4);
	cairn_text_add_bytes(out, item->bytes, item->len);
}

int cairn_batch_pack(const cairn_batch *batch, size_t max, void **bytes, size_t *len)
{
	cairn_text out = {0};

	if (batch->has_appended || batch->n_changes || batch->on_commit || batch->draft.kind)
		return 1;
	for (size_t i = 0; i < batch->pending.n_items && out.len <= max; i++)
		pack_item(&out, &batch->pending.items[i]);
	if (out.failed || out.len > max) {
		cairn_text_free(&out);
		return 1;
	}
	*bytes = out.data;
	*len = out.len;
	return 0;
}

static int bad_packet(cairn_error *err, const char *why)
{
	cairn_error_set(err, CAIRN_EINTEGRITY, "what a process handed over is no packet");
	cairn_error_detail(err, "%s", why);
	return CAIRN_EINTEGRITY;
}

/* Adds one item; what is there already is passed over. */
static int unpack_item(cairn_batch *batch, cairn_bytes *in, cairn_error *err)
{
	uint64_t head = cairn_bytes_le(in, 1), len = 0;
	enum cairn_table table = (enum cairn_table)(head & ~(uint64_t)NEW);
	const uint8_t *digest = cairn_bytes_take(in, CAIRN_DIGEST_BYTES), *bytes = NULL;
	bool is_new = head & NEW;
	cairn_id id, is;

	if (is_new) {
		len = cairn_bytes_le(in, 4);
		bytes = cairn_bytes_take(in, len);
	}
	if (in->is_bad)
		return bad_packet(err, "it ends early");
	if (table != CAIRN_TABLE_BLOB && table != CAIRN_TABLE_ARTIFACT &&
		(table != CAIRN_TABLE_CHUNK || is_new))
		return bad_packet(err, "an item of no such table");
	memcpy(id.bytes, digest, sizeof(id.bytes));
	if (is_new) {
		cairn_sha256(bytes, len, is.bytes);
		if (cairn_id_compare(&is, &id) != 0)
			return bad_packet(err, "bytes that are not what their id says");
	}
	if (cairn_pending__has(&batch->pending, table, &id))
		return 0;
	if (is_new ? cairn_pending__add_bytes(&batch->pending, table, &id, bytes, len)
		   : cairn_pending__add(&batch->pending, table, &id) != NULL)
		return 0;
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
}

int cairn_batch_unpack(cairn_batch *batch, const void *bytes, size_t len, cairn_error *err)
{
	cairn_bytes in = {.at = bytes, .left = len};
	int rc = 0;

	while (in.left && !rc)
		rc = unpack_item(batch, &in, err);
	return rc ? rc : cairn_batch__spill(batch, err);
}
