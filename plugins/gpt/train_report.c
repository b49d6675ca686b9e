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

json_t *gpt_report_string(const char *bytes)
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

json_t *gpt_report_number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}
