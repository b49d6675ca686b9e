/* SPDX-License-Identifier: Apache-2.0 */
/* train_data.c - text windows, tokenised rows and the order of data; see train_data.h. */
#include "gpt/train_data.h"

#include <string.h>

#include "base/alloc.h"
#include "gpt/checkpoint.h"
#include "gpt/rng.h"

/* ---- text ---------------------------------------------------------------------------- */

static int open_tokens(const gpt_work *work, const cairn_artifact *text, const char *name,
	int32_t n_vocab, const int32_t **out, uint64_t *n)
{
	cairn_tensor tensor = {0};
	int found = work->host->entry_get(work->run, text, name, &tensor);

	if (found < 0)
		return found;
	*out = NULL;
	*n = 0;
	if (found > 0)
		return 0;
	if (tensor.dtype != CAIRN_I32)
		return work->host->fail(work->run, CAIRN_EINPUT, "'%s' of '%s' holds no token ids",
			name, text->source);
	*out = tensor.data;
	*n = tensor.bytes / sizeof(int32_t);
	for (uint64_t i = 0; i < *n; i++) {
		if ((*out)[i] < 0 || (*out)[i] >= n_vocab)
			return work->host->fail(work->run, CAIRN_EINPUT,
				"token %d in '%s' of '%s' is outside the vocabulary of %d",
				(*out)[i], name, text->source, n_vocab);
	}
	return 0;
}

int gpt_text_open(
	gpt_text *out, const gpt_work *work, const char *port, int32_t n_vocab, int32_t length)
{
	cairn_artifact text = {0};
	int code = work->host->input_open(work->run, port, 0, &text);

	if (!code)
		code = open_tokens(work, &text, "train", n_vocab, &out->train, &out->n_train);
	if (!code)
		code = open_tokens(work, &text, "valid", n_vocab, &out->valid, &out->n_valid);
	if (!code && out->n_train < (uint64_t)length + 1) {
		code = work->host->fail(work->run, CAIRN_EINPUT,
			"'%s' has %llu tokens to train on, fewer than a window of %d", text.source,
			(unsigned long long)out->n_train, length + 1);
		work->host->hint(work->run, "Give more text or a shorter window.");
	}
	return code;
}

gpt_seq gpt_text_window(
	const gpt_text *text, uint64_t key, uint64_t step, uint64_t index, int32_t length)
{
	uint64_t places = text->n_train - (uint64_t)length;

	return (gpt_seq){
		.tokens = text->train + gpt_random_below(key, step, index, places),
		.n = length + 1,
		.first = 1,
		.unit = index,
	};
}

int gpt_text_valid(gpt_seq **out, size_t *n, const gpt_text *text, const gpt_work *work,
	int32_t length, uint64_t max_tokens)
{
	uint64_t tokens = text->n_valid < max_tokens ? text->n_valid : max_tokens;
	size_t count = 0;
	gpt_seq *seqs = cairn_alloc((size_t)(tokens / (uint64_t)length) + 1, sizeof(*seqs));

	if (!seqs)
		return gpt_no_memory(work, "validation windows");
	/* The last token of a window is the first of the next: each is predicted once. */
	for (uint64_t at = 0; at + 1 < tokens; at += (uint64_t)length) {
		uint64_t left = tokens - at;
		uint64_t take = left < (uint64_t)length + 1 ? left : (uint64_t)length + 1;

		seqs[count] = (gpt_seq){
			.tokens = text->valid + at,
			.n = (int32_t)take,
			.first = 1,
			.unit = count,
			.id = count,
		};
		count++;
	}
	*out = seqs;
	*n = count;
	return 0;
}

/* ---- rows ---------------------------------------------------------------------------- */

int gpt_limits_set(gpt_limits *out, const gpt_work *work, int64_t max_prompt, int64_t max_response,
	int32_t n_ctx)
{
	if (max_prompt == 0)
		max_prompt = n_ctx / 2;
	if (max_response == 0)
		max_response = n_ctx - max_prompt;
	if (max_prompt < 1 || max_response < 1 || max_prompt + max_response > n_ctx)
		return work->host->fail(work->run, CAIRN_EPARAM,
			"prompts of %lld and responses of %lld tokens do not fit a context of %d",
			(long long)max_prompt, (long long)max_response, n_ctx);
	*out = (gpt_limits){
		.max_prompt = (int32_t)max_prompt,
		.max_response = (int32_t)max_response,
		.n_ctx = n_ctx,
	};
	return 0;
}

static int add_ids(gpt_examples *out, const gpt_work *work, const int32_t *ids, size_t n)
{
	if (out->n_ids + n > out->cap_ids) {
		size_t cap = 2 * (out->n_ids + n) + 1024;
		int32_t *larger = cairn_realloc(out->ids, cap, sizeof(*larger));

		if (!larger)
			return gpt_no_memory(work, "tokens");
		out->ids = larger;
		out->cap_ids = cap;
	}
	if (n > 0)
		memcpy(out->ids + out->n_ids, ids, n * sizeof(*ids));
	out->n_ids += n;
	return 0;
}

static int reserve_seq(gpt_examples *out, const gpt_work *work)
{
	size_t cap = 2 * out->cap + 64;
	gpt_seq *seqs;
	size_t *row;

	if (out->n < out->cap)
		return 0;
	seqs = cairn_realloc(out->seqs, cap, sizeof(*seqs));
	if (!seqs)
		return gpt_no_memory(work, "sequences");
	out->seqs = seqs;
	row = cairn_realloc(out->row, cap, sizeof(*row));
	if (!row)
		return gpt_no_memory(work, "sequences");
	out->row = row;
	out->cap = cap;
	return 0;
}

/* Encodes; the caller frees *ids. */
static int encode(const gpt_work *work, const gpt_tokenizer *tokenizer, const char *text,
	int32_t **ids, size_t *n)
{
	cairn_error err = {0};

	if (gpt_tokenizer_encode(tokenizer, text, strlen(text), ids, n, &err))
		return gpt_report(work, &err);
	return 0;
}

/* One sequence of `prompt` and, unless NULL, `completion`. Pointers are set at the end, because
 * the store of tokens moves while it grows. */
static int add_seq(gpt_examples *out, const gpt_work *work, const gpt_tokenizer *tokenizer,
	const gpt_limits *limits, const int32_t *prompt, size_t n_prompt, const char *completion,
	bool ended, size_t row)
{
	int32_t end = gpt_tokenizer_end(tokenizer);
	int32_t *ids = NULL;
	size_t n = 0, start = out->n_ids;
	int code = reserve_seq(out, work);

	if (!code)
		code = add_ids(out, work, prompt, n_prompt);
	if (!code && completion) {
		size_t room = (size_t)limits->max_response;

		if (room > (size_t)limits->n_ctx - n_prompt)
			room = (size_t)limits->n_ctx - n_prompt;
		code = encode(work, tokenizer, completion, &ids, &n);
		if (!code && n + (ended ? 1 : 0) > room) {
			out->n_cut++;
			n = room;
			ended = false;
		}
		if (!code)
			code = add_ids(out, work, ids, n);
		if (!code && ended)
			code = add_ids(out, work, &end, 1);
	}
	free(ids);
	if (code)
		return code;
	out->row[out->n] = row;
	out->seqs[out->n] = (gpt_seq){
		.n = (int32_t)(out->n_ids - start),
		.first = limits->loss_on_all ? 1 : (int32_t)n_prompt,
		.unit = out->n_units,
		.id = out->n,
	};
	out->n++;
	return 0;
}

static int add_row(gpt_examples *out, const gpt_work *work, const gpt_row *row, size_t index,
	const gpt_tokenizer *tokenizer, const gpt_limits *limits, enum gpt_example_form form)
{
	int32_t end = gpt_tokenizer_end(tokenizer);
	int32_t *ids = NULL;
	const int32_t *prompt = &end;
	size_t n_prompt = 1, n = 0;
	int code = encode(work, tokenizer, row->prompt, &ids, &n);

	if (!code && n > (size_t)limits->max_prompt) {
		out->n_dropped++;
		free(ids);
		return 0;
	}
	if (n > 0) {
		prompt = ids;
		n_prompt = n;
	}
	if (!code && form == GPT_EXAMPLE_PROMPT)
		code = add_seq(out, work, tokenizer, limits, prompt, n_prompt, NULL, false, index);
	if (!code && form == GPT_EXAMPLE_DEMO)
		code = add_seq(out, work, tokenizer, limits, prompt, n_prompt,
			row->completion ? row->completion : "", true, index);
	if (form == GPT_EXAMPLE_CANDIDATES) {
		for (int32_t i = 0; !code && i < row->n_completions; i++)
			code = add_seq(out, work, tokenizer, limits, prompt, n_prompt,
				row->completions[i], row->ended ? row->ended[i] : true, index);
	}
	out->n_units++;
	free(ids);
	return code;
}

int gpt_examples_make(gpt_examples *out, const gpt_work *work, const gpt_rows *rows,
	const gpt_tokenizer *tokenizer, const gpt_limits *limits, enum gpt_example_form form,
	const char *what)
{
	size_t at = 0;

	*out = (gpt_examples){0};
	if (gpt_tokenizer_end(tokenizer) < 0)
		return work->host->fail(
			work->run, CAIRN_EINPUT, "the tokenizer has no end token '<|endoftext|>'");
	for (size_t i = 0; i < rows->n; i++) {
		int code = add_row(out, work, &rows->rows[i], i, tokenizer, limits, form);

		if (code)
			return code;
	}
	for (size_t i = 0; i < out->n; i++) {
		out->seqs[i].tokens = out->ids + at;
		at += (size_t)out->seqs[i].n;
	}
	if (out->n_dropped > 0 || out->n_cut > 0)
		work->host->log(work->run, CAIRN_LOG_WARNING,
			"%s: %llu of %zu rows dropped (prompt of more than %d tokens), "
			"%llu completions cut to %d tokens",
			what, (unsigned long long)out->n_dropped, rows->n, limits->max_prompt,
			(unsigned long long)out->n_cut, limits->max_response);
	if (out->n == 0) {
		int code = work->host->fail(
			work->run, CAIRN_EINPUT, "no row of the %s can be used", what);

		work->host->hint(work->run, "%zu rows were read, %llu have too long prompts.",
			rows->n, (unsigned long long)out->n_dropped);
		return code;
	}
	return 0;
}

void gpt_examples_free(gpt_examples *examples)
{
	free(examples->seqs);
	free(examples->row);
	free(examples->ids);
	*examples = (gpt_examples){0};
}

int gpt_same_tokenizer(const gpt_work *work, const gpt_tokenizer *tokenizer, const char *port)
{
	gpt_tokenizer *other = NULL;
	size_t n_ours, n_theirs;
	const char *ours, *theirs;
	int code = gpt_load_tokenizer(&other, work->host, work->run, port);

	if (code)
		return code;
	ours = gpt_tokenizer_vocab_json(tokenizer, &n_ours);
	theirs = gpt_tokenizer_vocab_json(other, &n_theirs);
	if (n_ours != n_theirs || memcmp(ours, theirs, n_ours) != 0) {
		code = work->host->fail(work->run, CAIRN_EINPUT,
			"the model on '%s' has a vocabulary of its own", port);
		work->host->hint(work->run, "Train the stage's models from one tokenizer.");
	}
	gpt_tokenizer_free(other);
	return code;
}

/* ---- order --------------------------------------------------------------------------- */

int gpt_order_init(gpt_order *out, const gpt_work *work, uint64_t key, uint64_t n)
{
	CAIRN_ASSERT(n > 0);
	*out = (gpt_order){.key = key, .n = n, .epoch = UINT64_MAX};
	out->index = cairn_alloc(n, sizeof(*out->index));
	return out->index ? 0 : gpt_no_memory(work, "the order of data");
}

uint64_t gpt_order_at(gpt_order *order, uint64_t i)
{
	if (i / order->n != order->epoch) {
		order->epoch = i / order->n;
		gpt_shuffle(order->key, order->epoch, order->index, order->n);
	}
	return order->index[i % order->n];
}

void gpt_order_free(gpt_order *order)
{
	free(order->index);
	*order = (gpt_order){0};
}
