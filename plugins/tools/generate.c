/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generate.c - completions, shown while they are drawn.
 *
 * All completions of a portion of prompts are drawn side by side, because a step of decoding reads
 * the weights once for all of them. One of them, the first that is not finished, is shown
 * token by token; the others wait for their turn. What is drawn depends on seed, prompt and place
 * of the prompt only, not on the portion.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/sampling.h"
#include "gpt/utf8.h"
#include "tools.h"

struct prompt {
	json_t *row; /* where the format has rows */
	int32_t *ids;
	size_t n;
};

struct generate {
	tool_work work;
	const generate_params *params;
	gpt_model *model;
	gpt_tokenizer *tokenizer;
	struct prompt *prompts; /* of the portion */
	size_t n_prompts;
	uint64_t n_before; /* prompts of earlier portions */
	int32_t max_new;
	int32_t *tokens; /* [batch * n, max_new] */
	gpt_sequence *sequences;
	size_t n_sequences;

	size_t front;       /* the sequence that is shown */
	int32_t shown;      /* of its tokens */
	cairn_text pending; /* bytes not shown yet: in text, an unfinished character */
	cairn_text out;
	int rc; /* of writing, while gpt_sample() draws */
};

/* ---- prompts -------------------------------------------------------------------------------- */

static int no_room(const struct generate *self, size_t n)
{
	cairn_error err = {0};

	cairn_error_set(&err, CAIRN_EINPUT,
		"prompt of %zu tokens leaves no room in the model's context of %d", n,
		self->model->config.n_ctx);
	cairn_error_hint(
		&err, "Shorten the prompt to at most %d tokens.", self->model->config.n_ctx - 1);
	return tool_bad_row_with(&self->work, &err);
}

/* Adds a prompt to the portion; takes the row over. */
static int add_prompt(struct generate *self, const char *text, size_t len, json_t *row)
{
	struct prompt *prompt = &self->prompts[self->n_prompts];
	int32_t end = gpt_tokenizer_end(self->tokenizer);
	int rc;

	*prompt = (struct prompt){.row = row};
	rc = tool_encode(&self->work, self->tokenizer, text, len, &prompt->ids, &prompt->n);
	if (!rc && prompt->n == 0) {
		/* A network needs something to start from. */
		free(prompt->ids);
		prompt->ids = cairn_alloc(1, sizeof(*prompt->ids));
		if (!prompt->ids)
			rc = tool_no_memory(&self->work, "a prompt");
		else if (end < 0)
			rc = tool_bad_row(&self->work,
				"an empty prompt needs an end token, which the tokenizer has not");
		else
			prompt->ids[prompt->n++] = end;
	}
	if (!rc && prompt->n >= (size_t)self->model->config.n_ctx)
		rc = no_room(self, prompt->n);
	if (!rc) {
		self->n_prompts++;
		return 0;
	}
	free(prompt->ids);
	json_decref(row);
	return rc;
}

/* 1: a prompt more; 0: stdin has ended. */
static int read_line(struct generate *self)
{
	const cairn_tool_io *io = self->work.io;
	const char *text;
	json_t *row;
	size_t len;
	int rc;

	if (self->params->format == FORMAT_TEXT) {
		rc = io->read_line(io->self, &text, &len);
		if (rc <= 0)
			return rc;
		self->work.line++;
		rc = add_prompt(self, text, len, NULL);
		return rc ? rc : 1;
	}
	rc = tool_next_row(&self->work, &row, NULL);
	if (rc <= 0)
		return rc;
	rc = tool_get_text(&self->work, row, "prompt", &text, &len);
	if (!rc && !text)
		rc = tool_bad_row(&self->work, "row has no 'prompt'");
	if (rc) {
		json_decref(row);
		return rc;
	}
	rc = add_prompt(self, text, len, row);
	return rc ? rc : 1;
}

static void drop_prompts(struct generate *self)
{
	for (size_t i = 0; i < self->n_prompts; i++) {
		free(self->prompts[i].ids);
		json_decref(self->prompts[i].row);
	}
	self->n_before += self->n_prompts;
	self->n_prompts = 0;
}

/* ---- showing ------------------------------------------------------------------------------------
 */

static bool is_finished(const struct generate *self, const gpt_sequence *sequence)
{
	return sequence->ended || sequence->n_tokens == self->max_new ||
	       sequence->n_prompt + sequence->n_tokens == self->model->config.n_ctx;
}

/* The bytes of the tokens drawn since it was last looked at. */
static int take_bytes(struct generate *self, const gpt_sequence *sequence)
{
	for (; self->shown < sequence->n_tokens; self->shown++) {
		int32_t id = sequence->tokens[self->shown];
		cairn_error err = {0};
		char *bytes;
		size_t len;

		/* A model may know more tokens than its tokenizer, to make a round number. */
		if (id >= gpt_tokenizer_size(self->tokenizer)) {
			cairn_text_add(&self->pending, "\xef\xbf\xbd");
			continue;
		}
		if (gpt_tokenizer_decode(self->tokenizer, &id, 1, &bytes, &len, &err))
			return self->work.host->fail_with(self->work.run, &err);
		cairn_text_add_bytes(&self->pending, bytes, len);
		free(bytes);
	}
	return self->pending.failed ? tool_no_memory(&self->work, "a completion") : 0;
}

static int write_text(struct generate *self, bool is_whole)
{
	const cairn_tool_io *io = self->work.io;
	const char *bytes = cairn_text_get(&self->pending);
	size_t len = self->pending.len, kept = is_whole ? 0 : gpt_utf8_unfinished(bytes, len);
	char tail[4];
	int rc = 0;

	gpt_utf8_add(&self->out, bytes, len - kept);
	if (is_whole)
		cairn_text_add_char(&self->out, '\n');
	memcpy(tail, bytes + len - kept, kept);
	cairn_text_clear(&self->pending);
	cairn_text_add_bytes(&self->pending, tail, kept);
	if (self->out.failed)
		return tool_no_memory(&self->work, "a completion");
	if (self->out.len > 0)
		rc = io->write(io->self, self->out.data, self->out.len);
	if (!rc && self->out.len > 0)
		rc = io->flush(io->self);
	cairn_text_clear(&self->out);
	return rc;
}

static int write_row(struct generate *self, const gpt_sequence *sequence)
{
	const cairn_tool_io *io = self->work.io;
	const struct prompt *prompt = &self->prompts[self->front / (size_t)self->params->n];
	cairn_text *out = &self->out;
	int rc;

	tool_begin_row(out, prompt->row);
	cairn_text_add(out, "\"completion\":");
	tool_add_string(out, cairn_text_get(&self->pending), self->pending.len);
	cairn_text_printf(out, ",\"tokens\":%d,\"ended\":%s}", sequence->n_tokens,
		sequence->ended ? "true" : "false");
	cairn_text_clear(&self->pending);
	rc = tool_end_row(&self->work, out);
	return rc ? rc : io->flush(io->self);
}

/* Shows what there is of the sequence in front; and of the next ones, where it is finished or
 * nothing more will come. */
static int show(struct generate *self, bool is_over)
{
	while (self->front < self->n_sequences) {
		const gpt_sequence *sequence = &self->sequences[self->front];
		bool is_whole = is_finished(self, sequence);
		int rc = take_bytes(self, sequence);

		if (is_over && !is_whole && sequence->n_tokens == 0)
			return rc;
		if (!rc && self->params->format == FORMAT_TEXT)
			rc = write_text(self, is_whole || is_over);
		else if (!rc && (is_whole || is_over))
			rc = write_row(self, sequence);
		if (rc || !(is_whole || is_over))
			return rc;
		self->front++;
		self->shown = 0;
	}
	return 0;
}

static int drawn(void *opaque, const gpt_sequence *sequence)
{
	struct generate *self = opaque;
	const cairn_tool_io *io = self->work.io;

	if (sequence == &self->sequences[self->front])
		self->rc = show(self, false);
	return self->rc || io->stopping(io->self);
}

/* ---- drawing
 * ------------------------------------------------------------------------------------- */

static void line_up(struct generate *self)
{
	size_t n = (size_t)self->params->n, max_new = (size_t)self->max_new;

	self->n_sequences = self->n_prompts * n;
	for (size_t i = 0; i < self->n_sequences; i++)
		self->sequences[i] = (gpt_sequence){
			.prompt = self->prompts[i / n].ids,
			.n_prompt = (int32_t)self->prompts[i / n].n,
			.sample_id = self->n_before * n + i,
			.tokens = self->tokens + i * max_new,
		};
	self->front = 0;
	self->shown = 0;
}

static int draw_portion(struct generate *self)
{
	const generate_params *params = self->params;
	const cairn_tool_io *io = self->work.io;
	gpt_sampling options = {
		.temperature = params->temperature,
		.top_k = (int32_t)params->top_k,
		.top_p = params->top_p,
		.max_new = self->max_new,
		.end_token = params->stop_at_end ? gpt_tokenizer_end(self->tokenizer) : -1,
		.key = self->work.host->rng_key(self->work.run, "generate"),
		.drawn = drawn,
		.self = self,
	};
	cairn_error err = {0};
	bool stops;
	int rc;

	line_up(self);
	rc = gpt_sample(self->model, self->sequences, (int64_t)self->n_sequences, &options, &err);
	if (rc)
		return self->work.host->fail_with(self->work.run, &err);
	stops = io->stopping(io->self);
	rc = self->rc ? self->rc : show(self, stops);
	return rc || !stops ? rc : CAIRN_STOPPED;
}

static int all_prompts(struct generate *self)
{
	int rc = 0, more = 1;

	while (more > 0 && !rc) {
		while (more > 0 && self->n_prompts < (size_t)self->params->batch)
			more = read_line(self);
		/* What stands before a bad line is answered. */
		if (self->n_prompts > 0)
			rc = draw_portion(self);
		drop_prompts(self);
	}
	return more < 0 ? more : rc;
}

static int open(struct generate *self)
{
	const generate_params *params = self->params;
	size_t n = (size_t)params->batch * (size_t)params->n;
	int rc = gpt_load_model(
		&self->model, self->work.host, self->work.run, "model", GPT_HEAD_LM, 0, 0);

	if (!rc)
		rc = tool_load_tokenizer(&self->tokenizer, &self->work, "model", self->model);
	if (rc)
		return rc;
	self->max_new = self->model->config.n_ctx;
	if (params->max_new < self->max_new)
		self->max_new = (int32_t)params->max_new;
	self->prompts = cairn_alloc((size_t)params->batch, sizeof(*self->prompts));
	self->sequences = cairn_alloc(n, sizeof(*self->sequences));
	self->tokens = cairn_alloc(n, (size_t)self->max_new * sizeof(*self->tokens));
	if (!self->prompts || !self->sequences || !self->tokens)
		return tool_no_memory(&self->work, "completions");
	return 0;
}

int tool_generate(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
	const void *opaque, const char *text)
{
	struct generate self = {
		.work = {.host = host, .run = run, .io = io},
		.params = opaque,
	};
	int rc = open(&self);

	if (!rc && text) {
		json_t *row = json_object();

		rc = row ? add_prompt(&self, text, strlen(text), row)
			 : tool_no_memory(&self.work, "a prompt");
		if (!rc)
			rc = draw_portion(&self);
	} else if (!rc) {
		rc = all_prompts(&self);
	}
	drop_prompts(&self);
	free(self.prompts);
	free(self.sequences);
	free(self.tokens);
	cairn_text_free(&self.pending);
	cairn_text_free(&self.out);
	gpt_tokenizer_free(self.tokenizer);
	gpt_model_free(self.model);
	return rc;
}
