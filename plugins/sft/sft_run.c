/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sft_run.c - supervised fine-tuning (P section 3.5, app. C.1), and with pretrain_mix the
 * initial model of PPO (P app. C.3).
 *
 * A step takes the next `batch` demonstrations of the epoch's order and, where text is mixed
 * in, round(mix/(1-mix) * batch) windows of it; the loss is the mean over all tokens of the
 * step that count, whichever micro-batch they fell in. Order, windows and dropout follow from
 * the step number, so weights, moments and counters are the whole state, but for what
 * sft_select.c adds to it.
 */
#include "sft.h"

#include <math.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/train_lm.h"

/* Windows of pretraining text beside n demonstrations. */
static size_t mixed_in(const sft_params *params, size_t n)
{
	double mix = params->pretrain_mix;

	return (size_t)llround(mix / (1 - mix) * (double)n);
}

int sft_check(const void *opaque, cairn_error *err)
{
	const sft_params *params = opaque;

	if (params->pretrain_mix > 0 && mixed_in(params, (size_t)params->batch) == 0) {
		int code = cairn_error_set(err, CAIRN_EPARAM,
			"'pretrain_mix' %g of a batch of %lld rounds to no text at all",
			params->pretrain_mix, (long long)params->batch);

		cairn_error_hint(err, "Raise 'batch' or 'pretrain_mix'.");
		return code;
	}
	return 0;
}

/* ---- set up ---------------------------------------------------------------------------- */

static int open_model(sft_stage *self)
{
	const gpt_work *work = &self->work;
	int code = gpt_load_model(
		&self->model, work->host, work->run, "base", GPT_HEAD_LM, GPT_TRAINABLE, 0);

	if (!code)
		code = gpt_load_tokenizer(&self->tokenizer, work->host, work->run, "base");
	return code ? code
		    : gpt_optimizer_open(
			      &self->adam, &self->work, self->model, &self->params->optimizer);
}

static int open_demos(sft_stage *self)
{
	const sft_params *params = self->params;
	const gpt_work *work = &self->work;
	gpt_limits limits;
	int code = gpt_limits_set(
		&limits, work, params->max_prompt, params->max_response, self->model->config.n_ctx);

	limits.loss_on_all = params->loss_on == 1;
	if (!code)
		code = gpt_rows_load(&self->demo_rows, work->host, work->run, "demos");
	if (!code)
		code = gpt_examples_make(&self->demos, work, &self->demo_rows, self->tokenizer,
			&limits, GPT_EXAMPLE_DEMO, "demonstrations");
	if (code || !gpt_bound(work, "valid"))
		return code;
	code = gpt_rows_load(&self->valid_rows, work->host, work->run, "valid");
	if (!code)
		code = gpt_examples_make(&self->valid, work, &self->valid_rows, self->tokenizer,
			&limits, GPT_EXAMPLE_DEMO, "held-out demonstrations");
	if (!code)
		gpt_seqs_sort(self->valid.seqs, self->valid.n);
	return code;
}

static int open_text(sft_stage *self)
{
	const sft_params *params = self->params;
	const gpt_work *work = &self->work;
	int32_t n_ctx = self->model->config.n_ctx;

	if (params->pretrain_mix == 0)
		return 0;
	if (!gpt_bound(work, "pretrain")) {
		int code = work->host->fail(work->run, CAIRN_EINPUT,
			"'pretrain_mix' is %g, but no text is bound to 'pretrain'",
			params->pretrain_mix);

		work->host->hint(work->run, "Add input.pretrain to the stage.");
		return code;
	}
	self->text_length = (int32_t)params->pretrain_length;
	if (self->text_length == 0 || self->text_length > n_ctx)
		self->text_length = n_ctx;
	return gpt_text_open(
		&self->text, work, "pretrain", self->model->config.n_vocab, self->text_length);
}

static int open_stage(sft_stage *self)
{
	const cairn_host *host = self->work.host;
	cairn_run *run = self->work.run;
	size_t n = (size_t)self->params->batch;
	int code = open_model(self);

	if (!code)
		code = open_demos(self);
	if (!code)
		code = open_text(self);
	if (!code)
		code = sft_select_open(self);
	if (!code)
		code = gpt_order_init(
			&self->order, &self->work, host->rng_key(run, "order"), self->demos.n);
	if (code)
		return code;
	self->text_key = host->rng_key(run, "pretrain");
	self->per_epoch = (self->demos.n + n - 1) / n;
	self->total = self->per_epoch * (uint64_t)self->params->epochs;
	self->batch = cairn_alloc(n + mixed_in(self->params, n), sizeof(*self->batch));
	return self->batch ? 0 : gpt_no_memory(&self->work, "a batch");
}

/* ---- checkpoints ----------------------------------------------------------------------- */

static int save(void *opaque, gpt_save *checkpoint)
{
	sft_stage *self = opaque;
	int code =
		gpt_save_training(checkpoint, self->model, self->adam, &self->at, sizeof(self->at));

	return code ? code : sft_select_put(self, checkpoint);
}

static int resume(sft_stage *self)
{
	const cairn_host *host = self->work.host;
	cairn_run *run = self->work.run;
	cairn_artifact checkpoint = {0};
	uint64_t step = 0;
	int code = host->resume(run, &checkpoint, &step);

	if (code <= 0)
		return code;
	code = gpt_get_state(host, run, &checkpoint, "model", self->model, self->adam);
	if (!code)
		code = gpt_get_bytes(
			host, run, &checkpoint, "counters", &self->at, sizeof(self->at));
	return code ? code : sft_select_get(self, &checkpoint);
}

/* ---- training -------------------------------------------------------------------------- */

/* Fills self->batch for the current step; *n_demos of the *n are demonstrations. */
static void draw_batch(sft_stage *self, size_t *n_demos, size_t *n)
{
	uint64_t step = self->at.step;
	uint64_t epoch = step / self->per_epoch, in_epoch = step % self->per_epoch;
	size_t batch = (size_t)self->params->batch;
	size_t from = (size_t)in_epoch * batch;
	size_t count = self->demos.n - from < batch ? self->demos.n - from : batch;
	size_t n_text = mixed_in(self->params, count);
	/* Ids are unique in the run, also where the last batch of an epoch is short. */
	uint64_t first_id = step * (batch + mixed_in(self->params, batch));

	for (size_t i = 0; i < count; i++) {
		uint64_t place = epoch * self->demos.n + from + i;

		self->batch[i] = self->demos.seqs[gpt_order_at(&self->order, place)];
		self->batch[i].id = first_id + i;
	}
	gpt_seqs_sort(self->batch, count);
	for (size_t i = 0; i < n_text; i++) {
		self->batch[count + i] =
			gpt_text_window(&self->text, self->text_key, step, i, self->text_length);
		self->batch[count + i].id = first_id + batch + i;
	}
	for (size_t i = 0; i < count + n_text; i++)
		self->batch[i].unit = i;
	*n_demos = count;
	*n = count + n_text;
}

static int validate(sft_stage *self)
{
	gpt_lm_sum sum = {.detailed = true};
	int code = 0;

	if (self->valid.n == 0)
		return 0;
	code = gpt_lm_evaluate(&self->work, self->model, self->valid.seqs, self->valid.n, &sum);
	if (code)
		return code;
	self->valid_loss = gpt_lm_mean(&sum);
	gpt_metrics_add(&self->work.metrics, "eval_loss", self->valid_loss);
	gpt_metrics_add(&self->work.metrics, "eval_entropy", gpt_lm_entropy(&sum));
	gpt_metrics_add(&self->work.metrics, "eval_mean_token_accuracy", gpt_lm_accuracy(&sum));
	return 0;
}

static bool validates_after(const sft_stage *self, uint64_t step)
{
	uint64_t every = (uint64_t)self->params->eval_every;

	return step == self->total || step % (every > 0 ? every : self->per_epoch) == 0 ||
	       sft_select_is_due(self);
}

static int train_step(sft_stage *self)
{
	gpt_lm_sum demos = {.detailed = true}, text = {0};
	size_t n_demos, n;
	double scale, norm = 0, lr;
	int code;

	draw_batch(self, &n_demos, &n);
	scale = 1.0 / (double)gpt_seqs_counted(self->batch, n);
	gpt_zero_grads(self->model);
	code = gpt_lm_backward(&self->work, self->model, self->batch, n_demos, scale, &demos);
	if (!code)
		code = gpt_lm_backward(
			&self->work, self->model, self->batch + n_demos, n - n_demos, scale, &text);
	if (!code)
		code = gpt_check_finite(
			&self->work, "the loss", demos.nll + text.nll, self->at.step + 1);
	if (code)
		return code;
	code = gpt_optimizer_step(&self->work, self->adam, self->model, &self->params->optimizer,
		self->at.step, self->total, &lr, &norm);
	if (code)
		return code;
	self->at.step++;
	self->at.units++;
	self->at.tokens += demos.n_tokens + text.n_tokens;
	self->at.loss = gpt_lm_mean(&demos);
	self->at.epoch_nll += demos.nll;
	self->at.epoch_counted += demos.n_counted;
	gpt_metrics_clear(&self->work.metrics);
	gpt_metrics_add(&self->work.metrics, "loss", self->at.loss);
	gpt_metrics_add(&self->work.metrics, "entropy", gpt_lm_entropy(&demos));
	gpt_metrics_add(&self->work.metrics, "mean_token_accuracy", gpt_lm_accuracy(&demos));
	if (n > n_demos)
		gpt_metrics_add(&self->work.metrics, "pretrain_loss", gpt_lm_mean(&text));
	gpt_metrics_add(&self->work.metrics, "grad_norm", norm);
	gpt_metrics_add(&self->work.metrics, "learning_rate", lr);
	gpt_metrics_add(
		&self->work.metrics, "epoch", (double)self->at.step / (double)self->per_epoch);
	gpt_metrics_add(&self->work.metrics, "num_tokens", (double)self->at.tokens);
	return 0;
}

/* An optimizer step, and what follows it at the end of an epoch. */
static int train_unit(sft_stage *self)
{
	int code = train_step(self);

	if (!code && validates_after(self, self->at.step))
		code = validate(self);
	if (!code && sft_select_is_due(self))
		code = sft_select_begin(self, self->valid_loss);
	return code;
}

static int train(sft_stage *self)
{
	uint64_t total = self->total + sft_select_units(self);

	while (self->at.units < total) {
		cairn_progress progress = {
			.total = total, .phase = self->at.selecting ? "select" : "train"};
		int code;

		code = self->at.selecting ? sft_select_unit(self) : train_unit(self);
		if (code)
			return code;
		progress.step = self->at.units;
		progress.tokens = self->at.tokens;
		code = gpt_finish_step(&self->work, &progress, save, self);
		if (code)
			return code;
	}
	return 0;
}

/* The closing numbers are those of the weights that are kept. */
static int finish(sft_stage *self)
{
	const gpt_work *work = &self->work;
	int code;

	sft_select_finish(self);
	gpt_metrics_clear(&self->work.metrics);
	code = validate(self);
	if (!code)
		code = sft_report(self);
	return code ? code
		    : gpt_save_model(work->host, work->run, "model", self->model, self->tokenizer);
}

int sft_run(const cairn_host *host, cairn_run *run, const void *params)
{
	sft_stage self = {.params = params, .valid_loss = NAN};
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
	sft_select_close(&self);
	gpt_order_free(&self.order);
	gpt_examples_free(&self.valid);
	gpt_examples_free(&self.demos);
	gpt_rows_free(&self.valid_rows);
	gpt_rows_free(&self.demo_rows);
	gpt_adam_free(self.adam);
	gpt_model_free(self.model);
	gpt_tokenizer_free(self.tokenizer);
	gpt_work_free(&self.work);
	return code;
}
