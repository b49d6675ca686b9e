/* SPDX-License-Identifier: Apache-2.0 */
/* train_report.c - writing reports; see train_report.h. */
#include "gpt/train_report.h"

#include <math.h>
#include <string.h>

#include "gpt/checkpoint.h"

int gpt_report_text(
	const gpt_work *work, cairn_writer *writer, const char *name, const cairn_text *text)
{
	if (text->failed)
		return gpt_no_memory(work, "the report");
	return gpt_put_bytes(work->host, work->run, writer, name, cairn_text_get(text), text->len);
}

int gpt_report_json(const gpt_work *work, cairn_writer *writer, const char *name, json_t *take_json)
{
	char *text = take_json ? cairn_json_canonical(take_json) : NULL;
	int code;

	json_decref(take_json);
	if (!text)
		return gpt_no_memory(work, "the report");
	code = gpt_put_bytes(work->host, work->run, writer, name, text, strlen(text));
	free(text);
	return code;
}

void gpt_report_line(cairn_text *text, json_t *take_json)
{
	char *line = take_json ? cairn_json_canonical(take_json) : NULL;

	json_decref(take_json);
	if (!line) {
		text->failed = true;
		return;
	}
	cairn_text_add(text, line);
	cairn_text_add_char(text, '\n');
	free(line);
}

json_t *gpt_report_number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

/* ---- tags ------------------------------------------------------------------------------ */

/* The next word; *name_len is where its first colon stands. NULL at the end. */
static const char *next_tag(const char *tags, size_t *name_len, size_t *len)
{
	tags += strspn(tags, " \t\n");
	*len = strcspn(tags, " \t\n");
	*name_len = strcspn(tags, ": \t\n");
	return *len > 0 ? tags : NULL;
}

int gpt_tags_check(const char *tags, cairn_error *err)
{
	json_t *seen = json_object();
	size_t name_len, len;
	int code = seen ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "no memory for tags");

	for (const char *tag = next_tag(tags, &name_len, &len); tag && !code;
		tag = next_tag(tag + len, &name_len, &len)) {
		if (name_len == 0 || name_len + 1 >= len) {
			code = cairn_error_set(
				err, CAIRN_EPARAM, "'%.*s' is no tag", (int)len, tag);
			cairn_error_hint(err, "Write tags as name:value, separated by blanks.");
		} else if (json_object_getn(seen, tag, name_len)) {
			code = cairn_error_set(
				err, CAIRN_EPARAM, "tag '%.*s' is given twice", (int)name_len, tag);
		} else if (json_object_setn_new(seen, tag, name_len, json_true())) {
			code = cairn_error_set(err, CAIRN_ENOMEM, "no memory for tags");
		}
	}
	json_decref(seen);
	return code;
}

/* A number where the whole text is one. */
static json_t *tag_value(const char *text, size_t len)
{
	char word[64];
	int64_t whole;
	double real;

	if (len < sizeof(word)) {
		memcpy(word, text, len);
		word[len] = '\0';
		if (cairn_parse_i64(word, &whole))
			return json_integer(whole);
		if (cairn_parse_double(word, &real) && isfinite(real))
			return json_real(real);
	}
	return json_stringn(text, len);
}

json_t *gpt_tags_json(const char *tags)
{
	json_t *json = json_object();
	size_t name_len, len;
	int bad = !json;

	for (const char *tag = next_tag(tags, &name_len, &len); tag && !bad;
		tag = next_tag(tag + len, &name_len, &len))
		bad |= json_object_setn_new(
			json, tag, name_len, tag_value(tag + name_len + 1, len - name_len - 1));
	if (bad) {
		json_decref(json);
		return NULL;
	}
	return json;
}
