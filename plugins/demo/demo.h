/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h - what the files of stage `demo` share. Reads like: demo.c. */
#ifndef CAIRN_DEMO_DEMO_H
#define CAIRN_DEMO_DEMO_H

#include "base/arena.h"
#include "base/json.h"
#include "cairn/stage.h"
#include "gpt/rows_read.h"
#include "pii.h"

enum {
	DEDUPE_PROMPT,
	DEDUPE_ROW
};
enum {
	PII_NONE,
	PII_DROP,
	PII_MASK
};

struct demo_params {
	const char *prompt, *completion, *user, *labeler, *answer; /* templates */
	int64_t dedupe_prefix, cap_per_user;
	double valid_fraction;
	int32_t dedupe_on, pii;
	gpt_shape_params shapes;
};

/* What became of the rows of one port. */
struct demo_counts {
	uint64_t duplicates, over_cap, pii_rows, train, valid;
	uint64_t pii[PII_TYPES];
};

/* The rows of one port while they are sifted. */
struct demo_set {
	const char *port;
	bool has_completions;
	gpt_row *rows;
	bool *is_valid; /* [n] held out */
	size_t n, cap;
	gpt_tally tally; /* what was read */
	struct demo_counts counts;
};

struct demo_work {
	const cairn_host *host;
	cairn_run *run;
	const struct demo_params *params;
	cairn_arena *arena;
	struct demo_set demos, prompts;
};

int demo_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);

/* demo_read.c: rows of all files of set->port. */
CAIRN_MUST int demo_read(struct demo_work *w, struct demo_set *set);
/* demo_sift.c: takes out duplicates, and what a user has above the cap. */
CAIRN_MUST int demo_sift(struct demo_work *w, struct demo_set *set);
/* Decides which users are held out, the same in both sets. */
CAIRN_MUST int demo_split(struct demo_work *w);
/* Drops or masks what may identify people in training rows. */
void demo_clean(struct demo_work *w, struct demo_set *set);
/* Keeps the first of the rows whose prompts begin alike; *n is how many stay. */
CAIRN_MUST int demo_unique_prompts(const struct demo_work *w, gpt_row *rows, size_t *n);
/* demo_report.c */
CAIRN_MUST int demo_report(const struct demo_work *w);

#endif
