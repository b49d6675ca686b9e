/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rm_run.c - the reward model: a language model's body with a scalar head, trained on
 * rankings (P section 3.5, eq. 1; app. C.2).
 *
 * A prompt with its K completions is one element of a batch: K passes through the network give
 * the scores, and all pairs of them enter the loss together. (Pairs shuffled into a data
 * set of their own overfit within one epoch, says the paper: `pairs = shuffled` is there to see
 * it.) So K sequences share a unit and a micro-batch, and the loss of a step is the mean over
 * its prompts.
 *
 * Rows where all completions tie teach nothing and are left out.
 */
#include "rm.h"

#include <string.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/optimizer.h"
#include "gpt/rlhf.h"
#include "gpt/train_report.h"

int rm_check(const void *opaque, cairn_error *err)
{
	const rm_params *params = opaque;

	if (*params->group && *params->exclude_group) {
		int code = cairn_error_set(
			err, CAIRN_EPARAM, "both 'group' and 'exclude_group' are set");

		cairn_error_hint(err, "A group to learn from, or one to leave out: keep one.");
		return code;
	}
	return gpt_tags_check(params->tags, err);
}

/* ---- set up ---------------------------------------------------------------------------- */

static bool has_pairs(const gpt_row *row)
{
	for (int32_t i = 1; i < row->n_completions; i++)
		if (row->ranks[i] != row->ranks[0])
			return true;
	return false;
}

/* Keeps the rows that are to be learned (or those of all other groups) and have a pair. */
static void filter_rows(gpt_rows *rows, const rm_params *params, bool others, size_t *n_ties)
{
	const char *group = params->group, *excluded = params->exclude_group;
	size_t kept = 0;

	*n_ties = 0;
	for (size_t i = 0; i < rows->n; i++) {
		const char *of = rows->rows[i].group;
		bool member = (!*group || strcmp(of, group) == 0) &&
			      (!*excluded || strcmp(of, excluded) != 0);

		if (member == others)
			continue;
		if (!has_pairs(&rows->rows[i])) {
			(*n_ties)++;
			continue;
		}
		rows->rows[kept++] = rows->rows[i];
	}
	rows->n = kept;
}

/* Where each ranking's sequences start. */
static int index_rankings(rm_rankings *set, const gpt_work *work)
{
	const gpt_examples *examples = &set->examples;

	set->first = cairn_alloc(examples->n_units + 1, sizeof(*set->first));
	if (!set->first)
		return gpt_no_memory(work, "rankings");
	for (size_t i = 0; i < examples->n; i++)
		if (i == 0 || examples->seqs[i].unit != examples->seqs[i - 1].unit)
			set->first[set->n++] = i;
	return 0;
}

static int open_rankings(rm_rankings *set, rm_stage *self, const char *port, bool others)
{
	const gpt_work *work = &self->work;
	const char *group = self->params->group, *excluded = self->params->exclude_group;
	size_t n_ties = 0, n_read;
	int code = gpt_rows_load(&set->rows, work->host, work->run, port);

	if (code)
		return code;
	n_read = set->rows.n;
	filter_rows(&set->rows, self->params, others, &n_ties);
	if (set->rows.n == 0 && (others || strcmp(port, "rankings") != 0))
		return 0;
	if (set->rows.n == 0) {
		code = work->host->fail(work->run, CAIRN_EINPUT, "no ranking to learn from%s%s%s",
			*group      ? " in group '"
			: *excluded ? " outside of group '"
				    : "",
			*group ? group : excluded, *group || *excluded ? "'" : "");
		work->host->hint(work->run,
			"%zu rankings were read, %zu of those to learn from tie all.", n_read,
			n_ties);
		return code;
	}
	if (n_ties > 0)
		work->host->log(work->run, CAIRN_LOG_INFO,
			"%s: %zu rankings without any preference left out", port, n_ties);
	code = gpt_examples_make(&set->examples, work, &set->rows, self->tokenizer, &self->limits,
		GPT_EXAMPLE_CANDIDATES, others ? "other groups' rankings" : port);
	return code ? code : index_rankings(set, work);
}

static void free_rankings(rm_rankings *set)
{
	free(set->first);
	gpt_examples_free(&set->examples);
	gpt_rows_free(&set->rows);
}

static int open_model(rm_stage *self)
{
	const rm_params *params = self->params;
	const gpt_work *work = &self->work;
	int code = gpt_load_model(&self->model, work->host, work->run, "init", GPT_HEAD_SCALAR,
		GPT_TRAINABLE, work->host->rng_key(work->run, "score"));

	if (!code)
		code = gpt_load_tokenizer(&self->tokenizer, work->host, work->run, "init");
	if (!code)
		code = gpt_optimizer_open(
			&self->adam, &self->work, self->model, &params->optimizer);
	if (code)
		return code;
	return gpt_limits_set(&self->limits, work, params->max_prompt, params->max_response,
		self->model->config.n_ctx);
}

static int open_stage(rm_stage *self)
{
	gpt_work *work = &self->work;
	bool splits = *self->params->group || *self->params->exclude_group;
	int code = open_model(self);

	if (!code)
		code = open_rankings(&self->train, self, "rankings", false);
	if (!code && gpt_bound(work, "valid"))
		code = open_rankings(&self->valid, self, "valid", false);
	if (!code && gpt_bound(work, "valid") && splits)
		code = open_rankings(&self->others, self, "valid", true);
	return code ? code : rm_batch_open(self);
}

/* ---- checkpoints ----------------------------------------------------------------------- */

static int save(void *opaque, gpt_save *checkpoint)
{
	rm_stage *self = opaque;

	return gpt_save_training(checkpoint, self->model, self->adam, &self->at, sizeof(self->at));
}

static int resume(rm_stage *self)
{
	return gpt_resume_training(self->work.host, self->work.run, self->model, self->adam,
		&self->at, sizeof(self->at));
}

/* ---- training -------------------------------------------------------------------------- */

/* Sums over the prompts of a step. */
struct step_sum {
	double loss, n_right, margin, reward;
	double least, most;
	uint64_t n_pairs, n_scores, n_prompts, n_tokens;
};

/* Loss and derivative of the items in the current micro-batch, whose scores are known; `item` is
 * the first of them in self->pick. */
static size_t rank_micro(rm_stage *self, size_t item, double scale, struct step_sum *sum)
{
	const gpt_micro *micro = &self->work.micro;
	size_t at = 0;

	while (at < micro->count) {
		int32_t K, n_pairs = 0;
		const int32_t *ranks = rm_item_ranks(self, self->pick[item++], &K);
		const double *score = self->score + at;
		double right = 0;

		sum->loss += rlhf_ranking_loss(score, ranks, K, self->params->divide == 1,
			self->dscore + at, &n_pairs, &right);
		sum->n_right += right;
		sum->n_pairs += (uint64_t)n_pairs;
		for (int32_t i = 0; i < K; i++) {
			self->dscore[at + (size_t)i] *= scale;
			sum->reward += score[i];
			if (sum->n_scores == 0 || score[i] < sum->least)
				sum->least = score[i];
			if (sum->n_scores == 0 || score[i] > sum->most)
				sum->most = score[i];
			sum->n_scores++;
			for (int32_t j = 0; j < K; j++)
				if (ranks[i] < ranks[j])
					sum->margin += score[i] - score[j];
		}
		at += (size_t)K;
	}
	sum->n_tokens += micro->real;
	return item;
}

/* Forward, loss, backward of one micro-batch that starts at sequence `from`. */
static int train_micro(rm_stage *self, size_t n_seqs, size_t from, size_t *item, double scale,
	struct step_sum *sum)
{
	gpt_work *work = &self->work;
	gpt_micro *micro = &work->micro;
	cairn_error err = {0};
	int code = gpt_work_forward(
		work, self->model, self->batch, n_seqs, from, GPT_ROWS_SCORE, true);

	if (code)
		return code;
	if (gpt_values(self->model, micro->x, &err))
		return gpt_report(work, &err);
	for (size_t b = 0; b < micro->count; b++)
		self->score[b] = (double)micro->x[gpt_micro_row(micro, b, micro->lengths[b])];
	*item = rank_micro(self, *item, scale, sum);
	memset(micro->y, 0, micro->count * (size_t)micro->batch.T * sizeof(*micro->y));
	for (size_t b = 0; b < micro->count; b++)
		micro->y[gpt_micro_row(micro, b, micro->lengths[b])] = (cairn_real)self->dscore[b];
	gpt_work_account(work, CAIRN_ACCOUNT_BACKWARD);
	if (gpt_values_backward(self->model, micro->y, &err))
		return gpt_report(work, &err);
	return 0;
}

static void step_metrics(rm_stage *self, const struct step_sum *sum, double norm, double lr)
{
	gpt_metrics *metrics = &self->work.metrics;

	gpt_metrics_clear(metrics);
	gpt_metrics_add(metrics, "loss", self->at.loss);
	gpt_metrics_add(metrics, "accuracy", sum->n_right / (double)sum->n_pairs);
	gpt_metrics_add(metrics, "margin", sum->margin / (double)sum->n_pairs);
	gpt_metrics_add(metrics, "min_reward", sum->least);
	gpt_metrics_add(metrics, "mean_reward", sum->reward / (double)sum->n_scores);
	gpt_metrics_add(metrics, "max_reward", sum->most);
	gpt_metrics_add(metrics, "grad_norm", norm);
	gpt_metrics_add(metrics, "learning_rate", lr);
	gpt_metrics_add(metrics, "epoch", (double)self->at.step / (double)self->per_epoch);
	gpt_metrics_add(metrics, "num_tokens", (double)self->at.tokens);
}

static int train_step(rm_stage *self)
{
	const rm_params *params = self->params;
	struct step_sum sum = {0};
	size_t n_items, n_seqs, item = 0;
	double norm = 0, lr;
	int code = 0;

	rm_batch_draw(self, &n_items, &n_seqs);
	gpt_zero_grads(self->model);
	for (size_t at = 0; at < n_seqs && !code; at += self->work.micro.count)
		code = train_micro(self, n_seqs, at, &item, 1.0 / (double)n_items, &sum);
	if (!code)
		code = gpt_check_finite(&self->work, "the loss", sum.loss, self->at.step + 1);
	if (code)
		return code;
	code = gpt_optimizer_step(&self->work, self->adam, self->model, &params->optimizer,
		self->at.step, self->total, &lr, &norm);
	if (code)
		return code;
	self->at.loss = sum.loss / (double)n_items;
	if (self->at.step == 0) {
		self->at.first_loss = self->at.loss;
		self->work.host->log(self->work.run, CAIRN_LOG_INFO,
			"loss of the first batch %.4f (a head that knows nothing has ln 2 = 0.6931)",
			self->at.loss);
	}
	self->at.step++;
	self->at.tokens += sum.n_tokens;
	step_metrics(self, &sum, norm, lr);
	return 0;
}

static int validate(rm_stage *self)
{
	uint64_t step = self->at.step, every = (uint64_t)self->params->eval_every;
	gpt_accuracy quality;
	int code;

	if (self->valid.n == 0 ||
		(step != self->total && step % (every > 0 ? every : self->per_epoch) != 0))
		return 0;
	code = rm_measure(self, &self->valid, &quality);
	if (code)
		return code;
	gpt_metrics_add(&self->work.metrics, "eval_loss", quality.loss);
	gpt_metrics_add(&self->work.metrics, "eval_accuracy", quality.share);
	return 0;
}

static int train(rm_stage *self)
{
	while (self->at.step < self->total) {
		cairn_progress progress = {.total = self->total, .phase = "train"};
		int code = train_step(self);

		if (!code)
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

int rm_run(const cairn_host *host, cairn_run *run, const void *params)
{
	rm_stage self = {.params = params};
	int code;

	gpt_work_init(&self.work, host, run, self.params->micro_tokens);
	self.work.recompute = self.params->recompute;
	code = open_stage(&self);
	if (!code)
		code = resume(&self);
	if (!code)
		code = train(&self);
	if (!code)
		code = rm_report(&self);
	if (!code)
		code = gpt_save_model(host, run, "model", self.model, self.tokenizer);
	rm_batch_close(&self);
	free_rankings(&self.others);
	free_rankings(&self.valid);
	free_rankings(&self.train);
	gpt_adam_free(self.adam);
	gpt_model_free(self.model);
	gpt_tokenizer_free(self.tokenizer);
	gpt_work_free(&self.work);
	return code;
}
