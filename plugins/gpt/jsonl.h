/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonl.h - JSON lines, read row by row, with every mistake at its line.
 *
 * One object a line. Blank lines are skipped, a byte order mark at the start and CRLF ends are
 * tolerated. A bad row does not end the reading: the reader stands behind it, and the caller
 * decides (gpt_bad_rows) how many of them a file may have.
 */
#ifndef CAIRN_GPT_JSONL_H
#define CAIRN_GPT_JSONL_H

#include <stdbool.h>

#include "base/json.h"
#include "cairn/error.h"

/* Longest line, in bytes. */
#define GPT_JSONL_MAX_LINE (16u << 20)

typedef struct gpt_jsonl {
	const char *source; /* for messages */
	const char *text;
	size_t len;
	size_t at;     /* next byte to read */
	uint64_t line; /* of the row read last, from 1 */
} gpt_jsonl;

/* Over text that the caller keeps. EINPUT where it is no text at all: compressed, UTF-16. */
CAIRN_MUST int gpt_jsonl_open(
	gpt_jsonl *out, const char *source, const char *text, size_t len, cairn_error *err);
/* 1: *row is a new reference to an object; 0: the end; < 0: a bad row, placed "SOURCE:LINE". */
CAIRN_MUST int gpt_jsonl_next(gpt_jsonl *reader, json_t **row, cairn_error *err);
/* Fills *err with EINPUT at the row that was read last. */
int gpt_jsonl_bad(const gpt_jsonl *reader, cairn_error *err, const char *format, ...)
	CAIRN_PRINTF(3, 4);

/* The next line of a text, without its end; false at the end of the text. */
bool gpt_line_next(const char *text, size_t len, size_t *at, const char **line, size_t *line_len);

/* A JSON string of any bytes: what is no UTF-8 becomes U+FFFD. New reference, NULL without memory.
 */
json_t *gpt_json_string(const char *bytes);

/* Counts bad rows against a limit. */
typedef struct gpt_bad_rows {
	uint64_t limit; /* how many are tolerated */
	uint64_t n;
	cairn_error first;
} gpt_bad_rows;

/* Takes a bad row's error and clears it. 0 while within the limit; beyond it, *err is the first
 * bad row's error with a hint, and its code is returned. */
CAIRN_MUST int gpt_bad_rows_add(gpt_bad_rows *bad, cairn_error *err);

#endif
