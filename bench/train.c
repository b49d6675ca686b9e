/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train.c - one training step (forward, backward, clipping, AdamW) on the CPU backend, timed.
 *
 * Usage: bench-train CPU_SO NAME B T STEPS THREADS. Prints one line of JSON: the median step's
 * tokens/s, and the FLOP/s of the products as the meter counts them. bench/run puts it beside
 * PyTorch.
 */
#include <dlfcn.h>
#include <string.h>
#include <time.h>

#include "gpt/model.h"
#include "gpt/optimizer.h"
#include "gpt/rng.h"
#include "kernels/meter.h"

static const struct shape {
	const char *name;
	gpt_config config;
} shapes[] = {
	{"s128", {.n_layer = 4, .n_head = 4, .n_embd = 128, .n_vocab = 8192, .n_inner = 512}},
	{"s256v8k", {.n_layer = 4, .n_head = 8, .n_embd = 256, .n_vocab = 8192, .n_inner = 1024}},
	{"s256", {.n_layer = 4, .n_head = 8, .n_embd = 256, .n_vocab = 50257, .n_inner = 1024}},
	{"g124", {.n_layer = 12, .n_head = 12, .n_embd = 768, .n_vocab = 50257, .n_inner = 3072}},
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static CAIRN_NORETURN void die(const char *what, const cairn_error *err)
{
	fprintf(stderr, "bench-train: %s: %s\n", what, err ? err->message : "");
	exit(1);
}

struct batch {
	gpt_batch batch;
	int32_t *target;
	cairn_real *weight;
};

static struct batch random_batch(int64_t B, int64_t T, int32_t V)
{
	int64_t R = B * T;
	int32_t *tokens = calloc((size_t)R, sizeof(*tokens));
	struct batch b = {.batch = {.B = B, .T = T, .tokens = tokens},
		.target = calloc((size_t)R, sizeof(*b.target)),
		.weight = calloc((size_t)R, sizeof(*b.weight))};

	if (!tokens || !b.target || !b.weight)
		die("out of memory", NULL);
	for (int64_t r = 0; r < R; r++) {
		tokens[r] = (int32_t)gpt_random_below(1, (uint64_t)r, 0, (uint64_t)V);
		b.target[r] = (int32_t)gpt_random_below(1, (uint64_t)r + 1, 0, (uint64_t)V);
		b.weight[r] = (cairn_real)(-1.0 / (double)R);
	}
	return b;
}

int main(int argc, char **argv)
{
	cairn_error err = {0};
	const cairn_kernels_backend *backend;
	cairn_kernels inner = {0}, k = {0};
	cairn_meter meter = {0};
	gpt_model *model;
	gpt_adam *adam;
	gpt_adam_options options = {
		.beta1 = .9, .beta2 = .95, .eps = 1e-8, .weight_decay = .1, .clip = 1};
	const struct shape *shape = NULL;
	void *library;
	double times[256], gemm = 0, loss = 0;

	if (argc != 7) {
		fprintf(stderr, "usage: bench-train CPU_SO NAME B T STEPS THREADS\n");
		return 2;
	}
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		if (strcmp(shapes[i].name, argv[2]) == 0)
			shape = &shapes[i];
	int64_t B = strtol(argv[3], NULL, 10), T = strtol(argv[4], NULL, 10);
	int steps = (int)strtol(argv[5], NULL, 10), threads = (int)strtol(argv[6], NULL, 10);
	if (!shape || B < 1 || T < 1 || steps < 1 || steps > 255)
		die("unknown shape or size", NULL);
	if (!(library = dlopen(argv[1], RTLD_NOW)) ||
		!(backend = dlsym(library, CAIRN_KERNELS_SYMBOL)))
		die(dlerror(), NULL);
	if (backend->open(&inner, threads, &err))
		die("open", &err);
	cairn_meter_wrap(&k, &inner, &meter);

	gpt_config config = shape->config;
	config.n_ctx = (int32_t)T;
	if (gpt_model_new(&model, &k, &config, GPT_HEAD_LM, GPT_TRAINABLE, &err))
		die("model", &err);
	gpt_model_init(model, 1);
	if (gpt_adam_new(&adam, model, &options, &err))
		die("adam", &err);
	struct batch b = random_batch(B, T, config.n_vocab);
	cairn_real *logprob = calloc((size_t)(B * T), sizeof(*logprob));
	for (int step = 0; step <= steps; step++) {
		double start = seconds();

		meter.gemm_flop = 0;
		gpt_zero_grads(model);
		if (gpt_forward(model, &b.batch, &err) ||
			gpt_logprobs_backward(model, b.target, 1, b.weight, logprob, NULL, &err) ||
			gpt_adam_step(adam, model, 1e-4, NULL, &err))
			die("step", &err);
		times[step] = seconds() - start;
		gemm = meter.gemm_flop;
	}
	for (int64_t r = 0; r < B * T; r++)
		loss -= (double)logprob[r] / (double)(B * T);
	/* The first step grows the buffers. */
	qsort(times + 1, (size_t)steps, sizeof(*times), ascending);
	double median = times[1 + steps / 2];
	printf("{\"who\": \"cairn %s\", \"shape\": \"%s\", \"B\": %lld, \"T\": %lld, \"tokens_per_s\": %.1f, "
	       "\"gemm_gflops\": %.1f, \"loss\": %.6f, \"peak_mib\": %.0f}\n",
		inner.name, shape->name, (long long)B, (long long)T, (double)(B * T) / median,
		gemm / median / 1e9, loss, (double)inner.peak_bytes(&inner) / 1048576);
	return 0;
}
