/* SPDX-License-Identifier: Apache-2.0 */
/* fsck.c - the parts of a check as lines of JSON, and the repair. Reads like: fsck.h. */
#include "audit/fsck.h"

#include <string.h>

#include "audit/ports.h"
#include "audit/record.h"
#include "audit/skim.h"
#include "base/alloc.h"
#include "base/text.h"
#include "cairn/fsck.h"

const char *cairn_audit_part_name(enum cairn_audit_part part)
{
	static const char *const names[] = {"index", "segments", "artifacts", "names", "meaning"};

	return names[part];
}

static json_t *id_json(const cairn_id *id)
{
	char text[CAIRN_ID_TEXT];

	cairn_id_format(id, text);
	return json_string(text);
}

/* ---- what the store tells ---------------------------------------------------------------------
 */

/* The key as hexadecimal digits, and as text where it is some. */
static void put_key(json_t *line, const void *key, size_t len)
{
	const uint8_t *bytes = key;
	char hex[2 * 512 + 1], name[257];
	bool is_text = len > 0 && len < sizeof(name);

	if (!key || len > 511)
		return;
	cairn_hex_encode(key, len, hex);
	json_object_set_new(line, "key", json_string(hex));
	for (size_t i = 0; i < len && is_text; i++)
		is_text = bytes[i] >= 0x20 && bytes[i] != 0x7f;
	if (!is_text)
		return;
	memcpy(name, key, len);
	name[len] = 0;
	json_object_set_new(line, "name", cairn_record_text(name));
}

static void tell_damage(const cairn_audit_fsck *fsck, json_t *damage)
{
	json_array_append(fsck->damages, damage);
	fsck->tell(fsck->arg, json_pack("{s:o}", "damage", damage));
}

static void on_damage(void *arg, const cairn_damage *damage)
{
	const cairn_audit_fsck *fsck = arg;
	json_t *line = json_pack("{s:s, s:s, s:o, s:o}", "what", damage->what, "table",
		damage->table, "message", cairn_record_text(damage->why->message), "detail",
		cairn_record_text(damage->why->detail));
	cairn_id id;

	put_key(line, damage->key, damage->key_len);
	if (strcmp(damage->what, "artifact") == 0) {
		memcpy(id.bytes, damage->key, sizeof(id.bytes));
		json_object_set_new(line, "artifact", id_json(&id));
		json_object_set_new(line, "part", id_json(damage->part));
		if (damage->entry)
			json_object_set_new(line, "entry", cairn_record_text(damage->entry));
		json_object_set_new(line, "chunk", json_integer((json_int_t)damage->chunk));
		json_object_set_new(line, "chunks", json_integer((json_int_t)damage->n_chunks));
	}
	if (damage->has_place) {
		json_object_set_new(line, "segment", json_integer(damage->segment));
		json_object_set_new(line, "offset", json_integer((json_int_t)damage->offset));
	}
	tell_damage(fsck, line);
}

static void on_progress(void *arg, const char *part, uint64_t done, uint64_t total)
{
	const cairn_audit_fsck *fsck = arg;

	fsck->tell(fsck->arg, json_pack("{s:{s:s, s:I, s:I}}", "progress", "part", part, "done",
				      (json_int_t)done, "total", (json_int_t)total));
}

/* What other processes found damaged hurts artifacts, too. */
static int mark_known(cairn_fsck *check, const json_t *damages, cairn_error *err)
{
	json_t *damage;
	size_t i;
	int rc = 0;

	json_array_foreach(damages, i, damage)
	{
		const char *what = cairn_json_string(damage, "what", "");
		cairn_id id;

		if (rc == 0 && (!strcmp(what, "chunk") || !strcmp(what, "blob")) &&
			cairn_id_parse(&id, cairn_json_string(damage, "key", ""), NULL) == 0)
			rc = cairn_fsck_mark(
				check, cairn_json_string(damage, "table", ""), &id, err);
	}
	return rc;
}

/* ---- what records name ------------------------------------------------------------------------
 */

struct names {
	const cairn_audit_fsck *fsck;
	cairn_snapshot *snapshot;
	const char *table;
};

/* *out: is it there? A text that is no id names nothing. */
static int is_there(struct names *n, const char *text, cairn_id *id, bool *out, cairn_error *err)
{
	*out = true;
	if (cairn_id_parse(id, text, NULL) < 0)
		return 0;
	return cairn_snapshot_has_artifact(n->snapshot, id, out, err);
}

static void tell_dangling(struct names *n, const void *key, size_t key_len, const cairn_id *id)
{
	json_t *line = json_pack("{s:s, s:s, s:o, s:s, s:s}", "what", "dangling", "table", n->table,
		"names", id_json(id), "message",
		strcmp(n->table, "ref") == 0 ? "a name stands for an artifact that is not there"
					     : "a checkpoint's artifact is not there",
		"detail", "");

	put_key(line, key, key_len);
	tell_damage(n->fsck, line);
}

static void tell_gone(
	struct names *n, const cairn_id *id, const char *format, const char *a, const char *b)
{
	cairn_text by = {0};

	cairn_text_printf(&by, format, a, b);
	n->fsck->tell(
		n->fsck->arg, json_pack("{s:{s:o, s:o}}", "gone", "by",
				      cairn_record_text(cairn_text_get(&by)), "id", id_json(id)));
	cairn_text_free(&by);
}

static int check_ref(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct names *n = arg;
	bool there = false;
	cairn_id id;
	int rc;

	if (value_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, value, value_len);
	rc = cairn_snapshot_has_artifact(n->snapshot, &id, &there, err);
	if (rc == 0 && !there)
		tell_dangling(n, key, key_len, &id);
	return rc;
}

/* A value whose seal is right and which nobody can read. */
static void tell_unreadable(
	struct names *n, const void *key, size_t key_len, const cairn_error *why)
{
	json_t *line =
		json_pack("{s:s, s:s, s:o, s:o}", "what", "record", "table", n->table, "message",
			cairn_record_text(why->message), "detail", cairn_record_text(why->detail));

	put_key(line, key, key_len);
	tell_damage(n->fsck, line);
}

static int check_outputs(struct names *n, const json_t *result, cairn_error *err)
{
	const char *port;
	json_t *output;
	int rc = 0;

	json_object_foreach(json_object_get(result, "outputs"), port, output)
	{
		bool there;
		cairn_id id;

		if (rc == 0)
			rc = is_there(n, cairn_json_string(output, "id", ""), &id, &there, err);
		if (rc == 0 && !there)
			tell_gone(n, &id, "output '%s' of '%s'", port,
				cairn_json_string(result, "instance", "?"));
	}
	return rc;
}

struct looking {
	cairn_snapshot *snapshot;
	bool is_missing;
};

static int look_for(void *arg, const cairn_id *id, cairn_error *err)
{
	struct looking *looking = arg;
	bool there;
	int rc = cairn_snapshot_has_artifact(looking->snapshot, id, &there, err);

	looking->is_missing |= rc == 0 && !there;
	return rc;
}

/* *out: nothing is to be told of this record, for it can be read, and its outputs are there. So it
 * is with nearly all, and it can be seen without a tree of them; the others are looked at again. */
static int is_in_order(
	const struct names *n, const void *value, size_t len, bool *out, cairn_error *err)
{
	struct looking looking = {.snapshot = n->snapshot};
	int rc = 0;

	*out = false;
	if (strcmp(n->table, "run") == 0 || strcmp(n->table, "checkpoint") == 0)
		return 0;
	if (len == 0 || *(const char *)value != '{' ||
		cairn_skim_strings(value, len, NULL, NULL, NULL) != 0)
		return 0;
	if (strcmp(n->table, "result") == 0)
		rc = cairn_ports_tell(value, len, false, look_for, &looking, err);
	*out = !looking.is_missing;
	return rc;
}

static int check_record(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct names *n = arg;
	cairn_error why = {0};
	json_t *record;
	bool there = true, is_fine;
	cairn_id id;
	int rc = is_in_order(n, value, value_len, &is_fine, err);

	if (rc < 0 || is_fine)
		return rc;
	rc = cairn_record_parse(&record, n->table, value, value_len, &why);
	if (rc < 0) {
		tell_unreadable(n, key, key_len, &why);
		return 0;
	}
	if (strcmp(n->table, "result") == 0) {
		rc = check_outputs(n, record, err);
	} else if (strcmp(n->table, "checkpoint") == 0) {
		rc = is_there(n, cairn_json_string(record, "id", ""), &id, &there, err);
		if (rc == 0 && !there)
			tell_dangling(n, key, key_len, &id);
	} else if (strcmp(n->table, "run") == 0) {
		rc = is_there(n, cairn_json_string(record, "file_id", ""), &id, &there, err);
		if (rc == 0 && !there)
			tell_gone(n, &id, "workflow file '%s' of run %s",
				cairn_json_string(record, "file", "?"),
				cairn_json_string(record, "run", "?"));
	}
	json_decref(record);
	return rc;
}

/* A scan ends at a value with a broken seal, which the first part has told of. */
static int scan(struct names *n, const char *table, cairn_scan_fn fn, cairn_error *err)
{
	cairn_error why = {0};
	int rc;

	n->table = table;
	rc = cairn_snapshot_scan(n->snapshot, table, NULL, 0, false, fn, n, &why);
	if (rc < 0 && rc != CAIRN_EINTEGRITY) {
		if (err)
			*err = why;
		return rc;
	}
	return 0;
}

static int check_names(const cairn_audit_fsck *fsck, cairn_error *err)
{
	static const char *const tables[] = {
		"run", "stage", "attempt", "result", "checkpoint", "event"};
	struct names n = {.fsck = fsck};
	int rc = cairn_snapshot_begin(&n.snapshot, fsck->store, err);

	if (rc < 0)
		return rc;
	rc = scan(&n, "ref", check_ref, err);
	for (size_t i = 0; i < CAIRN_COUNT(tables) && rc == 0; i++)
		rc = scan(&n, tables[i], check_record, err);
	cairn_snapshot_end(n.snapshot);
	return rc;
}

/* ---- all parts --------------------------------------------------------------------------------
 */

static int check_part(const cairn_audit_fsck *fsck, enum cairn_audit_part part, cairn_fsck *check,
	cairn_error *err)
{
	switch (part) {
	case CAIRN_AUDIT_INDEX:
		return cairn_fsck_index(check, err);
	case CAIRN_AUDIT_SEGMENTS:
		return cairn_fsck_segments(check, err);
	case CAIRN_AUDIT_ARTIFACTS:
		return cairn_fsck_artifacts(check, err);
	case CAIRN_AUDIT_NAMES:
		return check_names(fsck, err);
	case CAIRN_AUDIT_MEANING:
	case CAIRN_AUDIT_PARTS:
		break;
	}
	return cairn_audit_meaning(fsck, err);
}

int cairn_audit_check(const cairn_audit_fsck *fsck, enum cairn_audit_part from, cairn_error *err)
{
	const cairn_fsck_observer observer = {on_damage, on_progress, (void *)fsck};
	cairn_fsck *check;
	int rc = cairn_fsck_new(&check, fsck->store, fsck->is_quick, &observer, err);

	if (rc < 0)
		return rc;
	rc = mark_known(check, fsck->damages, err);
	for (int part = (int)from; part < CAIRN_AUDIT_PARTS && rc == 0; part++) {
		fsck->tell(fsck->arg, json_pack("{s:s}", "part",
					      cairn_audit_part_name((enum cairn_audit_part)part)));
		rc = check_part(fsck, (enum cairn_audit_part)part, check, err);
	}
	cairn_fsck_free(check);
	return rc;
}

/* ---- repair -----------------------------------------------------------------------------------
 */

struct mending {
	const cairn_audit_fsck *fsck;
	json_t *dropped; /* names and checkpoints, told once the commit stands */
};

struct dangling {
	cairn_snapshot *now;
	const char *table;
	json_t *keys; /* hexadecimal: nothing may be changed inside a scan */
};

static int take_dangling(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct dangling *d = arg;
	char hex[2 * 512 + 1];
	json_t *record = NULL;
	bool there = true;
	cairn_id id;
	int rc = 0;

	if (strcmp(d->table, "ref") == 0) {
		if (value_len != sizeof(id.bytes))
			return 0;
		memcpy(id.bytes, value, value_len);
	} else {
		if (cairn_record_parse(&record, d->table, value, value_len, NULL) < 0)
			return 0;
		rc = cairn_id_parse(&id, cairn_json_string(record, "id", ""), NULL);
		json_decref(record);
		if (rc < 0)
			return 0;
	}
	rc = cairn_snapshot_has_artifact(d->now, &id, &there, err);
	if (rc < 0 || there)
		return rc;
	cairn_hex_encode(key, key_len, hex);
	json_array_append_new(d->keys, json_string(hex));
	return 0;
}

static int drop_dangling(cairn_snapshot *now, cairn_batch *batch, const char *table,
	json_t *dropped, cairn_error *err)
{
	struct dangling d = {.now = now, .table = table, .keys = json_array()};
	json_t *hex;
	size_t i;
	int rc = cairn_snapshot_scan(now, table, NULL, 0, false, take_dangling, &d, err);

	json_array_foreach(d.keys, i, hex)
	{
		uint8_t key[511];
		size_t len = json_string_length(hex) / 2;
		json_t *line = json_pack("{s:s, s:s}", "action", "drop", "table", table);

		if (rc == 0 && cairn_hex_decode(json_string_value(hex), key, len) == 0)
			rc = cairn_batch_delete(batch, table, key, len, err);
		put_key(line, key, len);
		json_array_append_new(dropped, line);
	}
	json_decref(d.keys);
	return rc;
}

static int mend_records(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	struct mending *m = arg;
	int rc;

	json_array_clear(m->dropped); /* a commit may be tried twice */
	rc = drop_dangling(now, batch, "ref", m->dropped, err);
	return rc < 0 ? rc : drop_dangling(now, batch, "checkpoint", m->dropped, err);
}

static void on_told(void *arg, const char *action, const cairn_fsck_target *target)
{
	struct mending *m = arg;
	bool is_artifact = strcmp(target->what, "artifact") == 0; /* the table is of its part */
	json_t *line = json_pack(
		"{s:s, s:s}", "action", action, "table", is_artifact ? "artifact" : target->table);

	put_key(line, target->key, target->key_len);
	if (target->has_place) {
		json_object_set_new(line, "segment", json_integer(target->segment));
		json_object_set_new(line, "offset", json_integer((json_int_t)target->offset));
	}
	m->fsck->tell(m->fsck->arg, json_pack("{s:o}", "done", line));
}

/* The damages as targets; keys are decoded into one block. */
static size_t make_targets(const json_t *damages, cairn_fsck_target *targets, uint8_t *keys)
{
	json_t *damage;
	size_t i, n = 0;

	json_array_foreach(damages, i, damage)
	{
		const char *hex = cairn_json_string(damage, "key", "");
		const char *what = cairn_json_string(damage, "what", "");
		size_t len = strlen(hex) / 2;

		if (!strcmp(what, "dangling") || !strcmp(what, "index") || len > 511 ||
			cairn_hex_decode(hex, keys, len) != 0)
			continue;
		targets[n++] = (cairn_fsck_target){.what = what,
			.table = cairn_json_string(damage, "table", ""),
			.key = len ? keys : NULL,
			.key_len = len,
			.has_place = json_object_get(damage, "segment") != NULL,
			.segment = (uint32_t)cairn_json_integer(damage, "segment", 0),
			.offset = (uint64_t)cairn_json_integer(damage, "offset", 0)};
		keys += len;
	}
	return n;
}

int cairn_audit_repair(const cairn_audit_fsck *fsck, cairn_error *err)
{
	size_t n = json_array_size(fsck->damages), i;
	struct mending mending = {.fsck = fsck, .dropped = json_array()};
	cairn_fsck_target *targets = cairn_alloc(n + 1, sizeof(*targets));
	uint8_t *keys = cairn_alloc(n + 1, 511);
	json_t *line;
	int rc;

	if (!targets || !keys || !mending.dropped) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		goto out;
	}
	n = make_targets(fsck->damages, targets, keys);
	rc = cairn_fsck_repair(fsck->store, targets, n, on_told, mend_records, &mending, err);
	json_array_foreach(mending.dropped, i, line)
	{
		if (rc == 0)
			fsck->tell(fsck->arg, json_pack("{s:O}", "done", line));
	}
out:
	json_decref(mending.dropped);
	free(targets);
	free(keys);
	return rc;
}

bool cairn_audit_is_index_damaged(const json_t *report)
{
	json_t *damage;
	size_t i;

	json_array_foreach(json_object_get(report, "damages"), i, damage)
	{
		if (strcmp(cairn_json_string(damage, "what", ""), "index") == 0)
			return true;
	}
	return false;
}
