/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rm.h - what a workflow can set, what the descriptor calls, and the stage's state.
 *
 * Reads in this order: rm.c (parameters), rm_run.c (training), rm_batch.c (what a step is made
 * of), rm_report.c (how good it is).
 */
#ifndef CAIRN_RM_H
#define CAIRN_RM_H

#include "cairn/stage.h"
#include "gpt/train_accuracy.h"
#include "gpt/train_optimizer.h"

enum rm_normalize {
	RM_NORMALIZE_BIAS = 0, /* demonstrations score 0 on average */
	RM_NORMALIZE_GAIN = 1, /* and have a standard deviation of 1 */
	RM_NORMALIZE_NONE = 2,
};

enum rm_pairs {
	RM_PAIRS_TOGETHER = 0, /* a prompt with its K completions is one element of a batch */
	RM_PAIRS_SHUFFLED = 1, /* each pair is */
};

typedef struct rm_params {
	const char *group, *exclude_group, *tags;
	int64_t epochs, batch, micro_tokens;
	int32_t recompute;
	int32_t pairs; /* enum rm_pairs */
	int64_t pairs_batch;
	int64_t max_prompt, max_response;
	int32_t divide;    /* 0 kept, 1 all */
	int32_t normalize; /* enum rm_normalize */
	gpt_optimizer_params optimizer;
	int64_t eval_every;
} rm_params;

/* Rankings as sequences: unit u has the ranks of row[u], its K sequences lie side by side. */
typedef struct rm_rankings {
	gpt_rows rows;
	gpt_examples examples;
	size_t *first; /* [n]: sequence where a ranking starts */
	size_t n;
} rm_rankings;

/* What enters the loss together: a ranking, or one pair of it. */
typedef struct rm_item {
	size_t ranking;
	int32_t better, worse; /* completions of the pair; unused for a whole ranking */
} rm_item;

/* What a checkpoint holds beside the tensors. */
typedef struct rm_counters {
	uint64_t step;
	uint64_t tokens;
	double first_loss; /* of the first step: near ln 2 */
	double loss;       /* of the last */
} rm_counters;

typedef struct rm_stage {
	gpt_work work;
	const rm_params *params;
	gpt_tokenizer *tokenizer;
	gpt_model *model;
	struct gpt_adam *adam;
	gpt_limits limits;
	rm_rankings train, valid, others; /* others: held-out rankings of other groups */
	rm_item *items;                   /* of an epoch, before they are shuffled */
	size_t n_items, batch_items;
	gpt_order order;
	gpt_seq *batch;            /* sequences of a step */
	uint64_t *pick;            /* its items */
	double *score, *dscore;    /* of one micro-batch or of a whole set */
	uint64_t per_epoch, total; /* steps */
	rm_counters at;
} rm_stage;

int rm_check(const void *params, cairn_error *err);
int rm_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int rm_run(const cairn_host *host, cairn_run *run, const void *params);

/* rm_batch.c: what a step is made of. */
CAIRN_MUST int rm_batch_open(rm_stage *self);
void rm_batch_close(rm_stage *self);
/* Fills self->pick and self->batch for the current step. */
void rm_batch_draw(rm_stage *self, size_t *n_items, size_t *n_seqs);
/* Ranks of an item's completions; *K of them. */
const int32_t *rm_item_ranks(const rm_stage *self, uint64_t item, int32_t *K);

/* rm_report.c: quality of the model and of "the longer one is better". */
CAIRN_MUST int rm_measure(rm_stage *self, const rm_rankings *set, gpt_accuracy *out);
CAIRN_MUST int rm_measure_length(rm_stage *self, const rm_rankings *set, gpt_accuracy *out);
/* Sets reward_gain and reward_bias from the demonstrations. */
CAIRN_MUST int rm_normalise(rm_stage *self, double *demo_mean, double *demo_std);
/* Measures, sets the summary and commits "report". */
CAIRN_MUST int rm_report(rm_stage *self);

#endif
