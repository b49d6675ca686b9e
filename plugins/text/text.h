/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - what the files of stage `text` share. Reads like: text.c, text_read.c. */
#ifndef CAIRN_TEXT_TEXT_H
#define CAIRN_TEXT_TEXT_H

#include "base/arena.h"
#include "cairn/stage.h"
#include "gpt/rows_bad.h"

enum document {
	DOCUMENT_FILE,
	DOCUMENT_PARAGRAPH,
	DOCUMENT_ROW,
};

struct params {
	int64_t n_vocab;
	double valid_fraction;
	uint64_t block;
	uint64_t max_bytes;
	int32_t document;
	const char *row; /* template */
	double max_bad;
};

struct text_file {
	const char *source, *data;
	size_t len;
};

/* Reads port `text`, document by document. Set up: host, run, params, arena, take, context. */
struct text_reader {
	const cairn_host *host;
	cairn_run *run;
	const struct params *params;
	cairn_arena *arena; /* texts of rows; freed with the reader */
	/* Gets each document, which lives as long as the reader; reports its failure. */
	int (*take)(void *context, const char *text, size_t len);
	void *context;
	size_t left; /* of max_bytes */
	uint64_t n_rows;
	gpt_bad_rows bad;
	char **unpacked;
	size_t n_unpacked;
};

/* ---- text_read.c: each returns 0 or the code of a failure already reported ----------------- */

CAIRN_MUST int text_read(struct text_reader *reader);
void text_reader_free(struct text_reader *reader);
/* The bytes of a file as they are. */
CAIRN_MUST int text_read_file(const cairn_host *host, cairn_run *run, const char *port,
	uint64_t index, struct text_file *out);

/* text_estimate.c */

int text_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);

#endif
