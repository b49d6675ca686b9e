/* SPDX-License-Identifier: Apache-2.0 */
/* template.c - texts made of the fields of a row. */
#include "gpt/template.h"

#include <string.h>

#define MAX_NAME 128

/* One piece of a template: a literal byte, or a field. */
struct piece {
	bool is_field, is_optional;
	char letter;
	char name[MAX_NAME];
};

static int bad(cairn_error *err, size_t at, const char *what)
{
	cairn_error_set(err, CAIRN_EPARAM, "%s at character %zu of the template", what, at + 1);
	cairn_error_hint(err, "Write {field} or {field?}, and {{ or }} for a brace itself.");
	return CAIRN_EPARAM;
}

static int next_field(const char *text, size_t *at, struct piece *out, cairn_error *err)
{
	size_t start = *at + 1, len = strcspn(text + start, "{}");

	if (text[start + len] != '}')
		return bad(err, *at, "unclosed '{'");
	out->is_field = true;
	*at = start + len + 1;
	out->is_optional = len && text[start + len - 1] == '?';
	len -= out->is_optional;
	if (!len || len >= MAX_NAME)
		return bad(err, start - 1, "field without a name or of a very long one");
	memcpy(out->name, text + start, len);
	out->name[len] = '\0';
	return 0;
}

/* 1: *out; 0: the end; < 0: a mistake. */
static int next_piece(const char *text, size_t *at, struct piece *out, cairn_error *err)
{
	static const char escapes[] = "n\nt\t\\\\";
	char c = text[*at];
	const char *escape;

	out->is_field = false;
	if (!c)
		return 0;
	if ((c == '{' || c == '}') && text[*at + 1] == c) {
		out->letter = c;
		*at += 2;
		return 1;
	}
	if (c == '}')
		return bad(err, *at, "'}' without '{'");
	if (c == '{')
		return next_field(text, at, out, err) ? CAIRN_EPARAM : 1;
	out->letter = c;
	++*at;
	if (c != '\\')
		return 1;
	for (escape = escapes; *escape && *escape != text[*at]; escape += 2)
		;
	if (!*escape)
		return bad(err, *at - 1, "unknown escape");
	out->letter = escape[1];
	++*at;
	return 1;
}

int gpt_template_check(const char *param, const char *text, cairn_error *err)
{
	struct piece piece;
	size_t at = 0;
	int rc;

	while ((rc = next_piece(text, &at, &piece, err)) > 0)
		;
	if (rc)
		cairn_error_detail(err, "%s = %s", param, text);
	return rc;
}

/* "a.b.0" from object to list to value; NULL where the way ends. */
static const json_t *find_field(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);

	if (value || !strchr(name, '.'))
		return value;
	for (value = row; value && *name;) {
		size_t len = strcspn(name, ".");
		char key[MAX_NAME];
		uint64_t index;

		memcpy(key, name, len);
		key[len] = '\0';
		name += len + (name[len] == '.');
		if (json_is_array(value) && cairn_parse_u64(key, &index))
			value = json_array_get(value, index);
		else
			value = json_object_get(value, key);
	}
	return value;
}

static int render_field(
	const struct piece *piece, const json_t *row, cairn_text *out, cairn_error *err)
{
	const json_t *value = find_field(row, piece->name);
	char *text;

	if (!value || json_is_null(value))
		return piece->is_optional
			       ? 0
			       : cairn_error_set(err, CAIRN_EINPUT, "'%s' is missing", piece->name);
	if (json_is_object(value) || json_is_array(value))
		return cairn_error_set(
			err, CAIRN_EINPUT, "'%s' is no text but a list or object", piece->name);
	if (json_is_string(value)) {
		cairn_text_add_bytes(out, json_string_value(value), json_string_length(value));
		return 0;
	}
	text = cairn_json_canonical(value);
	if (text)
		cairn_text_add(out, text);
	else
		out->failed = true;
	free(text);
	return 0;
}

int gpt_template_render(const char *text, const json_t *row, cairn_text *out, cairn_error *err)
{
	struct piece piece;
	size_t at = 0;
	int rc;

	while ((rc = next_piece(text, &at, &piece, err)) > 0) {
		if (!piece.is_field)
			cairn_text_add_char(out, piece.letter);
		else if ((rc = render_field(&piece, row, out, err)))
			return rc;
	}
	if (!rc && out->failed)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for a row");
	return rc;
}
