/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train.c - one training step (forward, backward, clipping, AdamW) on a backend, timed.
 *
 * Usage: bench-train BACKEND_SO NAME B T STEPS THREADS [MICRO [recompute]]. The step's sequences go
 * through in micro-batches of MICRO positions (0, or without it: those that the training stages
 * would choose), whose activations are kept, or with `recompute` computed again for backward.
 *
 * Prints one line of JSON: the median step's tokens/s, the FLOP/s of the products and of
 * everything as the meter counts them (causal attention, the halves that are skipped left out), and
 * where the device's peak is known "mfu", the part of it that all these are: what `cairn cost` says
 * of a stage. What is computed again counts again there. bench/run puts it beside PyTorch.
 */
#include <string.h>

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

/* Median step of `seconds` of B*T tokens, and what one comes to. */
static void print(const cairn_kernels *k, const char *shape, int64_t B, int64_t T, double seconds,
	const cairn_meter *meter, double loss)
{
	double flops = cairn_meter_total(meter) / seconds;

	printf("{\"who\": \"cairn %s\", \"shape\": \"%s\", \"B\": %lld, \"T\": %lld, "
	       "\"tokens_per_s\": %.1f, \"step_ms\": %.3f, \"gemm_gflops\": %.4g, "
	       "\"gflops\": %.4g, ",
		k->name, shape, (long long)B, (long long)T, (double)(B * T) / seconds,
		1e3 * seconds, meter->gemm_flop / seconds / 1e9, flops / 1e9);
	if (k->peak_flops > 0)
		printf("\"peak_flops\": %.4g, \"mfu\": %.4f, ", k->peak_flops,
			flops / k->peak_flops);
	else
		printf("\"peak_flops\": null, \"mfu\": null, ");
	printf("\"loss\": %.6f, \"peak_mib\": %.0f}\n", loss / (double)(B * T),
		(double)k->peak_bytes(k) / 1048576);
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
	double times[MAX_STEPS], loss = 0;

	if (argc < 7 || argc > 9 || (argc == 9 && strcmp(argv[8], "recompute") != 0)) {
		fprintf(stderr, "usage: bench-train BACKEND_SO NAME B T STEPS THREADS "
				"[MICRO [recompute]]\n");
		return 2;
	}
	int64_t B = strtol(argv[3], NULL, 10), T = strtol(argv[4], NULL, 10);
	int steps = (int)strtol(argv[5], NULL, 10);
	if (B < 1 || T < 1 || steps < 1 || steps >= MAX_STEPS)
		bench_die("a size that cannot be", NULL);
	gpt_config config = bench_shape(argv[2], T);
	bench_open(&k, &meter, argv[1], (int)strtol(argv[6], NULL, 10));
	int64_t limit = argc > 7 ? strtol(argv[7], NULL, 10) : 0;
	if (limit < 1)
		limit = gpt_micro_limit(B * T, k.enough_rows);
	if (gpt_model_new(&model, &k, &config, GPT_HEAD_LM, GPT_TRAINABLE, &err))
		bench_die("model", &err);
	gpt_model_init(model, 1);
	if (gpt_adam_new(&adam, model, &options, &err))
		bench_die("adam", &err);
	gpt_seq *seqs = random_sequences(B, T, config.n_vocab);
	for (int step = 0; step <= steps; step++) {
		double start = bench_seconds();

		loss = 0;
		meter = (cairn_meter){.inner = meter.inner};
		gpt_zero_grads(model);
		for (size_t at = 0; at < (size_t)B; at += micro.count) {
			if (gpt_micro_pack(
				    &micro, seqs, (size_t)B, at, limit, GPT_ROWS_PREDICT, &err))
				bench_die("micro-batch", &err);
			micro.batch.recompute = argc == 9;
			loss -= add_gradient(model, &micro, B * T);
		}
		if (gpt_adam_step(adam, model, 1e-4, NULL, &err))
			bench_die("update", &err);
		bench_wait(&k);
		times[step] = bench_seconds() - start;
	}
	/* The first step grows the buffers. */
	print(&k, argv[2], B, T, bench_median(times + 1, steps), &meter, loss);
	return 0;
}
