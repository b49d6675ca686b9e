/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <string.h>

#include "base/alloc.h"
#include "base/text.h"

#define MAX_DEPTH 64

static bool too_deep(const json_t *json, int depth)
{
	const char *key;
	json_t *value;
	size_t i;

	if (depth > MAX_DEPTH)
		return true;
	if (json_is_array(json)) {
		json_array_foreach(json, i, value) if (too_deep(value, depth + 1)) return true;
	} else if (json_is_object(json)) {
		json_object_foreach(
			(json_t *)json, key, value) if (too_deep(value, depth + 1)) return true;
	}
	return false;
}

int cairn_json_parse(
	json_t **out, const char *text, size_t len, const char *place, cairn_error *err)
{
	json_error_t problem;
	json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);

	if (!json) {
		cairn_error_set(err, CAIRN_EINPUT, "not valid JSON: %s", problem.text);
		if (problem.line > 1)
			cairn_error_at(err, "%s, line %d of it, column %d", place, problem.line,
				problem.column);
		else
			cairn_error_at(err, "%s, column %d", place, problem.column);
		return CAIRN_EINPUT;
	}
	if (too_deep(json, 0)) {
		json_decref(json);
		cairn_error_set(err, CAIRN_ELIMIT, "JSON nested deeper than %d", MAX_DEPTH);
		cairn_error_at(err, "%s", place);
		return CAIRN_ELIMIT;
	}
	*out = json;
	return 0;
}

static void write_canonical(cairn_text *text, const json_t *json);

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_string(cairn_text *text, const char *string)
{
	json_t *json = json_string(string);

	if (json)
		write_canonical(text, json);
	else
		text->failed = true;
	json_decref(json);
}

static void write_object(cairn_text *text, const json_t *json)
{
	size_t n = json_object_size(json), k = 0;
	const char **names = cairn_alloc(n, sizeof(*names));
	const char *key;
	json_t *value;

	if (!names) {
		text->failed = true;
		return;
	}
	json_object_foreach((json_t *)json, key, value) names[k++] = key;
	qsort(names, n, sizeof(*names), by_name);
	cairn_text_add_char(text, '{');
	for (size_t i = 0; i < n; i++) {
		if (i)
			cairn_text_add_char(text, ',');
		write_string(text, names[i]);
		cairn_text_add_char(text, ':');
		write_canonical(text, json_object_get(json, names[i]));
	}
	cairn_text_add_char(text, '}');
	free(names);
}

/* jansson escapes strings but prints reals its own way, so the structure is ours. Depth is bounded
 * by the parser and by our own builders.
 */
static void write_canonical(cairn_text *text, const json_t *json)
{
	char number[32];
	char *scalar;
	size_t i;
	json_t *value;

	switch (json_typeof(json)) {
	case JSON_OBJECT:
		write_object(text, json);
		return;
	case JSON_ARRAY:
		cairn_text_add_char(text, '[');
		json_array_foreach(json, i, value)
		{
			if (i)
				cairn_text_add_char(text, ',');
			write_canonical(text, value);
		}
		cairn_text_add_char(text, ']');
		return;
	case JSON_REAL:
		cairn_format_double(json_real_value(json), number);
		cairn_text_add(text, number);
		/* 2.0 must read back as a real. */
		if (!strpbrk(number, ".en"))
			cairn_text_add(text, ".0");
		return;
	case JSON_STRING:
	case JSON_INTEGER:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		scalar = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
		if (scalar)
			cairn_text_add(text, scalar);
		else
			text->failed = true;
		free(scalar);
		return;
	}
}

char *cairn_json_canonical(const json_t *json)
{
	cairn_text text = {0};

	write_canonical(&text, json);
	if (text.failed) {
		cairn_text_free(&text);
		return NULL;
	}
	return text.data;
}

char *cairn_json_pretty(const json_t *json)
{
	return json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
}

const char *cairn_json_string(const json_t *object, const char *key, const char *fallback)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : fallback;
}

double cairn_json_number(const json_t *object, const char *key, double fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : fallback;
}

int64_t cairn_json_integer(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}
