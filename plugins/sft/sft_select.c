/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sft_select.c - which epoch is kept.
 *
 * PAPER 2203.02155 section 3.5: the loss on held-out demonstrations is best after the first epoch,
 * while the reward model's score and what people prefer still gain from more; so the reward model's
 * score on held-out prompts decides. After every `select_every` epochs, and the last, responses are
 * drawn and scored. The same random numbers serve every epoch: what differs is the model.
 *
 * Drawing takes long, so each batch of it ends with a step() of its own: a run can stop and go
 * on between any two of them. (A response counts as a step, so that the batch may change between
 * two attempts.) The state is what has been drawn, the curve so far, and the best weights.
 */
#include <math.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/train_lm.h"
#include "sft.h"

static uint64_t epochs_between(const sft_stage *self)
{
	return (uint64_t)self->params->select_every;
}

/* Points of the whole stage: every select_every epochs, and the last. */
static uint64_t count_points(const sft_stage *self)
{
	uint64_t epochs = (uint64_t)self->params->epochs;

	return (epochs + epochs_between(self) - 1) / epochs_between(self);
}

static bool scores(const sft_stage *self)
{
	return self->params->select == SFT_SELECT_REWARD;
}

uint64_t sft_select_units(const sft_stage *self)
{
	return scores(self) ? count_points(self) * self->said.n : 0;
}

/* ---- set up ---------------------------------------------------------------------------- */

static int needs(const sft_stage *self, const char *port, const char *what)
{
	const gpt_work *work = &self->work;
	int code;

	if (gpt_bound(work, port))
		return 0;
	code = work->host->fail(work->run, CAIRN_EINPUT,
		"'select' is %s, but nothing is bound to '%s'", scores(self) ? "reward" : "loss",
		port);
	work->host->hint(work->run, "Add input.%s to the stage: %s.", port, what);
	return code;
}

static int open_reward(sft_stage *self)
{
	const gpt_work *work = &self->work;
	int code = needs(self, "reward", "the reward model that scores the responses");

	if (!code)
		code = gpt_load_model(
			&self->reward, work->host, work->run, "reward", GPT_HEAD_SCALAR, 0, 0);
	return code ? code : gpt_same_tokenizer(work, self->tokenizer, "reward");
}

/* Held-out prompts, in the order of their rows. */
static int open_prompts(sft_stage *self)
{
	const sft_params *params = self->params;
	const gpt_work *work = &self->work;
	int32_t n_ctx = self->model->config.n_ctx;
	gpt_limits limits;
	size_t n;
	int code;

	if (self->reward->config.n_ctx < n_ctx)
		n_ctx = self->reward->config.n_ctx;
	code = gpt_limits_set(&limits, work, params->max_prompt, params->select_max_new, n_ctx);
	if (!code)
		code = gpt_examples_make(&self->prompts, work, &self->valid_rows, self->tokenizer,
			&limits, GPT_EXAMPLE_PROMPT, "held-out prompts");
	if (code)
		return code;
	n = self->prompts.n;
	if (params->select_prompts > 0 && n > (size_t)params->select_prompts)
		n = (size_t)params->select_prompts;
	self->options = (gpt_sampling){
		.temperature = params->select_temperature,
		.top_p = 1,
		.max_new = limits.max_response,
		.end_token = gpt_tokenizer_end(self->tokenizer),
		.key = work->host->rng_key(work->run, "select"),
	};
	return gpt_completions_init(
		&self->said, work, "select", self->prompts.seqs, n, 1, limits.max_response);
}

int sft_select_open(sft_stage *self)
{
	const gpt_work *work = &self->work;
	cairn_error err = {0};
	int code = 0;

	self->curve = cairn_alloc(count_points(self), sizeof(*self->curve));
	if (!self->curve)
		return gpt_no_memory(work, "the curve");
	if (self->params->select == SFT_SELECT_LAST)
		return 0;
	code = needs(self, "valid", "held-out demonstrations");
	if (!code && scores(self))
		code = open_reward(self);
	if (!code && scores(self))
		code = open_prompts(self);
	if (code)
		return code;
	if (gpt_model_new(&self->best, self->model->k, &self->model->config, GPT_HEAD_LM, 0, &err))
		return gpt_report(work, &err);
	return 0;
}

void sft_select_close(sft_stage *self)
{
	free(self->curve);
	gpt_completions_free(&self->said);
	gpt_examples_free(&self->prompts);
	gpt_model_free(self->reward);
	gpt_model_free(self->best);
}

/* ---- measuring ------------------------------------------------------------------------- */

bool sft_select_is_due(const sft_stage *self)
{
	uint64_t epoch = self->at.step / self->per_epoch;

	if (self->at.step % self->per_epoch != 0)
		return false;
	return self->at.step == self->total || epoch % epochs_between(self) == 0;
}

static bool is_better(const sft_stage *self, const sft_point *a, const sft_point *b)
{
	switch ((enum sft_select)self->params->select) {
	case SFT_SELECT_LAST:
		return true;
	case SFT_SELECT_LOSS:
		return a->eval_loss < b->eval_loss;
	case SFT_SELECT_REWARD:
		return a->eval_reward > b->eval_reward;
	}
	CAIRN_UNREACHABLE();
}

/* The newest point is complete. Of equals the earliest wins. */
static void conclude(sft_stage *self)
{
	const sft_point *point = &self->curve[self->at.n_points - 1];

	self->at.selecting = 0;
	if (self->at.best > 0 && !is_better(self, point, &self->curve[self->at.best - 1]))
		return;
	self->at.best = self->at.n_points;
	if (self->best)
		gpt_model_copy(self->best, self->model);
}

int sft_select_begin(sft_stage *self, double eval_loss)
{
	self->curve[self->at.n_points++] = (sft_point){
		.epoch = self->at.step / self->per_epoch,
		.step = self->at.step,
		.loss = self->at.epoch_nll / (double)self->at.epoch_counted,
		.eval_loss = eval_loss,
		.eval_reward = NAN,
	};
	self->at.epoch_nll = 0;
	self->at.epoch_counted = 0;
	self->at.selecting = scores(self);
	self->said.done = 0;
	if (!scores(self))
		conclude(self);
	return 0;
}

/* Mean score of the responses. */
static int score_responses(sft_stage *self, double *mean)
{
	gpt_seq *seqs = NULL;
	int32_t *store = NULL;
	double *score = cairn_alloc(self->said.n, sizeof(*score));
	int code = score ? gpt_completions_seqs(&self->said, &self->work, &seqs, &store)
			 : gpt_no_memory(&self->work, "scores");

	if (!code)
		code = gpt_scores(
			&self->work, self->reward, seqs, self->said.n, CAIRN_ACCOUNT_REWARD, score);
	*mean = 0;
	for (size_t i = 0; !code && i < self->said.n; i++)
		*mean += score[i] / (double)self->said.n;
	free(score);
	free(store);
	free(seqs);
	return code;
}

int sft_select_unit(sft_stage *self)
{
	gpt_metrics *metrics = &self->work.metrics;
	sft_point *point = &self->curve[self->at.n_points - 1];
	size_t before = self->said.done;
	double done;
	int code = gpt_completions_draw(&self->said, &self->work, self->model, &self->options,
		(size_t)self->params->select_batch);

	if (!code && self->said.done == self->said.n)
		code = score_responses(self, &point->eval_reward);
	if (!code && self->said.done == self->said.n)
		code = gpt_check_finite(&self->work, "the score of the responses",
			point->eval_reward, self->at.step);
	if (code)
		return code;
	self->at.units += self->said.done - before;
	done = (double)self->said.done;
	gpt_metrics_clear(metrics);
	gpt_metrics_add(metrics, "epoch", (double)point->epoch);
	gpt_metrics_add(metrics, "completions", done);
	gpt_metrics_add(
		metrics, "response_length", (double)gpt_completions_tokens(&self->said) / done);
	gpt_metrics_add(metrics, "eos_rate", (double)gpt_completions_ended(&self->said) / done);
	if (self->said.done < self->said.n)
		return 0;
	gpt_metrics_add(metrics, "eval_reward", point->eval_reward);
	code = gpt_save_finish(&self->work.save); /* the best may be in it, and will change */
	if (!code)
		conclude(self);
	return code;
}

void sft_select_finish(sft_stage *self)
{
	if (self->best)
		gpt_model_copy(self->model, self->best);
}

/* ---- checkpoints ----------------------------------------------------------------------- */

int sft_select_put(sft_stage *self, gpt_save *checkpoint)
{
	int code = 0;

	if (self->at.n_points > 0)
		code = gpt_save_bytes(
			checkpoint, "curve", self->curve, self->at.n_points * sizeof(*self->curve));
	if (!code && self->best && self->at.best > 0)
		code = gpt_save_state(checkpoint, "best", self->best, NULL);
	if (!code && self->at.selecting)
		code = gpt_completions_put(&self->said, checkpoint);
	return code;
}

int sft_select_get(sft_stage *self, const cairn_artifact *checkpoint)
{
	const cairn_host *host = self->work.host;
	cairn_run *run = self->work.run;
	int code = 0;

	if (self->at.n_points > count_points(self) || self->at.best > self->at.n_points)
		return host->fail(run, CAIRN_EINTEGRITY,
			"the checkpoint has %llu points of a curve of %llu",
			(unsigned long long)self->at.n_points,
			(unsigned long long)count_points(self));
	if (self->at.n_points > 0)
		code = gpt_get_bytes(host, run, checkpoint, "curve", self->curve,
			self->at.n_points * sizeof(*self->curve));
	if (!code && self->best && self->at.best > 0)
		code = gpt_get_state(host, run, checkpoint, "best", self->best, NULL);
	if (!code && self->at.selecting)
		code = gpt_completions_get(&self->said, &self->work, checkpoint);
	return code;
}
