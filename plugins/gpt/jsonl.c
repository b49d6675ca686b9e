/* SPDX-License-Identifier: Apache-2.0 */
/* jsonl.c - JSON lines, row by row. */
#include "gpt/jsonl.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"

int gpt_jsonl_open(
	gpt_jsonl *out, const char *source, const char *text, size_t len, cairn_error *err)
{
	const unsigned char *head = (const unsigned char *)text;
	size_t start = 0;

	if (len >= 2 && head[0] == 0x1f && head[1] == 0x8b) {
		cairn_error_set(err, CAIRN_EINPUT, "'%s' is compressed (gzip)", source);
		cairn_error_at(err, "%s", source);
		cairn_error_hint(err, "Unpack it first: gunzip FILE.gz.");
		return CAIRN_EINPUT;
	}
	if (len >= 2 &&
		((head[0] == 0xff && head[1] == 0xfe) || (head[0] == 0xfe && head[1] == 0xff))) {
		cairn_error_set(err, CAIRN_EINPUT, "'%s' is in UTF-16", source);
		cairn_error_at(err, "%s", source);
		cairn_error_hint(err, "Convert it first: iconv -f UTF-16 -t UTF-8 FILE.");
		return CAIRN_EINPUT;
	}
	if (len >= 3 && !memcmp(head, "\xef\xbb\xbf", 3))
		start = 3;
	*out = (gpt_jsonl){.source = source, .text = text, .len = len, .at = start};
	return 0;
}

bool gpt_line_next(const char *text, size_t len, size_t *at, const char **line, size_t *line_len)
{
	const char *end;

	if (*at >= len)
		return false;
	*line = text + *at;
	end = memchr(*line, '\n', len - *at);
	*line_len = end ? (size_t)(end - *line) : len - *at;
	*at += *line_len + (end ? 1 : 0);
	if (*line_len && (*line)[*line_len - 1] == '\r')
		--*line_len;
	return true;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

int gpt_jsonl_next(gpt_jsonl *reader, json_t **row, cairn_error *err)
{
	char place[256];
	const char *line;
	size_t len;
	json_t *json = NULL;
	int rc;

	do {
		if (!gpt_line_next(reader->text, reader->len, &reader->at, &line, &len))
			return 0;
		reader->line++;
	} while (is_blank(line, len));
	if (len > GPT_JSONL_MAX_LINE)
		return gpt_jsonl_bad(
			reader, err, "row of %zu bytes is longer than %u", len, GPT_JSONL_MAX_LINE);
	snprintf(place, sizeof(place), "%s:%llu", reader->source, (unsigned long long)reader->line);
	rc = cairn_json_parse(&json, line, len, place, err);
	if (rc) {
		if (reader->line == 1 && line[0] == '[')
			cairn_error_hint(err, "The file seems to be one JSON array. Write one "
					      "object a line: jq -c '.[]' FILE.");
		else
			cairn_error_hint(err, "Each line must be one complete JSON object.");
		return rc;
	}
	if (!json_is_object(json)) {
		json_decref(json);
		gpt_jsonl_bad(reader, err, "row is no JSON object");
		cairn_error_hint(err, "Each line must be an object: {\"prompt\": ...}.");
		return CAIRN_EINPUT;
	}
	*row = json;
	return 1;
}

int gpt_jsonl_bad(const gpt_jsonl *reader, cairn_error *err, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cairn_error_set(err, CAIRN_EINPUT, "%s", message);
	cairn_error_at(err, "%s:%llu", reader->source, (unsigned long long)reader->line);
	return CAIRN_EINPUT;
}

int gpt_bad_rows_add(gpt_bad_rows *bad, cairn_error *err)
{
	if (bad->n++ == 0)
		bad->first = *err;
	if (bad->n <= bad->limit) {
		cairn_error_clear(err);
		return 0;
	}
	*err = bad->first;
	if (bad->limit)
		cairn_error_detail(err, "more than the %llu bad rows that max_bad_rows allows",
			(unsigned long long)bad->limit);
	cairn_error_hint(err, "Mend the row, or allow bad rows with max_bad_rows.");
	return err->code;
}

/* Bytes of the UTF-8 character at c, or 0 where there is none. json_string() is the judge, so
 * that this and the writer cannot differ. */
static size_t character(const char *c, char one[5])
{
	for (size_t len = 1; len <= 4 && c[len - 1]; len++) {
		json_t *string;

		memcpy(one, c, len);
		one[len] = '\0';
		string = json_string(one);
		if (string) {
			json_decref(string);
			return len;
		}
	}
	return 0;
}

json_t *gpt_json_string(const char *bytes)
{
	json_t *string = json_string(bytes);
	cairn_text mended = {0};

	if (string)
		return string;
	while (*bytes) {
		char one[5];
		size_t len = character(bytes, one);

		if (len > 0)
			cairn_text_add_bytes(&mended, bytes, len);
		else
			cairn_text_add(&mended, "\xef\xbf\xbd");
		bytes += len > 0 ? len : 1;
	}
	if (!mended.failed)
		string = json_string(cairn_text_get(&mended));
	cairn_text_free(&mended);
	return string;
}
