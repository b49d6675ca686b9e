/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_rows.c - three records a stage: its own, its result, its attempts.
 *
 * Their fields are skimmed off (skim.h). A text that is odd goes through the parser, and a field is
 * one or the other from then on: struct field.
 */
#include "audit/stage_rows.h"

#include <string.h>

#include "audit/skim.h"
#include "base/alloc.h"
#include "base/text.h"

struct field {
	cairn_span span;
	json_t *json; /* instead; new reference */
};

/* ---- fields of a record ---------------------------------------------------------------------- */

static int parse_fields(struct field *fields, const char *const *names, size_t n, const char *table,
	const void *text, size_t len, cairn_error *err)
{
	json_t *json = NULL;
	int rc = cairn_record_parse(&json, table, text, len, err);

	for (size_t i = 0; i < n; i++)
		fields[i] = (struct field){.json = rc < 0 ? NULL : json_object_get(json, names[i])};
	for (size_t i = 0; i < n; i++)
		json_incref(fields[i].json);
	json_decref(json);
	return rc;
}

/* The members of these names, which ascend as those of the record do. */
static int read_fields(struct field *fields, const char *const *names, size_t n, const char *table,
	const void *text, size_t len, cairn_error *err)
{
	cairn_skim skim = cairn_skim_begin(text, len);
	size_t i = 0;

	memset(fields, 0, n * sizeof(*fields));
	if (!len || *(const char *)text != '{')
		return parse_fields(fields, names, n, table, text, len, err);
	while (cairn_skim_next(&skim)) {
		int order = -1;

		while (i < n && !cairn_skim_is_named(&skim, names[i]) &&
			(order = strncmp(names[i], skim.name.at, skim.name.len)) < 0)
			i++;
		if (i < n && cairn_skim_is_named(&skim, names[i]))
			fields[i++].span = skim.value;
	}
	return skim.is_odd ? parse_fields(fields, names, n, table, text, len, err) : 0;
}

static void drop_fields(struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_decref(fields[i].json);
}

static const char *text_of(const struct field *field, cairn_arena *arena, const char *fallback)
{
	const char *text = json_string_value(field->json);
	cairn_span span = cairn_skim_string(field->span);

	if (text)
		return cairn_arena_strdup(arena, text);
	return span.at ? cairn_arena_strndup(arena, span.at, span.len) : fallback;
}

static double number_of(const struct field *field)
{
	char text[64];
	double value;

	if (field->json)
		return json_is_number(field->json) ? json_number_value(field->json) : 0;
	if (!field->span.at || field->span.len >= sizeof(text) || *field->span.at == '"')
		return 0;
	memcpy(text, field->span.at, field->span.len);
	text[field->span.len] = '\0';
	return cairn_parse_double(text, &value) ? value : 0;
}

static int64_t integer_of(const struct field *field)
{
	int64_t value;

	if (field->json)
		return json_integer_value(field->json);
	return cairn_skim_integer(field->span, &value) ? value : 0;
}

/* ---- the result ------------------------------------------------------------------------------ */

static void add_output(cairn_stage_row *row, const char *port, const char *id)
{
	row->outputs[row->n_outputs++] = (cairn_row_output){port, id};
}

static void take_outputs(cairn_stage_row *row, const struct field *field, cairn_arena *arena)
{
	cairn_skim skim = cairn_skim_begin(field->span.at, field->span.len);
	size_t n = json_object_size(field->json);
	const char *port;
	json_t *output;

	for (cairn_skim count = skim; field->span.at && cairn_skim_next(&count);)
		n++;
	row->outputs = cairn_arena_alloc(arena, n + 1, sizeof(*row->outputs));
	json_object_foreach(field->json, port, output)
		add_output(row, cairn_arena_strdup(arena, port),
			cairn_arena_strdup(arena, cairn_json_string(output, "id", "")));
	while (field->span.at && cairn_skim_next(&skim)) {
		cairn_span id = cairn_skim_string(cairn_skim_get(skim.value, "id"));

		add_output(row, cairn_arena_strndup(arena, skim.name.at, skim.name.len),
			id.at ? cairn_arena_strndup(arena, id.at, id.len) : "");
	}
}

static void take_summary(cairn_stage_row *row, const struct field *field)
{
	json_t *summary = NULL;

	if (json_object_size(field->json))
		summary = json_incref(field->json);
	else if (field->span.len > 2 &&
		 cairn_json_parse(&summary, field->span.at, field->span.len, "summary", NULL) < 0)
		summary = NULL;
	row->summary = summary;
}

static int add_result(cairn_stage_row *row, cairn_snapshot *snapshot, const cairn_key *key,
	cairn_arena *arena, cairn_error *err)
{
	static const char *const names[] = {"blessed", "outputs", "summary"};
	struct field fields[CAIRN_COUNT(names)];
	const void *value;
	size_t len;
	int rc = cairn_snapshot_get(
		snapshot, "result", key->bytes, sizeof(key->bytes), &value, &len, err);

	if (rc < 0)
		return rc == CAIRN_ENOTFOUND ? 0 : rc;
	rc = read_fields(fields, names, CAIRN_COUNT(names), "result", value, len, err);
	if (rc < 0)
		return rc;
	row->is_blessed = fields[0].json || fields[0].span.at;
	take_outputs(row, &fields[1], arena);
	take_summary(row, &fields[2]);
	drop_fields(fields, CAIRN_COUNT(names));
	return 0;
}

/* ---- the attempts ---------------------------------------------------------------------------- */

static int add_attempt(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	static const char *const names[] = {"max_rss_bytes", "seconds"};
	struct field fields[CAIRN_COUNT(names)];
	cairn_stage_row *row = arg;
	uint64_t bytes;
	int rc = read_fields(fields, names, CAIRN_COUNT(names), "attempt", value, value_len, err);

	(void)key, (void)key_len;
	if (rc < 0)
		return rc;
	bytes = (uint64_t)integer_of(&fields[0]);
	if (bytes > row->peak_bytes)
		row->peak_bytes = bytes;
	row->seconds += number_of(&fields[1]);
	drop_fields(fields, CAIRN_COUNT(names));
	return 0;
}

/* ---- the stages ------------------------------------------------------------------------------ */

struct reading {
	cairn_stage_rows *rows;
	cairn_snapshot *snapshot;
	bool refers; /* these are another run's, and cached here */
};

static cairn_stage_row *new_row(cairn_stage_rows *rows)
{
	size_t cap = rows->cap ? 2 * rows->cap : 64;
	cairn_stage_row *grown;

	if (rows->n == rows->cap) {
		grown = cairn_realloc(rows->rows, cap, sizeof(*grown));
		if (!grown)
			return NULL;
		rows->rows = grown;
		rows->cap = cap;
	}
	rows->rows[rows->n] = (cairn_stage_row){0};
	return &rows->rows[rows->n++];
}

static int add_stage(const void *stage_key, size_t stage_key_len, const void *value,
	size_t value_len, void *arg, cairn_error *err)
{
	static const char *const names[] = {
		"attempt", "instance", "key", "plugin", "reason", "state"};
	struct field fields[CAIRN_COUNT(names)];
	const struct reading *reading = arg;
	cairn_arena *arena = reading->rows->arena;
	cairn_stage_row *row = new_row(reading->rows);
	const char *key_text;
	cairn_key key;
	int rc;

	(void)stage_key, (void)stage_key_len;
	if (!row)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading records");
	rc = read_fields(fields, names, CAIRN_COUNT(names), "stage", value, value_len, err);
	if (rc < 0)
		return rc;
	row->attempt = integer_of(&fields[0]);
	row->instance = text_of(&fields[1], arena, "?");
	key_text = text_of(&fields[2], arena, NULL);
	row->plugin = text_of(&fields[3], arena, "?");
	row->reason = text_of(&fields[4], arena, "");
	row->state = text_of(&fields[5], arena, "?");
	drop_fields(fields, CAIRN_COUNT(names));
	if (reading->refers) {
		row->attempt = 0;
		row->reason = "up to date";
		row->state = "cached";
	}
	if (!key_text)
		return 0;
	rc = cairn_key_parse(&key, key_text, err);
	if (rc == 0)
		rc = add_result(row, reading->snapshot, &key, arena, err);
	return rc < 0 ? rc
		      : cairn_snapshot_scan(reading->snapshot, "attempt", key.bytes,
				sizeof(key.bytes), false, add_attempt, row, err);
}

int cairn_stage_rows_read(
	cairn_stage_rows *out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err)
{
	cairn_stage_rows rows = {.arena = cairn_arena_new()};
	struct reading reading = {.rows = &rows, .snapshot = snapshot};
	cairn_run_id of;
	int rc = cairn_record_stages_of(&of, snapshot, run, err);

	reading.refers = memcmp(&of, run, sizeof(of)) != 0;
	if (rc == 0)
		rc = cairn_snapshot_scan(snapshot, "stage", of.bytes, sizeof(of.bytes), false,
			add_stage, &reading, err);
	if (rc < 0)
		cairn_stage_rows_free(&rows);
	else
		*out = rows;
	return rc;
}

void cairn_stage_rows_free(cairn_stage_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		json_decref((json_t *)rows->rows[i].summary);
	free(rows->rows);
	if (rows->arena)
		cairn_arena_free(rows->arena);
	*rows = (cairn_stage_rows){0};
}
