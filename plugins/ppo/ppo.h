/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo.h - the parts of the ppo stage: parameters, the rollout, the state that moves.
 *
 * Reads in this order: ppo.c (parameters), ppo_run.c (the loop), ppo_rollout.c (one batch of
 * experience), ppo_update.c (what is learned from it), ppo_verify.c (what must hold meanwhile),
 * ppo_state.c, ppo_report.c.
 */
#ifndef CAIRN_PPO_H
#define CAIRN_PPO_H

#include "gpt/train_data.h"
#include "gpt/train_generate.h"
#include "gpt/train_optimizer.h"

enum ppo_whiten {
	PPO_WHITEN_MINIBATCH = 0,
	PPO_WHITEN_BATCH = 1,
	PPO_WHITEN_NONE = 2,
};

typedef struct ppo_params {
	int64_t episodes, iterations, batch, minibatch, inner_epochs, micro_tokens;
	int32_t recompute;
	int64_t max_prompt, max_new;
	double temperature, missing_eos;
	int32_t missing_eos_form; /* 0 subtract, 1 replace */
	double beta;
	int32_t kl_controller; /* 0 fixed, 1 adaptive */
	double kl_target, kl_horizon;
	double gamma_ptx;
	int64_t ptx_ratio, ptx_length;
	double lr, value_lr, lr_floor, warmup_from;
	int32_t schedule; /* enum gpt_schedule */
	int64_t warmup;   /* iterations */
	gpt_adam_params adam;
	double ema;
	int32_t ema_every;  /* 0 optimizer step, 1 iteration */
	int32_t output;     /* 0 ema, 1 last */
	int32_t value_head; /* 0 the reward model's, 1 zero */
	double gamma_rl, gae_lambda, clip, value_clip;
	int32_t whiten;         /* enum ppo_whiten: advantages */
	int32_t whiten_rewards; /* bool */
} ppo_params;

/* Sums over the updates of an iteration; their means are the row of the metric log. */
typedef struct ppo_sums {
	double n; /* updates */
	double policy_loss, approxkl, clipfrac, ratio, ratio_squares, entropy, policy_norm;
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
	gpt_completions drawn;  /* K = 1; with the sampler's log-probabilities */
	gpt_seq *seq;           /* [n]: prompt and response */
	int32_t *store;         /* their tokens */
	size_t *first;          /* [n + 1] */
	cairn_real *logp, *ref; /* of the drawn tokens: under the policy that drew them, and under
				   the reference */
	double *value, *reward, *advantage, *returns;
	double *score;      /* [n]: reward model's, with the penalty for no end token */
	uint32_t *n_scores; /* [n]: how many each got; 1 */
} ppo_rollout;

typedef struct ppo_stats {
	double kl, entropy, score, non_score, rlhf; /* means over episodes */
	double ended, length; /* episodes with an end token; their mean tokens */
	/* Over tokens: returns, values, squared difference of both, and
	 * 1 - Var[returns - values] / Var[returns]. */
	double returns_mean, returns_var, value_mean, value_var, value_error, var_explained;
} ppo_stats;

/* Sums over the tokens of a minibatch. */
typedef struct ppo_policy_sum {
	double loss, approxkl, ratio, entropy;
	double n_tokens, gap; /* tokens, and |log ratio| */
	uint64_t n_clipped;
	/* Tokens whose log-probability is not, to the bit, the one they were drawn at; and the
	 * first of them. */
	uint64_t n_changed;
	size_t changed_episode;
	int32_t changed_token;
	double changed_from, changed_to;
} ppo_policy_sum;

typedef struct ppo_value_sum {
	double loss;
	uint64_t n_clipped;
} ppo_value_sum;

typedef struct ppo_stage ppo_stage;

/* Scores of finished responses, in the order of seqs. */
typedef int (*ppo_score_fn)(ppo_stage *self, const gpt_seq *seqs, size_t n, double *score);

struct ppo_stage {
	gpt_work work;
	const ppo_params *params;
	gpt_tokenizer *tokenizer;
	int32_t end_token;
	ppo_score_fn score; /* the reward model's; in tests, a table */
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
};

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
/* Draws, asks the networks, gives credit; verifies what must hold. */
CAIRN_MUST int ppo_rollout_make(ppo_stage *self, uint64_t iteration);
/* The last two of these steps: reference, scores and values; rewards and advantages from them. */
CAIRN_MUST int ppo_rollout_judge(ppo_stage *self);
CAIRN_MUST int ppo_rollout_credit(ppo_stage *self);
/* The default of ppo_stage.score. */
int ppo_score(ppo_stage *self, const gpt_seq *seqs, size_t n, double *score);
void ppo_rollout_stats(const ppo_stage *self, ppo_stats *out);

/* ppo_update.c: the next optimizer step of both networks. */
CAIRN_MUST int ppo_update(ppo_stage *self, uint64_t iteration, uint64_t in_iteration);
/* Their parts. Puts n episodes of the rollout, short ones first, into self->minibatch, and their
 * advantages into self->scratch. */
void ppo_minibatch_set(ppo_stage *self, const uint64_t *episodes, size_t n);
/* Each adds the gradient of a loss over the first n sequences of the minibatch, divided by
 * `divisor`: the clipped surrogate, the value loss, gamma times the token mean of n windows of
 * pretraining text. */
CAIRN_MUST int ppo_policy_gradient(ppo_stage *self, size_t n, double divisor, ppo_policy_sum *sum);
CAIRN_MUST int ppo_value_gradient(ppo_stage *self, size_t n, double divisor, ppo_value_sum *sum);
CAIRN_MUST int ppo_ptx_gradient(ppo_stage *self, size_t n, double *loss);
/* A learning rate in an iteration: warm-up and schedule count iterations (P app. C.4). */
double ppo_rate(const ppo_stage *self, double lr, uint64_t iteration);

/* ppo_verify.c: what must hold in every iteration; a violation is reported, EBUG. */
CAIRN_MUST int ppo_verify_drawn(const ppo_stage *self);
CAIRN_MUST int ppo_verify_sampler(const ppo_stage *self);
CAIRN_MUST int ppo_verify_start(const ppo_stage *self);
CAIRN_MUST int ppo_verify_scores(const ppo_stage *self);
CAIRN_MUST int ppo_verify_rewards(const ppo_stage *self);
CAIRN_MUST int ppo_verify_ratio(
	const ppo_stage *self, uint64_t iteration, const ppo_policy_sum *sum);
void ppo_reference_remember(ppo_stage *self, cairn_real *room);
CAIRN_MUST int ppo_verify_reference(ppo_stage *self, bool last);

/* ppo_state.c */
int ppo_save(void *self, gpt_save *checkpoint);
CAIRN_MUST int ppo_resume(ppo_stage *self);
/* The policy's shape with the moving average as its weights; for saving. */
gpt_model ppo_ema_view(const ppo_stage *self);

/* ppo_report.c: summary, "model" and "report". */
CAIRN_MUST int ppo_finish(ppo_stage *self);

#endif
