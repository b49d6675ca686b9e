/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - JSON records in the store's tables, under keys that sort as they are read.
 *
 * Numbers inside keys are big-endian, so LMDB's bytewise order is the numeric one: the
 * newest run, the last attempt and the checkpoint of the highest step are each the first
 * hit of a descending scan. A stored value that is no JSON object is an integrity failure:
 * nobody but us writes these tables.
 */
#include "audit/record.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"

/* ---- run ids ------------------------------------------------------------------------ */

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int64_t cairn_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int make_run_id(cairn_run_id *out, uint64_t ms, cairn_error *err)
{
	uint8_t bytes[16];

	for (int i = 0; i < 6; i++)
		bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
	/* Ten bytes are far below the 256 that getrandom() never cuts short. */
	if (getrandom(bytes + 6, 10, 0) != 10)
		return cairn_error_set(err, CAIRN_EIO, "cannot get random bytes for a run id");
	memcpy(out->bytes, bytes, sizeof(bytes));
	return 0;
}

int cairn_run_id_new(cairn_run_id *out, cairn_error *err)
{
	return make_run_id(out, (uint64_t)cairn_now_ms(), err);
}

/* The newest run is the one with the largest id: a clock that was set back must not hide it. */
int cairn_run_id_after(cairn_run_id *out, const cairn_run_id *newest, cairn_error *err)
{
	uint64_t now = (uint64_t)cairn_now_ms(), last = 0;

	for (int i = 0; i < 6; i++)
		last = last << 8 | newest->bytes[i];
	return make_run_id(out, now > last ? now : last + 1, err);
}

/* 128 bits in 26 digits of 5 bits: two leading zero bits, then the bytes from the left. */
void cairn_run_id_format(const cairn_run_id *id, char out[CAIRN_RUN_TEXT])
{
	for (int digit = 0; digit < 26; digit++) {
		unsigned value = 0;
		for (int bit = digit * 5 - 2; bit < digit * 5 + 3; bit++) {
			value <<= 1;
			if (bit >= 0)
				value |= (id->bytes[bit / 8] >> (7 - bit % 8)) & 1u;
		}
		out[digit] = crockford[value];
	}
	out[26] = '\0';
}

static int crockford_value(char c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	at = c ? strchr(crockford, c) : NULL;
	return at ? (int)(at - crockford) : -1;
}

int cairn_run_id_parse(cairn_run_id *out, const char *text, cairn_error *err)
{
	cairn_run_id id = {{0}};

	if (strlen(text) != 26)
		goto wrong;
	for (int digit = 0; digit < 26; digit++) {
		int value = crockford_value(text[digit]);
		if (value < 0 || (digit == 0 && value > 7))
			goto wrong;
		for (int i = 0; i < 5; i++) {
			int bit = digit * 5 - 2 + i;
			if (bit >= 0 && ((value >> (4 - i)) & 1))
				id.bytes[bit / 8] |= (uint8_t)(1u << (7 - bit % 8));
		}
	}
	*out = id;
	return 0;
wrong:
	cairn_error_set(err, CAIRN_EUSAGE, "'%.40s' is not a run id", text);
	cairn_error_hint(err, "A run id has 26 letters and digits; list them with `cairn log`.");
	return CAIRN_EUSAGE;
}

#define NAMES_MARK "names" /* a note */

/* ---- keys --------------------------------------------------------------------------- */

#define SHA_BYTES CAIRN_DIGEST_BYTES

static void stage_key(uint8_t out[20], const cairn_run_id *run, uint32_t index)
{
	memcpy(out, run->bytes, 16);
	cairn_put_be(out + 16, index, 4);
}

static void attempt_key(uint8_t out[SHA_BYTES + 4], const cairn_key *key, uint32_t n)
{
	memcpy(out, key->bytes, SHA_BYTES);
	cairn_put_be(out + SHA_BYTES, n, 4);
}

static void checkpoint_key(uint8_t out[SHA_BYTES + 8], const cairn_key *key, uint64_t step)
{
	memcpy(out, key->bytes, SHA_BYTES);
	cairn_put_be(out + SHA_BYTES, step, 8);
}

/* ---- reading ------------------------------------------------------------------------ */

int cairn_record_parse(
	json_t **out, const char *table, const void *value, size_t len, cairn_error *err)
{
	json_t *json = NULL;
	cairn_error why = {0};

	if (cairn_json_parse(&json, value, len, table, &why) < 0 || !json_is_object(json)) {
		json_decref(json);
		cairn_error_set(err, CAIRN_EINTEGRITY,
			"a record of table '%s' is not a JSON object", table);
		if (why.message[0])
			cairn_error_detail(err, "%s", why.message);
		return CAIRN_EINTEGRITY;
	}
	*out = json;
	return 0;
}

static int get_record(json_t **out, cairn_snapshot *snapshot, const char *table, const void *key,
	size_t key_len, cairn_error *err)
{
	const void *value;
	size_t len;
	int rc = cairn_snapshot_get(snapshot, table, key, key_len, &value, &len, err);

	return rc < 0 ? rc : cairn_record_parse(out, table, value, len, err);
}

int cairn_record_run(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err)
{
	return get_record(out, snapshot, "run", run->bytes, sizeof(run->bytes), err);
}

int cairn_record_stages_of(
	cairn_run_id *out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err)
{
	json_t *record;
	int rc = cairn_record_run(&record, snapshot, run, err);

	*out = *run;
	if (rc < 0)
		return rc == CAIRN_ENOTFOUND ? 0 : rc;
	if (cairn_run_id_parse(out, cairn_json_string(record, "stages_of", ""), NULL) < 0)
		*out = *run;
	json_decref(record);
	return 0;
}

static bool is_own(const cairn_run_id *run, const cairn_run_id *of)
{
	return memcmp(run->bytes, of->bytes, sizeof(run->bytes)) == 0;
}

/* What another run's record says of a stage that this one found cached. */
static void as_cached(json_t *stage)
{
	json_object_set_new(stage, "state", json_string("cached"));
	json_object_set_new(stage, "reason", json_string("up to date"));
	json_object_set_new(stage, "attempt", json_integer(0));
}

int cairn_record_stage(json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run,
	uint32_t index, cairn_error *err)
{
	cairn_run_id of;
	uint8_t at[20];
	int rc = cairn_record_stages_of(&of, snapshot, run, err);

	if (rc < 0)
		return rc;
	stage_key(at, &of, index);
	rc = get_record(out, snapshot, "stage", at, sizeof(at), err);
	if (rc == 0 && !is_own(run, &of))
		as_cached(*out);
	return rc;
}

int cairn_record_result(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	return get_record(out, snapshot, "result", key->bytes, sizeof(key->bytes), err);
}

int cairn_record_attempt(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, uint32_t n, cairn_error *err)
{
	uint8_t at[SHA_BYTES + 4];

	attempt_key(at, key, n);
	return get_record(out, snapshot, "attempt", at, sizeof(at), err);
}

static int take_attempt_number(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	(void)value, (void)value_len, (void)err;
	if (key_len != SHA_BYTES + 4)
		return 0;
	*(uint32_t *)arg = (uint32_t)cairn_get_be((const uint8_t *)key + SHA_BYTES, 4);
	return 1;
}

int cairn_record_last_attempt(
	uint32_t *out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	uint32_t n = 0;
	int rc = cairn_snapshot_scan(snapshot, "attempt", key->bytes, sizeof(key->bytes), true,
		take_attempt_number, &n, err);

	if (rc < 0)
		return rc;
	*out = n;
	return 0;
}

static int take_first(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	int rc = cairn_record_parse(arg, "checkpoint", value, value_len, err);

	(void)key, (void)key_len;
	return rc < 0 ? rc : 1;
}

int cairn_record_newest_checkpoint(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	json_t *json = NULL;
	int rc = cairn_snapshot_scan(snapshot, "checkpoint", key->bytes, sizeof(key->bytes), true,
		take_first, &json, err);

	if (rc < 0)
		return rc;
	if (!json)
		return CAIRN_ENOTFOUND;
	*out = json;
	return 0;
}

/* ---- lists -------------------------------------------------------------------------- */

struct list {
	json_t *array;
	const char *table;
	size_t limit;
};

static int append_record(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct list *list = arg;
	json_t *json = NULL;
	int rc = cairn_record_parse(&json, list->table, value, value_len, err);

	(void)key, (void)key_len;
	if (rc < 0)
		return rc;
	if (json_array_append_new(list->array, json) < 0)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading records");
	return list->limit && json_array_size(list->array) >= list->limit;
}

static int list_records(json_t **out, cairn_snapshot *snapshot, const char *table,
	const void *prefix, size_t prefix_len, bool descending, size_t limit, cairn_error *err)
{
	struct list list = {json_array(), table, limit};
	int rc = cairn_snapshot_scan(
		snapshot, table, prefix, prefix_len, descending, append_record, &list, err);

	if (rc < 0) {
		json_decref(list.array);
		return rc;
	}
	*out = list.array;
	return 0;
}

int cairn_record_stages(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err)
{
	cairn_run_id of;
	json_t *stage;
	size_t i;
	int rc = cairn_record_stages_of(&of, snapshot, run, err);

	if (rc == 0)
		rc = list_records(
			out, snapshot, "stage", of.bytes, sizeof(of.bytes), false, 0, err);
	if (rc == 0 && !is_own(run, &of))
		json_array_foreach(*out, i, stage) as_cached(stage);
	return rc;
}

int cairn_record_attempts(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	return list_records(
		out, snapshot, "attempt", key->bytes, sizeof(key->bytes), false, 0, err);
}

int cairn_record_events(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err)
{
	return list_records(out, snapshot, "event", run->bytes, sizeof(run->bytes), false, 0, err);
}

/* ---- writing ------------------------------------------------------------------------ */

static int put_record(cairn_batch *batch, const char *table, const void *key, size_t key_len,
	const json_t *value, cairn_error *err)
{
	char *text = cairn_json_canonical(value);
	int rc;

	if (!text)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory writing a record");
	rc = cairn_batch_put(batch, table, key, key_len, text, strlen(text), err);
	free(text);
	return rc;
}

int cairn_record_put_stage(cairn_batch *batch, const cairn_run_id *run, uint32_t index,
	const json_t *value, cairn_error *err)
{
	uint8_t at[20];

	stage_key(at, run, index);
	return put_record(batch, "stage", at, sizeof(at), value, err);
}

int cairn_record_put_attempt(
	cairn_batch *batch, const cairn_key *key, uint32_t n, const json_t *value, cairn_error *err)
{
	uint8_t at[SHA_BYTES + 4];

	attempt_key(at, key, n);
	return put_record(batch, "attempt", at, sizeof(at), value, err);
}

int cairn_record_put_checkpoint(cairn_batch *batch, const cairn_key *key, uint64_t step,
	const json_t *value, cairn_error *err)
{
	uint8_t at[SHA_BYTES + 8];

	checkpoint_key(at, key, step);
	return put_record(batch, "checkpoint", at, sizeof(at), value, err);
}

int cairn_record_delete_checkpoint(
	cairn_batch *batch, const cairn_key *key, uint64_t step, cairn_error *err)
{
	uint8_t at[SHA_BYTES + 8];

	checkpoint_key(at, key, step);
	return cairn_batch_delete(batch, "checkpoint", at, sizeof(at), err);
}

int cairn_record_put_ref(cairn_batch *batch, const char *name, const cairn_id *id, const char *by,
	const char *who, cairn_error *err)
{
	uint8_t at[CAIRN_REF_MAX + 9];
	char text[CAIRN_ID_TEXT], value[192];
	size_t len = strlen(name);
	int64_t now = cairn_now_ms();
	int n, rc;

	CAIRN_ASSERT(len <= CAIRN_REF_MAX);
	rc = cairn_batch_put(batch, "ref", name, len, id->bytes, sizeof(id->bytes), err);
	if (rc < 0)
		return rc;
	cairn_id_format(id, text);
	n = snprintf(value, sizeof(value), "{\"id\":\"%s\",\"ms\":%lld,\"%s\":\"%s\"}", text,
		(long long)now, by, who);
	CAIRN_ASSERT(n > 0 && (size_t)n < sizeof(value));
	memcpy(at, name, len + 1);
	cairn_put_be(at + len + 1, (uint64_t)now, 8);
	rc = cairn_batch_put(batch, "reflog", at, len + 9, value, (size_t)n, err);
	if (rc < 0)
		return rc;
	if (strcmp(by, "run") == 0)
		n = snprintf(value, CAIRN_NAMES_MARK, "run:%.100s", who);
	else
		n = snprintf(value, CAIRN_NAMES_MARK, "%.20s:%.60s:%lld", by, who, (long long)now);
	return cairn_batch_put(
		batch, "note", NAMES_MARK, strlen(NAMES_MARK), value, (size_t)n, err);
}

void cairn_record_names_mark(char out[CAIRN_NAMES_MARK], cairn_snapshot *snapshot)
{
	const void *value;
	size_t len;

	out[0] = '\0';
	if (cairn_snapshot_get(
		    snapshot, "note", NAMES_MARK, strlen(NAMES_MARK), &value, &len, NULL) < 0 ||
		len >= CAIRN_NAMES_MARK)
		return;
	memcpy(out, value, len);
	out[len] = '\0';
}

/* An edge of the lineage: (artifact, stage key) in `producer` or `consumer`. */
static int put_edge(cairn_batch *batch, const char *table, const json_t *port, const cairn_key *key,
	cairn_error *err)
{
	uint8_t at[2 * SHA_BYTES];
	cairn_id id;
	int rc = cairn_id_parse(&id, cairn_json_string(port, "id", ""), err);

	if (rc < 0)
		return rc;
	rc = cairn_batch_use(batch, &id, false, err);
	if (rc < 0)
		return rc;
	memcpy(at, id.bytes, SHA_BYTES);
	memcpy(at + SHA_BYTES, key->bytes, SHA_BYTES);
	return cairn_batch_put(batch, table, at, sizeof(at), "", 0, err);
}

int cairn_record_put_result(
	cairn_batch *batch, const cairn_key *key, const json_t *value, cairn_error *err)
{
	const char *port;
	json_t *bound, *one;
	size_t i;
	int rc = put_record(batch, "result", key->bytes, sizeof(key->bytes), value, err);

	if (rc == 0)
		rc = cairn_record_delete_damage(batch, key, err);
	json_object_foreach(json_object_get(value, "outputs"), port, bound)
	{
		if (rc == 0)
			rc = put_edge(batch, "producer", bound, key, err);
	}
	json_object_foreach(json_object_get(value, "inputs"), port, bound)
	{
		json_array_foreach(bound, i, one)
		{
			if (rc == 0)
				rc = put_edge(batch, "consumer", one, key, err);
		}
	}
	return rc;
}

static int delete_edge(cairn_batch *batch, const char *table, const json_t *port,
	const cairn_key *key, cairn_error *err)
{
	uint8_t at[2 * SHA_BYTES];
	cairn_id id;
	int rc = cairn_id_parse(&id, cairn_json_string(port, "id", ""), err);

	if (rc < 0)
		return rc;
	memcpy(at, id.bytes, SHA_BYTES);
	memcpy(at + SHA_BYTES, key->bytes, SHA_BYTES);
	return cairn_batch_delete(batch, table, at, sizeof(at), err);
}

int cairn_record_delete_result(
	cairn_batch *batch, const cairn_key *key, const json_t *value, cairn_error *err)
{
	const char *port;
	json_t *bound, *one;
	size_t i;
	int rc = cairn_batch_delete(batch, "result", key->bytes, sizeof(key->bytes), err);

	json_object_foreach(json_object_get(value, "outputs"), port, bound)
	{
		if (rc == 0)
			rc = delete_edge(batch, "producer", bound, key, err);
	}
	json_object_foreach(json_object_get(value, "inputs"), port, bound)
	{
		json_array_foreach(bound, i, one)
		{
			if (rc == 0)
				rc = delete_edge(batch, "consumer", one, key, err);
		}
	}
	return rc;
}

/* Messages quote file names and are cut at a byte limit, so they need not be valid UTF-8. */
json_t *cairn_record_text(const char *text)
{
	json_t *json = json_string(text);
	char *ascii;

	if (json)
		return json;
	ascii = cairn_strdup(text);
	for (char *c = ascii; c && *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	json = json_string(ascii ? ascii : "");
	free(ascii);
	return json;
}

json_t *cairn_record_user(void)
{
	const char *name = getenv("USER");
	char number[32];

	snprintf(number, sizeof(number), "uid %u", (unsigned)getuid());
	return cairn_record_text(name && name[0] ? name : number);
}

json_t *cairn_record_error(const cairn_error *err)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o}", "code", cairn_error_name(err->code),
		"message", cairn_record_text(err->message), "detail",
		cairn_record_text(err->detail), "hint", cairn_record_text(err->hint), "place",
		cairn_record_text(err->place));
}
