/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet.c - a batch as bytes, for another process of this program to commit.
 *
 * Many short writers and one committer: each writer packs what it has, the committer unpacks
 * all of it into one batch, and one transaction (with one sync) publishes what would have been
 * hundreds. A packet lives between two processes of one machine and one version; it is no
 * format of files.
 *
 * An item is a byte for the table, the id, a length (u32) and the bytes. What has none does not
 * travel: chunks in segments, which only the process that appended them may sync and name, and
 * what this process found in the index and relies on by its own lease (lease.c).
 *
 * Invariant: what is unpacked has been hashed here. The process that packed ran somebody's
 * plugin; the committer believes no id of it.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/bytes.h"
#include "store/internal.h"

static bool can_travel(const cairn_pending_item *item)
{
	return item->is_new && item->bytes && item->table != CAIRN_TABLE_CHUNK;
}

int cairn_batch_pack(const cairn_batch *batch, size_t max, void **bytes, size_t *len)
{
	const cairn_pending *pending = &batch->pending;
	bool can = !batch->has_appended && !batch->n_changes && !batch->n_uses &&
		   !batch->on_commit && !batch->draft.kind;
	cairn_text out = {0};

	for (size_t i = 0; i < pending->n_items && can; i++) {
		const cairn_pending_item *item = &pending->items[i];

		cairn_add_le(&out, item->table, 1);
		cairn_text_add_bytes(&out, item->id.bytes, sizeof(item->id.bytes));
		cairn_add_le(&out, item->len, 4);
		cairn_text_add_bytes(&out, item->bytes, can_travel(item) ? item->len : 0);
		can = can_travel(item) && !out.failed && out.len <= max;
	}
	if (!can) {
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
	enum cairn_table table = (enum cairn_table)cairn_bytes_le(in, 1);
	const uint8_t *digest = cairn_bytes_take(in, CAIRN_DIGEST_BYTES);
	uint64_t len = cairn_bytes_le(in, 4);
	const uint8_t *bytes = cairn_bytes_take(in, len);
	cairn_id id;

	if (in->is_bad)
		return bad_packet(err, "it ends early");
	if (table != CAIRN_TABLE_BLOB && table != CAIRN_TABLE_ARTIFACT)
		return bad_packet(err, "an item of no such table");
	if (len > CAIRN_INLINE_BYTES)
		return bad_packet(err, "an item longer than any node");
	cairn_sha256(bytes, len, id.bytes);
	if (memcmp(id.bytes, digest, sizeof(id.bytes)) != 0)
		return bad_packet(err, "bytes that are not what their id says");
	if (cairn_pending__has(&batch->pending, table, &id) ||
		cairn_pending__add_bytes(&batch->pending, table, &id, bytes, len))
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
