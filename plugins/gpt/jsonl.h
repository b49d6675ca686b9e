/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsonl.h - rows of JSON, read one by one, with every mistake at its line.
 *
 * JSON lines: one object a line; blank lines are skipped, a byte order mark at the start and CRLF
 * ends are tolerated. Or one array of objects, over as many lines as it likes: a file whose first
 * character is '['. Either may be packed with gzip: it is then unpacked as it is read, and lines
 * are counted in what was unpacked. A bad row does not end the reading: the reader stands behind
 * it, and the caller counts it (rows_bad.h). A file that cannot be read on is `is_broken`.
 */
#ifndef CAIRN_GPT_JSONL_H
#define CAIRN_GPT_JSONL_H

#include <stdbool.h>

#include "base/json.h"
#include "cairn/error.h"

struct gpt_gzip;

/* Longest row, in bytes. */
#define GPT_JSONL_MAX_LINE (16u << 20)

/* Why a row is bad: the rows of the reports' tables. */
#define GPT_BAD_MAP(X)                            \
	X(JSON, "no valid JSON")                  \
	X(UTF8, "not UTF-8")                      \
	X(NUL, "NUL character")                   \
	X(LONG, "too long")                       \
	X(OBJECT, "no object")                    \
	X(SHAPE, "of no known shape")             \
	X(MISSING, "field missing")               \
	X(TYPE, "field of the wrong type")        \
	X(EMPTY, "empty text")                    \
	X(EQUAL, "chosen and rejected are equal") \
	X(PROMPTS, "prompts differ")              \
	X(DIALOG, "no dialog as it should be")    \
	X(RANKS, "ranks that rank nothing")       \
	X(VALUE, "value that means nothing")

enum gpt_bad {
#define GPT_BAD_ENUM(name, text) GPT_BAD_##name,
	GPT_BAD_MAP(GPT_BAD_ENUM)
#undef GPT_BAD_ENUM
	GPT_BAD_REASONS
};

extern const char *const gpt_bad_reasons[GPT_BAD_REASONS];

typedef struct gpt_jsonl {
	const char *source; /* for messages */
	uint64_t line;      /* of the row read last, from 1 */
	enum gpt_bad why;   /* reason of the bad row told last */
	bool is_broken;     /* the last error was the file's: there is nothing behind it */

	/* The reader's own: text[at..len) is unread; of a packed file, as far as it is unpacked. */
	const char *text;
	size_t len, at;
	struct gpt_gzip *gzip;
	char *buffer;
	size_t cap;
	uint64_t passed; /* line feeds */
	int in_array;    /* 0: lines; else where in an array */
} gpt_jsonl;

/* Over text that the caller keeps. EINPUT where it is no text at all: UTF-16, damaged gzip.
 * To be closed after success; of text that is not packed there is nothing to free. */
CAIRN_MUST int gpt_jsonl_open(
	gpt_jsonl *out, const char *source, const char *text, size_t len, cairn_error *err);
void gpt_jsonl_close(gpt_jsonl *reader);
/* 1: *row is a new reference to an object; 0: the end; < 0: a bad row, placed "SOURCE:LINE", or
 * is_broken. */
CAIRN_MUST int gpt_jsonl_next(gpt_jsonl *reader, json_t **row, cairn_error *err);
/* The next line as it is, for tables: 1, 0 at the end, < 0 as above. Valid until the next call. */
CAIRN_MUST int gpt_jsonl_line(
	gpt_jsonl *reader, const char **line, size_t *line_len, cairn_error *err);
/* Fills *err with EINPUT at the row that was read last. */
int gpt_jsonl_bad(gpt_jsonl *reader, enum gpt_bad why, cairn_error *err, const char *format, ...)
	CAIRN_PRINTF(4, 5);

/* The next line of a text, without its end; false at the end of the text. */
bool gpt_line_next(const char *text, size_t len, size_t *at, const char **line, size_t *line_len);

/* A JSON string of any bytes: what is no UTF-8 becomes U+FFFD. New reference, NULL without memory.
 */
json_t *gpt_json_string(const char *bytes);

#endif
