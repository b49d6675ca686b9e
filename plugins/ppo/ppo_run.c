/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_run.c - reinforcement learning from a reward model: PPO and PPO-ptx (P section 3.5 eq. 2,
 * app. C.4).
 *
 * Each iteration draws a batch of episodes (a prompt, a response, one score at its end: a
 * bandit), then takes inner_epochs * batch/minibatch optimizer steps on it. Four networks: the
 * policy; the reference, which is the policy before the first step and never changes; the reward
 * model; and the value function, which starts as the reward model. One step() per optimizer
 * step; the rollout is part of the state, so a run can be stopped between any two.
 *
 * What must hold is checked while it runs: ppo_verify.c.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "gpt/checkpoint.h"
#include "gpt/no_memory.h"
#include "gpt/rlhf.h"
#include "ppo.h"

uint64_t ppo_count_iterations(const ppo_params *params)
{
	if (params->iterations > 0)
		return (uint64_t)params->iterations;
	return (uint64_t)((params->episodes + params->batch - 1) / params->batch);
}

int ppo_check(const void *opaque, cairn_error *err)
{
	const ppo_params *params = opaque;

	if (params->batch % params->minibatch != 0)
		return cairn_error_set(err, CAIRN_EPARAM,
			"'batch' %lld is no multiple of 'minibatch' %lld", (long long)params->batch,
			(long long)params->minibatch);
	/* OpenAI's lm-human-preferences asserts the same: a mean of few tokens is noise. */
	if (params->whiten == PPO_WHITEN_MINIBATCH && params->minibatch < 8) {
		int code = cairn_error_set(err, CAIRN_EPARAM,
			"a 'minibatch' of %lld is too small to whiten its advantages",
			(long long)params->minibatch);

		cairn_error_hint(err, "Use 8 or more, or set whiten = batch.");
		return code;
	}
	return 0;
}

/* ---- set up ---------------------------------------------------------------------------- */

/* Values of 0 everywhere: as OpenAI's lm-human-preferences starts (METHOD 2.4). */
static void zero_head(gpt_model *model)
{
	static const char *const names[] = {"score.weight", "score.bias"};

	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		const gpt_tensor *tensor = gpt_model_tensor(model, names[i]);

		model->k->zero(model->k, gpt_params_change(model) + tensor->offset,
			tensor->size * sizeof(*model->params));
	}
	model->reward_gain = 1;
	model->reward_bias = 0;
}

static int open_models(ppo_stage *self)
{
	const gpt_work *work = &self->work;
	const cairn_host *host = work->host;
	cairn_run *run = work->run;
	const char *value_port = gpt_bound(work, "value") ? "value" : "reward";
	int code =
		gpt_load_model(&self->policy, host, run, "policy", GPT_HEAD_LM, GPT_TRAINABLE, 0);

	if (!code)
		code = gpt_load_model(&self->reference, host, run, "policy", GPT_HEAD_LM, 0, 0);
	if (!code)
		code = gpt_load_model(&self->reward, host, run, "reward", GPT_HEAD_SCALAR, 0, 0);
	if (!code)
		code = gpt_load_model(
			&self->value, host, run, value_port, GPT_HEAD_SCALAR, GPT_TRAINABLE, 0);
	if (!code)
		code = gpt_load_tokenizer(&self->tokenizer, host, run, "policy");
	if (!code)
		code = gpt_same_tokenizer(work, self->tokenizer, "reward");
	if (!code && value_port[0] == 'v')
		code = gpt_same_tokenizer(work, self->tokenizer, "value");
	if (!code && self->params->value_head == 1)
		zero_head(self->value);
	else if (!code)
		gpt_model_fold_reward(self->value);
	return code;
}

static int open_optimizers(ppo_stage *self)
{
	const ppo_params *params = self->params;
	const cairn_kernels *k = self->policy->k;
	size_t bytes = self->policy->n_params * sizeof(*self->ema);
	cairn_error err = {0};
	gpt_adam_options options = gpt_adam_options_of(&params->adam);

	if (gpt_adam_new(&self->policy_adam, self->policy, &options, &err) ||
		gpt_adam_new(&self->value_adam, self->value, &options, &err))
		return gpt_report(&self->work, &err);
	if (params->ema == 0)
		return 0;
	self->ema = k->alloc(k, bytes);
	if (!self->ema && gpt_no_memory_for(k, "the moving average", bytes,
				  "Set 'ema = 0', or take a device with more memory.", &err))
		return gpt_report(&self->work, &err);
	k->copy(k, self->ema, self->policy->params, bytes);
	return 0;
}

static int32_t least_context(const ppo_stage *self)
{
	int32_t n_ctx = self->policy->config.n_ctx;

	if (self->reward->config.n_ctx < n_ctx)
		n_ctx = self->reward->config.n_ctx;
	if (self->value->config.n_ctx < n_ctx)
		n_ctx = self->value->config.n_ctx;
	return n_ctx;
}

static int open_prompts(ppo_stage *self)
{
	const ppo_params *params = self->params;
	const gpt_work *work = &self->work;
	int code = gpt_limits_set(
		&self->limits, work, params->max_prompt, params->max_new, least_context(self));

	if (!code)
		code = gpt_rows_load(&self->rows, work->host, work->run, "prompts");
	if (!code)
		code = gpt_examples_make(&self->prompts, work, &self->rows, self->tokenizer,
			&self->limits, GPT_EXAMPLE_PROMPT, "prompts");
	if (!code)
		code = gpt_order_init(&self->order, work, work->host->rng_key(work->run, "prompts"),
			self->prompts.n);
	return code;
}

static int open_text(ppo_stage *self)
{
	const ppo_params *params = self->params;
	const gpt_work *work = &self->work;
	int32_t n_ctx = self->policy->config.n_ctx;

	if (params->gamma_ptx == 0)
		return 0;
	if (!gpt_bound(work, "pretrain")) {
		int code = work->host->fail(work->run, CAIRN_EINPUT,
			"'gamma_ptx' is %g, but no text is bound to 'pretrain'", params->gamma_ptx);

		work->host->hint(work->run,
			"Add input.pretrain to the stage, or set gamma_ptx = 0 for plain PPO.");
		return code;
	}
	self->ptx_length = (int32_t)params->ptx_length;
	if (self->ptx_length == 0 || self->ptx_length > n_ctx)
		self->ptx_length = n_ctx;
	return gpt_text_open(
		&self->text, work, "pretrain", self->policy->config.n_vocab, self->ptx_length);
}

static int make_buffers(ppo_stage *self)
{
	const ppo_params *params = self->params;
	size_t batch = (size_t)params->batch, minibatch = (size_t)params->minibatch;
	size_t longest = (size_t)self->limits.max_response;
	cairn_real *room = cairn_alloc(self->reference->n_params, sizeof(*room));

	self->shuffled = cairn_alloc(batch, sizeof(*self->shuffled));
	self->minibatch = cairn_alloc(minibatch, sizeof(*self->minibatch));
	self->ptx = cairn_alloc(minibatch * (size_t)params->ptx_ratio, sizeof(*self->ptx));
	self->scratch = cairn_alloc(minibatch * longest, sizeof(*self->scratch));
	if (!room || !self->shuffled || !self->minibatch || !self->ptx || !self->scratch) {
		free(room);
		return gpt_no_memory(&self->work, "a minibatch");
	}
	ppo_reference_remember(self, room);
	free(room);
	return ppo_rollout_init(self);
}

static int open_stage(ppo_stage *self)
{
	const ppo_params *params = self->params;
	const cairn_host *host = self->work.host;
	cairn_run *run = self->work.run;
	int code = open_models(self);

	if (!code)
		code = open_optimizers(self);
	if (!code)
		code = open_prompts(self);
	if (!code)
		code = open_text(self);
	if (code)
		return code;
	self->end_token = gpt_tokenizer_end(self->tokenizer);
	self->score = ppo_score;
	self->sample_key = host->rng_key(run, "sample");
	self->minibatch_key = host->rng_key(run, "minibatch");
	self->text_key = host->rng_key(run, "pretrain");
	self->iterations = ppo_count_iterations(params);
	self->per_iteration =
		(uint64_t)(params->inner_epochs * (params->batch / params->minibatch));
	self->at.beta = params->beta;
	return make_buffers(self);
}

/* ---- the loop -------------------------------------------------------------------------- */

/* Names are TRL's where it has one, else OpenAI's: METHOD 4. */
static void add_means(gpt_metrics *metrics, const ppo_sums *sums, bool ptx)
{
	double ratio = sums->ratio / sums->n;
	double ratio_var = sums->ratio_squares / sums->n - ratio * ratio;

	gpt_metrics_add(metrics, "policy/approxkl_avg", sums->approxkl / sums->n);
	gpt_metrics_add(metrics, "policy/clipfrac_avg", sums->clipfrac / sums->n);
	gpt_metrics_add(metrics, "policy/entropy_avg", sums->entropy / sums->n);
	gpt_metrics_add(metrics, "policy/grad_norm", sums->policy_norm / sums->n);
	gpt_metrics_add(metrics, "loss/policy_avg", sums->policy_loss / sums->n);
	gpt_metrics_add(metrics, "loss/value_avg", sums->value_loss / sums->n);
	gpt_metrics_add(metrics, "val/ratio", ratio);
	gpt_metrics_add(metrics, "val/ratio_var", ratio_var > 0 ? ratio_var : 0);
	gpt_metrics_add(metrics, "val/clipfrac_avg", sums->value_clipfrac / sums->n);
	gpt_metrics_add(metrics, "val/grad_norm", sums->value_norm / sums->n);
	if (ptx)
		gpt_metrics_add(metrics, "ptx/loss", sums->ptx_loss / sums->n);
}

/* The row of a finished iteration, then the controller: METHOD 2.12. */
static void end_iteration(ppo_stage *self, uint64_t iteration, double lr)
{
	const ppo_params *params = self->params;
	gpt_metrics *metrics = &self->work.metrics;
	ppo_stats stats;

	ppo_rollout_stats(self, &stats);
	gpt_metrics_clear(metrics);
	gpt_metrics_add(metrics, "objective/kl", stats.kl);
	gpt_metrics_add(metrics, "objective/entropy", stats.entropy);
	gpt_metrics_add(metrics, "objective/scores", stats.score);
	gpt_metrics_add(metrics, "objective/non_score_reward", stats.non_score);
	gpt_metrics_add(metrics, "objective/rlhf_reward", stats.rlhf);
	add_means(metrics, &self->at.sums, params->gamma_ptx > 0);
	gpt_metrics_add(metrics, "val/num_eos_tokens", stats.ended);
	gpt_metrics_add(metrics, "ppo/val/mean", stats.value_mean);
	gpt_metrics_add(metrics, "ppo/val/var", stats.value_var);
	gpt_metrics_add(metrics, "ppo/val/error", stats.value_error);
	gpt_metrics_add(metrics, "ppo/val/var_explained", stats.var_explained);
	gpt_metrics_add(metrics, "ppo/returns/mean", stats.returns_mean);
	gpt_metrics_add(metrics, "ppo/returns/var", stats.returns_var);
	gpt_metrics_add(metrics, "eos_rate", stats.ended / (double)self->rollout.n);
	gpt_metrics_add(metrics, "response_length", stats.length);
	gpt_metrics_add(metrics, "objective/kl_coef", self->at.rollout_beta);
	gpt_metrics_add(metrics, "lr", lr);
	gpt_metrics_add(metrics, "episode", (double)(iteration + 1) * (double)self->rollout.n);
	if (iteration == 0)
		self->at.first_score = stats.score;
	if (params->kl_controller == 1)
		self->at.beta = rlhf_adapt_beta(self->at.beta, stats.kl, params->kl_target,
			(double)params->batch, params->kl_horizon);
}

static int one_update(ppo_stage *self)
{
	uint64_t iteration = self->at.update / self->per_iteration;
	uint64_t in_iteration = self->at.update % self->per_iteration;
	int code = 0;

	if (in_iteration == 0) {
		self->at.sums = (ppo_sums){0};
		code = ppo_rollout_make(self, iteration);
	}
	if (!code)
		code = ppo_update(self, iteration, in_iteration);
	if (code)
		return code;
	self->at.update++;
	self->work.quiet = in_iteration + 1 < self->per_iteration;
	if (self->work.quiet)
		return 0;
	code = ppo_verify_reference(self, iteration + 1 == self->iterations);
	if (!code)
		end_iteration(self, iteration, ppo_rate(self, self->params->lr, iteration));
	return code;
}

static int train(ppo_stage *self)
{
	uint64_t total = self->iterations * self->per_iteration;

	while (self->at.update < total) {
		cairn_progress progress = {.total = total, .phase = "train"};
		int code = one_update(self);

		if (code)
			return code;
		progress.step = self->at.update;
		progress.tokens = self->at.tokens;
		code = gpt_finish_step(&self->work, &progress, ppo_save, self);
		if (code)
			return code;
	}
	return 0;
}

static void close_stage(ppo_stage *self)
{
	ppo_rollout_free(&self->rollout);
	free(self->scratch);
	free(self->ptx);
	free(self->minibatch);
	free(self->shuffled);
	gpt_order_free(&self->order);
	gpt_examples_free(&self->prompts);
	gpt_rows_free(&self->rows);
	if (self->ema)
		self->policy->k->free(self->policy->k, self->ema);
	gpt_adam_free(self->value_adam);
	gpt_adam_free(self->policy_adam);
	gpt_model_free(self->value);
	gpt_model_free(self->reward);
	gpt_model_free(self->reference);
	gpt_model_free(self->policy);
	gpt_tokenizer_free(self->tokenizer);
	gpt_work_free(&self->work);
}

int ppo_run(const cairn_host *host, cairn_run *run, const void *params)
{
	ppo_stage self = {.params = params};
	int code;

	gpt_work_init(&self.work, host, run, self.params->micro_tokens);
	self.work.recompute = self.params->recompute;
	code = open_stage(&self);
	if (!code)
		code = ppo_resume(&self);
	if (!code)
		code = train(&self);
	if (!code)
		code = ppo_finish(&self);
	close_stage(&self);
	return code;
}
