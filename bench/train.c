/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train.c - one training step (forward, backward, clipping, AdamW) on the CPU backend, timed.
 *
 * Usage: bench-train CPU_SO NAME B T STEPS THREADS [MICRO]. The step's sequences go through in the
 * micro-batches that the training stages would choose, or of MICRO positions. Prints one line of
 * JSON: the median step's tokens/s, and the FLOP/s of the products as the meter counts them.
 * bench/run puts it beside PyTorch.
 */
#include "common.h"
#include "gpt/batch.h"
#include "gpt/optimizer.h"
#include "gpt/rng.h"

enum {
	MAX_STEPS = 256,
};

static gpt_seq *random_sequences(int64_t B, int64_t T, int32_t V)
{
	int64_t n = T + 1; /* the last one is only predicted */
	int32_t *tokens = calloc((size_t)(B * n), sizeof(*tokens));
	gpt_seq *seqs = calloc((size_t)B, sizeof(*seqs));

	if (!tokens || !seqs)
		bench_die("out of memory", NULL);
	for (int64_t i = 0; i < B * n; i++)
		tokens[i] = (int32_t)gpt_random_below(1, (uint64_t)i, 0, (uint64_t)V);
	for (int64_t b = 0; b < B; b++)
		seqs[b] = (gpt_seq){.tokens = tokens + b * n,
			.n = (int32_t)n,
			.first = 1,
			.unit = (uint64_t)b,
			.id = (uint64_t)b};
	return seqs;
}

/* Forward and backward of one micro-batch; returns its sum of log-probabilities. */
static double add_gradient(gpt_model *model, gpt_micro *micro, int64_t tokens)
{
	cairn_error err = {0};
	int64_t rows = micro->batch.B * micro->batch.T;
	double sum = 0;

	for (int64_t r = 0; r < rows; r++)
		micro->y[r] = (cairn_real)(-1.0 / (double)tokens);
	if (gpt_forward(model, &micro->batch, &err) ||
		gpt_logprobs_backward(model, micro->target, 1, micro->y, micro->x, NULL, &err))
		bench_die("step", &err);
	for (int64_t r = 0; r < rows; r++)
		sum += (double)micro->x[r];
	return sum;
}

int main(int argc, char **argv)
{
	cairn_error err = {0};
	cairn_kernels k;
	cairn_meter meter = {0};
	gpt_model *model;
	gpt_adam *adam;
	gpt_adam_options options = {
		.beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .1, .clip = 1};
	gpt_micro micro = {0};
	double times[MAX_STEPS], loss = 0, median;

	if (argc != 7 && argc != 8) {
		fprintf(stderr, "usage: bench-train CPU_SO NAME B T STEPS THREADS [MICRO]\n");
		return 2;
	}
	int64_t B = strtol(argv[3], NULL, 10), T = strtol(argv[4], NULL, 10);
	int steps = (int)strtol(argv[5], NULL, 10);
	if (B < 1 || T < 1 || steps < 1 || steps >= MAX_STEPS)
		bench_die("a size that cannot be", NULL);
	gpt_config config = bench_shape(argv[2], T);
	bench_open(&k, &meter, argv[1], (int)strtol(argv[6], NULL, 10));
	int64_t limit =
		argc == 8 ? strtol(argv[7], NULL, 10) : gpt_micro_limit(B * T, k.enough_rows);
	if (gpt_model_new(&model, &k, &config, GPT_HEAD_LM, GPT_TRAINABLE, &err))
		bench_die("model", &err);
	gpt_model_init(model, 1);
	if (gpt_adam_new(&adam, model, &options, &err))
		bench_die("adam", &err);
	gpt_seq *seqs = random_sequences(B, T, config.n_vocab);
	for (int step = 0; step <= steps; step++) {
		double start = bench_seconds();

		meter.gemm_flop = loss = 0;
		gpt_zero_grads(model);
		for (size_t at = 0; at < (size_t)B; at += micro.count) {
			if (gpt_micro_pack(
				    &micro, seqs, (size_t)B, at, limit, GPT_ROWS_PREDICT, &err))
				bench_die("micro-batch", &err);
			loss -= add_gradient(model, &micro, B * T);
		}
		if (gpt_adam_step(adam, model, 1e-4, NULL, &err))
			bench_die("update", &err);
		times[step] = bench_seconds() - start;
	}
	/* The first step grows the buffers. */
	median = bench_median(times + 1, steps);
	printf("{\"who\": \"cairn %s\", \"shape\": \"%s\", \"B\": %lld, \"T\": %lld, \"tokens_per_s\": %.1f, "
	       "\"gemm_gflops\": %.1f, \"loss\": %.6f, \"peak_mib\": %.0f}\n",
		k.name, argv[2], (long long)B, (long long)T, (double)(B * T) / median,
		meter.gemm_flop / median / 1e9, loss / (double)(B * T),
		(double)k.peak_bytes(&k) / 1048576);
	return 0;
}
