/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a value of the index, under any key: refused, or sealed as the store seals.
 *
 * The first byte picks the table, the second the length of the key. What passes must have a right
 * checksum, which random bytes have once in four thousand millions; so after a refusal the value is
 * given one, and what the readers then take for lengths and places is still the fuzzer's.
 */
#include <stdlib.h>
#include <string.h>

#include "audit/record.h"
#include "fuzz.h"
#include "store/bytes.h"
#include "store/internal.h"

static void look(enum cairn_table table, const uint8_t *key, size_t key_len, const uint8_t *value,
	size_t value_len)
{
	const void *bytes = value;
	size_t len = value_len;
	cairn_error err = {0};
	json_t *json = NULL;

	if (cairn_catalog__check(table, key, key_len, value, value_len, &err) != 0) {
		MUST(err.code == CAIRN_EINTEGRITY && err.message[0] && err.hint[0]);
		return;
	}
	if (table == CAIRN_TABLE_CHUNK || table == CAIRN_TABLE_BLOB ||
		table == CAIRN_TABLE_ARTIFACT) {
		MUST(key_len == sizeof(cairn_id));
		return;
	}
	MUST(cairn_catalog__unseal(table, key, key_len, &bytes, &len, NULL) == 0);
	MUST(len + 5 == value_len && bytes == value + 1);
	if (cairn_record_parse(&json, cairn_index__table_name(table), bytes, len, &err) == 0) {
		char *text = cairn_json_canonical(json);

		MUST(text);
		free(text);
		json_decref(json);
	}
}

/* The value with the checksum that it would need as a sealed record. */
static void seal_and_look(enum cairn_table table, const uint8_t *key, size_t key_len,
	const uint8_t *value, size_t len)
{
	uint8_t *sealed = malloc(len + 5);
	uint32_t crc;

	MUST(sealed);
	sealed[0] = 1;
	if (len)
		memcpy(sealed + 1, value, len);
	crc = cairn_crc32c(cairn_crc32c(0, key, key_len), sealed, len + 1);
	cairn_put_le(sealed + len + 1, crc, 4);
	look(table, key, key_len, sealed, len + 5);
	free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum cairn_table table;
	size_t key_len;

	if (size < 2)
		return 0;
	table = (enum cairn_table)(data[0] % CAIRN_TABLES);
	key_len = data[1] < size - 2 ? data[1] : size - 2;
	look(table, data + 2, key_len, data + 2 + key_len, size - 2 - key_len);
	seal_and_look(table, data + 2, key_len, data + 2 + key_len, size - 2 - key_len);
	return 0;
}
