/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_run.c - K completions of each prompt, for labelers to rank (P section 3.2).
 *
 * The state is what has been drawn; a checkpoint holds the finished completions.
 */
#include "sample.h"

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/train_data.h"
#include "gpt/train_generate.h"

struct sample {
	gpt_work work;
	const sample_params *params;
	gpt_tokenizer *tokenizer;
	gpt_model *model;
	gpt_rows rows;
	gpt_examples prompts;
	gpt_completions completions;
	gpt_sampling options;
};

static int open_stage(struct sample *self)
{
	const sample_params *params = self->params;
	gpt_work *work = &self->work;
	gpt_limits limits;
	size_t n;
	int code = gpt_load_model(&self->model, work->host, work->run, "policy", GPT_HEAD_LM, 0, 0);

	if (!code)
		code = gpt_load_tokenizer(&self->tokenizer, work->host, work->run, "policy");
	if (!code)
		code = gpt_limits_set(&limits, work, params->max_prompt, params->max_new,
			self->model->config.n_ctx);
	if (!code)
		code = gpt_rows_load(&self->rows, work->host, work->run, "prompts");
	if (!code)
		code = gpt_examples_make(&self->prompts, work, &self->rows, self->tokenizer,
			&limits, GPT_EXAMPLE_PROMPT, "prompts");
	if (code)
		return code;
	self->options = (gpt_sampling){
		.temperature = params->temperature,
		.top_k = (int32_t)params->top_k,
		.top_p = params->top_p,
		.max_new = limits.max_response,
		.end_token = gpt_tokenizer_end(self->tokenizer),
		.key = work->host->rng_key(work->run, "sample"),
	};
	n = self->prompts.n;
	if (params->max_prompts > 0 && n > (size_t)params->max_prompts)
		n = (size_t)params->max_prompts;
	return gpt_completions_init(&self->completions, work, "completions", self->prompts.seqs, n,
		(int32_t)params->K, limits.max_response);
}

static int save(void *opaque, gpt_save *checkpoint)
{
	struct sample *self = opaque;

	return gpt_completions_put(&self->completions, checkpoint);
}

static int resume(struct sample *self)
{
	cairn_artifact checkpoint = {0};
	uint64_t step = 0;
	int found = self->work.host->resume(self->work.run, &checkpoint, &step);

	if (found <= 0)
		return found;
	return gpt_completions_get(&self->completions, &self->work, &checkpoint);
}

static int draw(struct sample *self)
{
	gpt_completions *completions = &self->completions;
	size_t batch = (size_t)self->params->batch;

	while (completions->done < completions->n) {
		cairn_progress progress = {.phase = "rollout"};
		int code = gpt_completions_draw(
			completions, &self->work, self->model, &self->options, batch);

		if (code)
			return code;
		/* Counted in completions, so that `batch` may change between two attempts. */
		progress.step = completions->done;
		progress.total = completions->n;
		progress.tokens = gpt_completions_tokens(completions);
		gpt_metrics_clear(&self->work.metrics);
		gpt_metrics_add(&self->work.metrics, "completions", (double)completions->done);
		gpt_metrics_add(&self->work.metrics, "response_length",
			(double)progress.tokens / (double)completions->done);
		gpt_metrics_add(&self->work.metrics, "eos_rate",
			(double)gpt_completions_ended(completions) / (double)completions->done);
		code = gpt_finish_step(&self->work, &progress, save, self);
		if (code)
			return code;
	}
	return 0;
}

/* One output row: the prompt's fields and its K completions. */
static int write_row(
	struct sample *self, gpt_rows_writer *writer, size_t prompt, char **texts, bool *ended)
{
	const gpt_row *source = &self->rows.rows[self->prompts.row[prompt]];
	size_t K = (size_t)self->params->K;
	gpt_row row = {
		.prompt = source->prompt,
		.completions = (const char *const *)texts,
		.ended = ended,
		.n_completions = (int32_t)K,
		.user = source->user,
		.answer = source->answer,
	};
	int code = 0;

	for (size_t k = 0; k < K && !code; k++) {
		ended[k] = self->completions.ended[prompt * K + k];
		code = gpt_completions_text(&self->completions, &self->work, self->tokenizer,
			prompt * K + k, &texts[k]);
	}
	if (!code && gpt_rows_writer_add(writer, &row))
		code = gpt_no_memory(&self->work, "the completions");
	for (size_t k = 0; k < K; k++) {
		free(texts[k]);
		texts[k] = NULL;
	}
	return code;
}

static int finish(struct sample *self)
{
	const gpt_work *work = &self->work;
	const gpt_completions *completions = &self->completions;
	size_t K = (size_t)self->params->K;
	gpt_rows_writer *writer = gpt_rows_writer_new();
	char **texts = cairn_alloc(K, sizeof(*texts));
	bool *ended = cairn_alloc(K, sizeof(*ended));
	int code = 0;

	if (!writer || !texts || !ended)
		code = gpt_no_memory(work, "the completions");
	for (size_t i = 0; i < completions->n_prompts && !code; i++)
		code = write_row(self, writer, i, texts, ended);
	if (!code)
		code = gpt_rows_writer_commit(writer, work->host, work->run, "completions");
	if (!code) {
		double n = (double)completions->n;

		work->host->summary(work->run, "completions", n);
		work->host->summary(work->run, "response_length",
			(double)gpt_completions_tokens(completions) / n);
		work->host->summary(
			work->run, "eos_rate", (double)gpt_completions_ended(completions) / n);
	}
	free(ended);
	free(texts);
	gpt_rows_writer_free(writer);
	return code;
}

int sample_run(const cairn_host *host, cairn_run *run, const void *params)
{
	struct sample self = {.params = params};
	int code;

	gpt_work_init(&self.work, host, run, 0);
	code = open_stage(&self);
	if (!code)
		code = resume(&self);
	if (!code)
		code = draw(&self);
	if (!code)
		code = finish(&self);
	gpt_completions_free(&self.completions);
	gpt_examples_free(&self.prompts);
	gpt_rows_free(&self.rows);
	gpt_model_free(self.model);
	gpt_tokenizer_free(self.tokenizer);
	gpt_work_free(&self.work);
	return code;
}
