/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - two texts of lines, as multisets.
 *
 * What both begin and end with is passed over; the rest of the first goes into a hash table, the
 * lines of the second are struck off. Lines are compared byte by byte, so a hash only saves time.
 */
#include <string.h>

#include "audit/difference.h"
#include "base/alloc.h"

#define MAX_ROWS   4000000
#define MAX_LOOKED 20000

typedef struct line {
	const char *at;
	size_t len;
	size_t n; /* how often it is there, less what was struck off */
} line;

typedef struct line_set {
	line *lines; /* distinct, in order of arrival */
	size_t n, cap;
	uint32_t *slots; /* index + 1 */
	size_t n_slots;
} line_set;

static int no_memory(cairn_error *err)
{
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory comparing rows");
}

static uint64_t hash_of(const char *at, size_t len)
{
	uint64_t hash = len, word;

	for (; len >= 8; at += 8, len -= 8) {
		memcpy(&word, at, 8);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 32;
	}
	word = 0;
	memcpy(&word, at, len);
	hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

static size_t slot_of(const line_set *set, const char *at, size_t len)
{
	size_t slot = (size_t)hash_of(at, len) & (set->n_slots - 1);

	while (set->slots[slot]) {
		const line *is = &set->lines[set->slots[slot] - 1];
		if (is->len == len && memcmp(is->at, at, len) == 0)
			break;
		slot = (slot + 1) & (set->n_slots - 1);
	}
	return slot;
}

static int grow(line_set *set, cairn_error *err)
{
	size_t cap = set->cap ? 2 * set->cap : 256;
	line *lines = cairn_realloc(set->lines, cap, sizeof(*lines));
	uint32_t *slots;

	if (!lines)
		return no_memory(err);
	set->lines = lines;
	slots = cairn_alloc(2 * cap, sizeof(*slots));
	if (!slots)
		return no_memory(err);
	free(set->slots);
	set->slots = slots;
	set->n_slots = 2 * cap;
	set->cap = cap;
	for (size_t i = 0; i < set->n; i++)
		slots[slot_of(set, lines[i].at, lines[i].len)] = (uint32_t)i + 1;
	return 0;
}

static int add_line(line_set *set, const char *at, size_t len, cairn_error *err)
{
	size_t slot;

	if (set->n == set->cap && grow(set, err) < 0)
		return CAIRN_ENOMEM;
	slot = slot_of(set, at, len);
	if (!set->slots[slot]) {
		set->lines[set->n++] = (line){at, len, 0};
		set->slots[slot] = (uint32_t)set->n;
	}
	set->lines[set->slots[slot] - 1].n++;
	return 0;
}

/* Strikes one off; false where none is left. */
static bool strike(line_set *set, const char *at, size_t len)
{
	size_t slot = set->n_slots ? slot_of(set, at, len) : 0;
	line *is;

	if (!set->n_slots || !set->slots[slot])
		return false;
	is = &set->lines[set->slots[slot] - 1];
	return is->n > 0 && is->n--;
}

static void free_set(line_set *set)
{
	free(set->lines);
	free(set->slots);
}

/* ---- lines ------------------------------------------------------------------------------ */

struct text {
	const char *at, *end;
};

/* The next line, without its end. */
static bool next_line(struct text *text, const char **at, size_t *len)
{
	const char *stop;

	if (text->at >= text->end)
		return false;
	*at = text->at;
	stop = memchr(text->at, '\n', (size_t)(text->end - text->at));
	*len = (size_t)((stop ? stop : text->end) - text->at);
	text->at = stop ? stop + 1 : text->end;
	return true;
}

static uint64_t count_lines(struct text text)
{
	const char *at;
	uint64_t n = 0;
	size_t len;

	while (next_line(&text, &at, &len))
		n++;
	return n;
}

/* Cuts whole lines that both begin or end with. */
static void cut_common(struct text *a, struct text *b)
{
	const char *from_a = a->at, *from_b = b->at, *to_a = a->end, *to_b = b->end, *p, *q;

	for (p = from_a, q = from_b; p < to_a && q < to_b && *p == *q; q++) {
		if (*p++ == '\n') {
			from_a = p;
			from_b = q + 1;
		}
	}
	if (p == to_a && q == to_b)
		from_a = to_a, from_b = to_b;
	/* From the end: a line begins after a line end, on both sides. */
	for (p = to_a, q = to_b; p > from_a && q > from_b && p[-1] == q[-1];) {
		p--, q--;
		if ((p == from_a || p[-1] == '\n') && (q == from_b || q[-1] == '\n')) {
			to_a = p;
			to_b = q;
		}
	}
	*a = (struct text){from_a, to_a};
	*b = (struct text){from_b, to_b};
}

/* ---- what differs ------------------------------------------------------------------------- */

/* The rows that only one side has, as far as they are looked into. */
struct looked {
	line *lines;
	size_t n;
};

static void look_at(struct looked *looked, const char *at, size_t len)
{
	if (looked->n < MAX_LOOKED)
		looked->lines[looked->n++] = (line){at, len, 1};
}

static json_t *row_of(const line *row)
{
	json_t *json = NULL;

	if (row->len == 0 || row->at[0] != '{' ||
		cairn_json_parse(&json, row->at, row->len, "row", NULL) < 0)
		return NULL;
	return json;
}

static void note_value(json_t **set, const char *value)
{
	if (!*set)
		*set = json_object();
	if (value && value[0])
		json_object_set_new(*set, value, json_true());
}

static void note_people(cairn_rows_compared *into, const json_t *row)
{
	note_value(&into->groups, cairn_json_string(row, "group", NULL));
	note_value(&into->labelers, cairn_json_string(row, "labeler", NULL));
}

/* The id of a row as text, or NULL. The caller frees. */
static char *id_of(const json_t *row)
{
	const json_t *id = json_object_get(row, "id");

	return json_is_string(id) || json_is_integer(id) ? json_dumps(id, JSON_ENCODE_ANY) : NULL;
}

static void note_fields(cairn_rows_compared *into, const json_t *before, const json_t *after)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)before, name, value)
	{
		if (!json_equal(value, json_object_get(after, name)))
			note_value(&into->fields, name);
	}
	json_object_foreach((json_t *)after, name, value)
	{
		if (!json_object_get(before, name))
			note_value(&into->fields, name);
	}
}

/* Who is in the rows, and which of them are two versions of one. */
static void look_into(
	cairn_rows_compared *into, const struct looked *removed, const struct looked *added)
{
	json_t *by_id = json_object();

	for (size_t i = 0; i < removed->n; i++) {
		json_t *row = row_of(&removed->lines[i]);
		char *id = id_of(row);
		note_people(into, row);
		if (id)
			json_object_set(by_id, id, row);
		free(id);
		json_decref(row);
	}
	for (size_t i = 0; i < added->n; i++) {
		json_t *row = row_of(&added->lines[i]), *before;
		char *id = id_of(row);
		note_people(into, row);
		before = id ? json_object_get(by_id, id) : NULL;
		if (before) {
			note_fields(into, before, row);
			into->changed++;
			into->added--;
			into->removed--;
			json_object_del(by_id, id);
		}
		free(id);
		json_decref(row);
	}
	json_decref(by_id);
}

static int compare_middle(
	cairn_rows_compared *into, struct text before, struct text after, cairn_error *err)
{
	struct looked removed = {cairn_alloc(MAX_LOOKED, sizeof(line)), 0};
	struct looked added = {cairn_alloc(MAX_LOOKED, sizeof(line)), 0};
	line_set set = {0};
	const char *at;
	size_t len;
	int rc = removed.lines && added.lines ? 0 : no_memory(err);

	while (rc == 0 && next_line(&before, &at, &len))
		rc = add_line(&set, at, len, err);
	while (rc == 0 && next_line(&after, &at, &len)) {
		if (strike(&set, at, len))
			continue;
		into->added++;
		look_at(&added, at, len);
	}
	for (size_t i = 0; rc == 0 && i < set.n; i++) {
		into->removed += set.lines[i].n;
		for (size_t k = 0; k < set.lines[i].n && removed.n < MAX_LOOKED; k++)
			look_at(&removed, set.lines[i].at, set.lines[i].len);
	}
	if (rc == 0)
		look_into(into, &removed, &added);
	free_set(&set);
	free(removed.lines);
	free(added.lines);
	return rc;
}

int cairn_rows_compare(cairn_rows_compared *into, const char *before, size_t before_len,
	const char *after, size_t after_len, cairn_error *err)
{
	struct text a = {before, before + before_len}, b = {after, after + after_len};

	into->before += count_lines(a);
	into->after += count_lines(b);
	cut_common(&a, &b);
	if (count_lines(a) > MAX_ROWS || count_lines(b) > MAX_ROWS) {
		into->is_too_large = true;
		return 0;
	}
	return compare_middle(into, a, b, err);
}

void cairn_rows_compared_free(cairn_rows_compared *compared)
{
	json_decref(compared->fields);
	json_decref(compared->groups);
	json_decref(compared->labelers);
	*compared = (cairn_rows_compared){0};
}
