/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_verify.c - what must hold in every iteration, whatever is learned.
 *
 * PPO with a wrong sign, an off-by-one or a sampler of another temperature learns something
 * anyway, and that is why such bugs live long (METHOD 2.15 lists those of others). So each run
 * proves itself. What fails here is a bug of cairn or of a compute backend, never of the
 * data: EBUG ends the stage.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "ppo.h"

/* An episode is 1..max_new tokens, and the end token is its last or is not in it. */
static bool is_well_formed(const ppo_stage *self, size_t e)
{
	const gpt_completions *drawn = &self->rollout.drawn;
	const int32_t *tokens = drawn->tokens + e * (size_t)drawn->max_new;
	int32_t n = drawn->n_tokens[e];

	if (n < 1 || n > drawn->max_new)
		return false;
	for (int32_t t = 0; t + 1 < n; t++)
		if (tokens[t] == self->end_token)
			return false;
	return drawn->ended[e] == (tokens[n - 1] == self->end_token);
}

int ppo_verify_drawn(const ppo_stage *self)
{
	for (size_t e = 0; e < self->rollout.n; e++)
		if (!is_well_formed(self, e))
			return self->work.host->fail(self->work.run, CAIRN_EBUG,
				"episode %zu does not stop at its end token", e);
	return 0;
}

/*
 * How far two log-probabilities of one token may be apart, in the mean over tokens, where the same
 * function is computed in two orders of rounding: half of the digits. A sampler of another
 * temperature, or another policy's, is further off: a temperature of 0.9 for 1 moves them by a
 * tenth of what they are.
 */
static double noise(const ppo_stage *self)
{
	return sqrt(self->policy->k->rounding);
}

int ppo_verify_sampler(const ppo_stage *self)
{
	const ppo_rollout *rollout = &self->rollout;
	const gpt_completions *drawn = &rollout->drawn;
	double sum = 0, mean;
	int code;

	if (self->policy->k->batch_invariant)
		return 0; /* the sampler's are the ones in use; ppo_verify_ratio() compares bits */
	for (size_t e = 0; e < rollout->n; e++)
		for (size_t t = rollout->first[e]; t < rollout->first[e + 1]; t++)
			sum += fabs((double)rollout->logp[t] -
				    (double)drawn->logprobs[e * (size_t)drawn->max_new + t -
							    rollout->first[e]]);
	mean = sum / (double)rollout->first[rollout->n];
	if (mean <= noise(self))
		return 0;
	code = self->work.host->fail(self->work.run, CAIRN_EBUG,
		"tokens were drawn at log-probabilities that are %.3g off what the policy gives "
		"them, in the mean; rounding explains %.3g",
		mean, noise(self));
	self->work.host->hint(self->work.run,
		"The compute backend's sampler and its passes over sequences are not one function: "
		"try another backend.");
	return code;
}

int ppo_verify_start(const ppo_stage *self)
{
	const ppo_rollout *rollout = &self->rollout;

	for (size_t e = 0; e < rollout->n; e++)
		for (size_t t = rollout->first[e]; t < rollout->first[e + 1]; t++)
			if (memcmp(&rollout->logp[t], &rollout->ref[t], sizeof(*rollout->ref)) != 0)
				return self->work.host->fail(self->work.run, CAIRN_EBUG,
					"the policy differs from the reference before the first "
					"update: token %zu of episode %zu has log-probability %.9g "
					"and %.9g",
					t - rollout->first[e], e, (double)rollout->logp[t],
					(double)rollout->ref[t]);
	return 0;
}

/* The environment is a bandit: one score per episode (P app. C.4). */
int ppo_verify_scores(const ppo_stage *self)
{
	const ppo_rollout *rollout = &self->rollout;

	for (size_t e = 0; e < rollout->n; e++)
		if (rollout->n_scores[e] != 1)
			return self->work.host->fail(self->work.run, CAIRN_EBUG,
				"episode %zu was scored %u times", e,
				(unsigned)rollout->n_scores[e]);
	return 0;
}

/* P eq. 2: an episode's rewards sum to score - beta * (log pi - log pi_ref). The score stands at
 * the last token; everywhere else the reward is the penalty, to the bit. */
int ppo_verify_rewards(const ppo_stage *self)
{
	const ppo_rollout *rollout = &self->rollout;
	double beta = self->at.rollout_beta;

	for (size_t e = 0; e < rollout->n; e++) {
		size_t first = rollout->first[e], last = rollout->first[e + 1] - 1;
		double log_ratio = 0, sum = 0, size = fabs(rollout->score[e]), want;

		for (size_t t = first; t <= last; t++) {
			double k1 = (double)rollout->logp[t] - (double)rollout->ref[t];

			if (t < last && rollout->reward[t] != -beta * k1)
				return self->work.host->fail(self->work.run, CAIRN_EBUG,
					"token %zu of episode %zu has the reward %.12g, not its "
					"penalty %.12g: the score is not at the last token",
					t - first, e, rollout->reward[t], -beta * k1);
			log_ratio += k1;
			sum += rollout->reward[t];
			size += beta * fabs(k1);
		}
		want = rollout->score[e] - beta * log_ratio;
		if (!(fabs(sum - want) <= 1e-9 * size))
			return self->work.host->fail(self->work.run, CAIRN_EBUG,
				"the rewards of episode %zu sum to %.12g, not to score - beta*KL = "
				"%.12g",
				e, sum, want);
	}
	return 0;
}

int ppo_verify_ratio(const ppo_stage *self, uint64_t iteration, const ppo_policy_sum *sum)
{
	int code;

	if (sum->n_changed == 0)
		return 0;
	if (!self->policy->k->batch_invariant && sum->gap <= noise(self) * sum->n_tokens)
		return 0;
	code = self->work.host->fail(self->work.run, CAIRN_EBUG,
		"iteration %llu: %llu probability ratios of the first minibatch are not 1; token "
		"%d of episode %zu was drawn at log-probability %.9g and is trained at %.9g",
		(unsigned long long)iteration, (unsigned long long)sum->n_changed,
		sum->changed_token, sum->changed_episode, sum->changed_from, sum->changed_to);
	self->work.host->hint(self->work.run,
		"The compute backend's sampler and its training pass are not one function%s: try "
		"another backend.",
		self->policy->k->batch_invariant ? " to the bit" : "");
	return code;
}

/* ---- the reference --------------------------------------------------------------------------- */

static double squares(const ppo_stage *self)
{
	const gpt_model *model = self->reference;

	self->work.host->account(self->work.run, CAIRN_ACCOUNT_OTHER, 0, 0);
	return model->k->sum_squares(model->k, model->params, (int64_t)model->n_params);
}

static void digest(const ppo_stage *self, uint8_t out[32], cairn_real *room)
{
	const gpt_model *model = self->reference;

	model->k->read(model->k, room, model->params, model->n_params * sizeof(*room));
	cairn_sha256(room, model->n_params * sizeof(*room), out);
}

void ppo_reference_remember(ppo_stage *self, cairn_real *room)
{
	digest(self, self->reference_digest, room);
	self->reference_squares = squares(self);
}

/* The sum of squares changes with any weight that matters; at the end the digest is compared,
 * too. */
int ppo_verify_reference(ppo_stage *self, bool last)
{
	uint8_t now[32];
	bool same = squares(self) == self->reference_squares;

	if (same && last) {
		cairn_real *room = cairn_alloc(self->reference->n_params, sizeof(*room));

		if (!room)
			return gpt_no_memory(&self->work, "the reference's digest");
		digest(self, now, room);
		same = memcmp(now, self->reference_digest, sizeof(now)) == 0;
		free(room);
	}
	if (same)
		return 0;
	return self->work.host->fail(
		self->work.run, CAIRN_EBUG, "the reference model changed while the policy learned");
}
