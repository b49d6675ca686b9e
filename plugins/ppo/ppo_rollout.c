/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_rollout.c - one batch of experience: responses, log-probabilities, scores, values,
 * rewards, advantages.
 *
 * The old log-probabilities are the sampler's. Sampler and training are bitwise one function
 * (kernels.h), so that the first minibatch's ratio is 1 to the last bit; ppo_verify.c watches it,
 * token by token, in every iteration. Where a backend's bits depend on the batch, a step of
 * decoding rounds otherwise than a pass over a whole sequence, and the ratio would carry that
 * noise: there the old log-probabilities are computed once more, by the pass that the reference's
 * come from.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/rlhf.h"
#include "gpt/train_lm.h"
#include "ppo.h"

int ppo_rollout_init(ppo_stage *self)
{
	ppo_rollout *rollout = &self->rollout;
	size_t n = (size_t)self->params->batch;
	int32_t longest = self->limits.max_response;
	size_t tokens = n * (size_t)longest;
	int code;

	rollout->n = n;
	rollout->prompt = cairn_alloc(n, sizeof(*rollout->prompt));
	rollout->row = cairn_alloc(n, sizeof(*rollout->row));
	rollout->first = cairn_alloc(n + 1, sizeof(*rollout->first));
	rollout->score = cairn_alloc(n, sizeof(*rollout->score));
	rollout->n_scores = cairn_alloc(n, sizeof(*rollout->n_scores));
	rollout->logp = cairn_alloc(tokens, sizeof(*rollout->logp));
	rollout->ref = cairn_alloc(tokens, sizeof(*rollout->ref));
	rollout->value = cairn_alloc(tokens, sizeof(*rollout->value));
	rollout->reward = cairn_alloc(tokens, sizeof(*rollout->reward));
	rollout->advantage = cairn_alloc(tokens, sizeof(*rollout->advantage));
	rollout->returns = cairn_alloc(tokens, sizeof(*rollout->returns));
	code = gpt_completions_init(
		&rollout->drawn, &self->work, "rollout", rollout->prompt, n, 1, longest);
	if (code)
		return code;
	rollout->drawn.logprobs = cairn_alloc(tokens, sizeof(*rollout->drawn.logprobs));
	if (!rollout->prompt || !rollout->row || !rollout->first || !rollout->score ||
		!rollout->n_scores || !rollout->logp || !rollout->ref || !rollout->value ||
		!rollout->reward || !rollout->advantage || !rollout->returns ||
		!rollout->drawn.logprobs)
		return gpt_no_memory(&self->work, "a rollout");
	return 0;
}

void ppo_rollout_free(ppo_rollout *rollout)
{
	free(rollout->drawn.logprobs);
	gpt_completions_free(&rollout->drawn);
	free(rollout->store);
	free(rollout->seq);
	free(rollout->returns);
	free(rollout->advantage);
	free(rollout->reward);
	free(rollout->value);
	free(rollout->ref);
	free(rollout->logp);
	free(rollout->n_scores);
	free(rollout->score);
	free(rollout->first);
	free(rollout->row);
	free(rollout->prompt);
	*rollout = (ppo_rollout){0};
}

void ppo_rollout_begin(ppo_stage *self, uint64_t iteration)
{
	ppo_rollout *rollout = &self->rollout;

	for (size_t e = 0; e < rollout->n; e++) {
		uint64_t place = iteration * rollout->n + e;
		uint64_t prompt = gpt_order_at(&self->order, place);

		rollout->prompt[e] = self->prompts.seqs[prompt];
		rollout->row[e] = self->prompts.row[prompt];
	}
	rollout->drawn.done = 0;
	rollout->drawn.first_id = iteration * rollout->n;
}

int ppo_rollout_index(ppo_stage *self)
{
	ppo_rollout *rollout = &self->rollout;

	free(rollout->seq);
	free(rollout->store);
	rollout->seq = NULL;
	rollout->store = NULL;
	rollout->first[0] = 0;
	for (size_t e = 0; e < rollout->n; e++)
		rollout->first[e + 1] = rollout->first[e] + (size_t)rollout->drawn.n_tokens[e];
	return gpt_completions_seqs(&rollout->drawn, &self->work, &rollout->seq, &rollout->store);
}

/* ---- what the networks say ---------------------------------------------------------------- */

/* Puts per-token results, which come in the order of `sorted`, to their episodes. */
static void scatter(
	const ppo_rollout *rollout, const gpt_seq *sorted, const cairn_real *in, cairn_real *out)
{
	for (size_t i = 0; i < rollout->n; i++) {
		size_t e = (size_t)sorted[i].id;
		size_t n = rollout->first[e + 1] - rollout->first[e];

		memcpy(out + rollout->first[e], in, n * sizeof(*in));
		in += n;
	}
}

/* Log-probabilities of the drawn tokens under a model. */
static int logprobs(
	ppo_stage *self, gpt_model *model, const gpt_seq *sorted, int account, cairn_real *out)
{
	ppo_rollout *rollout = &self->rollout;
	cairn_real *room = cairn_alloc(rollout->first[rollout->n] + 1, sizeof(*room));
	int code = room ? 0 : gpt_no_memory(&self->work, "log-probabilities");

	if (!code)
		code = gpt_lm_logprobs(&self->work, model, sorted, rollout->n,
			self->params->temperature, account, room, NULL);
	if (!code)
		scatter(rollout, sorted, room, out);
	free(room);
	return code;
}

/* V of the state before each response token: the row of the token before it. */
static int values(ppo_stage *self, const gpt_seq *sorted)
{
	ppo_rollout *rollout = &self->rollout;
	gpt_work *work = &self->work;
	gpt_micro *micro = &work->micro;
	int kept = work->account_forward, code = 0;

	work->account_forward = CAIRN_ACCOUNT_VALUE;
	for (size_t at = 0; at < rollout->n && !code; at += micro->count) {
		cairn_error err = {0};

		code = gpt_work_forward(
			work, self->value, sorted, rollout->n, at, GPT_ROWS_PREDICT, false);
		if (!code && gpt_values(self->value, micro->x, &err))
			code = gpt_report(work, &err);
		for (size_t b = 0; b < micro->count && !code; b++) {
			const gpt_seq *seq = &sorted[at + b];
			double *out = rollout->value + rollout->first[seq->id];

			for (int32_t j = seq->first; j < seq->n; j++)
				*out++ = (double)micro->x[gpt_micro_row(micro, b, j)];
		}
	}
	work->account_forward = kept;
	return code;
}

int ppo_score(ppo_stage *self, const gpt_seq *seqs, size_t n, double *score)
{
	return gpt_scores(&self->work, self->reward, seqs, n, CAIRN_ACCOUNT_REWARD, score);
}

/* METHOD 2.3: a response that does not end costs `missing_eos`, or scores -missing_eos whatever
 * the reward model says. */
static double final_score(const ppo_params *params, double score, bool ended)
{
	if (ended)
		return score;
	return (params->missing_eos_form == 1 ? 0 : score) - params->missing_eos;
}

static int scores(ppo_stage *self, const gpt_seq *sorted)
{
	ppo_rollout *rollout = &self->rollout;
	double *room = cairn_alloc(rollout->n, sizeof(*room));
	int code = room ? self->score(self, sorted, rollout->n, room)
			: gpt_no_memory(&self->work, "scores");

	memset(rollout->n_scores, 0, rollout->n * sizeof(*rollout->n_scores));
	for (size_t i = 0; i < rollout->n && !code; i++) {
		size_t e = (size_t)sorted[i].id;

		rollout->score[e] = final_score(self->params, room[i], rollout->drawn.ended[e]);
		rollout->n_scores[e]++;
	}
	free(room);
	return code;
}

int ppo_rollout_judge(ppo_stage *self)
{
	ppo_rollout *rollout = &self->rollout;
	gpt_seq *sorted = cairn_alloc(rollout->n, sizeof(*sorted));
	int code;

	if (!sorted)
		return gpt_no_memory(&self->work, "a rollout");
	memcpy(sorted, rollout->seq, rollout->n * sizeof(*sorted));
	gpt_seqs_sort(sorted, rollout->n);
	code = logprobs(self, self->reference, sorted, CAIRN_ACCOUNT_REFERENCE, rollout->ref);
	if (!code && !self->policy->k->batch_invariant)
		code = logprobs(self, self->policy, sorted, CAIRN_ACCOUNT_ROLLOUT, rollout->logp);
	if (!code)
		code = scores(self, sorted);
	if (!code)
		code = values(self, sorted);
	free(sorted);
	return code;
}

/* ---- rewards and advantages ---------------------------------------------------------------- */

/* Rewards of one episode; room: 2 * tokens. */
static void rewards_of(ppo_stage *self, size_t e, double *room)
{
	ppo_rollout *rollout = &self->rollout;
	size_t first = rollout->first[e], n = rollout->first[e + 1] - first;
	double *logp = room, *ref = room + n;

	for (size_t t = 0; t < n; t++) {
		logp[t] = (double)rollout->logp[first + t];
		ref[t] = (double)rollout->ref[first + t];
	}
	rlhf_rewards(logp, ref, (int64_t)n, self->at.rollout_beta, rollout->score[e],
		rollout->reward + first);
}

int ppo_rollout_credit(ppo_stage *self)
{
	const ppo_params *params = self->params;
	ppo_rollout *rollout = &self->rollout;
	int64_t tokens = (int64_t)rollout->first[rollout->n];
	double *room = cairn_alloc(2 * (size_t)rollout->drawn.max_new, sizeof(*room));
	int code;

	if (!room)
		return gpt_no_memory(&self->work, "rewards");
	for (size_t e = 0; e < rollout->n; e++)
		rewards_of(self, e, room);
	free(room);
	code = ppo_verify_rewards(self);
	if (code)
		return code;
	if (params->whiten_rewards)
		rlhf_whiten(rollout->reward, tokens, false, false);
	for (size_t e = 0; e < rollout->n; e++) {
		size_t first = rollout->first[e];

		rlhf_gae(rollout->reward + first, rollout->value + first,
			(int64_t)(rollout->first[e + 1] - first), params->gamma_rl,
			params->gae_lambda, rollout->advantage + first, rollout->returns + first);
	}
	if (params->whiten == PPO_WHITEN_BATCH)
		rlhf_whiten(rollout->advantage, tokens, true, false);
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int check_finite(ppo_stage *self)
{
	const ppo_rollout *rollout = &self->rollout;
	double logp = 0, value = 0, score = 0;
	int code;

	for (size_t t = 0; t < rollout->first[rollout->n]; t++) {
		logp += (double)rollout->logp[t];
		value += rollout->value[t];
	}
	for (size_t e = 0; e < rollout->n; e++)
		score += rollout->score[e];
	code = gpt_check_finite(
		&self->work, "the policy's log-probability", logp, self->at.update + 1);
	if (!code)
		code = gpt_check_finite(&self->work, "the value", value, self->at.update + 1);
	if (!code)
		code = gpt_check_finite(&self->work, "the score", score, self->at.update + 1);
	return code;
}

static int draw(ppo_stage *self, uint64_t iteration)
{
	ppo_rollout *rollout = &self->rollout;
	gpt_sampling options = {
		.temperature = self->params->temperature,
		.top_k = 0, /* any truncation breaks ratio and KL: METHOD 2.2 */
		.top_p = 1,
		.max_new = rollout->drawn.max_new,
		.end_token = self->end_token,
		.key = self->sample_key,
	};
	int code;

	ppo_rollout_begin(self, iteration);
	code = gpt_completions_draw(
		&rollout->drawn, &self->work, self->policy, &options, rollout->n);
	if (!code)
		code = ppo_rollout_index(self);
	for (size_t e = 0; e < rollout->n && !code; e++)
		memcpy(rollout->logp + rollout->first[e],
			rollout->drawn.logprobs + e * (size_t)rollout->drawn.max_new,
			(size_t)rollout->drawn.n_tokens[e] * sizeof(*rollout->logp));
	return code ? code : ppo_verify_drawn(self);
}

int ppo_rollout_make(ppo_stage *self, uint64_t iteration)
{
	int code;

	self->at.rollout_beta = self->at.beta;
	code = draw(self, iteration);
	if (!code)
		code = ppo_rollout_judge(self);
	if (!code)
		code = ppo_verify_sampler(self);
	if (!code)
		code = ppo_verify_scores(self);
	if (!code)
		code = check_finite(self);
	if (!code && iteration == 0)
		code = ppo_verify_start(self);
	if (!code)
		code = ppo_rollout_credit(self);
	return code;
}

/* ---- statistics ----------------------------------------------------------------------------- */

static void value_stats(const ppo_rollout *rollout, ppo_stats *out)
{
	size_t tokens = rollout->first[rollout->n];
	double n = (double)tokens, mean_error = 0, error_var = 0;

	for (size_t t = 0; t < tokens; t++) {
		double error = rollout->returns[t] - rollout->value[t];

		out->returns_mean += rollout->returns[t] / n;
		out->value_mean += rollout->value[t] / n;
		mean_error += error / n;
		out->value_error += error * error / n;
	}
	for (size_t t = 0; t < tokens; t++) {
		double returns = rollout->returns[t] - out->returns_mean;
		double value = rollout->value[t] - out->value_mean;
		double error = rollout->returns[t] - rollout->value[t] - mean_error;

		out->returns_var += returns * returns / n;
		out->value_var += value * value / n;
		error_var += error * error / n;
	}
	/* 0 where returns do not vary. */
	out->var_explained = out->returns_var > 0 ? 1 - error_var / out->returns_var : 0;
}

void ppo_rollout_stats(const ppo_stage *self, ppo_stats *out)
{
	const ppo_rollout *rollout = &self->rollout;
	size_t tokens = rollout->first[rollout->n];
	double n = (double)rollout->n;

	*out = (ppo_stats){0};
	for (size_t t = 0; t < tokens; t++) {
		out->kl += rlhf_kl_k1((double)rollout->logp[t], (double)rollout->ref[t]) / n;
		out->entropy -= (double)rollout->logp[t] / n;
	}
	for (size_t e = 0; e < rollout->n; e++) {
		out->score += rollout->score[e] / n;
		out->ended += rollout->drawn.ended[e] ? 1 : 0;
	}
	out->non_score = -self->at.rollout_beta * out->kl;
	out->rlhf = out->score + out->non_score;
	out->length = (double)tokens / n;
	value_stats(rollout, out);
}
