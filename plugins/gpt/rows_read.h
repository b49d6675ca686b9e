/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_read.h - the files of a port, read to rows: the one way that people's data come in.
 *
 * Every file is recognised for itself (shapes.h), JSON lines or an array, packed or not
 * (jsonl.h); bad rows are counted (rows_bad.h); what was read is described for the report: shapes,
 * records, lengths as in Table 9 of 2203.02155, here in characters.
 */
#ifndef CAIRN_GPT_ROWS_READ_H
#define CAIRN_GPT_ROWS_READ_H

#include "gpt/rows_bad.h"
#include "gpt/shapes.h"

/* Lengths of many texts. */
typedef struct gpt_lengths {
	uint32_t *characters;
	size_t n, cap;
} gpt_lengths;

/* What was found in one file. */
typedef struct gpt_file_tally {
	enum gpt_shape shape; /* GPT_SHAPE_AUTO: no record was recognised */
	uint64_t records, rows, bad;
} gpt_file_tally;

typedef struct gpt_tally {
	gpt_file_tally *files;
	size_t n_files;
	uint64_t records, rows;
	gpt_bad_rows bad;
	gpt_lengths prompts, completions;
} gpt_tally;

typedef struct gpt_rows_reader {
	const cairn_host *host;
	cairn_run *run;
	const char *port;
	gpt_shaper shaper; /* set up by the caller; its arena keeps the texts */
	/* Called for each row; what it does not return 0 for was reported to the host. */
	int (*take)(void *context, const gpt_row *row);
	void *context;
} gpt_rows_reader;

/* Reads all files of the port. *tally is to be freed, also after a failure. 0, or the code of what
 * was reported to the host. */
CAIRN_MUST int gpt_rows_read(gpt_rows_reader *reader, gpt_tally *tally);
void gpt_tally_free(gpt_tally *tally);
/* For the report: lines of text; members files, bad_rows, prompt_characters and
 * completion_characters of an object. ENOMEM. */
void gpt_tally_print(const gpt_tally *tally, cairn_text *out);
CAIRN_MUST int gpt_tally_json(const gpt_tally *tally, json_t *object);

#endif
