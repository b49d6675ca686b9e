/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows_split.h - which rows are held out: whole users, drawn by name.
 *
 * All rows of a user draw the same number, rows without a user draw by their prompt; those who
 * draw lowest are held out. So nobody is on both sides (2203.02155, A.1: split by user), and a
 * dataset that shares users and key with another is split along the same line.
 */
#ifndef CAIRN_GPT_ROWS_SPLIT_H
#define CAIRN_GPT_ROWS_SPLIT_H

#include "gpt/rows.h"

/* FNV-1a over a text. */
uint64_t gpt_hash_text(const char *text);
/* In (0,1); the same for the same user (or prompt, for rows without one) and key. */
double gpt_split_draw(const gpt_row *row, uint64_t key);
/* Rows whose draw is below this are held out: of the different users, the share `fraction`,
 * rounded, but at least one is held out and one stays where there are two; 0 where nothing is to
 * be held out. Sorts the draws. */
double gpt_split_threshold(double *draws, size_t n, double fraction);

#endif
