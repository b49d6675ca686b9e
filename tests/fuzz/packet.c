/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a packet, which a process that ran somebody's plugin hands to the one that commits:
 * refused with a message, or a batch whose own packet says the same, and which can be committed.
 *
 * The first byte picks the way. Even: the rest is the packet. Odd: the rest is items, each a byte
 * for the table, a length of two bytes and the content, which get right digests; random bytes
 * would never come past the first of those.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "fuzz.h"
#include "scratch.h"
#include "store/bytes.h"
#include "store/internal.h"

#define INPUTS_PER_COMMIT 16

static cairn_store *store;
static unsigned n_inputs;

static void build(cairn_text *packet, const uint8_t *data, size_t size)
{
	cairn_bytes in = {.at = data, .left = size};

	while (in.left >= 3) {
		uint64_t table = cairn_bytes_le(&in, 1), len = cairn_bytes_le(&in, 2);
		cairn_id id;

		if (len > in.left)
			len = in.left;
		cairn_sha256(in.at, len, id.bytes);
		cairn_add_le(packet, table, 1);
		cairn_text_add_bytes(packet, id.bytes, sizeof(id.bytes));
		cairn_add_le(packet, len, 4);
		cairn_text_add_bytes(packet, cairn_bytes_take(&in, len), len);
	}
	MUST(!packet->failed);
}

/* Everything in the packet can be read, once it was committed. */
static void check_committed(const uint8_t *packet, size_t len)
{
	cairn_bytes in = {.at = packet, .left = len};
	cairn_txn *txn;

	MUST(cairn_index__begin(&txn, store->index, false, NULL) == 0);
	while (in.left) {
		enum cairn_table table = (enum cairn_table)cairn_bytes_le(&in, 1);
		const uint8_t *digest = cairn_bytes_take(&in, CAIRN_DIGEST_BYTES);
		size_t want_len = cairn_bytes_le(&in, 4), got_len;
		const uint8_t *want = cairn_bytes_take(&in, want_len);
		const void *got;
		cairn_id id;

		MUST(!in.is_bad);
		memcpy(id.bytes, digest, sizeof(id.bytes));
		MUST(cairn_catalog__get_blob(txn, table, &id, &got, &got_len, NULL) == 0);
		MUST(got_len == want_len && (!want_len || !memcmp(got, want, want_len)));
	}
	cairn_index__abort(txn);
}

/* The packet of a batch says what the batch does, each item once. */
static void check_batch(cairn_batch *batch)
{
	cairn_batch *second;
	void *packet, *again;
	size_t len, again_len;

	MUST(cairn_batch_pack(batch, SIZE_MAX, &packet, &len) == 0);
	MUST(cairn_batch_begin(&second, store, NULL) == 0);
	MUST(cairn_batch_unpack(second, packet, len, NULL) == 0);
	MUST(cairn_batch_pack(second, SIZE_MAX, &again, &again_len) == 0);
	MUST(again_len == len && (!len || !memcmp(packet, again, len)));
	free(again);
	if (n_inputs % INPUTS_PER_COMMIT) {
		cairn_batch_abort(second);
	} else {
		MUST(cairn_batch_commit(second, NULL) == 0);
		check_committed(packet, len);
	}
	free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cairn_error err = {0};
	cairn_text packet = {0};
	cairn_batch *batch;
	int rc;

	store = fuzz_store();
	n_inputs++;
	if (size == 0)
		return 0;
	if (data[0] % 2)
		build(&packet, data + 1, size - 1);
	else
		cairn_text_add_bytes(&packet, data + 1, size - 1);
	MUST(cairn_batch_begin(&batch, store, NULL) == 0);
	rc = cairn_batch_unpack(batch, packet.data, packet.len, &err);
	MUST(rc == 0 || (rc == CAIRN_EINTEGRITY && err.message[0] && err.detail[0]));
	if (rc == 0)
		check_batch(batch);
	cairn_batch_abort(batch);
	cairn_text_free(&packet);
	return 0;
}
