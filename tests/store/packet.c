/* SPDX-License-Identifier: Apache-2.0 */
/* Packets: what one process wrote and another commits. */
#include "support.h"

#include <string.h>

#include "base/digest.h"
#include "store/internal.h"

#define MAX_PACKET ((size_t)256 << 10)

/* The bytes of a batch with one artifact of n entries; the batch is gone. */
static void *pack_one(
	cairn_store *store, size_t n, size_t each, uint64_t seed, size_t *len, cairn_id *id)
{
	cairn_error err = {0};
	cairn_batch *batch;
	void *bytes;

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, n, each, seed, id);
	assert_int_equal(cairn_batch_pack(batch, MAX_PACKET, &bytes, len), 0);
	cairn_batch_abort(batch);
	return bytes;
}

/* Somebody else's commit: what a process has committed itself it relies on, and cannot pack. */
static int commit_old(void *directory)
{
	cairn_store *store = support_open(directory, CAIRN_STORE_CREATE);

	support_commit(store, 2, 100, 7);
	cairn_store_close(store);
	return 0;
}

static void test_store_packet__many_become_one_commit(void **state)
{
	cairn_error err = {0};
	cairn_store *store;
	cairn_batch *batch;
	cairn_id ids[20];

	assert_int_equal(support_child(commit_old, *state), 0);
	store = support_open(*state, 0);

	OK(cairn_batch_begin(&batch, store, &err));
	for (uint64_t i = 0; i < 20; i++) {
		size_t len;
		/* Every second one shares its first entries with what is there already. */
		void *bytes = pack_one(store, 3, 100, i % 2 ? 7 : 100 * i, &len, &ids[i]);

		OK(cairn_batch_unpack(batch, bytes, len, &err));
		free(bytes);
	}
	assert_int_equal(support_verify(store, &ids[2], 3, 100, 200, &err), CAIRN_ENOTFOUND);
	OK(cairn_batch_commit(batch, &err));
	cairn_error_clear(&err);
	for (uint64_t i = 0; i < 20; i++)
		OK(support_verify(store, &ids[i], 3, 100, i % 2 ? 7 : 100 * i, &err));
	cairn_store_close(store);
}

/* Large chunks lie in a segment that only its writer may sync; records have their own way. */
static void test_store_packet__not_everything_travels(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id id;
	void *bytes;
	size_t len;

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, 1, 70000, 1, &id); /* more than is kept in the index */
	assert_int_equal(cairn_batch_pack(batch, (size_t)1 << 20, &bytes, &len), 1);
	OK(cairn_batch_commit(batch, &err)); /* as ever */
	OK(support_verify(store, &id, 1, 70000, 1, &err));

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, 10, 60000, 2, &id);
	assert_int_equal(cairn_batch_pack(batch, MAX_PACKET, &bytes, &len), 1);
	cairn_batch_abort(batch);

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, "note", "a", 1, "b", 1, &err));
	assert_int_equal(cairn_batch_pack(batch, MAX_PACKET, &bytes, &len), 1);
	cairn_batch_abort(batch);
	cairn_store_close(store);
}

/* No blob and no manifest is longer than a chunk that lies in the index. */
static void test_store_packet__a_blob_has_a_limit(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	const size_t lens[] = {CAIRN_INLINE_BYTES, CAIRN_INLINE_BYTES + 1};
	size_t head = 1 + CAIRN_DIGEST_BYTES;
	uint8_t *bytes = calloc(head + 4 + CAIRN_INLINE_BYTES + 1, 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < 2; i++) {
		cairn_error err = {0};
		cairn_batch *batch;

		bytes[0] = CAIRN_TABLE_BLOB;
		for (unsigned k = 0; k < 4; k++)
			bytes[head + k] = (uint8_t)(lens[i] >> 8 * k);
		cairn_sha256(bytes + head + 4, lens[i], bytes + 1);
		OK(cairn_batch_begin(&batch, store, &err));
		assert_int_equal(cairn_batch_unpack(batch, bytes, head + 4 + lens[i], &err),
			i ? CAIRN_EINTEGRITY : 0);
		cairn_batch_abort(batch);
	}
	free(bytes);
	cairn_store_close(store);
}

/* Whatever bit is turned, whichever end is missing: refused, or the artifact as it was meant. */
static void test_store_packet__damage_is_refused(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	size_t len, refused = 0, cut = 0;
	cairn_batch *batch;
	cairn_id id;
	uint8_t *bytes = pack_one(store, 2, 50, 3, &len, &id);

	for (size_t i = 0; i < len * 8; i++) {
		cairn_error why = {0};

		OK(cairn_batch_begin(&batch, store, &err));
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		refused += cairn_batch_unpack(batch, bytes, len, &why) == CAIRN_EINTEGRITY;
		bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		cairn_batch_abort(batch);
	}
	for (size_t n = 1; n < len; n++) {
		cairn_error why = {0};

		OK(cairn_batch_begin(&batch, store, &err));
		cut += cairn_batch_unpack(batch, bytes, n, &why) == CAIRN_EINTEGRITY;
		cairn_batch_abort(batch);
	}
	/* All but: BLOB for ARTIFACT is right for the bytes, and names nothing. */
	assert_true(refused >= len * 8 - 6);
	/* A cut between two items is a packet of fewer. */
	assert_true(cut > len - 16 && cut < len);
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_unpack(batch, bytes, len, &err));
	OK(cairn_batch_commit(batch, &err));
	OK(support_verify(store, &id, 2, 50, 3, &err));
	free(bytes);
	cairn_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_store_packet__many_become_one_commit, support_setup, support_teardown),
		cmocka_unit_test_setup_teardown(
			test_store_packet__not_everything_travels, support_setup, support_teardown),
		cmocka_unit_test_setup_teardown(
			test_store_packet__a_blob_has_a_limit, support_setup, support_teardown),
		cmocka_unit_test_setup_teardown(
			test_store_packet__damage_is_refused, support_setup, support_teardown),
	};

	return cmocka_run_group_tests_name("store/packet", tests, NULL, NULL);
}
