/* SPDX-License-Identifier: Apache-2.0 */
/*
 * damage.c - what was found damaged and taken out of the store: a note under the key of each stage
 * that makes it, so that a plan can say why that stage runs again.
 *
 * Nothing depends on a note but that sentence; a plan looks for one where an output is missing, and
 * nowhere else. The stage's next result takes it away (record.c).
 */
#include <string.h>

#include "audit/record.h"

#define PREFIX    "damaged:"
#define KEY_BYTES (sizeof(PREFIX) - 1 + CAIRN_DIGEST_BYTES)

static void key_of(uint8_t out[KEY_BYTES], const cairn_key *key)
{
	memcpy(out, PREFIX, sizeof(PREFIX) - 1);
	memcpy(out + sizeof(PREFIX) - 1, key->bytes, CAIRN_DIGEST_BYTES);
}

int cairn_record_put_damage(cairn_batch *batch, const cairn_key *key, const cairn_id *id,
	const cairn_error *why, cairn_error *err)
{
	uint8_t name[KEY_BYTES];
	char id_text[CAIRN_ID_TEXT], *text;
	json_t *record;
	int rc;

	cairn_id_format(id, id_text);
	record = json_pack("{s:s, s:o, s:I}", "id", id_text, "message",
		cairn_record_text(why->message), "ms", (json_int_t)cairn_now_ms());
	text = cairn_json_canonical(record);
	key_of(name, key);
	rc = text ? cairn_batch_put(batch, "note", name, sizeof(name), text, strlen(text), err)
		  : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");
	free(text);
	json_decref(record);
	return rc;
}

int cairn_record_delete_damage(cairn_batch *batch, const cairn_key *key, cairn_error *err)
{
	uint8_t name[KEY_BYTES];

	key_of(name, key);
	return cairn_batch_delete(batch, "note", name, sizeof(name), err);
}

int cairn_record_damage(json_t **out, cairn_snapshot *snapshot, const cairn_key *key,
	const cairn_id *id, cairn_error *err)
{
	uint8_t name[KEY_BYTES];
	char id_text[CAIRN_ID_TEXT];
	const void *value;
	json_t *record;
	size_t len;
	int rc;

	key_of(name, key);
	rc = cairn_snapshot_get(snapshot, "note", name, sizeof(name), &value, &len, err);
	if (rc == 0)
		rc = cairn_record_parse(&record, "note", value, len, err);
	if (rc < 0)
		return rc;
	cairn_id_format(id, id_text);
	if (strcmp(cairn_json_string(record, "id", ""), id_text) != 0) {
		json_decref(record);
		return CAIRN_ENOTFOUND;
	}
	*out = record;
	return 0;
}
