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
