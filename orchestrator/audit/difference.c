/* SPDX-License-Identifier: Apache-2.0 */
/*
 * difference.c - entries by their digests; of those that changed and are lines of text, the rows.
 *
 * Reads like: difference.h, rows.c.
 */
#include "audit/difference.h"

#include <string.h>

#include "audit/record.h"
#include "base/alloc.h"

#define MAX_LISTED      20
#define MAX_ENTRY_BYTES ((uint64_t)512 << 20)
#define SNIFFED         8192

/* One side. */
typedef struct side {
	cairn_object *object;
	cairn_id *ids;
	uint64_t n;
} side;

typedef struct comparison {
	side sides[2];
	uint64_t added, removed, changed;
	json_t *names;
	cairn_rows_compared rows;
	bool has_rows;
} comparison;

static int open_side(side *out, cairn_store *store, const cairn_id *id, cairn_error *err)
{
	int rc = cairn_object_open(&out->object, store, id, err);

	return rc < 0 ? rc : cairn_store_entry_ids(store, id, &out->ids, &out->n, err);
}

static void close_side(side *of)
{
	cairn_object_close(of->object);
	free(of->ids);
}

/* ---- rows ------------------------------------------------------------------------------- */

static bool is_text(const cairn_tensor *entry)
{
	size_t n = entry->bytes < SNIFFED ? (size_t)entry->bytes : SNIFFED;

	return n == 0 || !memchr(entry->data, '\0', n);
}

/* Datasets and files are lines; a number in a report's JSON is no row. */
static bool may_be_rows(const side *of, const cairn_tensor *entry)
{
	const char *kind = cairn_object_kind(of->object), *dot = strrchr(entry->name, '.');

	if (entry->dtype != CAIRN_U8 || entry->n_dims > 1)
		return false;
	return (dot && strcmp(dot, ".jsonl") == 0) || strcmp(kind, "file") == 0 ||
	       strcmp(kind, "text") == 0;
}

/* A changed entry; on a side that lacks it, the entry is NULL. */
static int compare_rows(comparison *c, const cairn_tensor *entries[2], cairn_error *err)
{
	cairn_tensor read[2] = {{0}, {0}};
	int rc = 0;

	for (int s = 0; s < 2 && rc == 0; s++) {
		if (!entries[s])
			continue;
		if (!may_be_rows(&c->sides[s], entries[s]))
			return 0;
		if (entries[s]->bytes > MAX_ENTRY_BYTES) {
			c->rows.is_too_large = true;
			return 0;
		}
		rc = cairn_object_read(c->sides[s].object, entries[s]->name, &read[s], err);
	}
	if (rc == 0 && is_text(&read[0]) && is_text(&read[1])) {
		c->has_rows = true;
		rc = cairn_rows_compare(&c->rows, read[0].data, (size_t)read[0].bytes, read[1].data,
			(size_t)read[1].bytes, err);
	}
	for (int s = 0; s < 2; s++) {
		if (entries[s])
			cairn_object_release(c->sides[s].object, entries[s]->name);
	}
	return rc;
}

/* ---- entries ---------------------------------------------------------------------------- */

static void name_entry(comparison *c, const char *name)
{
	if (json_array_size(c->names) < MAX_LISTED)
		json_array_append_new(c->names, cairn_record_text(name));
}

/* Both lists are in the order of names. */
static int compare_entries(comparison *c, cairn_error *err)
{
	uint64_t i = 0, j = 0;
	int rc = 0;

	while (rc == 0 && (i < c->sides[0].n || j < c->sides[1].n)) {
		cairn_tensor a = {0}, b = {0};
		const cairn_tensor *entries[2];
		int order;

		if (i < c->sides[0].n)
			rc = cairn_object_entry(c->sides[0].object, i, &a, err);
		if (rc == 0 && j < c->sides[1].n)
			rc = cairn_object_entry(c->sides[1].object, j, &b, err);
		if (rc < 0)
			break;
		order = !a.name ? 1 : !b.name ? -1 : strcmp(a.name, b.name);
		entries[0] = order <= 0 ? &a : NULL;
		entries[1] = order >= 0 ? &b : NULL;
		if (order == 0 && cairn_id_compare(&c->sides[0].ids[i], &c->sides[1].ids[j]) == 0) {
			i++, j++;
			continue;
		}
		c->removed += order < 0;
		c->added += order > 0;
		c->changed += order == 0;
		name_entry(c, order <= 0 ? a.name : b.name);
		rc = compare_rows(c, entries, err);
		i += order <= 0;
		j += order >= 0;
	}
	return rc;
}

/* ---- as JSON ---------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of a set, sorted; the first of them. */
static json_t *list_of(const json_t *set)
{
	size_t n = 0, cap = json_object_size(set);
	const char **names = cairn_alloc(cap ? cap : 1, sizeof(*names)), *name;
	json_t *list = json_array(), *value;

	if (!names)
		return list;
	json_object_foreach((json_t *)set, name, value) names[n++] = name;
	qsort(names, n, sizeof(*names), by_text);
	for (size_t i = 0; i < n && i < MAX_LISTED; i++)
		json_array_append_new(list, json_string(names[i]));
	free(names);
	return list;
}

static json_t *to_json(const comparison *c)
{
	const char *kind = cairn_object_kind(c->sides[1].object);
	json_t *json = json_pack("{s:s, s:[I,I], s:{s:I, s:I, s:I, s:O}}", "kind", kind, "bytes",
		(json_int_t)cairn_object_bytes(c->sides[0].object),
		(json_int_t)cairn_object_bytes(c->sides[1].object), "entries", "added",
		(json_int_t)c->added, "removed", (json_int_t)c->removed, "changed",
		(json_int_t)c->changed, "names", c->names);

	if (c->rows.is_too_large)
		json_object_set_new(json, "too_large", json_true());
	else if (c->has_rows)
		json_object_set_new(json, "rows",
			json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "before",
				(json_int_t)c->rows.before, "after", (json_int_t)c->rows.after,
				"added", (json_int_t)c->rows.added, "removed",
				(json_int_t)c->rows.removed, "changed", (json_int_t)c->rows.changed,
				"fields", list_of(c->rows.fields), "group", list_of(c->rows.groups),
				"labeler", list_of(c->rows.labelers)));
	return json;
}

int cairn_difference(json_t **out, cairn_store *store, const cairn_id *before,
	const cairn_id *after, cairn_error *err)
{
	comparison c = {.names = json_array()};
	const char *missing = "before";
	int rc;

	*out = NULL;
	rc = open_side(&c.sides[0], store, before, err);

	if (rc == 0) {
		missing = "after";
		rc = open_side(&c.sides[1], store, after, err);
	}
	if (rc == CAIRN_ENOTFOUND) {
		if (err)
			*err = (cairn_error){0};
		*out = json_pack("{s:s}", "missing", missing);
		rc = 0;
	} else if (rc == 0) {
		rc = compare_entries(&c, err);
		if (rc == 0)
			*out = to_json(&c);
	}
	close_side(&c.sides[0]);
	close_side(&c.sides[1]);
	cairn_rows_compared_free(&c.rows);
	json_decref(c.names);
	if (rc == 0 && !*out)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory comparing artifacts");
	return rc;
}

/* ---- for people --------------------------------------------------------------------------- */

static void separate(cairn_text *out, size_t start)
{
	if (out->len > start)
		cairn_text_add(out, ", ");
}

static void add_count(cairn_text *out, size_t start, int64_t n, const char *one, const char *many)
{
	if (n == 0)
		return;
	separate(out, start);
	cairn_text_printf(out, "%+lld %s", (long long)n, n == 1 || n == -1 ? one : many);
}

/* "group brief"; "labelers ann, bob" up to three, then "17 labelers". */
static void add_people(cairn_text *out, size_t start, const char *what, const json_t *names)
{
	size_t n = json_array_size(names), i;
	json_t *name;

	if (n == 0)
		return;
	separate(out, start);
	if (n > 3) {
		cairn_text_printf(out, "%zu%s %ss", n, n == MAX_LISTED ? "+" : "", what);
		return;
	}
	cairn_text_printf(out, "%s%s ", what, n == 1 ? "" : "s");
	json_array_foreach(names, i, name)
		cairn_text_printf(out, "%s%s", i ? ", " : "", json_string_value(name));
}

static void add_list(cairn_text *out, const json_t *names, size_t n_all)
{
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		if (i == 3)
			break;
		cairn_text_printf(out, "%s%s", i ? ", " : "", json_string_value(name));
	}
	if (n_all > 3)
		cairn_text_add(out, ", ...");
}

static void add_rows(cairn_text *out, size_t start, const json_t *rows)
{
	int64_t changed = cairn_json_integer(rows, "changed", 0);
	const json_t *fields = json_object_get(rows, "fields");

	add_count(out, start, cairn_json_integer(rows, "added", 0), "row", "rows");
	add_count(out, start, -cairn_json_integer(rows, "removed", 0), "row", "rows");
	if (changed) {
		separate(out, start);
		cairn_text_printf(
			out, "%lld row%s changed", (long long)changed, changed == 1 ? "" : "s");
		if (json_array_size(fields)) {
			cairn_text_add(out, " in ");
			add_list(out, fields, json_array_size(fields));
		}
	}
	if (out->len == start)
		cairn_text_add(out, "the same rows in another order");
	add_people(out, start, "group", json_object_get(rows, "group"));
	add_people(out, start, "labeler", json_object_get(rows, "labeler"));
}

void cairn_difference_text(cairn_text *out, const json_t *difference)
{
	const char *missing = cairn_json_string(difference, "missing", NULL);
	const json_t *entries = json_object_get(difference, "entries");
	const json_t *rows = json_object_get(difference, "rows");
	const json_t *bytes = json_object_get(difference, "bytes"), *names;
	int64_t added = cairn_json_integer(entries, "added", 0);
	int64_t removed = cairn_json_integer(entries, "removed", 0);
	int64_t changed = cairn_json_integer(entries, "changed", 0);
	size_t start = out->len;

	if (missing) {
		cairn_text_printf(out, "the %s one is no longer in the store",
			strcmp(missing, "before") == 0 ? "earlier" : "later");
		return;
	}
	if (rows) {
		add_rows(out, start, rows);
		return;
	}
	names = json_object_get(entries, "names");
	if (added + removed + changed == 1 && changed == 1) {
		cairn_text_printf(out, "%s changed, ", json_string_value(json_array_get(names, 0)));
	} else if (added + removed + changed) {
		add_count(out, start, added, "entry", "entries");
		add_count(out, start, -removed, "entry", "entries");
		if (changed) {
			separate(out, start);
			cairn_text_printf(out, "%lld entries changed", (long long)changed);
		}
		cairn_text_add(out, " (");
		add_list(out, names, (size_t)(added + removed + changed));
		cairn_text_add(out, "), ");
	}
	cairn_text_printf(out, "%lld -> %lld bytes",
		(long long)json_integer_value(json_array_get(bytes, 0)),
		(long long)json_integer_value(json_array_get(bytes, 1)));
	if (json_is_true(json_object_get(difference, "too_large")))
		cairn_text_add(out, ", too large to compare by rows");
}
