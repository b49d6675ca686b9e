/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pretrain_run.c - a language model from scratch: GPT-2's network trained as GPT-3 was
 * (arXiv:2005.14165 app. B: AdamW, cosine to 10 %, gradient norm 1).
 *
 * A step takes `batch` windows of the text at places drawn for (step, index); so the state is
 * weights, moments and the step number, and a resumed run sees the same windows.
 */
#include "pretrain.h"

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/train_data.h"
#include "gpt/train_lm.h"

/* What a checkpoint holds beside the tensors. */
struct counters {
	uint64_t step;
	uint64_t tokens;
};

struct pretrain {
	gpt_work work;
	const pretrain_params *params;
	gpt_tokenizer *tokenizer;
	gpt_model *model;
	gpt_adam *adam;
	gpt_text text;
	int32_t length;
	uint64_t total;
	gpt_seq *batch, *valid;
	size_t n_valid;
	uint64_t data_key;
	double valid_loss;
	struct counters at;
};

uint64_t pretrain_total_steps(const pretrain_params *params)
{
	uint64_t context = (uint64_t)(params->context ? params->context : params->n_ctx);
	uint64_t per_step = (uint64_t)params->batch * context;

	if (params->steps > 0)
		return (uint64_t)params->steps;
	return ((uint64_t)params->tokens + per_step - 1) / per_step;
}

int pretrain_check(const void *opaque, cairn_error *err)
{
	const pretrain_params *params = opaque;

	if (params->steps == 0 && params->tokens == 0) {
		int code =
			cairn_error_set(err, CAIRN_EPARAM, "neither 'steps' nor 'tokens' is set");

		cairn_error_hint(err, "Set one of them: how long to train.");
		return code;
	}
	if (params->n_embd % params->n_head != 0)
		return cairn_error_set(err, CAIRN_EPARAM,
			"'n_embd' %lld is no multiple of 'n_head' %lld", (long long)params->n_embd,
			(long long)params->n_head);
	if (params->context > params->n_ctx)
		return cairn_error_set(err, CAIRN_EPARAM, "'context' %lld is above 'n_ctx' %lld",
			(long long)params->context, (long long)params->n_ctx);
	return 0;
}

static int make_model(struct pretrain *self)
{
	const pretrain_params *params = self->params;
	const struct cairn_kernels *kernels = NULL;
	cairn_error err = {0};
	gpt_config config = {
		.n_layer = (int32_t)params->n_layer,
		.n_head = (int32_t)params->n_head,
		.n_embd = (int32_t)params->n_embd,
		.n_ctx = (int32_t)params->n_ctx,
		.n_vocab = gpt_tokenizer_size(self->tokenizer),
		.n_inner = (int32_t)(4 * params->n_embd),
	};
	int code = self->work.host->kernels(self->work.run, &kernels);

	if (code)
		return code;
	if (gpt_model_new(&self->model, kernels, &config, GPT_HEAD_LM, GPT_TRAINABLE, &err))
		return gpt_report(&self->work, &err);
	gpt_model_init(self->model, self->work.host->rng_key(self->work.run, "init"));
	return gpt_optimizer_open(&self->adam, &self->work, self->model, &params->optimizer);
}

static int open_stage(struct pretrain *self)
{
	const pretrain_params *params = self->params;
	const cairn_host *host = self->work.host;
	int code = gpt_load_tokenizer(&self->tokenizer, host, self->work.run, "tokenizer");

	if (code)
		return code;
	self->length = (int32_t)(params->context ? params->context : params->n_ctx);
	self->total = pretrain_total_steps(params);
	self->data_key = host->rng_key(self->work.run, "data");
	code = gpt_text_open(&self->text, &self->work, "tokens",
		gpt_tokenizer_size(self->tokenizer), self->length);
	if (!code)
		code = gpt_text_valid(&self->valid, &self->n_valid, &self->text, &self->work,
			self->length, (uint64_t)params->valid_tokens);
	if (!code)
		code = make_model(self);
	if (code)
		return code;
	self->batch = cairn_alloc((size_t)params->batch, sizeof(*self->batch));
	return self->batch ? 0 : gpt_no_memory(&self->work, "a batch");
}

static int save(void *opaque, gpt_save *checkpoint)
{
	struct pretrain *self = opaque;

	return gpt_save_training(checkpoint, self->model, self->adam, &self->at, sizeof(self->at));
}

static int resume(struct pretrain *self)
{
	return gpt_resume_training(self->work.host, self->work.run, self->model, self->adam,
		&self->at, sizeof(self->at));
}

/* Adds the held-out loss to the metric row. */
static int validate(struct pretrain *self)
{
	gpt_lm_sum sum = {.detailed = true};
	int code = 0;

	if (self->n_valid == 0)
		return 0;
	code = gpt_lm_evaluate(&self->work, self->model, self->valid, self->n_valid, &sum);
	if (code)
		return code;
	self->valid_loss = gpt_lm_mean(&sum);
	gpt_metrics_add(&self->work.metrics, "eval_loss", self->valid_loss);
	gpt_metrics_add(&self->work.metrics, "eval_entropy", gpt_lm_entropy(&sum));
	gpt_metrics_add(&self->work.metrics, "eval_mean_token_accuracy", gpt_lm_accuracy(&sum));
	return 0;
}

static bool validates_after(const struct pretrain *self, uint64_t step)
{
	uint64_t every = (uint64_t)self->params->eval_every;

	return step == self->total || (every > 0 && step % every == 0);
}

static int train_step(struct pretrain *self)
{
	const pretrain_params *params = self->params;
	uint64_t step = self->at.step;
	size_t n = (size_t)params->batch;
	gpt_lm_sum sum = {0};
	double norm = 0, lr;
	int code;

	for (size_t i = 0; i < n; i++) {
		self->batch[i] =
			gpt_text_window(&self->text, self->data_key, step, i, self->length);
		self->batch[i].id = step * n + i;
	}
	gpt_zero_grads(self->model);
	code = gpt_lm_backward(&self->work, self->model, self->batch, n,
		1.0 / (double)gpt_seqs_counted(self->batch, n), &sum);
	if (!code)
		code = gpt_check_finite(&self->work, "the loss", gpt_lm_mean(&sum), step + 1);
	if (code)
		return code;
	code = gpt_optimizer_step(&self->work, self->adam, self->model, &params->optimizer, step,
		self->total, &lr, &norm);
	if (code)
		return code;
	self->at.step++;
	self->at.tokens += sum.n_tokens;
	gpt_metrics_clear(&self->work.metrics);
	gpt_metrics_add(&self->work.metrics, "loss", gpt_lm_mean(&sum));
	gpt_metrics_add(&self->work.metrics, "grad_norm", norm);
	gpt_metrics_add(&self->work.metrics, "learning_rate", lr);
	gpt_metrics_add(&self->work.metrics, "num_tokens", (double)self->at.tokens);
	return 0;
}

static int train(struct pretrain *self)
{
	while (self->at.step < self->total) {
		cairn_progress progress = {.total = self->total, .phase = "train"};
		int code = train_step(self);

		if (!code && validates_after(self, self->at.step))
			code = validate(self);
		if (code)
			return code;
		progress.step = self->at.step;
		progress.tokens = self->at.tokens;
		code = gpt_finish_step(&self->work, &progress, save, self);
		if (code)
			return code;
	}
	return 0;
}

/* The closing numbers are computed from the final weights, not remembered: a run that was
 * resumed after its last step has them, too. */
static int finish(struct pretrain *self)
{
	const gpt_work *work = &self->work;
	int code;

	gpt_metrics_clear(&self->work.metrics);
	code = validate(self);
	if (code)
		return code;
	if (self->n_valid > 0)
		work->host->summary(work->run, "valid_loss", self->valid_loss);
	work->host->summary(work->run, "tokens", (double)self->at.tokens);
	work->host->summary(work->run, "n_params", (double)self->model->n_params);
	return gpt_save_model(work->host, work->run, "model", self->model, self->tokenizer);
}

int pretrain_run(const cairn_host *host, cairn_run *run, const void *params)
{
	struct pretrain self = {.params = params};
	int code;

	gpt_work_init(&self.work, host, run, self.params->micro_tokens);
	self.work.recompute = self.params->recompute;
	code = open_stage(&self);
	if (!code)
		code = resume(&self);
	if (!code)
		code = train(&self);
	if (!code)
		code = finish(&self);
	free(self.batch);
	free(self.valid);
	gpt_adam_free(self.adam);
	gpt_model_free(self.model);
	gpt_tokenizer_free(self.tokenizer);
	gpt_work_free(&self.work);
	return code;
}
