/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - JSON lines for people's scripts.
 *
 * jansson is asked directly, because a text may hold NUL: a tokenizer takes any bytes.
 */
#include "tools.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/utf8.h"

/* ---- failures ------------------------------------------------------------------------------- */

int tool_no_memory(const tool_work *work, const char *what)
{
	return work->host->fail(work->run, CAIRN_ENOMEM, "no memory for %s", what);
}

int tool_bad_row_with(const tool_work *work, cairn_error *err)
{
	if (work->line)
		cairn_error_at(err, "stdin, line %llu", (unsigned long long)work->line);
	return work->host->fail_with(work->run, err);
}

int tool_bad_row(const tool_work *work, const char *format, ...)
{
	cairn_error err = {0};
	char message[300];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cairn_error_set(&err, CAIRN_EINPUT, "%s", message);
	return tool_bad_row_with(work, &err);
}

/* ---- rows in ----------------------------------------------------------------------------------
 */

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!strchr(" \t\r", line[i]) || !line[i])
			return false;
	return true;
}

int tool_next_row(tool_work *work, json_t **row, size_t *bytes)
{
	json_error_t problem;
	const char *line;
	size_t len;
	json_t *json;
	int rc;

	do {
		rc = work->io->read_line(work->io->self, &line, &len);
		if (rc <= 0)
			return rc;
		work->line++;
	} while (is_blank(line, len));
	json = json_loadb(
		line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &problem);
	if (!json)
		return tool_bad_row(work, "not valid JSON: %s", problem.text);
	if (!json_is_object(json)) {
		json_decref(json);
		return tool_bad_row(work, "row is no JSON object");
	}
	if (bytes)
		*bytes += len;
	*row = json;
	return 1;
}

json_t *tool_text_row(const char *text)
{
	cairn_text valid = {0};
	json_t *row = NULL;

	/* A command line may have any bytes, JSON has characters. */
	gpt_utf8_add(&valid, text, strlen(text));
	if (!valid.failed)
		row = json_pack("{s:s%}", "text", cairn_text_get(&valid), valid.len);
	cairn_text_free(&valid);
	return row;
}

int tool_get_text(
	const tool_work *work, const json_t *row, const char *key, const char **text, size_t *len)
{
	const json_t *value = json_object_get(row, key);

	*text = NULL;
	*len = 0;
	if (!value)
		return 0;
	if (!json_is_string(value))
		return tool_bad_row(work, "'%s' is no text", key);
	*text = json_string_value(value);
	*len = json_string_length(value);
	return 0;
}

int tool_get_ids(
	const tool_work *work, const json_t *row, int32_t n_vocab, int32_t **ids, size_t *n)
{
	const json_t *list = json_object_get(row, "ids");
	size_t count = json_array_size(list);
	int32_t *out;

	if (!json_is_array(list))
		return tool_bad_row(work, list ? "'ids' is no list" : "row has no 'ids'");
	out = cairn_alloc(count, sizeof(*out));
	if (!out)
		return tool_no_memory(work, "the tokens of a row");
	for (size_t i = 0; i < count; i++) {
		const json_t *id = json_array_get(list, i);
		json_int_t value = json_integer_value(id);

		if (!json_is_integer(id) || value < 0 || value >= n_vocab) {
			free(out);
			return tool_bad_row(
				work, "'ids' has at place %zu no token of 0..%d", i, n_vocab - 1);
		}
		out[i] = (int32_t)value;
	}
	*ids = out;
	*n = count;
	return 0;
}

int tool_encode(const tool_work *work, const gpt_tokenizer *tokenizer, const char *text, size_t len,
	int32_t **ids, size_t *n)
{
	cairn_error err = {0};

	if (gpt_tokenizer_encode(tokenizer, text, len, ids, n, &err))
		return tool_bad_row_with(work, &err);
	return 0;
}

/* ---- rows out -----------------------------------------------------------------------------------
 */

void tool_begin_row(cairn_text *out, const json_t *row)
{
	/* Read by tools, or written by them. */
	static const char *const ours[] = {"text", "ids", "prompt", "completion", "ended",
		"logprobs", "reward", "prompt_tokens", "tokens"};
	json_t *rest = json_copy((json_t *)(uintptr_t)row);
	char *text = NULL;

	for (size_t i = 0; rest && i < CAIRN_COUNT(ours); i++)
		(void)json_object_del(rest, ours[i]); /* or it is not there */
	if (rest)
		text = cairn_json_canonical(rest);
	if (text)
		cairn_text_add_bytes(out, text, strlen(text) - 1); /* open again */
	else
		out->failed = true;
	if (json_object_size(rest) > 0)
		cairn_text_add_char(out, ',');
	free(text);
	json_decref(rest);
}

/* Escapes what Unicode takes for a line's end (U+0085, U+2028, U+2029), because scripts do, too:
 * Python's splitlines(). It can only stand inside a string. false: there was none. */
static bool escape_line_ends(const cairn_text *row, cairn_text *out)
{
	static const struct {
		const char *bytes, *escaped;
	} ends[] = {
		{"\xc2\x85", "\\u0085"},
		{"\xe2\x80\xa8", "\\u2028"},
		{"\xe2\x80\xa9", "\\u2029"},
	};
	const char *text = cairn_text_get(row);
	size_t done = 0;

	for (size_t at = strcspn(text, "\xc2\xe2"); at < row->len;
		at += 1 + strcspn(text + at + 1, "\xc2\xe2"))
		for (size_t i = 0; i < CAIRN_COUNT(ends); i++) {
			if (strncmp(text + at, ends[i].bytes, strlen(ends[i].bytes)) != 0)
				continue;
			cairn_text_add_bytes(out, text + done, at - done);
			cairn_text_add(out, ends[i].escaped);
			done = at + strlen(ends[i].bytes);
		}
	if (done > 0)
		cairn_text_add(out, text + done);
	return done > 0;
}

int tool_end_row(const tool_work *work, cairn_text *out)
{
	cairn_text escaped = {0};
	const cairn_text *row = out;
	int rc;

	cairn_text_add_char(out, '\n');
	if (!out->failed && escape_line_ends(out, &escaped))
		row = &escaped;
	if (row->failed)
		rc = tool_no_memory(work, "a row of output");
	else
		rc = work->io->write(work->io->self, row->data, row->len);
	cairn_text_clear(out);
	cairn_text_free(&escaped);
	return rc;
}

void tool_add_string(cairn_text *out, const char *bytes, size_t len)
{
	cairn_text valid = {0};
	json_t *string = NULL;
	char *quoted = NULL;

	gpt_utf8_add(&valid, bytes, len);
	if (!valid.failed)
		string = json_stringn(cairn_text_get(&valid), valid.len);
	if (string)
		quoted = json_dumps(string, JSON_ENCODE_ANY);
	if (quoted)
		cairn_text_add(out, quoted);
	else
		out->failed = true;
	free(quoted);
	json_decref(string);
	cairn_text_free(&valid);
}

/* Whether `digits` significant ones are enough; leaves the text in out. */
static bool is_enough(float value, int digits, char out[32])
{
	double back;

	(void)snprintf(out, 32, "%.*g", digits, (double)value);
	/* Of a locale that writes a comma. */
	out[strcspn(out, ",")] = strchr(out, ',') ? '.' : '\0';
	return cairn_parse_double(out, &back) && (float)back == value;
}

static void add_real(cairn_text *out, const char *number)
{
	cairn_text_add(out, number);
	if (!strpbrk(number, ".e"))
		cairn_text_add(out, ".0");
}

void tool_add_float(cairn_text *out, float value)
{
	char number[32];
	int digits = 6;

	CAIRN_ASSERT(isfinite(value));
	while (digits < 9 && !is_enough(value, digits, number))
		digits++;
	/* Most need eight or nine; of the others, few. */
	while (digits > 1 && digits <= 6 && is_enough(value, digits - 1, number))
		digits--;
	(void)is_enough(value, digits, number);
	add_real(out, number);
}

void tool_add_double(cairn_text *out, double value)
{
	char number[32];

	CAIRN_ASSERT(isfinite(value));
	cairn_format_double(value, number);
	add_real(out, number);
}

/* ---- the tokenizer ------------------------------------------------------------------------------
 */

int tool_load_tokenizer(
	gpt_tokenizer **out, const tool_work *work, const char *port, const gpt_model *model)
{
	gpt_tokenizer *tokenizer = NULL;
	int rc = gpt_load_tokenizer(&tokenizer, work->host, work->run, port);

	if (rc)
		return rc;
	if (gpt_tokenizer_size(tokenizer) > model->config.n_vocab) {
		rc = work->host->fail(work->run, CAIRN_EINPUT,
			"the tokenizer has %d tokens, the model knows %d",
			gpt_tokenizer_size(tokenizer), model->config.n_vocab);
		work->host->hint(work->run, "Take the vocabulary that the model was trained with.");
		gpt_tokenizer_free(tokenizer);
		return rc;
	}
	*out = tokenizer;
	return 0;
}
