/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval.h - the parts of the eval stage.
 *
 * Reads in this order: eval.c (parameters), eval_run.c (answers of both models, losses),
 * eval_judge.c (who wins), eval_report.c (what is told).
 */
#ifndef CAIRN_EVAL_H
#define CAIRN_EVAL_H

#include "gpt/labeler.h"
#include "gpt/train_accuracy.h"
#include "gpt/train_generate.h"

typedef struct eval_params {
	const char *tags, *judge;
	const char *utility, *members;
	double noise;
	int64_t K;
	double temperature;
	int64_t max_new, max_prompt, max_prompts, batch;
	int64_t micro_tokens, valid_tokens;
	int64_t n_samples_shown;
} eval_params;

/* One of the two models that are compared, and what it said. */
typedef struct eval_side {
	const char *port;
	gpt_model *model; /* NULL: no such input */
	gpt_completions said;
	char **text;     /* [said.n] */
	double *utility; /* [said.n]; NULL without labelers */
	double *reward;  /* [said.n]; NULL without reward model */
	double loss;     /* on held-out text; NAN where it was not measured */
} eval_side;

/* Wins of the model over the baseline; ties are halves. A prompt counts once, whatever K and the
 * number of labelers: its judgments are not independent. */
typedef struct eval_wins {
	double rate, low, high; /* with the 95 % interval */
	double n_judgments, n_ties;
	double *share; /* [said.n]: won judgments of each pair */
} eval_wins;

typedef struct eval_stage {
	gpt_work work;
	const eval_params *params;
	gpt_tokenizer *tokenizer;
	gpt_rows rows;
	gpt_examples prompts;
	gpt_limits limits;
	size_t n_prompts;
	gpt_sampling options;
	eval_side model, baseline;
	gpt_model *reward, *reference;
	bool has_labelers;
	gpt_utility utility;
	uint64_t *labeler; /* [n_labelers]: their keys */
	size_t n_labelers;
	eval_wins by_labelers, by_reward;
	gpt_accuracy rm_accuracy; /* on the rankings; NANs where not measured */
	double kl, kl_stderr;     /* of the model from the reference, in nats an answer */
} eval_stage;

int eval_check(const void *params, cairn_error *err);
int eval_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int eval_run(const cairn_host *host, cairn_run *run, const void *params);

/* eval_judge.c */
CAIRN_MUST int eval_open_labelers(eval_stage *self);
CAIRN_MUST int eval_judge(eval_stage *self);
CAIRN_MUST int eval_rankings(eval_stage *self);

/* eval_report.c: summary and "report". */
CAIRN_MUST int eval_report(eval_stage *self);

#endif
