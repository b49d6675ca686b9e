/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sft.h - what a workflow can set, what the descriptor calls, and the stage's state.
 *
 * Reads in this order: sft.c (parameters), sft_run.c (training), sft_select.c (which epoch is
 * kept), sft_report.c (what is told).
 */
#ifndef CAIRN_SFT_H
#define CAIRN_SFT_H

#include "cairn/stage.h"
#include "gpt/train_data.h"
#include "gpt/train_generate.h"
#include "gpt/train_optimizer.h"

enum sft_select {
	SFT_SELECT_LAST = 0,
	SFT_SELECT_LOSS = 1,   /* lowest on held-out demonstrations */
	SFT_SELECT_REWARD = 2, /* highest of responses to held-out prompts */
};

typedef struct sft_params {
	int64_t epochs, batch, micro_tokens;
	int32_t recompute;
	int64_t max_prompt, max_response;
	int32_t loss_on; /* 0 completion, 1 all */
	gpt_optimizer_params optimizer;
	double pretrain_mix;
	int64_t pretrain_length;
	int64_t eval_every;
	int32_t select; /* enum sft_select */
	int64_t select_every, select_prompts, select_max_new, select_batch;
	double select_temperature;
} sft_params;

/* What was measured after an epoch; NAN where it was not. */
typedef struct sft_point {
	uint64_t epoch, step;
	double loss; /* of the epoch's training tokens */
	double eval_loss, eval_reward;
} sft_point;

/* What a checkpoint holds beside the tensors and the curve. */
typedef struct sft_counters {
	uint64_t step;  /* optimizer steps done */
	uint64_t units; /* what step() counts: optimizer steps, and responses drawn */
	uint64_t tokens;
	double loss; /* of the last step */
	double epoch_nll;
	uint64_t epoch_counted;
	uint64_t n_points;
	uint64_t best;      /* 1 + index of the winning point; 0: there is none yet */
	uint64_t selecting; /* 1: the last point waits for its eval_reward */
} sft_counters;

typedef struct sft_stage {
	gpt_work work;
	const sft_params *params;
	gpt_tokenizer *tokenizer;
	gpt_model *model;
	struct gpt_adam *adam;
	gpt_rows demo_rows, valid_rows;
	gpt_examples demos, valid;
	gpt_order order;
	gpt_text text;
	int32_t text_length;
	uint64_t text_key;
	gpt_seq *batch;
	uint64_t per_epoch, total; /* steps */
	double valid_loss;
	sft_counters at;
	/* Selection. */
	sft_point *curve;  /* [n_selections] */
	gpt_model *best;   /* weights of the winning point; NULL where the last epoch is kept */
	gpt_model *reward; /* NULL unless responses are scored */
	gpt_examples prompts;
	gpt_completions said;
	gpt_sampling options;
} sft_stage;

int sft_check(const void *params, cairn_error *err);
int sft_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int sft_run(const cairn_host *host, cairn_run *run, const void *params);

/* sft_select.c */
CAIRN_MUST int sft_select_open(sft_stage *self);
void sft_select_close(sft_stage *self);
/* What step() counts of the selections, in the whole stage. */
uint64_t sft_select_units(const sft_stage *self);
/* After an optimizer step: where an epoch to be measured ended, its point is made. */
bool sft_select_is_due(const sft_stage *self);
CAIRN_MUST int sft_select_begin(sft_stage *self, double eval_loss);
/* Draws a batch and, when all are drawn, scores. */
CAIRN_MUST int sft_select_unit(sft_stage *self);
/* The winner's weights become the model's. */
void sft_select_finish(sft_stage *self);
/* What a checkpoint needs of all this. */
CAIRN_MUST int sft_select_put(sft_stage *self, gpt_save *checkpoint);
CAIRN_MUST int sft_select_get(sft_stage *self, const cairn_artifact *checkpoint);

/* sft_report.c: summary and "report". */
CAIRN_MUST int sft_report(sft_stage *self);

#endif
