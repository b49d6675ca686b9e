/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampling.c - prefill and decode.
 *
 * The prompts, sorted by length, are worked off in rounds of `slots` sequences. A round
 * first runs its prompts through the whole network (prefill), which leaves keys and values in
 * the caches; then each step takes every live sequence one token further (decode). A sequence
 * that has ended leaves the batch: the rows of a step are the live ones only, and a row finds its
 * cache by its slot. Order, rounds and batch mates change no bit of a completion: every kernel
 * row depends on its own sequence only, and the random number on (key, sample id, position).
 *
 * Reads like: model_forward.c, whose layers run both kinds of pass.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/model_parts.h"
#include "gpt/sampling.h"

/* Sequences at once where the caller does not say: a step of decoding reads all weights once,
 * however many rows share it. */
#define DEFAULT_SLOTS 64
/* Packed weights pay for themselves from this many sequences and tokens on. */
#define PACKED_SLOTS 8
#define PACKED_STEPS 8

typedef struct sampler {
	gpt_model *model;
	const gpt_sampling *options;
	gpt_sequence **order; // all sequences by prompt length
	int64_t slots;        // sequences of a round, at most
	int32_t longest;      // positions of the longest sequence
	gpt__cache cache;
	cairn_packed **packed; // or NULL

	const gpt_cache *rows; // dev memory of the sequences at work

	/* The live sequences of the round, host, [slots]. */
	int64_t n_live;
	int64_t n_keys; // of a step of decoding: as in cairn_decode
	bool stopped;   // by options->drawn
	gpt_sequence **live;
	int32_t *host_slot, *host_i32;
	uint64_t *host_row_id;
	cairn_real *host_real;
} sampler;

/* Tokens that may be drawn for a sequence. */
static int32_t room(const sampler *s, const gpt_sequence *sequence)
{
	int32_t left = s->model->config.n_ctx - sequence->n_prompt;

	return left < s->options->max_new ? left : s->options->max_new;
}

static int check_options(const gpt_model *model, const gpt_sampling *options, cairn_error *err)
{
	if (model->head != GPT_HEAD_LM)
		return cairn_error_set(
			err, CAIRN_EBUG, "sampling from a model without language-model head");
	if (!(options->temperature >= 0 && options->temperature <= 1e6))
		return cairn_error_set(
			err, CAIRN_EPARAM, "temperature cannot be %g", options->temperature);
	if (options->top_k < 0 || !(options->top_p > 0 && options->top_p <= 1))
		return cairn_error_set(err, CAIRN_EPARAM, "top_k %d and top_p %g cannot be",
			options->top_k, options->top_p);
	if (options->max_new < 1 || options->batch < 0)
		return cairn_error_set(err, CAIRN_EPARAM, "max_new %d and batch %lld cannot be",
			options->max_new, (long long)options->batch);
	if (options->end_token < -1 || options->end_token >= model->config.n_vocab)
		return cairn_error_set(err, CAIRN_EPARAM,
			"end token %d does not fit a model of n_vocab = %d", options->end_token,
			model->config.n_vocab);
	return 0;
}

static int check_sequence(const gpt_model *model, const gpt_sequence *sequence, cairn_error *err)
{
	if (sequence->n_prompt < 1 || sequence->n_prompt >= model->config.n_ctx)
		return cairn_error_set(err, CAIRN_EPARAM,
			"a prompt of %d tokens leaves no room in a model of n_ctx = %d",
			sequence->n_prompt, model->config.n_ctx);
	for (int32_t t = 0; t < sequence->n_prompt; t++)
		if (sequence->prompt[t] < 0 || sequence->prompt[t] >= model->config.n_vocab)
			return cairn_error_set(err, CAIRN_EPARAM,
				"token %d does not fit a model of n_vocab = %d",
				sequence->prompt[t], model->config.n_vocab);
	return 0;
}

static int by_prompt_length(const void *a, const void *b)
{
	const gpt_sequence *x = *(gpt_sequence *const *)a, *y = *(gpt_sequence *const *)b;

	if (x->n_prompt != y->n_prompt)
		return x->n_prompt < y->n_prompt ? -1 : 1;
	/* Same array: its order settles ties. */
	return x < y ? -1 : x > y;
}

static int sort_sequences(sampler *s, gpt_sequence *sequences, int64_t n, cairn_error *err)
{
	s->order = cairn_alloc((size_t)n, sizeof(gpt_sequence *));
	if (!s->order)
		return cairn_error_set(
			err, CAIRN_ENOMEM, "no memory to sort %lld prompts", (long long)n);
	for (int64_t i = 0; i < n; i++) {
		int rc = check_sequence(s->model, &sequences[i], err);
		int32_t positions;

		if (rc)
			return rc;
		sequences[i].n_tokens = 0;
		sequences[i].ended = false;
		s->order[i] = &sequences[i];
		positions = sequences[i].n_prompt + room(s, &sequences[i]);
		s->longest = positions > s->longest ? positions : s->longest;
	}
	qsort(s->order, (size_t)n, sizeof(gpt_sequence *), by_prompt_length);
	return 0;
}

static bool allocate_host(sampler *s)
{
	size_t n = (size_t)s->slots;

	s->live = cairn_alloc(n, sizeof(gpt_sequence *));
	s->host_slot = cairn_alloc(n, sizeof(*s->host_slot));
	s->host_i32 = cairn_alloc(n, sizeof(*s->host_i32));
	s->host_row_id = cairn_alloc(n, sizeof(*s->host_row_id));
	s->host_real = cairn_alloc(n, sizeof(*s->host_real));
	return s->live && s->host_slot && s->host_i32 && s->host_row_id && s->host_real;
}

static void sampler_clear(sampler *s)
{
	free(s->order);
	free(s->live);
	free(s->host_slot);
	free(s->host_i32);
	free(s->host_row_id);
	free(s->host_real);
}

/* Runs `n` prompts of the round, from its number `first` on; their last hidden states go to h. */
static int prefill_part(sampler *s, int64_t first, int64_t n, cairn_error *err)
{
	gpt_model *model = s->model;
	const cairn_kernels *k = model->k;
	gpt_activations *acts = model->acts;
	int64_t T = s->live[first + n - 1]->n_prompt, C = model->config.n_embd;
	gpt__cache part = s->cache;
	int rc = gpt__activations_prepare(model, n, T, false, err);

	if (rc)
		return rc;
	memset(acts->host_a, 0, (size_t)acts->R * sizeof(*acts->host_a));
	for (int64_t i = 0; i < n; i++) {
		const gpt_sequence *sequence = s->live[first + i];

		memcpy(acts->host_a + i * T, sequence->prompt,
			(size_t)sequence->n_prompt * sizeof(*sequence->prompt));
		for (int64_t t = 0; t < T; t++)
			acts->host_b[i * T + t] = (int32_t)t;
		acts->host_length[i] = sequence->n_prompt;
		s->host_i32[i] = (int32_t)(i * T + sequence->n_prompt - 1);
	}
	k->write(k, acts->token, acts->host_a, (size_t)acts->R * sizeof(*acts->token));
	k->write(k, acts->position, acts->host_b, (size_t)acts->R * sizeof(*acts->position));
	k->write(k, acts->length, acts->host_length, (size_t)n * sizeof(*acts->length));
	acts->padded = true;
	part.slot = s->rows->slot + first;
	gpt__run_layers(model, &(gpt__pass){.B = n, .T = T, .cache = &part, .packed = s->packed});
	k->write(k, s->rows->last, s->host_i32, (size_t)n * sizeof(*s->rows->last));
	k->gather_rows(k, cairn_act_at(k, s->rows->h, first * C), acts->h, s->rows->last, n, C);
	return 0;
}

/* All prompts of a round; prompts are sorted, so the last of a part is its longest. */
static int prefill(sampler *s, cairn_error *err)
{
	const cairn_kernels *k = s->model->k;
	int64_t first = 0;

	for (int64_t i = 0; i < s->n_live; i++)
		s->host_slot[i] = (int32_t)i;
	k->write(k, s->rows->slot, s->host_slot, (size_t)s->n_live * sizeof(*s->rows->slot));
	while (first < s->n_live) {
		int64_t n = 1;
		int rc;

		while (first + n < s->n_live &&
			(n + 1) * s->live[first + n]->n_prompt <= GPT_PREFILL_ROWS)
			n++;
		rc = prefill_part(s, first, n, err);
		if (rc)
			return rc;
		first += n;
	}
	return 0;
}

static void sample_rows(const sampler *s, const cairn_act *h)
{
	const gpt_sampling *options = s->options;
	size_t head = gpt__unembedding(s->model);

	s->model->k->sample(s->model->k, &(cairn_sample){
						 .R = s->n_live,
						 .C = s->model->config.n_embd,
						 .V = s->model->config.n_vocab,
						 .h = h,
						 .wte = gpt__param(s->model, head),
						 .packed = s->packed ? s->packed[head] : NULL,
						 .temperature = (cairn_real)options->temperature,
						 .key = options->key,
						 .row_id = s->rows->row_id,
						 .token = s->rows->token,
						 .logprob = s->rows->logprob,
						 .top_k = options->top_k,
						 .top_p = (cairn_real)options->top_p,
					 });
}

static void put_row_ids(sampler *s)
{
	for (int64_t i = 0; i < s->n_live; i++) {
		const gpt_sequence *sequence = s->live[i];

		s->host_row_id[i] = sequence->sample_id << 16 |
				    (uint64_t)(sequence->n_prompt + sequence->n_tokens);
	}
	s->model->k->write(s->model->k, s->rows->row_id, s->host_row_id,
		(size_t)s->n_live * sizeof(*s->rows->row_id));
}

static void get_drawn(sampler *s)
{
	const cairn_kernels *k = s->model->k;
	size_t n = (size_t)s->n_live;

	k->read(k, s->host_i32, s->rows->token, n * sizeof(*s->rows->token));
	k->read(k, s->host_real, s->rows->logprob, n * sizeof(*s->rows->logprob));
}

/* The first token of every sequence, from the hidden state that prefill left. */
static void draw_first(sampler *s)
{
	put_row_ids(s);
	sample_rows(s, s->rows->h);
	get_drawn(s);
}

/* Appends what was drawn; sequences that are finished leave. */
static void take_tokens(sampler *s)
{
	const gpt_sampling *options = s->options;
	int64_t kept = 0;

	for (int64_t i = 0; i < s->n_live; i++) {
		gpt_sequence *sequence = s->live[i];

		if (sequence->logprobs)
			sequence->logprobs[sequence->n_tokens] = s->host_real[i];
		sequence->tokens[sequence->n_tokens++] = s->host_i32[i];
		sequence->ended = s->host_i32[i] == options->end_token;
		s->stopped =
			s->stopped || (options->drawn && options->drawn(options->self, sequence));
		if (sequence->ended || sequence->n_tokens == room(s, sequence))
			continue;
		s->live[kept] = sequence;
		s->host_slot[kept++] = s->host_slot[i];
	}
	s->n_live = s->stopped ? 0 : kept;
}

static void put_last_tokens(sampler *s)
{
	const cairn_kernels *k = s->model->k;
	gpt_activations *acts = s->model->acts;
	size_t n = (size_t)s->n_live;

	s->n_keys = 0;
	for (int64_t i = 0; i < s->n_live; i++) {
		const gpt_sequence *sequence = s->live[i];

		s->n_keys += sequence->n_prompt + sequence->n_tokens;
		acts->host_a[i] = sequence->tokens[sequence->n_tokens - 1];
		acts->host_b[i] = sequence->n_prompt + sequence->n_tokens - 1;
	}
	k->write(k, acts->token, acts->host_a, n * sizeof(*acts->token));
	k->write(k, acts->position, acts->host_b, n * sizeof(*acts->position));
	k->write(k, s->rows->slot, s->host_slot, n * sizeof(*s->rows->slot));
}

static void run_decode(gpt_model *model, const void *arg)
{
	const sampler *s = arg;

	gpt__run_layers(model, &(gpt__pass){.B = s->n_live,
				       .T = 1,
				       .cache = &s->cache,
				       .decode = true,
				       .n_keys = s->n_keys,
				       .packed = s->packed});
	sample_rows(s, model->acts->h);
}

/* One position further: the last token of each live sequence through the layers, and the next. */
static void decode(sampler *s)
{
	const gpt_sampling *options = s->options;
	const gpt__part_key key = {
		.part = GPT__DECODE,
		.B = s->n_live,
		.T = 1,
		.packed = s->packed != NULL,
		.temperature = options->temperature,
		.rng_key = options->key,
		.T_max = s->cache.T_max,
		.slots = s->slots,
		.top_k = options->top_k,
		.top_p = options->top_p,
	};

	put_last_tokens(s);
	put_row_ids(s);
	gpt__part_run(s->model, &key, s->n_keys, run_decode, s);
	get_drawn(s);
}

static int sample_round(sampler *s, int64_t first, int64_t n, cairn_error *err)
{
	int rc;

	memcpy(s->live, s->order + first, (size_t)n * sizeof(gpt_sequence *));
	s->n_live = n;
	rc = prefill(s, err);
	if (rc)
		return rc;
	draw_first(s);
	take_tokens(s);
	rc = gpt__activations_prepare(s->model, n, 1, false, err);
	while (!rc && s->n_live > 0) {
		decode(s);
		take_tokens(s);
	}
	return rc;
}

int gpt_sample(gpt_model *model, gpt_sequence *sequences, int64_t n, const gpt_sampling *options,
	cairn_error *err)
{
	sampler s = {.model = model, .options = options};
	int rc = check_options(model, options, err);

	if (rc || n == 0)
		return rc;
	rc = sort_sequences(&s, sequences, n, err);
	if (rc)
		goto out;
	s.slots = options->batch > 0 ? options->batch : DEFAULT_SLOTS;
	s.slots = s.slots < n ? s.slots : n;
	if (!allocate_host(&s))
		rc = cairn_error_set(err, CAIRN_ENOMEM, "no memory to sample %lld sequences",
			(long long)s.slots);
	if (!rc)
		rc = gpt__cache_prepare(model, s.slots, s.longest, err);
	if (rc)
		goto out;
	s.rows = model->cache;
	s.cache = (gpt__cache){model->cache->layers, s.longest, model->cache->slot};
	if (model->k->wants_packed ||
		(s.slots >= PACKED_SLOTS && options->max_new >= PACKED_STEPS)) {
		s.packed = gpt__packed(model);
	}
	for (int64_t first = 0; !rc && !s.stopped && first < n; first += s.slots)
		rc = sample_round(&s, first, n - first < s.slots ? n - first : s.slots, err);
	if (!rc)
		rc = model->k->status(model->k, err);
out:
	sampler_clear(&s);
	/* A model in training will sample again after its next update. */
	if (!model->grads)
		gpt__cache_free(model);
	if (!model->grads && !model->k->wants_packed)
		gpt__packed_free(model);
	return rc;
}
