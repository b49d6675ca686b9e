/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_update.c - one optimizer step of the policy and one of the value function.
 *
 * The policy's gradient is the clipped surrogate's over the minibatch's response tokens plus,
 * for PPO-ptx, gamma times that of the pretraining loss, added up in one buffer before the one
 * Adam step (P app. C.4). Two steps would not do: Adam divides by the gradient's size, so
 * gamma would cancel. Both parts are means over all their tokens, whatever the micro-batches.
 */
#include <math.h>
#include <string.h>

#include "gpt/exact.h"
#include "gpt/rlhf.h"
#include "gpt/rng.h"
#include "gpt/train_lm.h"
#include "ppo.h"

void ppo_minibatch_set(ppo_stage *self, const uint64_t *episodes, size_t n)
{
	const ppo_rollout *rollout = &self->rollout;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		self->minibatch[i] = rollout->seq[episodes[i]];
	gpt_seqs_sort(self->minibatch, n);
	for (size_t i = 0; i < n; i++) {
		size_t e = (size_t)self->minibatch[i].id;
		size_t count = rollout->first[e + 1] - rollout->first[e];

		memcpy(self->scratch + at, rollout->advantage + rollout->first[e],
			count * sizeof(*self->scratch));
		at += count;
	}
	if (self->params->whiten == PPO_WHITEN_MINIBATCH)
		rlhf_whiten(self->scratch, (int64_t)at, true, false);
}

static void draw_minibatch(ppo_stage *self, uint64_t iteration, uint64_t in_iteration)
{
	const ppo_params *params = self->params;
	size_t n = (size_t)params->minibatch;
	uint64_t per_epoch = (uint64_t)(params->batch / params->minibatch);
	uint64_t epoch = in_iteration / per_epoch, part = in_iteration % per_epoch;

	gpt_shuffle(self->minibatch_key, iteration * (uint64_t)params->inner_epochs + epoch,
		self->shuffled, self->rollout.n);
	ppo_minibatch_set(self, self->shuffled + part * n, n);
}

/* ---- policy ------------------------------------------------------------------------------ */

static void note_change(ppo_policy_sum *sum, size_t e, int32_t token, double from, double to)
{
	if (sum->n_changed++ > 0)
		return;
	sum->changed_episode = e;
	sum->changed_token = token;
	sum->changed_from = from;
	sum->changed_to = to;
}

/* Loss and derivative of one micro-batch; the sequences start at `at` in the minibatch, their
 * advantages at `advantage`. Returns where the next ones are. */
static const double *policy_micro(
	ppo_stage *self, size_t at, const double *advantage, double divisor, ppo_policy_sum *sum)
{
	const ppo_rollout *rollout = &self->rollout;
	gpt_micro *micro = &self->work.micro;

	memset(micro->y, 0, micro->count * (size_t)micro->batch.T * sizeof(*micro->y));
	for (size_t b = 0; b < micro->count; b++) {
		const gpt_seq *seq = &self->minibatch[at + b];
		const cairn_real *old = rollout->logp + rollout->first[seq->id];

		for (int32_t j = seq->first; j < seq->n; j++, old++, advantage++) {
			size_t row = gpt_micro_row(micro, b, j);
			double logp = (double)micro->x[row], delta = logp - (double)*old, dlogp;
			bool clipped;

			sum->loss += rlhf_policy_loss(logp, (double)*old, *advantage,
				self->params->clip, &dlogp, &clipped);
			sum->approxkl += rlhf_kl_k2(logp, (double)*old);
			sum->ratio += gpt_exp(delta);
			sum->gap += fabs(delta);
			sum->n_tokens += 1;
			sum->entropy += (double)micro->z[row];
			sum->n_clipped += clipped;
			if (memcmp(&micro->x[row], old, sizeof(*old)) != 0)
				note_change(
					sum, (size_t)seq->id, j - seq->first, (double)*old, logp);
			micro->y[row] = (cairn_real)(dlogp / divisor);
		}
	}
	return advantage;
}

int ppo_policy_gradient(ppo_stage *self, size_t n, double divisor, ppo_policy_sum *sum)
{
	gpt_work *work = &self->work;
	gpt_micro *micro = &work->micro;
	const double *advantage = self->scratch;

	for (size_t at = 0; at < n; at += micro->count) {
		cairn_error err = {0};
		int code = gpt_work_forward(
			work, self->policy, self->minibatch, n, at, GPT_ROWS_PREDICT, true);

		if (code)
			return code;
		if (gpt_logprobs(self->policy, micro->target, self->params->temperature, micro->x,
			    micro->z, &err))
			return gpt_report(work, &err);
		advantage = policy_micro(self, at, advantage, divisor, sum);
		gpt_work_account(work, CAIRN_ACCOUNT_BACKWARD);
		if (gpt_logprobs_backward(self->policy, micro->target, self->params->temperature,
			    micro->y, NULL, NULL, &err))
			return gpt_report(work, &err);
		self->at.tokens += micro->real;
	}
	return 0;
}

int ppo_ptx_gradient(ppo_stage *self, size_t n, double *loss)
{
	gpt_work *work = &self->work;
	int forward = work->account_forward, backward = work->account_backward, code;
	gpt_lm_sum sum = {0};

	for (size_t i = 0; i < n; i++)
		self->ptx[i] = gpt_text_window(
			&self->text, self->text_key, self->at.update, i, self->ptx_length);
	work->account_forward = work->account_backward = CAIRN_ACCOUNT_PTX;
	code = gpt_lm_backward(work, self->policy, self->ptx, n,
		self->params->gamma_ptx / (double)gpt_seqs_counted(self->ptx, n), &sum);
	work->account_forward = forward;
	work->account_backward = backward;
	self->at.tokens += sum.n_tokens;
	*loss = gpt_lm_mean(&sum);
	return code;
}

double ppo_rate(const ppo_stage *self, double lr, uint64_t iteration)
{
	const ppo_params *params = self->params;

	return gpt_learning_rate((enum gpt_schedule)params->schedule, lr, params->lr_floor,
		iteration, self->iterations, (uint64_t)params->warmup, params->warmup_from);
}

/* After each optimizer step, or after the last of an iteration: P app. C.4 gives the decay only. */
static void average(ppo_stage *self, bool last)
{
	const gpt_model *policy = self->policy;

	if (self->ema && (last || self->params->ema_every == 0))
		policy->k->ema(policy->k, self->ema, policy->params, self->params->ema,
			(int64_t)policy->n_params);
}

static int update_policy(ppo_stage *self, uint64_t iteration, uint64_t in_iteration)
{
	const ppo_params *params = self->params;
	size_t n = (size_t)params->minibatch;
	double n_tokens = (double)gpt_seqs_counted(self->minibatch, n);
	double norm = 0, ptx_loss = 0;
	ppo_policy_sum sum = {0};
	ppo_sums *sums = &self->at.sums;
	int code;

	gpt_zero_grads(self->policy);
	code = ppo_policy_gradient(self, n, n_tokens, &sum);
	if (!code)
		code = gpt_check_finite(
			&self->work, "the policy loss", sum.loss, self->at.update + 1);
	if (!code && in_iteration == 0)
		code = ppo_verify_ratio(self, iteration, &sum);
	if (!code && params->gamma_ptx > 0)
		code = ppo_ptx_gradient(self, n * (size_t)params->ptx_ratio, &ptx_loss);
	if (!code)
		code = gpt_check_finite(
			&self->work, "the pretraining loss", ptx_loss, self->at.update + 1);
	if (!code)
		code = gpt_update(&self->work, self->policy_adam, self->policy,
			ppo_rate(self, params->lr, iteration), &norm);
	if (code)
		return code;
	average(self, in_iteration + 1 == self->per_iteration);
	sums->policy_loss += sum.loss / n_tokens;
	sums->approxkl += sum.approxkl / n_tokens;
	sums->ratio += sum.ratio / n_tokens;
	sums->ratio_squares += sum.ratio / n_tokens * (sum.ratio / n_tokens);
	sums->entropy += sum.entropy / n_tokens;
	sums->clipfrac += (double)sum.n_clipped / n_tokens;
	sums->policy_norm += norm;
	sums->ptx_loss += ptx_loss;
	return 0;
}

/* ---- value ------------------------------------------------------------------------------- */

static void value_micro(ppo_stage *self, size_t at, double divisor, ppo_value_sum *sum)
{
	const ppo_rollout *rollout = &self->rollout;
	gpt_micro *micro = &self->work.micro;

	memset(micro->y, 0, micro->count * (size_t)micro->batch.T * sizeof(*micro->y));
	for (size_t b = 0; b < micro->count; b++) {
		const gpt_seq *seq = &self->minibatch[at + b];
		size_t t = rollout->first[seq->id];

		for (int32_t j = seq->first; j < seq->n; j++, t++) {
			size_t row = gpt_micro_row(micro, b, j);
			double dvalue;
			bool clipped;

			sum->loss += rlhf_value_loss((double)micro->x[row], rollout->value[t],
				rollout->returns[t], self->params->value_clip, &dvalue, &clipped);
			sum->n_clipped += clipped;
			micro->y[row] = (cairn_real)(dvalue / divisor);
		}
	}
}

int ppo_value_gradient(ppo_stage *self, size_t n, double divisor, ppo_value_sum *sum)
{
	gpt_work *work = &self->work;
	gpt_micro *micro = &work->micro;
	int kept = work->account_forward, code = 0;

	work->account_forward = CAIRN_ACCOUNT_VALUE;
	for (size_t at = 0; at < n && !code; at += micro->count) {
		cairn_error err = {0};

		code = gpt_work_forward(
			work, self->value, self->minibatch, n, at, GPT_ROWS_PREDICT, true);
		if (code)
			break;
		if (gpt_values(self->value, micro->x, &err)) {
			code = gpt_report(work, &err);
			break;
		}
		value_micro(self, at, divisor, sum);
		if (gpt_values_backward(self->value, micro->y, &err))
			code = gpt_report(work, &err);
	}
	work->account_forward = kept;
	return code;
}

static int update_value(ppo_stage *self, uint64_t iteration)
{
	size_t n = (size_t)self->params->minibatch;
	double n_tokens = (double)gpt_seqs_counted(self->minibatch, n), norm = 0;
	ppo_value_sum sum = {0};
	int code;

	gpt_zero_grads(self->value);
	code = ppo_value_gradient(self, n, n_tokens, &sum);
	if (!code)
		code = gpt_check_finite(
			&self->work, "the value loss", sum.loss, self->at.update + 1);
	if (!code)
		code = gpt_update(&self->work, self->value_adam, self->value,
			ppo_rate(self, self->params->value_lr, iteration), &norm);
	self->at.sums.value_loss += sum.loss / n_tokens;
	self->at.sums.value_clipfrac += (double)sum.n_clipped / n_tokens;
	self->at.sums.value_norm += norm;
	return code;
}

int ppo_update(ppo_stage *self, uint64_t iteration, uint64_t in_iteration)
{
	int code;

	draw_minibatch(self, iteration, in_iteration);
	code = update_policy(self, iteration, in_iteration);
	if (!code)
		code = update_value(self, iteration);
	self->at.sums.n += 1;
	return code;
}
