/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_bad.h - bad rows of people's files: each told with its place, all counted by reason, and a
 * share that decides whether the stage goes on without them.
 *
 * The limit is looked at when everything is read: whoever has to mend a file wants to know of all
 * its bad rows at once.
 */
#ifndef CAIRN_GPT_ROWS_BAD_H
#define CAIRN_GPT_ROWS_BAD_H

#include "base/text.h"
#include "cairn/stage.h"
#include "gpt/jsonl.h"

/* So many are logged one by one. */
#define GPT_BAD_LOGGED 20

typedef struct gpt_bad_rows {
	uint64_t n;
	uint64_t by_reason[GPT_BAD_REASONS];
	uint64_t first_file[GPT_BAD_REASONS], first_line[GPT_BAD_REASONS]; /* from 1 */
	cairn_error first;
} gpt_bad_rows;

/* Counts the bad row that `reader` told in the file of that number, logs it where it is among the
 * first, clears *err. */
void gpt_bad_rows_add(gpt_bad_rows *bad, const cairn_host *host, cairn_run *run,
	const gpt_jsonl *reader, uint64_t file, cairn_error *err);
/* 0 where at most the share max_bad of n_read rows is bad; else reports the first bad row to the
 * host, with a hint that names max_bad, and returns its code. */
CAIRN_MUST int gpt_bad_rows_check(const gpt_bad_rows *bad, const cairn_host *host, cairn_run *run,
	uint64_t n_read, double max_bad);
/* The table by reason, for people and for programs: a list, NULL without memory. Files are told
 * by number, because their names are no part of a result. */
void gpt_bad_rows_print(const gpt_bad_rows *bad, cairn_text *out);
json_t *gpt_bad_rows_json(const gpt_bad_rows *bad);

#endif
