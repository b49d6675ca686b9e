/* SPDX-License-Identifier: Apache-2.0 */
/* rm.h - what a workflow can set, what the descriptor calls, and the stage's state. */
#ifndef CAIRN_RM_H
#define CAIRN_RM_H

#include "cairn/stage.h"
#include "gpt/train_data.h"

enum rm_normalize {
	RM_NORMALIZE_BIAS = 0, /* demonstrations score 0 on average */
	RM_NORMALIZE_GAIN = 1, /* and have a standard deviation of 1 */
	RM_NORMALIZE_NONE = 2,
};

typedef struct rm_params {
	const char *group;
	int64_t epochs, batch, micro_tokens;
	int64_t max_prompt, max_response;
	int32_t divide;    /* 0 kept, 1 all */
	int32_t normalize; /* enum rm_normalize */
	double lr, lr_floor;
	int64_t warmup;
	int32_t schedule; /* enum gpt_schedule */
	double beta1, beta2, adam_eps;
	int32_t adam_form; /* 0 torch, 1 tf */
	double weight_decay, grad_clip, dropout;
	int64_t eval_every;
} rm_params;

/* Rankings as sequences: unit u has the ranks of row[u], its K sequences lie side by side. */
typedef struct rm_rankings {
	gpt_rows rows;
	gpt_examples examples;
	size_t *first; /* [n]: sequence where a ranking starts */
	size_t n;
} rm_rankings;

/* How a scorer does on rankings. */
typedef struct rm_quality {
	double loss,
		accuracy; /* mean over rankings; share of right pairs, equal scores as halves */
	double n_pairs;
} rm_quality;

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
	gpt_order order;
	gpt_seq *batch;            /* sequences of a step */
	uint64_t *pick;            /* its rankings */
	double *score, *dscore;    /* of one micro-batch or of a whole set */
	uint64_t per_epoch, total; /* steps */
	rm_counters at;
} rm_stage;

int rm_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int rm_run(const cairn_host *host, cairn_run *run, const void *params);

/* rm_report.c: quality of the model and of "the longer one is better". */
CAIRN_MUST int rm_measure(rm_stage *self, const rm_rankings *set, rm_quality *out);
CAIRN_MUST int rm_measure_length(rm_stage *self, const rm_rankings *set, rm_quality *out);
/* Sets reward_gain and reward_bias from the demonstrations. */
CAIRN_MUST int rm_normalise(rm_stage *self, double *demo_mean, double *demo_std);
/* Measures, sets the summary and commits "report". */
CAIRN_MUST int rm_report(rm_stage *self);

#endif
