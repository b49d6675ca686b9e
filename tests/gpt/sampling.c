/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling with a cache against the full forward pass. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/sampling.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"
#include "test.h"

enum {
	N = 9,
	MAX_NEW = 10,
	CTX = 16
};

static const gpt_config config = {
	.n_layer = 2,
	.n_head = 2,
	.n_embd = 16,
	.n_ctx = CTX,
	.n_vocab = 13,
	.n_inner = 64,
};

/* Prompts of several lengths, one of which fills the context, and room for the answers. */
typedef struct drawn {
	int32_t prompts[N][CTX], tokens[N][MAX_NEW];
	cairn_real logprobs[N][MAX_NEW];
	gpt_sequence sequences[N];
} drawn;

static drawn *new_drawn(void)
{
	static const int32_t n_prompt[N] = {5, 1, 15, 8, 5, 2, 10, 3, 1};
	drawn *d = cairn_alloc(1, sizeof(*d));

	assert_non_null(d);
	for (int i = 0; i < N; i++) {
		random_tokens(d->prompts[i], CTX, config.n_vocab, 50 + (uint64_t)i);
		d->sequences[i] = (gpt_sequence){
			.prompt = d->prompts[i],
			.n_prompt = n_prompt[i],
			.sample_id = 1000 + (uint64_t)i * 7,
			.tokens = d->tokens[i],
			.logprobs = d->logprobs[i],
		};
	}
	return d;
}

static void draw(gpt_model *model, drawn *d, const gpt_sampling *options)
{
	cairn_error err = {0};

	if (gpt_sample(model, d->sequences, N, options, &err))
		fail_msg("%s", err.message);
}

/* Log-probabilities of one drawn sequence by a forward pass over all of it. */
static void full_logprobs(gpt_model *model, const gpt_sequence *s, double temperature,
	cairn_real *out, cairn_real *best)
{
	int32_t tokens[CTX], target[CTX];
	cairn_real logprob[CTX];
	int32_t n = s->n_prompt + s->n_tokens - 1;
	gpt_batch batch = {.B = 1, .T = n, .tokens = tokens};
	cairn_error err = {0};

	memcpy(tokens, s->prompt, sizeof(*tokens) * (size_t)s->n_prompt);
	memcpy(tokens + s->n_prompt, s->tokens, sizeof(*tokens) * (size_t)(s->n_tokens - 1));
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	for (int t = 0; t < n; t++)
		target[t] = t < s->n_prompt - 1 ? -1 : s->tokens[t - (s->n_prompt - 1)];
	assert_int_equal(gpt_logprobs(model, target, temperature, logprob, NULL, &err), 0);
	memcpy(out, logprob + s->n_prompt - 1, sizeof(*out) * (size_t)s->n_tokens);
	for (int t = 0; best && t < s->n_tokens; t++)
		best[t] = (cairn_real)-INFINITY;
	for (int32_t v = 0; best && v < config.n_vocab; v++) {
		for (int t = 0; t < n; t++)
			target[t] = v;
		assert_int_equal(gpt_logprobs(model, target, temperature, logprob, NULL, &err), 0);
		for (int t = 0; t < s->n_tokens; t++)
			best[t] = fmaxf((float)best[t], (float)logprob[s->n_prompt - 1 + t]);
	}
}

static void check_lengths(const drawn *d, const gpt_sampling *options)
{
	for (int i = 0; i < N; i++) {
		const gpt_sequence *s = &d->sequences[i];
		int32_t room = CTX - s->n_prompt < MAX_NEW ? CTX - s->n_prompt : MAX_NEW;

		assert_in_range(s->n_tokens, 1, room);
		assert_int_equal(s->ended, s->tokens[s->n_tokens - 1] == options->end_token);
		if (!s->ended)
			assert_int_equal(s->n_tokens, room);
		for (int t = 0; t < s->n_tokens - 1; t++)
			assert_int_not_equal(s->tokens[t], options->end_token);
	}
}

/* The log-probabilities told while sampling are those of the trainer, to the bit. */
static void bitwise(const cairn_kernels *k, void *self)
{
	gpt_sampling options = {
		.temperature = 0.9, .top_p = 1, .max_new = MAX_NEW, .end_token = 4, .key = 77};
	int ended = 0;

	(void)self;
	for (unsigned flags = 0; flags <= GPT_TRAINABLE; flags++) {
		gpt_model *model = random_model(k, &config, GPT_HEAD_LM, flags, 9);
		drawn *d = new_drawn();

		draw(model, d, &options);
		check_lengths(d, &options);
		for (int i = 0; i < N; i++) {
			cairn_real want[MAX_NEW];

			full_logprobs(model, &d->sequences[i], 0.9, want, NULL);
			assert_memory_equal(want, d->logprobs[i],
				sizeof(*want) * (size_t)d->sequences[i].n_tokens);
			ended += d->sequences[i].ended;
		}
		free(d);
		gpt_model_free(model);
	}
	/* Both ends must have occurred, or this shows less than it says. */
	assert_true(ended > 0 && ended < 2 * N);
}

static void test_gpt_sampling__logprobs_are_the_trainers_bits(void **state)
{
	(void)state;
	on_each_backend(bitwise, NULL);
}

/* Batch size and the order of the prompts change nothing. */
static void independence(const cairn_kernels *k, void *self)
{
	gpt_sampling options = {
		.temperature = 1, .top_p = 1, .max_new = MAX_NEW, .end_token = 4, .key = 5};
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, 0, 9);
	drawn *all = new_drawn();

	(void)self;
	draw(model, all, &options);
	for (int64_t batch = 1; batch <= 4; batch++) {
		drawn *d = new_drawn();

		for (int i = 0; i < N / 2; i++) {
			gpt_sequence first = d->sequences[i];

			d->sequences[i] = d->sequences[N - 1 - i];
			d->sequences[N - 1 - i] = first;
		}
		options.batch = batch;
		draw(model, d, &options);
		for (int i = 0; i < N; i++) {
			assert_int_equal(
				d->sequences[N - 1 - i].n_tokens, all->sequences[i].n_tokens);
			assert_memory_equal(d->tokens[i], all->tokens[i], sizeof(d->tokens[i]));
			assert_memory_equal(
				d->logprobs[i], all->logprobs[i], sizeof(d->logprobs[i]));
		}
		free(d);
	}
	free(all);
	gpt_model_free(model);
}

static void test_gpt_sampling__batch_mates_change_nothing(void **state)
{
	(void)state;
	on_each_backend(independence, NULL);
}

/* Drawing goes on the same where its beginning is given as the prompt: a draw is keyed by sample
 * and position, not by how many came before it. */
static void continuation(const cairn_kernels *k, void *self)
{
	enum {
		HEAD = 4
	};
	gpt_sampling options = {
		.temperature = 1, .top_p = 1, .max_new = MAX_NEW, .end_token = -1, .key = 5};
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, 0, 9);
	int32_t longer[CTX], tokens[MAX_NEW];
	drawn *d = new_drawn();
	gpt_sequence *whole = &d->sequences[1];
	gpt_sequence rest = {.prompt = longer,
		.n_prompt = whole->n_prompt + HEAD,
		.sample_id = whole->sample_id,
		.tokens = tokens};
	cairn_error err = {0};

	(void)self;
	draw(model, d, &options);
	memcpy(longer, whole->prompt, sizeof(*longer) * (size_t)whole->n_prompt);
	memcpy(longer + whole->n_prompt, whole->tokens, sizeof(*longer) * HEAD);
	assert_int_equal(gpt_sample(model, &rest, 1, &options, &err), 0);
	assert_int_equal(rest.n_tokens, MAX_NEW);
	assert_memory_equal(tokens, whole->tokens + HEAD, sizeof(*tokens) * (MAX_NEW - HEAD));
	free(d);
	gpt_model_free(model);
}

static void test_gpt_sampling__goes_on_from_its_own_beginning(void **state)
{
	(void)state;
	on_each_backend(continuation, NULL);
}

/* A round whose prompts do not fit one prefill pass, against rounds that do. */
static void large_round(const cairn_kernels *k, void *self)
{
	enum {
		MANY = 700,
		PROMPT = 7,
		NEW = 3
	};
	gpt_sampling options = {
		.temperature = 1, .top_p = 1, .max_new = NEW, .end_token = 2, .key = 5};
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, 0, 9);
	gpt_sequence *sequences = cairn_alloc(MANY, sizeof(*sequences));
	int32_t *prompts = cairn_alloc((size_t)MANY * PROMPT, sizeof(*prompts));
	int32_t *tokens[2];
	cairn_error err = {0};

	(void)self;
	random_tokens(prompts, (int64_t)MANY * PROMPT, config.n_vocab, 3);
	for (int pass = 0; pass < 2; pass++) {
		tokens[pass] = cairn_alloc((size_t)MANY * NEW, sizeof(**tokens));
		for (int i = 0; i < MANY; i++)
			sequences[i] = (gpt_sequence){.prompt = prompts + (ptrdiff_t)i * PROMPT,
				.n_prompt = PROMPT - i % 2,
				.sample_id = (uint64_t)i,
				.tokens = tokens[pass] + (ptrdiff_t)i * NEW};
		options.batch = pass ? 50 : MANY;
		assert_int_equal(gpt_sample(model, sequences, MANY, &options, &err), 0);
	}
	assert_memory_equal(tokens[0], tokens[1], sizeof(**tokens) * MANY * NEW);
	free(tokens[0]);
	free(tokens[1]);
	free(prompts);
	free(sequences);
	gpt_model_free(model);
}

static void test_gpt_sampling__large_rounds_are_prefilled_in_parts(void **state)
{
	(void)state;
	on_each_backend(large_round, NULL);
}

/* A model that has sampled before samples with the weights of today, whatever it keeps; the same
 * with fewer and shorter sequences in between. */
static void after_update(const cairn_kernels *k, void *self)
{
	gpt_sampling options = {
		.temperature = 1, .top_p = 1, .max_new = MAX_NEW, .end_token = 4, .key = 5};
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, GPT_TRAINABLE, 9);
	gpt_model *updated = random_model(k, &config, GPT_HEAD_LM, 0, 10);
	drawn *want = new_drawn(), *got = new_drawn();
	cairn_error err = {0};

	(void)self;
	draw(model, got, &options);
	draw(updated, want, &options);
	assert_memory_not_equal(want->tokens, got->tokens, sizeof(want->tokens));
	gpt_model_copy(model, updated);
	assert_int_equal(gpt_sample(model, got->sequences, 2, &options, &err), 0);
	draw(model, got, &options);
	assert_memory_equal(want->tokens, got->tokens, sizeof(want->tokens));
	assert_memory_equal(want->logprobs, got->logprobs, sizeof(want->logprobs));
	free(want);
	free(got);
	gpt_model_free(model);
	gpt_model_free(updated);
}

static void test_gpt_sampling__follows_an_update(void **state)
{
	(void)state;
	on_each_backend(after_update, NULL);
}

/* Temperature 0: every token is the most likely one, whatever the key. */
static void greedy(const cairn_kernels *k, void *self)
{
	gpt_sampling options = {
		.temperature = 0, .top_p = 1, .max_new = MAX_NEW, .end_token = -1, .key = 5};
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, 0, 9);
	drawn *d = new_drawn(), *again = new_drawn();

	(void)self;
	draw(model, d, &options);
	options.key = 6;
	draw(model, again, &options);
	assert_memory_equal(d->tokens, again->tokens, sizeof(d->tokens));
	for (int i = 0; i < N; i++) {
		cairn_real want[MAX_NEW], best[MAX_NEW];

		assert_false(d->sequences[i].ended);
		full_logprobs(model, &d->sequences[i], 1, want, best);
		for (int t = 0; t < d->sequences[i].n_tokens; t++)
			assert_true(want[t] == best[t] && want[t] == d->logprobs[i][t]);
	}
	free(d);
	free(again);
	gpt_model_free(model);
}

static void test_gpt_sampling__greedy_takes_the_most_likely(void **state)
{
	(void)state;
	on_each_backend(greedy, NULL);
}

/* First tokens are drawn from softmax(logits): chi-square against the model's probabilities. */
static void distribution(const cairn_kernels *k, void *self)
{
	enum {
		DRAWS = 4000
	};
	int32_t prompt[] = {3, 1}, count[13] = {0}, *tokens;
	gpt_sampling options = {
		.temperature = 1.5, .top_p = 1, .max_new = 1, .end_token = -1, .key = 15};
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, 0, 9);
	gpt_sequence *sequences = cairn_alloc(DRAWS, sizeof(*sequences));
	double chi = 0, total = 0;
	int cells = 0;
	cairn_error err = {0};

	(void)self;
	tokens = cairn_alloc(DRAWS, sizeof(*tokens));
	for (int i = 0; i < DRAWS; i++)
		sequences[i] = (gpt_sequence){.prompt = prompt,
			.n_prompt = 2,
			.sample_id = (uint64_t)i,
			.tokens = tokens + i};
	options.batch = DRAWS;
	assert_int_equal(gpt_sample(model, sequences, DRAWS, &options, &err), 0);
	for (int i = 0; i < DRAWS; i++)
		count[tokens[i]]++;
	for (int32_t v = 0; v < 13; v++) {
		int32_t one[] = {v};
		gpt_sequence s = {.prompt = prompt, .n_prompt = 2, .tokens = one, .n_tokens = 1};
		cairn_real logprob;
		double expected;

		full_logprobs(model, &s, 1.5, &logprob, NULL);
		total += exp((double)logprob);
		expected = DRAWS * exp((double)logprob);
		if (expected >= 5) {
			chi += pow(count[v] - expected, 2) / expected;
			cells++;
		}
	}
	assert_true(fabs(total - 1) < 1e-5);
	assert_true(cells >= 5);
	/* 99.9 % points of chi-square: 32.9 with 12 degrees of freedom, less with fewer. */
	assert_true(chi < 32.9);
	free(tokens);
	free(sequences);
	gpt_model_free(model);
}

static void test_gpt_sampling__draws_from_the_distribution(void **state)
{
	(void)state;
	on_each_backend(distribution, NULL);
}

/* The number of threads changes no bit. */
static void test_gpt_sampling__threads_change_nothing(void **state)
{
	gpt_sampling options = {
		.temperature = 1, .top_p = 1, .max_new = MAX_NEW, .end_token = 4, .key = 5};
	drawn *d[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		cairn_kernels k;
		gpt_model *model;

		if (!open_cpu(&k, i + 1))
			skip();
		model = random_model(&k, &config, GPT_HEAD_LM, 0, 9);
		d[i] = new_drawn();
		draw(model, d[i], &options);
		gpt_model_free(model);
		close_cpu(&k);
	}
	assert_memory_equal(d[0]->tokens, d[1]->tokens, sizeof(d[0]->tokens));
	assert_memory_equal(d[0]->logprobs, d[1]->logprobs, sizeof(d[0]->logprobs));
	free(d[0]);
	free(d[1]);
}

static void test_gpt_sampling__refuses_what_cannot_be(void **state)
{
	gpt_sampling good = {.temperature = 1, .top_p = 1, .max_new = 2, .end_token = -1};
	gpt_sampling bad[] = {good, good, good, good, good};
	int32_t prompt[CTX] = {0}, wrong[] = {13}, tokens[2];
	gpt_sequence sequences[] = {
		{.prompt = prompt, .n_prompt = 0, .tokens = tokens},
		{.prompt = prompt, .n_prompt = CTX, .tokens = tokens},
		{.prompt = wrong, .n_prompt = 1, .tokens = tokens},
		{.prompt = prompt, .n_prompt = 1, .tokens = tokens},
	};
	cairn_kernels k;
	gpt_model *model;
	cairn_error err = {0};

	(void)state;
	bad[0].temperature = -1;
	bad[1].top_p = 0;
	bad[2].top_k = -1;
	bad[3].max_new = 0;
	bad[4].end_token = 13;
	assert_int_equal(cairn_kernels_portable_open(&k, 1, &err), 0);
	model = random_model(&k, &config, GPT_HEAD_LM, 0, 9);
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		cairn_error_clear(&err);
		assert_int_equal(gpt_sample(model, &sequences[3], 1, &bad[i], &err), CAIRN_EPARAM);
	}
	for (size_t i = 0; i < 3; i++) {
		cairn_error_clear(&err);
		assert_int_equal(gpt_sample(model, &sequences[i], 1, &good, &err), CAIRN_EPARAM);
	}
	cairn_error_clear(&err);
	assert_int_equal(gpt_sample(model, sequences, 0, &good, &err), 0);
	assert_int_equal(gpt_sample(model, &sequences[3], 1, &good, &err), 0);
	assert_int_equal(sequences[3].n_tokens, 2);
	gpt_model_free(model);
	cairn_kernels_portable_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_sampling__logprobs_are_the_trainers_bits),
		cmocka_unit_test(test_gpt_sampling__batch_mates_change_nothing),
		cmocka_unit_test(test_gpt_sampling__goes_on_from_its_own_beginning),
		cmocka_unit_test(test_gpt_sampling__large_rounds_are_prefilled_in_parts),
		cmocka_unit_test(test_gpt_sampling__follows_an_update),
		cmocka_unit_test(test_gpt_sampling__greedy_takes_the_most_likely),
		cmocka_unit_test(test_gpt_sampling__draws_from_the_distribution),
		cmocka_unit_test(test_gpt_sampling__threads_change_nothing),
		cmocka_unit_test(test_gpt_sampling__refuses_what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
