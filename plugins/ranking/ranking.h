/* SPDX-License-Identifier: Apache-2.0 */
/* ranking.h - what the files of stage `ranking` share. Reads like: ranking.c. */
#ifndef CAIRN_RANKING_RANKING_H
#define CAIRN_RANKING_RANKING_H

#include "base/arena.h"
#include "base/json.h"
#include "base/text.h"
#include "cairn/stage.h"
#include "gpt/rows_read.h"

enum {
	FORMAT_RANKINGS,
	FORMAT_PAIRS
};
enum {
	AGGREGATE_MAJORITY,
	AGGREGATE_EACH
};

struct ranking_params {
	const char *group;
	double valid_fraction;
	int64_t split_seed, max_rows, folds, fold;
	/* simulated labelers */
	const char *members, *utility;
	double noise, disagreement, overlap;
	/* imported rankings */
	gpt_shape_params shapes;
	const char *prompt, *user, *labeler, *group_of; /* templates */
	/* imported judgments */
	int32_t format, aggregate, keep_ties;
	const char *column_a, *column_b, *column_labeler, *column_value, *column_group;
	const char *value_a, *value_b, *value_equal;
	const char *item_id, *item_prompt, *item_completion, *item_user; /* templates */
};

/* Sums over items that several labelers judged: k agreements in n comparisons each. */
struct ranking_agreement {
	double items, k, n, kk, kn, nn;
};

struct ranking_work {
	const cairn_host *host;
	cairn_run *run;
	const struct ranking_params *params;
	cairn_arena *arena;
	gpt_row *rows; /* of the group, in the order of the input */
	size_t n, cap;
	double *draws; /* of all rows, whatever their group: they decide the split */
	size_t n_draws, cap_draws;
	uint64_t read, other_group, other_fold, ties_dropped;
	gpt_tally tally; /* of imported rankings; of judgments the bad rows alone */
	struct ranking_folds *folds;
	struct ranking_agreement agreement;
	gpt_rows completions; /* what simulated rankings point into */
};

int ranking_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);

/* ---- collecting: each returns 0 or the code of a failure already reported -------------- */

/* ranking_simulate.c: rankings of input `completions` by labelers of the stated utility. */
CAIRN_MUST int ranking_simulate(struct ranking_work *w);
/* ranking_import.c: rankings as people gave them. */
CAIRN_MUST int ranking_import(struct ranking_work *w);
/* ranking_pairs.c: judgments of pairs of items, put together to rankings of two. */
CAIRN_MUST int ranking_pairs(struct ranking_work *w);

/* ---- ranking_folds.c: labelers in n groups of the same size, for cross-validation ---------------
 */

/* Everybody who judged must be named before the folds are asked for; a name may come again. */
CAIRN_MUST int ranking_folds_name(struct ranking_work *w, const char *labeler);
/* Deals the labelers out. EINPUT where there are fewer than folds, or somebody has no name. */
CAIRN_MUST int ranking_folds_deal(struct ranking_work *w);
/* Where there are folds: sets *group to the name of the labeler's fold, and says whether that fold
 * is kept. Without folds all is as it was, and kept. */
bool ranking_folds_keep(const struct ranking_work *w, const char *labeler, const char **group);
void ranking_folds_free(struct ranking_folds *folds);

/* ---- helpers of those, in ranking.c ---------------------------------------------------------- */

/* Up to max_rows; more are left out. */
CAIRN_MUST int ranking_add(struct ranking_work *w, const gpt_row *row);
/* Whatever max_rows says. */
CAIRN_MUST int ranking_append(struct ranking_work *w, const gpt_row *row);
/* Every row's user counts for the split, also those of other groups. */
CAIRN_MUST int ranking_add_draw(struct ranking_work *w, const gpt_row *row);
/* The bytes of input port `port`, artifact `index`. */
CAIRN_MUST int ranking_read_file(const struct ranking_work *w, const char *port, uint64_t index,
	const char **source, const char **text, size_t *len);
int ranking_no_memory(const struct ranking_work *w);

/* ---- ranking_report.c -------------------------------------------------------------------------
 */

/* Compares every two of L rankings of the same K completions: a pair of completions that both
 * order alike counts 1, a tie against an order 1/2. */
void ranking_agree(struct ranking_agreement *sum, const int32_t *const *ranks, size_t L, int32_t K);
/* Writes output `report` and the summaries. */
CAIRN_MUST int ranking_report(
	const struct ranking_work *w, double threshold, uint64_t n_train, uint64_t n_valid);

#endif
