/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_rollout.c - one batch of experience: responses, log-probabilities, scores, values,
 * rewards, advantages.
 *
 * The old log-probabilities come from the same forward pass that training uses, not from the
 * sampler, so that the first minibatch's ratio is 1 to the last bit. Checked here, each time:
 *   the sampler and the network agree on what was drawn (MAX_GAP);
 *   before the first update the policy is the reference: KL 0, bit for bit;
 *   an episode's rewards sum to score - beta * (log pi - log pi_ref).
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/rlhf.h"
#include "gpt/train_lm.h"
#include "ppo.h"

/* Nats. Above it the sampler draws from another distribution than the one that is trained (a
 * temperature, a mask, a cache). Backends of one numeric class give 0. */
#define MAX_GAP 1e-3

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
	rollout->logp = cairn_alloc(tokens, sizeof(*rollout->logp));
	rollout->ref = cairn_alloc(tokens, sizeof(*rollout->ref));
	rollout->value = cairn_alloc(tokens, sizeof(*rollout->value));
	rollout->advantage = cairn_alloc(tokens, sizeof(*rollout->advantage));
	rollout->returns = cairn_alloc(tokens, sizeof(*rollout->returns));
	code = gpt_completions_init(
		&rollout->drawn, &self->work, "rollout", rollout->prompt, n, 1, longest);
	if (code)
		return code;
	rollout->drawn.logprobs = cairn_alloc(tokens, sizeof(*rollout->drawn.logprobs));
	if (!rollout->prompt || !rollout->row || !rollout->first || !rollout->score ||
		!rollout->logp || !rollout->ref || !rollout->value || !rollout->advantage ||
		!rollout->returns || !rollout->drawn.logprobs)
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
	free(rollout->value);
	free(rollout->ref);
	free(rollout->logp);
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

static int logprobs(ppo_stage *self, const gpt_seq *sorted, gpt_model *model, int account,
	cairn_real *room, cairn_real *out)
{
	int code = gpt_lm_logprobs(&self->work, model, sorted, self->rollout.n,
		self->params->temperature, account, room, NULL);

	if (!code)
		scatter(&self->rollout, sorted, room, out);
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

static int scores(ppo_stage *self, const gpt_seq *sorted, double *room)
{
	ppo_rollout *rollout = &self->rollout;
	int code = gpt_scores(
		&self->work, self->reward, sorted, rollout->n, CAIRN_ACCOUNT_REWARD, room);

	for (size_t i = 0; i < rollout->n && !code; i++) {
		size_t e = (size_t)sorted[i].id;

		/* Subtracted, not replaced: METHOD 2.3. */
		rollout->score[e] =
			room[i] - (rollout->drawn.ended[e] ? 0 : self->params->missing_eos);
	}
	return code;
}

static int ask_networks(ppo_stage *self)
{
	ppo_rollout *rollout = &self->rollout;
	size_t n = rollout->n, tokens = rollout->first[n];
	gpt_seq *sorted = cairn_alloc(n, sizeof(*sorted));
	cairn_real *room = cairn_alloc(tokens + 1, sizeof(*room));
	double *score = cairn_alloc(n, sizeof(*score));
	int code = 0;

	if (!sorted || !room || !score) {
		code = gpt_no_memory(&self->work, "a rollout");
		goto out;
	}
	memcpy(sorted, rollout->seq, n * sizeof(*sorted));
	gpt_seqs_sort(sorted, n);
	code = logprobs(self, sorted, self->policy, CAIRN_ACCOUNT_ROLLOUT, room, rollout->logp);
	if (!code)
		code = logprobs(
			self, sorted, self->reference, CAIRN_ACCOUNT_REFERENCE, room, rollout->ref);
	if (!code)
		code = scores(self, sorted, score);
	if (!code)
		code = values(self, sorted);
out:
	free(score);
	free(room);
	free(sorted);
	return code;
}

/* ---- rewards and advantages ---------------------------------------------------------------- */

static int advantages_of(ppo_stage *self, size_t e, double *room)
{
	const ppo_params *params = self->params;
	ppo_rollout *rollout = &self->rollout;
	size_t first = rollout->first[e];
	int64_t n = (int64_t)(rollout->first[e + 1] - first);
	double *logp = room, *ref = room + n, *reward = room + 2 * n;
	double log_ratio = 0, sum = 0, size = fabs(rollout->score[e]);

	for (int64_t t = 0; t < n; t++) {
		logp[t] = (double)rollout->logp[first + (size_t)t];
		ref[t] = (double)rollout->ref[first + (size_t)t];
	}
	rlhf_rewards(logp, ref, n, self->at.rollout_beta, rollout->score[e], reward);
	for (int64_t t = 0; t < n; t++) {
		log_ratio += logp[t] - ref[t];
		size += self->at.rollout_beta * fabs(logp[t] - ref[t]);
		sum += reward[t];
	}
	if (!(fabs(sum - (rollout->score[e] - self->at.rollout_beta * log_ratio)) <= 1e-9 * size))
		return self->work.host->fail(self->work.run, CAIRN_EBUG,
			"the rewards of episode %zu sum to %.12g, not to score - beta*KL = %.12g",
			e, sum, rollout->score[e] - self->at.rollout_beta * log_ratio);
	rlhf_gae(reward, rollout->value + first, n, params->gamma_rl, params->gae_lambda,
		rollout->advantage + first, rollout->returns + first);
	return 0;
}

static int advantages(ppo_stage *self)
{
	ppo_rollout *rollout = &self->rollout;
	double *room = cairn_alloc(3 * (size_t)self->limits.max_response, sizeof(*room));
	int code = room ? 0 : gpt_no_memory(&self->work, "rewards");

	for (size_t e = 0; e < rollout->n && !code; e++)
		code = advantages_of(self, e, room);
	if (!code && self->params->whiten == PPO_WHITEN_BATCH)
		rlhf_whiten(rollout->advantage, (int64_t)rollout->first[rollout->n], true, false);
	free(room);
	return code;
}

/* ---- what must hold ------------------------------------------------------------------------- */

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

static int check_gap(ppo_stage *self)
{
	ppo_rollout *rollout = &self->rollout;

	rollout->logprob_gap = 0;
	for (size_t e = 0; e < rollout->n; e++) {
		const cairn_real *drawn =
			rollout->drawn.logprobs + e * (size_t)rollout->drawn.max_new;
		const cairn_real *logp = rollout->logp + rollout->first[e];

		for (int32_t t = 0; t < rollout->drawn.n_tokens[e]; t++) {
			double gap = fabs((double)drawn[t] - (double)logp[t]);

			if (gap > rollout->logprob_gap)
				rollout->logprob_gap = gap;
		}
	}
	if (rollout->logprob_gap <= MAX_GAP)
		return 0;
	return self->work.host->fail(self->work.run, CAIRN_EBUG,
		"sampler and network differ by %.3g nats on a drawn token", rollout->logprob_gap);
}

static int check_start(ppo_stage *self)
{
	const ppo_rollout *rollout = &self->rollout;
	size_t n = rollout->first[rollout->n];

	if (memcmp(rollout->logp, rollout->ref, n * sizeof(*rollout->logp)) == 0)
		return 0;
	return self->work.host->fail(self->work.run, CAIRN_EBUG,
		"the policy differs from the reference before the first update");
}

int ppo_rollout_make(ppo_stage *self, uint64_t iteration)
{
	gpt_sampling options = {
		.temperature = self->params->temperature,
		.top_k = 0, /* any truncation breaks ratio and KL: METHOD 2.2 */
		.top_p = 1,
		.max_new = self->limits.max_response,
		.end_token = gpt_tokenizer_end(self->tokenizer),
		.key = self->sample_key,
	};
	int code;

	self->at.rollout_beta = self->at.beta;
	ppo_rollout_begin(self, iteration);
	code = gpt_completions_draw(
		&self->rollout.drawn, &self->work, self->policy, &options, self->rollout.n);
	if (!code)
		code = ppo_rollout_index(self);
	if (!code)
		code = ask_networks(self);
	if (!code)
		code = check_finite(self);
	if (!code)
		code = check_gap(self);
	if (!code && iteration == 0)
		code = check_start(self);
	if (!code)
		code = advantages(self);
	return code;
}

/* ---- statistics ----------------------------------------------------------------------------- */

/* 1 - Var[returns - value] / Var[returns], over tokens; 0 where returns do not vary. */
static double explained(const ppo_rollout *rollout)
{
	size_t n = rollout->first[rollout->n];
	double mean = 0, mean_error = 0, variance = 0, error = 0;

	for (size_t t = 0; t < n; t++) {
		mean += rollout->returns[t] / (double)n;
		mean_error += (rollout->returns[t] - rollout->value[t]) / (double)n;
	}
	for (size_t t = 0; t < n; t++) {
		double d = rollout->returns[t] - mean;
		double e = rollout->returns[t] - rollout->value[t] - mean_error;

		variance += d * d;
		error += e * e;
	}
	return variance > 0 ? 1 - error / variance : 0;
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
		out->eos_rate += (rollout->drawn.ended[e] ? 1 : 0) / n;
	}
	out->non_score = -self->at.rollout_beta * out->kl;
	out->rlhf = out->score + out->non_score;
	out->length = (double)tokens / n;
	out->var_explained = explained(rollout);
}
