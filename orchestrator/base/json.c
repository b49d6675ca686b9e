/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <pthread.h>
#include <stdlib.h>
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

/* Where jansson gets no memory, it may call the text invalid. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local bool is_out_of_memory;

static void *allocate(size_t len)
{
	void *block = malloc(len);

	is_out_of_memory |= !block;
	return block;
}

static void watch_memory(void)
{
	json_set_alloc_funcs(allocate, free);
}

int cairn_json_parse(
	json_t **out, const char *text, size_t len, const char *place, cairn_error *err)
{
	json_error_t problem;
	json_t *json;

	pthread_once(&once, watch_memory);
	is_out_of_memory = false;
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
	if (!json && is_out_of_memory)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
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

/* How to write: canonical (sorted, compact) or for people (insertion order, indented). */
struct style {
	bool is_pretty;
	int depth;
};

static void write_value(cairn_text *text, const json_t *json, struct style style);

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* jansson's escaping; for strings, integers and literals. */
static void write_scalar(cairn_text *text, const json_t *json)
{
	char *scalar = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);

	if (scalar)
		cairn_text_add(text, scalar);
	else
		text->failed = true;
	free(scalar);
}

static void write_real(cairn_text *text, double value)
{
	char number[32];

	cairn_format_double(value, number);
	cairn_text_add(text, number);
	/* 2.0 must read back as a real. */
	if (!strpbrk(number, ".en"))
		cairn_text_add(text, ".0");
}

static void write_break(cairn_text *text, struct style style)
{
	if (style.is_pretty)
		cairn_text_printf(text, "\n%*s", 2 * style.depth, "");
}

static void write_object(cairn_text *text, const json_t *json, struct style style)
{
	size_t n = json_object_size(json), k = 0;
	struct style inside = {style.is_pretty, style.depth + 1};
	const char **names = cairn_alloc(n, sizeof(*names));
	const char *key;
	json_t *value;

	if (!names) {
		text->failed = true;
		return;
	}
	json_object_foreach((json_t *)json, key, value) names[k++] = key;
	if (!style.is_pretty)
		qsort(names, n, sizeof(*names), by_name);
	cairn_text_add_char(text, '{');
	for (size_t i = 0; i < n; i++) {
		json_t *name = json_string(names[i]);

		if (i)
			cairn_text_add_char(text, ',');
		write_break(text, inside);
		if (name)
			write_scalar(text, name);
		else
			text->failed = true;
		json_decref(name);
		cairn_text_add(text, style.is_pretty ? ": " : ":");
		write_value(text, json_object_get(json, names[i]), inside);
	}
	if (n)
		write_break(text, style);
	cairn_text_add_char(text, '}');
	free(names);
}

static void write_array(cairn_text *text, const json_t *json, struct style style)
{
	struct style inside = {style.is_pretty, style.depth + 1};
	json_t *value;
	size_t i;

	cairn_text_add_char(text, '[');
	json_array_foreach(json, i, value)
	{
		if (i)
			cairn_text_add_char(text, ',');
		write_break(text, inside);
		write_value(text, value, inside);
	}
	if (json_array_size(json))
		write_break(text, style);
	cairn_text_add_char(text, ']');
}

/* Depth is bounded by the parser and by our own builders. */
static void write_value(cairn_text *text, const json_t *json, struct style style)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		write_object(text, json, style);
		return;
	case JSON_ARRAY:
		write_array(text, json, style);
		return;
	case JSON_REAL:
		write_real(text, json_real_value(json));
		return;
	case JSON_STRING:
	case JSON_INTEGER:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		write_scalar(text, json);
		return;
	}
}

static char *write_whole(const json_t *json, struct style style)
{
	cairn_text text = {0};

	write_value(&text, json, style);
	if (text.failed)
		cairn_text_free(&text);
	return text.data;
}

char *cairn_json_canonical(const json_t *json)
{
	return write_whole(json, (struct style){.is_pretty = false});
}

char *cairn_json_pretty(const json_t *json)
{
	return write_whole(json, (struct style){.is_pretty = true});
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
