/* SPDX-License-Identifier: Apache-2.0 */
/*
 * score.c - log-probabilities from a language model, rewards from a reward model.
 *
 * Rows are read in portions, computed shortest first in micro-batches, and written in the order
 * in which they came. What a row gives depends on that row only (gpt/README.md), so the portion
 * is a matter of speed and memory.
 */
#include <math.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/train_run.h"
#include "tools.h"

/* A portion ends when its lines have so many bytes: bounds what is kept of them. */
#define PORTION_BYTES (8u << 20)

struct item {
	json_t *row;
	int32_t *ids;
	size_t n;
	int64_t n_prompt; /* -1: the row does not say */
	float *logprobs;  /* [n-1], of ids[1] ... */
	double reward;
};

struct score {
	tool_work work;
	gpt_work compute;
	gpt_model *model;
	gpt_tokenizer *tokenizer; /* loaded when the first text comes */
	struct item *items;
	gpt_seq *seqs;
	size_t n, cap;
	cairn_text out;
};

static bool is_reward(const struct score *self)
{
	return self->model->head == GPT_HEAD_SCALAR;
}

/* ---- a row to tokens --------------------------------------------------------------------------
 */

static int need_tokenizer(struct score *self)
{
	return self->tokenizer
		       ? 0
		       : tool_load_tokenizer(&self->tokenizer, &self->work, "model", self->model);
}

/* As trainers see a demonstration: prompt, completion, end token; the two texts are encoded apart,
 * and an empty prompt is one end token (gpt/train_data.h). */
static int encode_pair(struct score *self, struct item *item)
{
	const tool_work *work = &self->work;
	bool ends = !json_is_false(json_object_get(item->row, "ended"));
	const char *prompt, *completion;
	int32_t *first = NULL, *second = NULL, end;
	size_t len, n_first = 0, n_second = 0;
	int rc = need_tokenizer(self);

	if (rc)
		return rc;
	end = gpt_tokenizer_end(self->tokenizer);
	rc = tool_get_text(work, item->row, "prompt", &prompt, &len);
	if (!rc && prompt)
		rc = tool_encode(work, self->tokenizer, prompt, len, &first, &n_first);
	if (!rc)
		rc = tool_get_text(work, item->row, "completion", &completion, &len);
	if (!rc && (!prompt || !completion))
		rc = tool_bad_row(work, "row has no '%s'", prompt ? "completion" : "prompt");
	if (!rc)
		rc = tool_encode(work, self->tokenizer, completion, len, &second, &n_second);
	if (!rc && end < 0 && (ends || n_first == 0))
		rc = tool_bad_row(work, "the tokenizer has no end token for 'completion'");
	if (rc)
		goto out;
	item->ids = cairn_alloc(n_first + n_second + 2, sizeof(*item->ids));
	if (!item->ids) {
		rc = tool_no_memory(work, "the tokens of a row");
		goto out;
	}
	for (size_t i = 0; i < n_first; i++)
		item->ids[item->n++] = first[i];
	if (n_first == 0)
		item->ids[item->n++] = end;
	item->n_prompt = (int64_t)item->n;
	for (size_t i = 0; i < n_second; i++)
		item->ids[item->n++] = second[i];
	if (ends)
		item->ids[item->n++] = end;
out:
	free(first);
	free(second);
	return rc;
}

static int read_tokens(struct score *self, struct item *item)
{
	const tool_work *work = &self->work;
	bool has_ids = json_object_get(item->row, "ids") != NULL;
	bool has_text = json_object_get(item->row, "text") != NULL;
	bool has_pair = json_object_get(item->row, "prompt") != NULL ||
			json_object_get(item->row, "completion") != NULL;
	const char *text;
	size_t len;
	int rc;

	if (has_ids + has_text + has_pair != 1)
		return tool_bad_row(work, "row needs one of 'ids', 'text' and 'prompt' with "
					  "'completion'");
	if (has_ids)
		return tool_get_ids(
			work, item->row, self->model->config.n_vocab, &item->ids, &item->n);
	if (has_pair)
		return encode_pair(self, item);
	rc = tool_get_text(work, item->row, "text", &text, &len);
	if (!rc)
		rc = need_tokenizer(self);
	return rc ? rc : tool_encode(work, self->tokenizer, text, len, &item->ids, &item->n);
}

/* The last token of a text is predicted, not read, so a language model takes one more. */
static int check_length(const struct score *self, const struct item *item)
{
	size_t most = (size_t)self->model->config.n_ctx + (is_reward(self) ? 0 : 1);

	if (item->n > most)
		return tool_bad_row(&self->work,
			"row of %zu tokens is too long for a model of n_ctx = %d", item->n,
			self->model->config.n_ctx);
	if (item->n == 0 && is_reward(self))
		return tool_bad_row(&self->work, "row has no token to reward");
	return 0;
}

/* Takes the row over. */
static int add_item(struct score *self, json_t *row)
{
	struct item *item = &self->items[self->n];
	int rc;

	*item = (struct item){.row = row, .n_prompt = -1};
	rc = read_tokens(self, item);
	if (!rc)
		rc = check_length(self, item);
	if (!rc && !is_reward(self) && item->n > 1) {
		item->logprobs = cairn_alloc(item->n - 1, sizeof(*item->logprobs));
		if (!item->logprobs)
			rc = tool_no_memory(&self->work, "log-probabilities");
	}
	if (!rc) {
		self->n++;
		return 0;
	}
	json_decref(item->row);
	free(item->ids);
	return rc;
}

static void drop_items(struct score *self)
{
	for (size_t i = 0; i < self->n; i++) {
		json_decref(self->items[i].row);
		free(self->items[i].ids);
		free(self->items[i].logprobs);
	}
	self->n = 0;
}

/* ---- a portion ----------------------------------------------------------------------------------
 */

/* Results of the micro-batch that starts at `from`. */
static int take_micro(struct score *self, size_t from)
{
	const gpt_micro *micro = &self->compute.micro;
	cairn_error err = {0};
	int rc = is_reward(self)
			 ? gpt_values(self->model, micro->x, &err)
			 : gpt_logprobs(self->model, micro->target, 1, micro->x, NULL, &err);

	if (rc)
		return self->work.host->fail_with(self->work.run, &err);
	for (size_t b = 0; b < micro->count; b++) {
		struct item *item = &self->items[self->seqs[from + b].id];

		if (is_reward(self)) {
			double raw = (double)micro->x[gpt_micro_row(micro, b, (int32_t)item->n)];

			item->reward = self->model->reward_gain * raw + self->model->reward_bias;
			continue;
		}
		for (size_t j = 1; j < item->n; j++)
			item->logprobs[j - 1] =
				(float)micro->x[gpt_micro_row(micro, b, (int32_t)j)];
	}
	return 0;
}

static int compute(struct score *self)
{
	size_t n = 0;

	for (size_t i = 0; i < self->n; i++) {
		const struct item *item = &self->items[i];

		if (is_reward(self) || item->n > 1)
			self->seqs[n++] = (gpt_seq){.tokens = item->ids,
				.n = (int32_t)item->n,
				.first = 1,
				.unit = i,
				.id = i};
	}
	gpt_seqs_sort(self->seqs, n);
	for (size_t from = 0; from < n; from += self->compute.micro.count) {
		int rc = gpt_work_forward(&self->compute, self->model, self->seqs, n, from,
			is_reward(self) ? GPT_ROWS_SCORE : GPT_ROWS_PREDICT, false);

		if (!rc)
			rc = take_micro(self, from);
		if (rc)
			return rc;
	}
	return 0;
}

static int write_item(struct score *self, const struct item *item)
{
	cairn_text *out = &self->out;

	tool_begin_row(out, item->row);
	if (item->n_prompt >= 0)
		cairn_text_printf(out, "\"prompt_tokens\":%lld,", (long long)item->n_prompt);
	if (is_reward(self)) {
		if (!isfinite(item->reward))
			return self->work.host->fail(
				self->work.run, CAIRN_EINPUT, "the model's reward is not finite");
		cairn_text_add(out, "\"reward\":");
		tool_add_double(out, item->reward);
		cairn_text_add_char(out, '}');
		return tool_end_row(&self->work, out);
	}
	cairn_text_add(out, item->n ? "\"logprobs\":[null" : "\"logprobs\":[");
	for (size_t j = 0; j + 1 < item->n; j++) {
		if (!isfinite(item->logprobs[j]))
			return self->work.host->fail(self->work.run, CAIRN_EINPUT,
				"the model's log-probabilities are not finite");
		cairn_text_add_char(out, ',');
		tool_add_float(out, item->logprobs[j]);
	}
	cairn_text_add(out, "]}");
	return tool_end_row(&self->work, out);
}

static int finish_portion(struct score *self)
{
	const cairn_tool_io *io = self->work.io;
	int rc = compute(self);

	for (size_t i = 0; !rc && i < self->n; i++)
		rc = write_item(self, &self->items[i]);
	drop_items(self);
	if (!rc)
		rc = io->flush(io->self);
	if (!rc && io->stopping(io->self))
		rc = CAIRN_STOPPED;
	return rc;
}

/* A bad row ends the work, after the answers to the rows before it. */
static int all_rows(struct score *self)
{
	int rc, more = 1;

	while (more > 0) {
		size_t bytes = 0;

		while (more > 0 && self->n < self->cap && bytes < PORTION_BYTES) {
			json_t *row;

			more = tool_next_row(&self->work, &row, &bytes);
			if (more > 0) {
				rc = add_item(self, row);
				more = rc ? rc : 1;
			}
		}
		rc = finish_portion(self);
		if (rc)
			return more < 0 ? more : rc;
	}
	return more;
}

static int one_text(struct score *self, const char *text)
{
	json_t *row = tool_text_row(text);
	int rc = row ? add_item(self, row) : tool_no_memory(&self->work, "a text");

	return rc ? rc : finish_portion(self);
}

int tool_score(const cairn_host *host, cairn_run *run, const cairn_tool_io *io, const void *opaque,
	const char *text)
{
	const score_params *params = opaque;
	struct score self = {
		.work = {.host = host, .run = run, .io = io},
		.cap = (size_t)params->batch,
	};
	int rc = gpt_load_model_as_is(&self.model, host, run, "model");

	gpt_work_init(&self.compute, host, run, params->micro_tokens);
	self.compute.account_forward =
		!rc && is_reward(&self) ? CAIRN_ACCOUNT_REWARD : CAIRN_ACCOUNT_FORWARD;
	self.items = cairn_alloc(self.cap, sizeof(*self.items));
	self.seqs = cairn_alloc(self.cap, sizeof(*self.seqs));
	if (!rc && (!self.items || !self.seqs))
		rc = tool_no_memory(&self.work, "a portion of rows");
	if (!rc)
		rc = text ? one_text(&self, text) : all_rows(&self);
	free(self.items);
	free(self.seqs);
	cairn_text_free(&self.out);
	gpt_work_free(&self.compute);
	gpt_tokenizer_free(self.tokenizer);
	gpt_model_free(self.model);
	return rc;
}
