/* SPDX-License-Identifier: Apache-2.0 */
/* compare_fields.c - "tags.model, by_labelers.win_rate as win rate %", and finding them. */
#include <string.h>

#include "base/alloc.h"
#include "compare.h"

#define MAX_DEPTH 8

/* ---- parsing --------------------------------------------------------------------------- */

static size_t trim(const char **text, size_t len)
{
	while (len > 0 && (**text == ' ' || **text == '\t')) {
		++*text;
		len--;
	}
	while (len > 0 && ((*text)[len - 1] == ' ' || (*text)[len - 1] == '\t'))
		len--;
	return len;
}

/* Where " as " stands, or len. */
static size_t find_as(const char *text, size_t len)
{
	for (size_t i = 1; i + 4 < len; i++)
		if (strncmp(text + i, " as ", 4) == 0)
			return i;
	return len;
}

static int parse_one(
	compare_field *out, const char *name, const char *text, size_t len, cairn_error *err)
{
	size_t as = find_as(text, len), path_len = trim(&text, as);
	const char *label = text + as;
	size_t label_len = len - as;
	int code;

	if (as < len) {
		label = text + as + strlen(" as ");
		label_len = trim(&label, len - as - strlen(" as "));
	} else {
		label = text;
		label_len = path_len;
	}
	if (path_len == 0 || label_len == 0 || memchr(text, ' ', path_len)) {
		code = cairn_error_set(
			err, CAIRN_EPARAM, "'%.*s' in '%s' is no field", (int)len, text, name);
		cairn_error_hint(err, "Write fields as PATH or PATH as LABEL, with commas between "
				      "them: tags.model, model.loss as held-out loss.");
		return code;
	}
	out->path = cairn_strndup(text, path_len);
	out->label = cairn_strndup(label, label_len);
	out->is_percent = label[label_len - 1] == '%';
	if (!out->path || !out->label)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for '%s'", name);
	return 0;
}

int compare_fields_parse(
	compare_fields *out, const char *name, const char *text, size_t most, cairn_error *err)
{
	while (*text) {
		const char *word = text;
		size_t cut = strcspn(text, ","), len = trim(&word, cut);
		int code;

		text += cut + (text[cut] == ',');
		if (len == 0)
			continue;
		if (out->n == most) {
			code = cairn_error_set(err, CAIRN_EPARAM, "'%s' has more than %zu field%s",
				name, most, most == 1 ? "" : "s");
			return code;
		}
		code = parse_one(&out->field[out->n++], name, word, len, err);
		if (code)
			return code;
	}
	return 0;
}

void compare_fields_free(compare_fields *fields)
{
	for (size_t i = 0; i < fields->n; i++) {
		free(fields->field[i].path);
		free(fields->field[i].label);
	}
	*fields = (compare_fields){0};
}

/* ---- looking up ------------------------------------------------------------------------ */

const json_t *compare_look_up(const json_t *json, const char *path)
{
	while (json && *path) {
		size_t len = strcspn(path, ".");

		json = json_object_getn(json, path, len);
		path += len + (path[len] == '.');
	}
	return json_is_null(json) ? NULL : json;
}

void compare_add_word(cairn_text *out, const json_t *value)
{
	char number[32];

	if (json_is_string(value)) {
		cairn_text_add(out, json_string_value(value));
	} else if (json_is_integer(value)) {
		cairn_text_printf(out, "%lld", (long long)json_integer_value(value));
	} else if (json_is_real(value)) {
		cairn_format_double(json_real_value(value), number);
		cairn_text_add(out, number);
	} else if (json_is_boolean(value)) {
		cairn_text_add(out, json_is_true(value) ? "yes" : "no");
	} else {
		cairn_text_add(out, "-");
	}
}

/* In the order of the document, which is canonical. */
static void add_paths(cairn_text *out, cairn_text *path, json_t *json, int depth)
{
	size_t len = path->len;
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
	{
		cairn_text_printf(path, "%s%s", len > 0 ? "." : "", key);
		if (json_is_object(value) && depth < MAX_DEPTH)
			add_paths(out, path, value, depth + 1);
		else if (!json_is_object(value) && !json_is_array(value))
			cairn_text_printf(out, " %s", cairn_text_get(path));
		if (path->failed)
			return;
		path->data[path->len = len] = '\0';
	}
}

void compare_add_paths(cairn_text *out, json_t *json)
{
	cairn_text path = {0};

	add_paths(out, &path, json, 0);
	cairn_text_free(&path);
}
