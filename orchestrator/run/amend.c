/* SPDX-License-Identifier: Apache-2.0 */
#include "run/amend.h"

#include <string.h>

#include "base/alloc.h"

int cairn_amends_add(cairn_amends *amends, const cairn_key *key, uint32_t attempt,
	json_t *take_fields, cairn_error *err)
{
	if (amends->n == amends->cap) {
		size_t cap = amends->cap ? amends->cap * 2 : 8;
		cairn_amendment *items = cairn_realloc(amends->items, cap, sizeof(*items));
		if (!items) {
			json_decref(take_fields);
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");
		}
		amends->items = items;
		amends->cap = cap;
	}
	amends->items[amends->n++] =
		(cairn_amendment){.key = *key, .attempt = attempt, .fields = take_fields};
	return 0;
}

static bool is_account(const char *name)
{
	static const char *const names[] = {"flop", "flop_real", "kept_flop", "step", "seconds"};

	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* The larger of two numbers, or of two arrays element by element. New reference. */
static json_t *larger(json_t *old, json_t *new)
{
	json_t *list;

	if (json_is_number(old) && json_is_number(new))
		return json_incref(json_number_value(old) > json_number_value(new) ? old : new);
	if (!json_is_array(old) || !json_is_array(new) ||
		json_array_size(old) != json_array_size(new))
		return json_incref(new);
	list = json_array();
	for (size_t i = 0; i < json_array_size(new); i++)
		json_array_append_new(list, larger(json_array_get(old, i), json_array_get(new, i)));
	return list;
}

/* Once an attempt has ended, how it ended is not told again. */
static bool is_about_the_end(const char *name)
{
	return strcmp(name, "state") == 0 || strcmp(name, "end_ms") == 0 ||
	       strcmp(name, "error") == 0;
}

void cairn_amend_merge(json_t *record, json_t *fields)
{
	const char *state = cairn_json_string(record, "state", "running");
	bool has_ended = strcmp(state, "running") != 0;
	const char *name;
	json_t *value;

	json_object_foreach(fields, name, value)
	{
		json_t *old = json_object_get(record, name);

		if (old && is_account(name))
			json_object_set_new(record, name, larger(old, value));
		else if (!old || !has_ended || !is_about_the_end(name))
			json_object_set(record, name, value);
	}
}

static int apply(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	cairn_amends *amends = arg;
	int rc = 0;

	for (size_t i = 0; i < amends->n && rc == 0; i++) {
		cairn_amendment *item = &amends->items[i];
		json_t *record = NULL;

		rc = cairn_record_attempt(&record, now, &item->key, item->attempt, err);
		if (rc == CAIRN_ENOTFOUND) {
			record = json_object();
			rc = 0;
		}
		if (rc == 0) {
			cairn_amend_merge(record, item->fields);
			rc = cairn_record_put_attempt(
				batch, &item->key, item->attempt, record, err);
		}
		json_decref(record);
	}
	return rc;
}

void cairn_amends_attach(cairn_amends *amends, cairn_batch *batch)
{
	if (amends->n)
		cairn_batch_on_commit(batch, apply, amends);
}

void cairn_amends_clear(cairn_amends *amends)
{
	for (size_t i = 0; i < amends->n; i++)
		json_decref(amends->items[i].fields);
	free(amends->items);
	*amends = (cairn_amends){0};
}
