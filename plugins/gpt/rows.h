/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - datasets of JSON lines, as the stages pass them on.
 *
 * Each dataset artifact has one entry "rows.jsonl", a row per line:
 *   dataset/demo        {"prompt","completion","user"?,"labeler"?,"answer"?}
 *   dataset/prompt      {"prompt","user"?,"answer"?}
 *   dataset/completion  {"prompt","completions":[text..],"ended":[bool..],"user"?,"answer"?}
 *   dataset/ranking
 * {"prompt","completions":[..],"ranks":[int..],"labeler","group","user"?,"answer"?} rank 0 is best,
 * equal ranks are ties and dataset/text two entries "train" and "valid", I32 token ids. "answer" is
 * what a right completion contains; simulated labelers may look for it.
 */
#ifndef CAIRN_GPT_ROWS_H
#define CAIRN_GPT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "cairn/stage.h"
#include "gpt/jsonl.h"

typedef struct gpt_row {
	const char *prompt;
	const char *completion;         /* NULL where there is none */
	const char *const *completions; /* n_completions texts */
	const bool *ended;              /* n_completions, or NULL */
	const int32_t *ranks;           /* n_completions, or NULL */
	int32_t n_completions;
	const char *user, *labeler, *group, *answer; /* "" where absent */
} gpt_row;

typedef struct gpt_rows {
	gpt_row *rows;
	size_t n;
	void *arena;
} gpt_rows;

/* Reads "rows.jsonl" of all artifacts bound to a dataset port. Mistakes are reported to the
 * host with source and row number. */
CAIRN_MUST int gpt_rows_load(
	gpt_rows *out, const cairn_host *host, cairn_run *run, const char *port);
void gpt_rows_free(gpt_rows *rows);
/* One row that `reader` just read, checked as a dataset of `kind` needs it; texts are copied into
 * `arena` (a cairn_arena). EINPUT, placed at the row. */
CAIRN_MUST int gpt_row_parse(gpt_row *out, gpt_jsonl *reader, const json_t *row, const char *kind,
	void *arena, cairn_error *err);

/* Writer: rows are collected as canonical JSON lines and committed to an output port. */
typedef struct gpt_rows_writer gpt_rows_writer;
gpt_rows_writer *gpt_rows_writer_new(void);
void gpt_rows_writer_free(gpt_rows_writer *writer);
/* NULL strings, NULL arrays, and "" of user, labeler, group and answer are left out of the line.
 * Bytes that are no UTF-8 become U+FFFD. ENOMEM. */
CAIRN_MUST int gpt_rows_writer_add(gpt_rows_writer *writer, const gpt_row *row);
size_t gpt_rows_writer_count(const gpt_rows_writer *writer);
CAIRN_MUST int gpt_rows_writer_commit(
	gpt_rows_writer *writer, const cairn_host *host, cairn_run *run, const char *port);

#endif
