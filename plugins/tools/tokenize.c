/* SPDX-License-Identifier: Apache-2.0 */
/* tokenize.c - text to token numbers, and back, row by row. */
#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "tools.h"

static int encode_row(
	const tool_work *work, const gpt_tokenizer *tokenizer, const json_t *row, cairn_text *out)
{
	const char *text;
	int32_t *ids = NULL;
	size_t len, n;
	int rc = tool_get_text(work, row, "text", &text, &len);

	if (!rc && !text)
		rc = tool_bad_row(work, "row has no 'text'");
	if (!rc)
		rc = tool_encode(work, tokenizer, text, len, &ids, &n);
	if (rc)
		return rc;
	tool_begin_row(out, row);
	cairn_text_add(out, "\"ids\":[");
	for (size_t i = 0; i < n; i++)
		cairn_text_printf(out, "%s%d", i ? "," : "", ids[i]);
	cairn_text_add(out, "]}");
	free(ids);
	return tool_end_row(work, out);
}

static int decode_row(
	const tool_work *work, const gpt_tokenizer *tokenizer, const json_t *row, cairn_text *out)
{
	cairn_error err = {0};
	int32_t *ids = NULL;
	char *text = NULL;
	size_t n, len;
	int rc = tool_get_ids(work, row, gpt_tokenizer_size(tokenizer), &ids, &n);

	if (!rc && gpt_tokenizer_decode(tokenizer, ids, n, &text, &len, &err))
		rc = tool_bad_row_with(work, &err);
	free(ids);
	if (rc)
		return rc;
	tool_begin_row(out, row);
	cairn_text_add(out, "\"text\":");
	tool_add_string(out, text, len);
	cairn_text_add(out, "}");
	free(text);
	return tool_end_row(work, out);
}

static int all_rows(tool_work *work, const gpt_tokenizer *tokenizer, bool decodes, const char *text)
{
	cairn_text out = {0};
	json_t *row = NULL;
	int rc = text ? 1 : tool_next_row(work, &row, NULL);

	if (text && !(row = tool_text_row(text)))
		rc = tool_no_memory(work, "a text");
	while (rc > 0) {
		rc = decodes ? decode_row(work, tokenizer, row, &out)
			     : encode_row(work, tokenizer, row, &out);
		json_decref(row);
		if (rc || text)
			break;
		rc = work->io->stopping(work->io->self) ? CAIRN_STOPPED : 0;
		if (rc)
			break;
		rc = tool_next_row(work, &row, NULL);
	}
	cairn_text_free(&out);
	return rc;
}

int tool_tokenize(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *opaque, const char *text)
{
	const tokenize_params *params = opaque;
	tool_work work = {.host = host, .run = run, .io = io};
	gpt_tokenizer *tokenizer = NULL;
	int rc;

	if (params->decode && text) {
		rc = host->fail(run, CAIRN_EUSAGE, "token numbers are read from stdin");
		host->hint(run, "Write rows like {\"ids\":[1,2]} to it, without a text behind the "
				"tokenizer.");
		return rc;
	}
	rc = gpt_load_tokenizer(&tokenizer, host, run, "tokenizer");
	if (!rc)
		rc = all_rows(&work, tokenizer, params->decode, text);
	gpt_tokenizer_free(tokenizer);
	return rc;
}
