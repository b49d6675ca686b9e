/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_run.c - a model against a baseline on held-out prompts (P section 3.6): who is
 * preferred, and what the alignment cost on ordinary text.
 *
 * Both models answer the same prompts with the same random numbers, so two equal models give
 * equal answers and tie. The state is what has been drawn; the rest is computed from it.
 */
#include <math.h>

#include "base/alloc.h"
#include "eval.h"
#include "gpt/checkpoint.h"
#include "gpt/train_lm.h"
#include "gpt/train_report.h"

int eval_check(const void *opaque, cairn_error *err)
{
	const eval_params *params = opaque;
	gpt_utility utility;
	int code = gpt_tags_check(params->tags, err);

	if (code || !*params->utility)
		return code;
	return gpt_utility_parse(&utility, params->utility, err);
}

/* ---- set up ---------------------------------------------------------------------------- */

static int open_models(eval_stage *self)
{
	const gpt_work *work = &self->work;
	const cairn_host *host = work->host;
	cairn_run *run = work->run;
	int code = gpt_load_model(&self->model.model, host, run, "model", GPT_HEAD_LM, 0, 0);

	if (!code)
		code = gpt_load_tokenizer(&self->tokenizer, host, run, "model");
	if (!code && gpt_bound(work, "baseline")) {
		code = gpt_load_model(
			&self->baseline.model, host, run, "baseline", GPT_HEAD_LM, 0, 0);
		if (!code)
			code = gpt_same_tokenizer(work, self->tokenizer, "baseline");
	}
	if (!code && gpt_bound(work, "reward")) {
		code = gpt_load_model(&self->reward, host, run, "reward", GPT_HEAD_SCALAR, 0, 0);
		if (!code)
			code = gpt_same_tokenizer(work, self->tokenizer, "reward");
	}
	if (!code && gpt_bound(work, "reference")) {
		code = gpt_load_model(&self->reference, host, run, "reference", GPT_HEAD_LM, 0, 0);
		if (!code)
			code = gpt_same_tokenizer(work, self->tokenizer, "reference");
	}
	return code;
}

static int32_t least_context(const eval_stage *self)
{
	int32_t n_ctx = self->model.model->config.n_ctx;

	if (self->baseline.model && self->baseline.model->config.n_ctx < n_ctx)
		n_ctx = self->baseline.model->config.n_ctx;
	if (self->reward && self->reward->config.n_ctx < n_ctx)
		n_ctx = self->reward->config.n_ctx;
	if (self->reference && self->reference->config.n_ctx < n_ctx)
		n_ctx = self->reference->config.n_ctx;
	return n_ctx;
}

static int open_prompts(eval_stage *self)
{
	const eval_params *params = self->params;
	const gpt_work *work = &self->work;
	int code = gpt_limits_set(
		&self->limits, work, params->max_prompt, params->max_new, least_context(self));

	if (!code)
		code = gpt_rows_load(&self->rows, work->host, work->run, "prompts");
	if (!code)
		code = gpt_examples_make(&self->prompts, work, &self->rows, self->tokenizer,
			&self->limits, GPT_EXAMPLE_PROMPT, "prompts");
	if (code)
		return code;
	self->n_prompts = self->prompts.n;
	if (params->max_prompts > 0 && self->n_prompts > (size_t)params->max_prompts)
		self->n_prompts = (size_t)params->max_prompts;
	self->options = (gpt_sampling){
		.temperature = params->temperature,
		.top_p = 1,
		.max_new = self->limits.max_response,
		.end_token = gpt_tokenizer_end(self->tokenizer),
		.key = work->host->rng_key(work->run, "sample"),
	};
	return 0;
}

static int open_side(eval_stage *self, eval_side *side)
{
	if (!side->model)
		return 0;
	return gpt_completions_init(&side->said, &self->work, side->port, self->prompts.seqs,
		self->n_prompts, (int32_t)self->params->K, self->limits.max_response);
}

static int open_stage(eval_stage *self)
{
	int code = open_models(self);

	if (!code)
		code = eval_open_labelers(self);
	if (!code)
		code = open_prompts(self);
	if (!code)
		code = open_side(self, &self->model);
	if (!code)
		code = open_side(self, &self->baseline);
	return code;
}

/* ---- drawing --------------------------------------------------------------------------- */

static int save(void *opaque, gpt_save *checkpoint)
{
	eval_stage *self = opaque;
	int code = gpt_completions_put(&self->model.said, checkpoint);

	if (!code && self->baseline.model)
		code = gpt_completions_put(&self->baseline.said, checkpoint);
	return code;
}

static int resume(eval_stage *self)
{
	cairn_artifact checkpoint = {0};
	uint64_t step = 0;
	int code = self->work.host->resume(self->work.run, &checkpoint, &step);

	if (code <= 0)
		return code;
	code = gpt_completions_get(&self->model.said, &self->work, &checkpoint);
	if (!code && self->baseline.model)
		code = gpt_completions_get(&self->baseline.said, &self->work, &checkpoint);
	return code;
}

static int draw(eval_stage *self, eval_side *side)
{
	const gpt_completions *model = &self->model.said, *baseline = &self->baseline.said;

	while (side->said.done < side->said.n) {
		cairn_progress progress = {.phase = side->port};
		double done, tokens;
		int code = gpt_completions_draw(&side->said, &self->work, side->model,
			&self->options, (size_t)self->params->batch);

		if (code)
			return code;
		/* Counted in answers, so that `batch` may change between two attempts. */
		progress.step = model->done + baseline->done;
		progress.total = model->n + baseline->n;
		progress.tokens = gpt_completions_tokens(model) + gpt_completions_tokens(baseline);
		done = (double)side->said.done;
		tokens = (double)gpt_completions_tokens(&side->said);
		gpt_metrics_clear(&self->work.metrics);
		gpt_metrics_add(&self->work.metrics, "completions", done);
		gpt_metrics_add(&self->work.metrics, "response_length", tokens / done);
		gpt_metrics_add(&self->work.metrics, "eos_rate",
			(double)gpt_completions_ended(&side->said) / done);
		code = gpt_finish_step(&self->work, &progress, save, self);
		if (code)
			return code;
	}
	return 0;
}

/* ---- measuring ------------------------------------------------------------------------- */

/* Loss on ordinary held-out text: the difference of the two is the alignment tax. */
static int measure_loss(eval_stage *self, eval_side *side)
{
	gpt_seq *windows = NULL;
	size_t n = 0;
	gpt_text text;
	gpt_lm_sum sum = {0};
	int32_t length = least_context(self);
	int code;

	if (!side->model || !gpt_bound(&self->work, "pretrain"))
		return 0;
	code = gpt_text_open(&text, &self->work, "pretrain", side->model->config.n_vocab, length);
	if (!code)
		code = gpt_text_valid(&windows, &n, &text, &self->work, length,
			(uint64_t)self->params->valid_tokens);
	if (!code && n > 0)
		code = gpt_lm_evaluate(&self->work, side->model, windows, n, &sum);
	if (!code && n > 0)
		side->loss = gpt_lm_mean(&sum);
	free(windows);
	return code;
}

/* KL(model || reference) per answer, from the answers that the model gave: the mean of log p - log
 * q over them, which is unbiased (k1 of METHOD 2.12); and its standard error, by prompt. Both at
 * the temperature that they were drawn at. */
static int measure_kl(eval_stage *self)
{
	const gpt_completions *said = &self->model.said;
	size_t K = (size_t)self->params->K, tokens = (size_t)gpt_completions_tokens(said), at = 0;
	gpt_seq *seqs = NULL;
	int32_t *store = NULL;
	cairn_real *own = cairn_alloc(tokens, sizeof(*own));
	cairn_real *other = cairn_alloc(tokens, sizeof(*other));
	double sum = 0, squares = 0, n = (double)self->n_prompts;
	int code = own && other ? gpt_completions_seqs(said, &self->work, &seqs, &store)
				: gpt_no_memory(&self->work, "log-probabilities");

	if (!code)
		code = gpt_lm_logprobs(&self->work, self->model.model, seqs, said->n,
			self->params->temperature, CAIRN_ACCOUNT_FORWARD, own, NULL);
	if (!code)
		code = gpt_lm_logprobs(&self->work, self->reference, seqs, said->n,
			self->params->temperature, CAIRN_ACCOUNT_REFERENCE, other, NULL);
	for (size_t p = 0; !code && p < self->n_prompts; p++) {
		double mean = 0;

		for (size_t i = p * K; i < (p + 1) * K; i++)
			for (int32_t t = 0; t < said->n_tokens[i]; t++, at++)
				mean += ((double)own[at] - (double)other[at]) / (double)K;
		sum += mean;
		squares += mean * mean;
	}
	if (!code) {
		self->kl = sum / n;
		self->kl_stderr =
			n > 1 ? sqrt(fmax(0, squares / n - self->kl * self->kl) / (n - 1)) : NAN;
	}
	free(other);
	free(own);
	free(store);
	free(seqs);
	return code;
}

static int decode(eval_stage *self, eval_side *side)
{
	int code = 0;

	if (!side->model)
		return 0;
	side->text = cairn_alloc(side->said.n, sizeof(*side->text));
	if (!side->text)
		return gpt_no_memory(&self->work, "texts");
	for (size_t i = 0; i < side->said.n && !code; i++)
		code = gpt_completions_text(
			&side->said, &self->work, self->tokenizer, i, &side->text[i]);
	return code;
}

static void close_side(eval_side *side)
{
	for (size_t i = 0; side->text && i < side->said.n; i++)
		free(side->text[i]);
	free(side->text);
	free(side->utility);
	free(side->reward);
	gpt_completions_free(&side->said);
	gpt_model_free(side->model);
}

static void close_stage(eval_stage *self)
{
	free(self->by_labelers.share);
	free(self->by_reward.share);
	free(self->labeler);
	close_side(&self->model);
	close_side(&self->baseline);
	gpt_model_free(self->reference);
	gpt_model_free(self->reward);
	gpt_examples_free(&self->prompts);
	gpt_rows_free(&self->rows);
	gpt_tokenizer_free(self->tokenizer);
	gpt_work_free(&self->work);
}

int eval_run(const cairn_host *host, cairn_run *run, const void *params)
{
	eval_stage self = {
		.params = params,
		.model = {.port = "model", .loss = NAN},
		.baseline = {.port = "baseline", .loss = NAN},
		.by_labelers = {.rate = NAN},
		.by_reward = {.rate = NAN},
		.rm_accuracy = {.share = NAN, .low = NAN, .high = NAN},
		.kl = NAN,
		.kl_stderr = NAN,
	};
	int code;

	gpt_work_init(&self.work, host, run, self.params->micro_tokens);
	code = open_stage(&self);
	if (!code)
		code = resume(&self);
	if (!code)
		code = draw(&self, &self.model);
	if (!code)
		code = draw(&self, &self.baseline);
	if (!code)
		code = decode(&self, &self.model);
	if (!code)
		code = decode(&self, &self.baseline);
	if (!code)
		code = eval_judge(&self);
	if (!code)
		code = eval_rankings(&self);
	if (!code)
		code = measure_loss(&self, &self.model);
	if (!code)
		code = measure_loss(&self, &self.baseline);
	if (!code && self.reference && self.params->temperature > 0)
		code = measure_kl(&self);
	if (!code)
		code = eval_report(&self);
	close_stage(&self);
	return code;
}
