/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judgments.h - judgments of pairs, read from a table: who finds which of two items better.
 *
 * TSV with a header line, or JSON lines; which of the two is seen from the first byte. The names
 * of the columns are parameters, so that data sets come in as they are.
 */
#ifndef CAIRN_RANKING_JUDGMENTS_H
#define CAIRN_RANKING_JUDGMENTS_H

#include "gpt/jsonl.h"
#include "ranking.h"

enum column {
	COLUMN_A,
	COLUMN_B,
	COLUMN_LABELER,
	COLUMN_VALUE,
	COLUMN_GROUP,
	COLUMNS,
};

struct judgments {
	gpt_jsonl reader; /* also counts the lines of a TSV */
	bool is_tsv;
	const char *names[COLUMNS];
	size_t place[COLUMNS]; /* in a TSV line */
	size_t n_places;
	cairn_arena *arena;
};

/* Reads the header of a TSV. EINPUT where a column is missing. */
CAIRN_MUST int judgments_open(struct judgments *out, const struct ranking_params *params,
	const char *source, const char *text, size_t len, cairn_arena *arena, cairn_error *err);
/* 1: the five fields, in the arena; 0: the end; < 0: a bad row, which was passed. */
CAIRN_MUST int judgments_next(
	struct judgments *judgments, const char *fields[COLUMNS], cairn_error *err);
void judgments_close(struct judgments *judgments);

#endif
