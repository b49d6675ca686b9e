/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools.h - what the tools share: rows of JSON in and out, the tokenizer that fits a model.
 *
 * Functions return 0, CAIRN_STOPPED, or the code of a failure already reported to the host.
 */
#ifndef CAIRN_TOOLS_H
#define CAIRN_TOOLS_H

#include <stdbool.h>

#include "base/json.h"
#include "base/text.h"
#include "cairn/tool.h"
#include "gpt/model.h"
#include "gpt/tokenizer.h"

/* ---- the tools ------------------------------------------------------------------------------ */

enum format {
	FORMAT_TEXT = 0,
	FORMAT_JSONL = 1,
};

typedef struct generate_params {
	int64_t max_new, top_k, n, batch, seed;
	double temperature, top_p;
	int32_t stop_at_end, format;
} generate_params;

typedef struct score_params {
	int64_t batch, micro_tokens;
} score_params;

typedef struct tokenize_params {
	int32_t decode;
} tokenize_params;

typedef struct export_params {
	int32_t format;
} export_params;

int tool_generate(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *params, const char *text);
int tool_score(const cairn_host *host, cairn_run *run, const cairn_tool_io *io, const void *params,
	const char *text);
int tool_tokenize(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *params, const char *text);
int tool_import(const cairn_host *host, cairn_run *run, const cairn_tool_io *io, const void *params,
	const char *text);
int tool_export(const cairn_host *host, cairn_run *run, const cairn_tool_io *io, const void *params,
	const char *text);

/* ---- what they share ------------------------------------------------------------------------ */

/* What a tool works with; every tool has one. */
typedef struct tool_work {
	const cairn_host *host;
	cairn_run *run;
	const cairn_tool_io *io;
	uint64_t line; /* of stdin, read last; 0: the command line's text */
} tool_work;

int tool_no_memory(const tool_work *work, const char *what);
/* Reports a mistake of the row read last: "stdin, line 7". */
int tool_bad_row(const tool_work *work, const char *format, ...) CAIRN_PRINTF(2, 3);
/* Reports a filled error with the row read last as its place. */
int tool_bad_row_with(const tool_work *work, cairn_error *err);

/* 1: *row is the JSON object of the next line that is not blank, a new reference; 0: the end.
 * *bytes (may be NULL) grows by the line's length. */
int tool_next_row(tool_work *work, json_t **row, size_t *bytes);
/* A row of one text, as if it stood on a line of stdin. NULL without memory. */
json_t *tool_text_row(const char *text);
/* A member that is text, or NULL where there is none; < 0 where it is something else. Borrowed. */
int tool_get_text(
	const tool_work *work, const json_t *row, const char *key, const char **text, size_t *len);
/* Token numbers of member "ids", each below n_vocab. Caller frees. */
int tool_get_ids(
	const tool_work *work, const json_t *row, int32_t n_vocab, int32_t **ids, size_t *n);
int tool_encode(const tool_work *work, const gpt_tokenizer *tokenizer, const char *text, size_t len,
	int32_t **ids, size_t *n);

/* Opens a row of output: {"id":7, ... all members of `row` but the ones that tools read and write.
 * What follows is `"name":value}` and tool_end_row(). */
void tool_begin_row(cairn_text *out, const json_t *row);
/* Writes it as a line and clears it. */
int tool_end_row(const tool_work *work, cairn_text *out);
/* A JSON string; what is no UTF-8 becomes U+FFFD. */
void tool_add_string(cairn_text *out, const char *bytes, size_t len);
/* The shortest decimal that reads back as this float; a JSON real. */
void tool_add_float(cairn_text *out, float value);
void tool_add_double(cairn_text *out, double value);

/* Of a model's input: EINPUT where it has more tokens than the model. */
int tool_load_tokenizer(
	gpt_tokenizer **out, const tool_work *work, const char *port, const gpt_model *model);

#endif
