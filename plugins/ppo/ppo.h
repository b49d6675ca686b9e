/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo.h - the parts of the ppo stage: parameters, the rollout, the state that moves.
 *
 * Reads in this order: ppo.c (parameters), ppo_run.c (the loop), ppo_rollout.c (one batch of
 * experience), ppo_update.c (what is learned from it), ppo_state.c, ppo_report.c.
 */
#ifndef CAIRN_PPO_H
#define CAIRN_PPO_H

#include "gpt/train_data.h"
#include "gpt/train_generate.h"

enum ppo_whiten {
	PPO_WHITEN_MINIBATCH = 0,
	PPO_WHITEN_BATCH = 1,
	PPO_WHITEN_NONE = 2,
};

typedef struct ppo_params {
	int64_t episodes, iterations, batch, minibatch, inner_epochs, micro_tokens;
	int64_t max_prompt, max_new;
	double temperature, missing_eos;
	double beta;
	int32_t kl_controller; /* 0 fixed, 1 adaptive */
	double kl_target, kl_horizon;
	double gamma_ptx;
	int64_t ptx_ratio, ptx_length;
	double lr, value_lr, warmup_from;
	int64_t warmup; /* iterations */
	double beta1, beta2, adam_eps;
	int32_t adam_form; /* 0 torch, 1 tf */
	double weight_decay, grad_clip;
	double ema;
	int32_t output; /* 0 ema, 1 last */
	double gamma_rl, gae_lambda, clip, value_clip;
	int32_t whiten; /* enum ppo_whiten */
} ppo_params;

/* Sums over the updates of an iteration; their means are the row of the metric log. */
typedef struct ppo_sums {
	double n; /* updates */
	double policy_loss, approxkl, clipfrac, ratio, entropy, policy_norm;
	double value_loss, value_clipfrac, value_norm;
	double ptx_loss;
} ppo_sums;

/* What a checkpoint holds beside tensors and rollout. */
typedef struct ppo_counters {
	uint64_t update; /* finished optimizer steps */
	uint64_t tokens;
	double beta;         /* of the next rollout */
	double rollout_beta; /* of the rollout at hand */
	double first_score;  /* mean score of iteration 0 */
	ppo_sums sums;
} ppo_counters;

/* One batch of experience. Per-token arrays hold the response tokens of all episodes, one
 * episode after the other: those of episode e start at first[e]. */
typedef struct ppo_rollout {
	size_t n;               /* episodes */
	gpt_seq *prompt;        /* [n] */
	size_t *row;            /* [n]: which row of the prompts */
	gpt_completions drawn;  /* K = 1 */
	gpt_seq *seq;           /* [n]: prompt and response */
	int32_t *store;         /* their tokens */
	size_t *first;          /* [n + 1] */
	cairn_real *logp, *ref; /* of the drawn tokens: under the policy before updates, and under
				   the reference */
	double *value, *advantage, *returns;
	double *score;      /* [n]: reward model's, less the penalty for no end token */
	double logprob_gap; /* largest difference between the sampler's and the network's */
} ppo_rollout;

typedef struct ppo_stats {
	double kl, entropy, score, non_score, rlhf; /* means over episodes */
	double eos_rate, length, var_explained;
} ppo_stats;

typedef struct ppo_stage {
	gpt_work work;
	const ppo_params *params;
	gpt_tokenizer *tokenizer;
	gpt_model *policy, *reference, *reward, *value;
	gpt_adam *policy_adam, *value_adam;
	cairn_real *ema; /* dev; NULL where off */
	gpt_rows rows;
	gpt_examples prompts;
	gpt_order order;
	gpt_limits limits;
	gpt_text text;
	int32_t ptx_length;
	uint64_t text_key, sample_key, minibatch_key;
	uint64_t iterations, per_iteration; /* per_iteration: updates */
	uint64_t *shuffled;                 /* [batch]: order of episodes in an inner epoch */
	gpt_seq *minibatch, *ptx;
	double *scratch; /* advantages of a minibatch's tokens */
	double reference_squares;
	uint8_t reference_digest[32];
	ppo_rollout rollout;
	ppo_counters at;
} ppo_stage;

/* ppo_run.c: how often a batch of episodes is drawn. */
uint64_t ppo_count_iterations(const ppo_params *params);
int ppo_check(const void *params, cairn_error *err);
int ppo_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int ppo_run(const cairn_host *host, cairn_run *run, const void *params);

/* ppo_rollout.c */
CAIRN_MUST int ppo_rollout_init(ppo_stage *self);
void ppo_rollout_free(ppo_rollout *rollout);
/* Picks the prompts of an iteration; forgets the old rollout. */
void ppo_rollout_begin(ppo_stage *self, uint64_t iteration);
/* Sequences and offsets from the drawn completions. */
CAIRN_MUST int ppo_rollout_index(ppo_stage *self);
/* Draws, scores, and computes rewards and advantages; verifies what must hold. */
CAIRN_MUST int ppo_rollout_make(ppo_stage *self, uint64_t iteration);
void ppo_rollout_stats(const ppo_stage *self, ppo_stats *out);

/* ppo_update.c: the next optimizer step of both networks. */
CAIRN_MUST int ppo_update(ppo_stage *self, uint64_t iteration, uint64_t in_iteration);

/* ppo_state.c */
int ppo_save(void *self, cairn_writer *writer);
CAIRN_MUST int ppo_resume(ppo_stage *self);
/* The policy's shape with the moving average as its weights; for saving. */
gpt_model ppo_ema_view(const ppo_stage *self);

/* ppo_report.c: summary, "model" and "report". */
CAIRN_MUST int ppo_finish(ppo_stage *self);

#endif
