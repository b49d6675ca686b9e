/* SPDX-License-Identifier: Apache-2.0 */
/* common.c - see common.h. */
#include "common.h"

#include <dlfcn.h>
#include <string.h>
#include <time.h>

static const struct shape {
	const char *name;
	gpt_config config;
} shapes[] = {
	{"s32", {.n_layer = 2, .n_head = 2, .n_embd = 32, .n_vocab = 512, .n_inner = 128}},
	{"s128", {.n_layer = 4, .n_head = 4, .n_embd = 128, .n_vocab = 8192, .n_inner = 512}},
	{"s256v8k", {.n_layer = 4, .n_head = 8, .n_embd = 256, .n_vocab = 8192, .n_inner = 1024}},
	{"s256", {.n_layer = 4, .n_head = 8, .n_embd = 256, .n_vocab = 50257, .n_inner = 1024}},
	{"g124", {.n_layer = 12, .n_head = 12, .n_embd = 768, .n_vocab = 50257, .n_inner = 3072}},
	{"g1558", {.n_layer = 48, .n_head = 25, .n_embd = 1600, .n_vocab = 50257, .n_inner = 6400}},
};

void bench_die(const char *what, const cairn_error *err)
{
	fprintf(stderr, "bench: %s: %s\n", what, err ? err->message : "");
	exit(1);
}

gpt_config bench_shape(const char *name, int64_t n_ctx)
{
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++) {
		gpt_config config = shapes[i].config;

		config.n_ctx = (int32_t)n_ctx;
		if (strcmp(shapes[i].name, name) == 0)
			return config;
	}
	bench_die("no shape of that name", NULL);
}

void bench_open(cairn_kernels *out, cairn_meter *meter, const char *library, int threads)
{
	static cairn_kernels inner;
	void *handle = dlopen(library, RTLD_NOW);
	const cairn_kernels_backend *backend = handle ? dlsym(handle, CAIRN_KERNELS_SYMBOL) : NULL;
	cairn_error err = {0};

	if (!backend)
		bench_die(dlerror(), NULL);
	if (backend->open(&inner, threads, &err))
		bench_die("opening the backend", &err);
	cairn_meter_wrap(out, &inner, meter);
}

void bench_wait(const cairn_kernels *k)
{
	cairn_error err = {0};

	if (k->status(k, &err))
		bench_die("the backend", &err);
}

double bench_seconds(void)
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

double bench_median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), ascending);
	return values[n / 2];
}
