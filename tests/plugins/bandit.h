/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bandit.h - the ppo stage's own code, in double, on a problem that can be enumerated.
 *
 * Two prompts, a vocabulary of four (one of them the end token), responses of at most three
 * tokens: 40 for each prompt. The reward is a table, the reference does not move. METHOD 5.3: the
 * best policy is known in closed form, pi*(y) = pi_ref(y) exp(r(y)/beta)/Z, and so is what it
 * earns, J* = beta log Z. Nothing here imitates the stage: rollouts, rewards, advantages and
 * gradients are those of ppo_rollout.c and ppo_update.c.
 */
#ifndef CAIRN_TESTS_BANDIT_H
#define CAIRN_TESTS_BANDIT_H

#include "ppo/ppo.h"
#include "test.h"

enum {
	BANDIT_VOCAB = 4,
	BANDIT_END = 3,
	BANDIT_LONGEST = 3,
	BANDIT_RESPONSES = 40, /* 1 + 3 + 9 * 4 */
	BANDIT_PROMPTS = 2,
	BANDIT_ALL = BANDIT_PROMPTS * BANDIT_RESPONSES,
};

typedef struct bandit {
	cairn_kernels k;
	ppo_params params;
	ppo_stage stage;
	uint64_t reference_key;
	double reference_logp[BANDIT_ALL]; /* of all responses; filled when first needed */
	bool has_reference_logp;
	/* What the stage reported. */
	int code;
	char message[600];
} bandit;

/* Networks with random weights, policy equal to reference; `batch` episodes a rollout. Change
 * params before bandit_open(). */
void bandit_init(bandit *self, int64_t batch);
void bandit_open(bandit *self, int32_t n_embd);
void bandit_close(bandit *self);

/* Fills the rollout (params.batch is BANDIT_ALL) with every response to every prompt, at the
 * policy's log-probabilities, judged and credited. */
void bandit_enumerate(bandit *self);
/* log pi(y|x) of all of them under a model, summed over tokens; [BANDIT_ALL]. */
void bandit_logps(bandit *self, gpt_model *model, double *out);
/* The table. */
double bandit_reward(const int32_t *prompt, int32_t n_prompt, const int32_t *tokens, int32_t n);
/* E[r - beta log(pi/pi_ref)] of the policy, mean over prompts, by enumeration; *kl (may be NULL) is
 * the mean KL(pi || pi*); *best is J*. */
double bandit_objective(bandit *self, double *kl, double *best);
/* Moves every weight of the policy by N(0, size). */
void bandit_shake(bandit *self, double size, uint64_t key);

/* Central differences of f over all weights of a model (flat, host; caller frees); and a gradient
 * against them, tensor by tensor: fails the test where the relative error is 1e-6 or more. */
typedef double (*bandit_loss)(void *self);
double *bandit_slopes(gpt_model *model, bandit_loss f, void *self);
void bandit_compare(
	const gpt_model *model, const double *slopes, const double *gradient, const char *what);
/* Both. */
void bandit_check_gradient(
	gpt_model *model, bandit_loss f, void *self, const double *gradient, const char *what);
/* A model's gradients or weights, finished, on the host; caller frees. */
double *bandit_gradient(gpt_model *model);
double *bandit_weights(const gpt_model *model);

#endif
