/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - the forms of the values in the index. LMDB has no checksums: every value gets one
 * here and is checked on every read.
 *
 *   sealed   version u8 | value | crc u32                          crc over key, version, value
 *   blob     version u8 | 0 x 3 | epoch u64 | crc u32 | bytes       crc over key and the above;
 *                                                                  the key is the bytes' SHA-256
 *   chunk    version u8 | codec u8 | 0 x 2 | segment u32 | offset u64 | raw u32 | stored u32 |
 *            epoch u64 | verified u64 | 0 u32 | crc u32             crc over key and the above
 *
 * All little-endian. The key enters each checksum, so that a value under a wrong key is found.
 */
#include <string.h>

#include "base/digest.h"
#include "store/bytes.h"
#include "store/internal.h"

enum {
	VERSION = 1,
	SEAL_BYTES = 5,
	BLOB_HEAD = 16,
	BLOB_EPOCH = 4,
	BLOB_CRC = 12,
	CHUNK_SEGMENT = 4,
	CHUNK_OFFSET = 8,
	CHUNK_RAW = 16,
	CHUNK_STORED = 20,
	CHUNK_EPOCH = 24,
	CHUNK_CRC = 44,
	CHUNK_ENTRY = 48,
};

static uint32_t checksum(const void *key, size_t key_len, const void *bytes, size_t len)
{
	return cairn_crc32c(cairn_crc32c(0, key, key_len), bytes, len);
}

/* Keys are shown as text where they are text. */
static int damaged(enum cairn_table table, const void *key, size_t key_len, cairn_error *err)
{
	char shown[2 * 40 + 1] = "";
	const uint8_t *bytes = key;
	bool is_text = key_len <= 80;

	for (size_t i = 0; i < key_len && is_text; i++)
		is_text = bytes[i] >= 0x20 && bytes[i] < 0x7f;
	if (is_text)
		snprintf(shown, sizeof(shown), "%.*s", (int)key_len, (const char *)key);
	else
		cairn_hex_encode(key, key_len < 40 ? key_len : 40, shown);
	cairn_error_set(err, CAIRN_EINTEGRITY, "a record of the store's index is damaged");
	cairn_error_detail(err, "table '%s', key %s: its checksum does not match",
		cairn_index__table_name(table), shown);
	cairn_error_hint(err, "The index changed after it was written: `cairn fsck` says what that "
			      "means, and what to do.");
	return CAIRN_EINTEGRITY;
}

/* ---- sealed records --------------------------------------------------------------- */

int cairn_catalog__unseal(enum cairn_table table, const void *key, size_t key_len,
	const void **value, size_t *value_len, cairn_error *err)
{
	const uint8_t *sealed = *value;
	size_t len = *value_len;

	if (len < SEAL_BYTES || sealed[0] != VERSION ||
		cairn_get_le(sealed + len - 4, 4) != checksum(key, key_len, sealed, len - 4))
		return damaged(table, key, key_len, err);
	*value = sealed + 1;
	*value_len = len - SEAL_BYTES;
	return 0;
}

int cairn_catalog__get(cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len,
	const void **value, size_t *value_len, cairn_error *err)
{
	const void *sealed;
	size_t len;
	int rc = cairn_index__get(txn, table, key, key_len, &sealed, &len, err);

	if (rc || (rc = cairn_catalog__unseal(table, key, key_len, &sealed, &len, err)))
		return rc;
	*value = sealed;
	*value_len = len;
	return 0;
}

int cairn_catalog__put(cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len,
	const void *value, size_t value_len, cairn_error *err)
{
	uint8_t *room;
	int rc = cairn_index__reserve(txn, table, key, key_len, value_len + SEAL_BYTES, &room, err);

	if (rc)
		return rc;
	room[0] = VERSION;
	if (value_len)
		memcpy(room + 1, value, value_len);
	cairn_put_le(room + 1 + value_len, checksum(key, key_len, room, value_len + 1), 4);
	return 0;
}

int cairn_catalog__delete(
	cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len, cairn_error *err)
{
	uint64_t losses;
	int rc = cairn_index__delete(txn, table, key, key_len, err);

	if (rc || (table != CAIRN_TABLE_ARTIFACT && table != CAIRN_TABLE_RESULT))
		return rc;
	rc = cairn_catalog__number(txn, CAIRN_LOSSES, &losses, err);
	return rc ? rc : cairn_catalog__set_number(txn, CAIRN_LOSSES, losses + 1, err);
}

int cairn_catalog__number(cairn_txn *txn, const char *name, uint64_t *out, cairn_error *err)
{
	const void *value;
	size_t len;
	int rc = cairn_catalog__get(txn, CAIRN_TABLE_META, name, strlen(name), &value, &len, err);

	if (rc == CAIRN_ENOTFOUND) {
		*out = 0;
		return 0;
	}
	if (rc)
		return rc;
	if (len != 8)
		return damaged(CAIRN_TABLE_META, name, strlen(name), err);
	*out = cairn_get_le(value, 8);
	return 0;
}

int cairn_catalog__set_number(cairn_txn *txn, const char *name, uint64_t value, cairn_error *err)
{
	uint8_t bytes[8];

	cairn_put_le(bytes, value, 8);
	return cairn_catalog__put(txn, CAIRN_TABLE_META, name, strlen(name), bytes, 8, err);
}

/* ---- blobs ------------------------------------------------------------------------ */

static int check_blob(enum cairn_table table, const cairn_id *id, const uint8_t *value, size_t len,
	cairn_error *err)
{
	if (len < BLOB_HEAD || value[0] != VERSION ||
		cairn_get_le(value + BLOB_CRC, 4) !=
			checksum(id->bytes, sizeof(id->bytes), value, BLOB_CRC))
		return damaged(table, id->bytes, sizeof(id->bytes), err);
	return 0;
}

static void seal_blob(uint8_t *value, const cairn_id *id, uint64_t epoch)
{
	memset(value, 0, BLOB_HEAD);
	value[0] = VERSION;
	cairn_put_le(value + BLOB_EPOCH, epoch, 8);
	cairn_put_le(value + BLOB_CRC, checksum(id->bytes, sizeof(id->bytes), value, BLOB_CRC), 4);
}

/* Is this blob what it should be, to the last byte? */
static int check_content(enum cairn_table table, const cairn_id *id, const uint8_t *value,
	size_t len, cairn_error *err)
{
	cairn_id found;
	int rc = check_blob(table, id, value, len, err);

	if (rc)
		return rc;
	cairn_sha256(value + BLOB_HEAD, len - BLOB_HEAD, found.bytes);
	if (cairn_id_compare(&found, id) != 0)
		return damaged(table, id->bytes, sizeof(id->bytes), err);
	return 0;
}

int cairn_catalog__get_blob(cairn_txn *txn, enum cairn_table table, const cairn_id *id,
	const void **bytes, size_t *len, cairn_error *err)
{
	const void *value;
	size_t value_len;
	int rc =
		cairn_index__get(txn, table, id->bytes, sizeof(id->bytes), &value, &value_len, err);

	if (rc || (rc = check_content(table, id, value, value_len, err)))
		return rc;
	*bytes = (const uint8_t *)value + BLOB_HEAD;
	*len = value_len - BLOB_HEAD;
	return 0;
}

int cairn_catalog__put_blob(cairn_txn *txn, enum cairn_table table, const cairn_id *id,
	const void *bytes, size_t len, uint64_t epoch, cairn_error *err)
{
	uint8_t *room;
	int rc = cairn_index__reserve(
		txn, table, id->bytes, sizeof(id->bytes), BLOB_HEAD + len, &room, err);

	if (rc)
		return rc;
	seal_blob(room, id, epoch);
	if (len)
		memcpy(room + BLOB_HEAD, bytes, len);
	return 0;
}

/* ---- chunks ----------------------------------------------------------------------- */

static int check_chunk(const cairn_id *id, const uint8_t *value, size_t len, cairn_error *err)
{
	if (len != CHUNK_ENTRY || value[0] != VERSION || value[1] != CAIRN_CODEC_RAW ||
		cairn_get_le(value + CHUNK_CRC, 4) !=
			checksum(id->bytes, sizeof(id->bytes), value, CHUNK_CRC))
		return damaged(CAIRN_TABLE_CHUNK, id->bytes, sizeof(id->bytes), err);
	return 0;
}

int cairn_catalog__read_place(
	const cairn_id *id, const void *found, size_t len, cairn_place *out, cairn_error *err)
{
	const uint8_t *value = found;
	int rc = check_chunk(id, value, len, err);

	if (rc)
		return rc;
	*out = (cairn_place){
		.segment = (uint32_t)cairn_get_le(value + CHUNK_SEGMENT, 4),
		.offset = cairn_get_le(value + CHUNK_OFFSET, 8),
		.raw_len = (uint32_t)cairn_get_le(value + CHUNK_RAW, 4),
		.stored_len = (uint32_t)cairn_get_le(value + CHUNK_STORED, 4),
		.codec = value[1],
	};
	return 0;
}

int cairn_catalog__get_chunk(cairn_txn *txn, const cairn_id *id, cairn_place *out, cairn_error *err)
{
	const void *found;
	size_t len;
	int rc = cairn_index__get(
		txn, CAIRN_TABLE_CHUNK, id->bytes, sizeof(id->bytes), &found, &len, err);

	return rc ? rc : cairn_catalog__read_place(id, found, len, out, err);
}

int cairn_catalog__put_chunk(cairn_txn *txn, const cairn_id *id, const cairn_place *place,
	uint64_t epoch, cairn_error *err)
{
	uint8_t *room;
	int rc = cairn_index__reserve(
		txn, CAIRN_TABLE_CHUNK, id->bytes, sizeof(id->bytes), CHUNK_ENTRY, &room, err);

	if (rc)
		return rc;
	memset(room, 0, CHUNK_ENTRY);
	room[0] = VERSION;
	room[1] = place->codec;
	cairn_put_le(room + CHUNK_SEGMENT, place->segment, 4);
	cairn_put_le(room + CHUNK_OFFSET, place->offset, 8);
	cairn_put_le(room + CHUNK_RAW, place->raw_len, 4);
	cairn_put_le(room + CHUNK_STORED, place->stored_len, 4);
	cairn_put_le(room + CHUNK_EPOCH, epoch, 8);
	cairn_put_le(room + CHUNK_CRC, checksum(id->bytes, sizeof(id->bytes), room, CHUNK_CRC), 4);
	return 0;
}

int cairn_catalog__stamp(enum cairn_table table, const cairn_id *id, const void *value, size_t len,
	uint64_t *epoch, cairn_error *err)
{
	bool is_chunk = table == CAIRN_TABLE_CHUNK;
	int rc = is_chunk ? check_chunk(id, value, len, err)
			  : check_blob(table, id, value, len, err);

	if (!rc)
		*epoch = cairn_get_le(
			(const uint8_t *)value + (is_chunk ? CHUNK_EPOCH : BLOB_EPOCH), 8);
	return rc;
}

int cairn_catalog__move_chunk(cairn_txn *txn, const cairn_id *id, const cairn_place *from,
	const cairn_place *to, cairn_error *err)
{
	uint8_t copy[CHUNK_ENTRY];
	const void *found;
	cairn_place now;
	uint8_t *room;
	size_t len;
	int rc = cairn_index__get(
		txn, CAIRN_TABLE_CHUNK, id->bytes, sizeof(id->bytes), &found, &len, err);

	if (rc == CAIRN_ENOTFOUND)
		return 0;
	if (rc || (rc = cairn_catalog__read_place(id, found, len, &now, err)))
		return rc;
	if (now.segment != from->segment || now.offset != from->offset)
		return 0;
	memcpy(copy, found, sizeof(copy));
	rc = cairn_index__reserve(
		txn, CAIRN_TABLE_CHUNK, id->bytes, sizeof(id->bytes), CHUNK_ENTRY, &room, err);
	if (rc)
		return rc;
	memcpy(room, copy, sizeof(copy));
	cairn_put_le(room + CHUNK_SEGMENT, to->segment, 4);
	cairn_put_le(room + CHUNK_OFFSET, to->offset, 8);
	cairn_put_le(room + CHUNK_CRC, checksum(id->bytes, sizeof(id->bytes), room, CHUNK_CRC), 4);
	return 0;
}

int cairn_catalog__touch(cairn_txn *txn, enum cairn_table table, const cairn_id *id, uint64_t epoch,
	cairn_error *err)
{
	bool is_chunk = table == CAIRN_TABLE_CHUNK;
	uint8_t copy[BLOB_HEAD + CAIRN_INLINE_BYTES];
	uint64_t stamp;
	const void *found;
	uint8_t *room;
	size_t len;
	int rc = cairn_index__get(txn, table, id->bytes, sizeof(id->bytes), &found, &len, err);

	if (rc || (rc = cairn_catalog__stamp(table, id, found, len, &stamp, err)))
		return rc;
	if (stamp >= epoch)
		return 0;
	/* The old value may move while the new one gets its room. */
	CAIRN_ASSERT(len <= sizeof(copy));
	memcpy(copy, found, len);
	rc = cairn_index__reserve(txn, table, id->bytes, sizeof(id->bytes), len, &room, err);
	if (rc)
		return rc;
	memcpy(room, copy, len);
	if (!is_chunk) {
		seal_blob(room, id, epoch);
		return 0;
	}
	cairn_put_le(room + CHUNK_EPOCH, epoch, 8);
	cairn_put_le(room + CHUNK_CRC, checksum(id->bytes, sizeof(id->bytes), room, CHUNK_CRC), 4);
	return 0;
}

int cairn_catalog__check(enum cairn_table table, const void *key, size_t key_len, const void *value,
	size_t value_len, cairn_error *err)
{
	bool is_chunk = table == CAIRN_TABLE_CHUNK;
	cairn_id id;

	if (!is_chunk && table != CAIRN_TABLE_BLOB && table != CAIRN_TABLE_ARTIFACT)
		return cairn_catalog__unseal(table, key, key_len, &value, &value_len, err);
	if (key_len != sizeof(id.bytes))
		return damaged(table, key, key_len, err);
	memcpy(id.bytes, key, key_len);
	return is_chunk ? check_chunk(&id, value, value_len, err)
			: check_content(table, &id, value, value_len, err);
}
