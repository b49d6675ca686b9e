/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample.c - drawing completions, prompts included, on a backend, timed.
 *
 * Usage: bench-sample BACKEND_SO NAME B PROMPT NEW ROUNDS THREADS. Every call draws B completions
 * of at most NEW tokens, 2 or more, at temperature 1; token 0 ends one. Prints one line of JSON:
 * drawn tokens a second of the median call, everything counted (prefill, packing of the weights,
 * the caches); and "decode_tokens_per_s", the tokens after the first ones by the time after those.
 * bench/run puts it beside PyTorch.
 */
#include "common.h"
#include "gpt/rng.h"
#include "gpt/sampling.h"

enum {
	MAX_ROUNDS = 64,
};

static gpt_sequence *make_sequences(int64_t B, int32_t n_prompt, int32_t max_new, int32_t V)
{
	gpt_sequence *sequences = calloc((size_t)B, sizeof(*sequences));
	int32_t *prompts = calloc((size_t)(B * n_prompt), sizeof(*prompts));
	int32_t *tokens = calloc((size_t)(B * max_new), sizeof(*tokens));
	cairn_real *logprobs = calloc((size_t)(B * max_new), sizeof(*logprobs));

	if (!sequences || !prompts || !tokens || !logprobs)
		bench_die("out of memory", NULL);
	for (int64_t i = 0; i < B * n_prompt; i++)
		prompts[i] = 1 + (int32_t)gpt_random_below(1, (uint64_t)i, 0, (uint64_t)V - 1);
	for (int64_t b = 0; b < B; b++)
		sequences[b] = (gpt_sequence){
			.prompt = prompts + b * n_prompt,
			.n_prompt = n_prompt,
			.tokens = tokens + b * max_new,
			.logprobs = logprobs + b * max_new,
		};
	return sequences;
}

/* Notes when the first token of the last sequence was there: prompts are through then. */
static int note_first(void *at, const gpt_sequence *sequence)
{
	if (sequence->n_tokens == 1)
		*(double *)at = bench_seconds();
	return 0;
}

int main(int argc, char **argv)
{
	cairn_error err = {0};
	cairn_kernels k;
	cairn_meter meter = {0};
	gpt_model *model;
	gpt_sequence *sequences;
	double speed[MAX_ROUNDS], decoding[MAX_ROUNDS], first = 0;

	if (argc != 8) {
		fprintf(stderr,
			"usage: bench-sample BACKEND_SO NAME B PROMPT NEW ROUNDS THREADS\n");
		return 2;
	}
	int64_t B = strtol(argv[3], NULL, 10);
	int32_t n_prompt = (int32_t)strtol(argv[4], NULL, 10);
	gpt_sampling options = {.temperature = 1,
		.top_p = 1,
		.max_new = (int32_t)strtol(argv[5], NULL, 10),
		.end_token = 0,
		.key = 1,
		.batch = B,
		.drawn = note_first,
		.self = &first};
	int rounds = (int)strtol(argv[6], NULL, 10);
	gpt_config config = bench_shape(argv[2], n_prompt + options.max_new);
	if (B < 1 || n_prompt < 1 || options.max_new < 2 || rounds < 1 || rounds >= MAX_ROUNDS)
		bench_die("a size that cannot be", NULL);
	bench_open(&k, &meter, argv[1], (int)strtol(argv[7], NULL, 10));
	/* Trainable, as the policy whose rollouts these are: its memory stays between calls. */
	if (gpt_model_new(&model, &k, &config, GPT_HEAD_LM, GPT_TRAINABLE, &err))
		bench_die("model", &err);
	gpt_model_init(model, 1);
	sequences = make_sequences(B, n_prompt, options.max_new, config.n_vocab);
	for (int round = 0; round <= rounds; round++) {
		double start = bench_seconds(), end;
		int64_t drawn = 0;

		for (int64_t b = 0; b < B; b++)
			sequences[b].sample_id = (uint64_t)(round * B + b);
		if (gpt_sample(model, sequences, B, &options, &err))
			bench_die("sample", &err);
		end = bench_seconds();
		for (int64_t b = 0; b < B; b++)
			drawn += sequences[b].n_tokens;
		speed[round] = (double)drawn / (end - start);
		decoding[round] = (double)(drawn - B) / (end - first);
	}
	/* The first call grows the buffers. */
	printf("{\"who\": \"cairn %s\", \"shape\": \"%s\", \"B\": %lld, \"prompt\": %d, \"new\": %d, "
	       "\"tokens_per_s\": %.1f, \"decode_tokens_per_s\": %.1f, \"peak_mib\": %.0f}\n",
		k.name, argv[2], (long long)B, n_prompt, options.max_new,
		bench_median(speed + 1, rounds), bench_median(decoding + 1, rounds),
		(double)k.peak_bytes(&k) / 1048576);
	return 0;
}
