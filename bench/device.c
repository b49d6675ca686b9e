/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - what a backend gives at most, and what single kernels make of that.
 *
 * Usage: bench-device BACKEND_SO ceilings [N [MIB]]
 *     a product of N x N matrices (8192), the right one packed; a copy of MIB (1024)
 *
 *        bench-device BACKEND_SO attention B T NH D ROUNDS
 *     forward and backward, causal
 *
 *        bench-device BACKEND_SO kernels R C V
 *     all others of a training step, of R positions: what each moves or computes
 *
 * One line of JSON a measurement. FLOPs: 2 M N K of a product; of attention 2 B NH T T D forward,
 * the causal half of two products, and 2.5 times that backward. Bytes are those that a kernel
 * cannot do without, each read and written once: beside the copy's rate they tell which kernel is
 * slow.
 *
 * Calls may return before they are done, so a measurement is of as many calls as take some time
 * together, and of the wait for the last. The median of the rounds counts.
 */
#include <string.h>

#include "common.h"
#include "gpt/rng.h"

enum {
	MAX_ROUNDS = 64,
	ROUNDS = 3,
	TABLE = 4093, /* rows of random numbers, of which tensors are made */
};

#define LONG_ENOUGH .03 /* seconds of a round */

/* What the calls of a measurement work on; activations have R rows of up to 4 C channels. */
typedef struct tensors {
	const cairn_kernels *k;
	int64_t R, C, V;
	cairn_act *x, *y, *z, *out;    /* [R,C] */
	cairn_act *wide, *pre;         /* [R,4C] */
	cairn_real *w, *m, *v, *g;     /* [C,4C] or [V,C], the larger one */
	cairn_real *row;               /* [4C], twice */
	cairn_real *rstd, *logprob;    /* [R] */
	int32_t *token, *position;     /* [R] */
	cairn_packed *packed, *logits; /* w as [C,4C] and as [V,C]; NULL where training has none */
	cairn_attention attention;
	size_t bytes;
} tensors;

typedef void call_fn(const tensors *t);

static void *dev(const cairn_kernels *k, int64_t n, size_t size)
{
	void *out = k->alloc(k, (size_t)n * size);

	if (!out)
		bench_die("out of the backend's memory", NULL);
	return out;
}

/* n numbers of variance 1 times `scale`: what a product takes depends on the bits it gets. */
static cairn_real *random_real(const cairn_kernels *k, int64_t n, double scale)
{
	enum {
		N = 65521
	};
	static cairn_real numbers[N];
	cairn_real *out = dev(k, n, sizeof(*out));

	for (uint64_t i = 0; i < N; i++)
		numbers[i] = (cairn_real)(scale * gpt_random_normal(1, i, 0));
	for (int64_t at = 0; at < n; at += N)
		k->write(k, out + at, numbers, (size_t)(n - at < N ? n - at : N) * sizeof(*out));
	return out;
}

/* R numbers below `n`. */
static int32_t *random_index(const cairn_kernels *k, int64_t R, int64_t n, uint64_t key)
{
	int32_t *host = calloc((size_t)R, sizeof(*host)), *out = dev(k, R, sizeof(*out));

	if (!host)
		bench_die("out of memory", NULL);
	for (int64_t r = 0; r < R; r++)
		host[r] = (int32_t)gpt_random_below(key, (uint64_t)r, 0, (uint64_t)n);
	k->write(k, out, host, (size_t)R * sizeof(*out));
	free(host);
	return out;
}

/* Activations [R,C] of variance 1; only the backend can make them. */
static cairn_act *random_act(const cairn_kernels *k, int64_t R, int64_t C)
{
	cairn_act *out = dev(k, R * C, (size_t)k->act_bytes);
	cairn_real *table = random_real(k, TABLE * C, .7);
	int32_t *a = random_index(k, R, TABLE, 2), *b = random_index(k, R, TABLE, 3);

	k->embed(k, out, a, b, table, table, R, C);
	bench_wait(k);
	k->free(k, b);
	k->free(k, a);
	k->free(k, table);
	return out;
}

/* Seconds of one call. */
static double measure(const tensors *t, call_fn *call, int rounds)
{
	double seconds[MAX_ROUNDS];
	int64_t calls = 1;

	call(t); /* makes plans and workspaces */
	bench_wait(t->k);
	for (int round = 0; round < rounds;) {
		double start = bench_seconds(), spent;

		for (int64_t i = 0; i < calls; i++)
			call(t);
		bench_wait(t->k);
		spent = bench_seconds() - start;
		if (spent < LONG_ENOUGH)
			calls *= 2;
		else
			seconds[round++] = spent / (double)calls;
	}
	return bench_median(seconds, rounds);
}

/* ---- ceilings ------------------------------------------------------------------------------- */

static void call_square(const tensors *t)
{
	t->k->gemm(t->k, &(cairn_gemm){.M = t->R,
				 .N = t->R,
				 .K = t->R,
				 .act_a = true,
				 .act_c = true,
				 .A = t->x,
				 .lda = t->R,
				 .B = t->w,
				 .ldb = t->R,
				 .C = t->out,
				 .ldc = t->R,
				 .packed = t->packed});
}

static void call_copy(const tensors *t)
{
	t->k->copy(t->k, t->out, t->x, t->bytes);
}

static void ceilings(const cairn_kernels *k, int64_t N, int64_t mib)
{
	tensors t = {.k = k, .R = N, .x = random_act(k, N, N), .w = random_real(k, N * N, 1)};
	double seconds;

	t.out = dev(k, N * N, (size_t)k->act_bytes);
	t.packed = k->pack(k, t.w, N, N, N, false);
	if (!t.packed)
		bench_die("out of the backend's memory", NULL);
	seconds = measure(&t, call_square, ROUNDS);
	printf("{\"who\": \"cairn %s\", \"what\": \"gemm\", \"N\": %lld, \"us\": %.2f, "
	       "\"tflops\": %.4g}\n",
		k->name, (long long)N, 1e6 * seconds,
		2 * (double)N * (double)N * (double)N / seconds / 1e12);
	k->pack_free(k, t.packed);
	k->free(k, t.out);
	k->free(k, t.w);
	k->free(k, t.x);

	t = (tensors){.k = k, .bytes = (size_t)mib << 20};
	t.x = dev(k, mib, 1 << 20);
	t.out = dev(k, mib, 1 << 20);
	seconds = measure(&t, call_copy, ROUNDS);
	printf("{\"who\": \"cairn %s\", \"what\": \"copy\", \"mib\": %lld, \"us\": %.2f, "
	       "\"gb_per_s\": %.4g}\n",
		k->name, (long long)mib, 1e6 * seconds, 2 * (double)t.bytes / seconds / 1e9);
}

/* ---- attention ------------------------------------------------------------------------------ */

static void call_attention(const tensors *t)
{
	t->k->attention(t->k, &t->attention);
}

static void call_attention_backward(const tensors *t)
{
	t->k->attention_backward(t->k, &t->attention);
}

static void attention(
	const cairn_kernels *k, int64_t B, int64_t T, int64_t NH, int64_t D, int rounds)
{
	int64_t R = B * T, C = NH * D;
	double flop = 2 * (double)(B * NH) * (double)(T * T) * (double)D, forward, backward;
	tensors t = {.k = k,
		.attention = {.B = B,
			.T = T,
			.NH = NH,
			.D = D,
			.qkv = random_act(k, R, 3 * C),
			.dout = random_act(k, R, C),
			.out = dev(k, R * C, (size_t)k->act_bytes),
			.lse = dev(k, R * NH, sizeof(cairn_real)),
			.dqkv = dev(k, R * 3 * C, (size_t)k->act_bytes)}};

	forward = measure(&t, call_attention, rounds);
	backward = measure(&t, call_attention_backward, rounds);
	printf("{\"who\": \"cairn %s\", \"what\": \"attention\", \"B\": %lld, \"T\": %lld, "
	       "\"heads\": %lld, \"head\": %lld, \"forward_us\": %.2f, \"forward_tflops\": %.4g, "
	       "\"backward_us\": %.2f, \"backward_tflops\": %.4g}\n",
		k->name, (long long)B, (long long)T, (long long)NH, (long long)D, 1e6 * forward,
		flop / forward / 1e12, 1e6 * backward, 2.5 * flop / backward / 1e12);
}

/* ---- the other kernels of a training step ------------------------------------------------------
 */

/* wide = gelu(x w + row), as the network's widest layer. */
static void call_gelu(const tensors *t)
{
	t->k->gemm(t->k, &(cairn_gemm){.M = t->R,
				 .N = 4 * t->C,
				 .K = t->C,
				 .gelu = true,
				 .act_a = true,
				 .act_c = true,
				 .A = t->x,
				 .lda = t->C,
				 .B = t->w,
				 .ldb = 4 * t->C,
				 .C = t->wide,
				 .ldc = 4 * t->C,
				 .bias = t->row,
				 .pre = t->pre,
				 .packed = t->packed});
}

/* The gradient of its input ... */
static void call_gemm_input(const tensors *t)
{
	t->k->gemm(t->k, &(cairn_gemm){.M = t->R,
				 .N = t->C,
				 .K = 4 * t->C,
				 .transpose_b = true,
				 .act_a = true,
				 .act_c = true,
				 .A = t->pre,
				 .lda = 4 * t->C,
				 .B = t->w,
				 .ldb = 4 * t->C,
				 .C = t->out,
				 .ldc = t->C,
				 .packed = t->packed});
}

/* ... and of its weights. */
static void call_gemm_weights(const tensors *t)
{
	t->k->gemm(t->k, &(cairn_gemm){.M = t->C,
				 .N = 4 * t->C,
				 .K = t->R,
				 .transpose_a = true,
				 .accumulate = true,
				 .act_a = true,
				 .act_b = true,
				 .A = t->x,
				 .lda = t->C,
				 .B = t->pre,
				 .ldb = 4 * t->C,
				 .C = t->g,
				 .ldc = 4 * t->C});
}

static cairn_lm_head head_of(const tensors *t)
{
	return (cairn_lm_head){.R = t->R,
		.C = t->C,
		.V = t->V,
		.h = t->x,
		.wte = t->w,
		.target = t->token,
		.temperature = 1,
		.logprob = t->logprob,
		.packed_logits = t->logits};
}

static void call_head(const tensors *t)
{
	const cairn_lm_head head = head_of(t);

	t->k->lm_head(t->k, &head);
}

static void call_head_backward(const tensors *t)
{
	cairn_lm_head head = head_of(t);

	head.dlogprob = t->rstd;
	head.dh = t->out;
	head.dwte = t->g;
	t->k->lm_head(t->k, &head);
}

static void call_layernorm(const tensors *t)
{
	t->k->layernorm(
		t->k, t->out, t->logprob, t->rstd, t->z, t->x, t->y, t->row, t->row, t->R, t->C);
}

static void call_layernorm_backward(const tensors *t)
{
	t->k->layernorm_backward(t->k, t->out, t->g, t->g + t->C, t->y, t->x, t->row, t->logprob,
		t->rstd, t->R, t->C, 0);
}

static void call_gelu_backward(const tensors *t)
{
	t->k->gelu_backward(t->k, t->wide, t->pre, 4 * t->R * t->C);
}

static void call_bias_backward(const tensors *t)
{
	t->k->bias_backward(t->k, t->g, t->pre, true, t->R, 4 * t->C, 0);
}

static void call_embed(const tensors *t)
{
	t->k->embed(t->k, t->out, t->token, t->position, t->w, t->w, t->R, t->C);
}

static void call_embed_backward(const tensors *t)
{
	t->k->embed_backward(t->k, t->g, t->m, t->x, t->token, t->position, t->R, t->C);
}

static void call_sum_squares(const tensors *t)
{
	(void)t->k->sum_squares(t->k, t->g, t->V * t->C);
}

static void call_adam(const tensors *t)
{
	t->k->adam(t->k, &(cairn_adam){.n = t->V * t->C,
				 .w = t->w,
				 .g = t->g,
				 .m = t->m,
				 .v = t->v,
				 .grad_scale = 1,
				 .lr = 1e-6,
				 .beta1 = .9,
				 .beta2 = .95,
				 .eps = 1e-8,
				 .t = 1});
}

/* What a kernel computes and moves, in parts of 2 R C 4C, 2 R C V, R C activations and V C numbers.
 */
static const struct kernel {
	const char *name;
	call_fn *call;
	int layer, head;  /* FLOPs */
	int acts, params; /* bytes */
} kernels[] = {
	{"gemm_gelu", call_gelu, .layer = 1},
	{"gemm_input_gradient", call_gemm_input, .layer = 1},
	{"gemm_weight_gradient", call_gemm_weights, .layer = 1},
	{"head", call_head, .head = 1},
	{"head_backward", call_head_backward, .head = 3},
	{"layernorm", call_layernorm, .acts = 4},
	{"layernorm_backward", call_layernorm_backward, .acts = 4},
	{"gelu_backward", call_gelu_backward, .acts = 12},
	{"bias_backward", call_bias_backward, .acts = 4},
	{"embed", call_embed, .acts = 1},
	{"embed_backward", call_embed_backward, .acts = 1},
	{"sum_squares", call_sum_squares, .params = 1},
	{"adam", call_adam, .params = 7},
};

static tensors all_tensors(const cairn_kernels *k, int64_t R, int64_t C, int64_t V)
{
	int64_t n = V * C > 4 * C * C ? V * C : 4 * C * C;
	tensors t = {.k = k,
		.R = R,
		.C = C,
		.V = V,
		.x = random_act(k, R, C),
		.y = random_act(k, R, C),
		.z = random_act(k, R, C),
		.out = random_act(k, R, C),
		.wide = random_act(k, R, 4 * C),
		.pre = random_act(k, R, 4 * C),
		.w = random_real(k, n, .02),
		.m = dev(k, n, sizeof(cairn_real)),
		.v = dev(k, n, sizeof(cairn_real)),
		.g = dev(k, n, sizeof(cairn_real)),
		.row = random_real(k, 8 * C, .02),
		.rstd = random_real(k, R, .02),
		.logprob = dev(k, R, sizeof(cairn_real)),
		.token = random_index(k, R, V, 4),
		.position = random_index(k, R, V < 1024 ? V : 1024, 5)};

	if (k->wants_packed) {
		t.packed = k->pack(k, t.w, 4 * C, C, 4 * C, false);
		t.logits = k->pack(k, t.w, C, C, V, true);
	}
	return t;
}

static void all_kernels(const cairn_kernels *k, int64_t R, int64_t C, int64_t V)
{
	const tensors t = all_tensors(k, R, C, V);
	double rows = (double)(R * C), params = (double)(V * C);

	for (size_t i = 0; i < CAIRN_COUNT(kernels); i++) {
		const struct kernel *kernel = &kernels[i];
		double seconds = measure(&t, kernel->call, ROUNDS);
		double flop = 2 * rows * (4 * kernel->layer * (double)C + kernel->head * (double)V);
		double bytes = kernel->acts * rows * k->act_bytes +
			       kernel->params * params * (double)sizeof(cairn_real);

		printf("{\"who\": \"cairn %s\", \"what\": \"%s\", \"R\": %lld, \"C\": %lld, "
		       "\"V\": %lld, \"us\": %.2f, \"%s\": %.4g}\n",
			k->name, kernel->name, (long long)R, (long long)C, (long long)V,
			1e6 * seconds, flop > 0 ? "tflops" : "gb_per_s",
			flop > 0 ? flop / seconds / 1e12 : bytes / seconds / 1e9);
	}
}

static int64_t size(const char *word)
{
	int64_t out = strtol(word, NULL, 10);

	if (out < 1)
		bench_die("a size that cannot be", NULL);
	return out;
}

int main(int argc, char **argv)
{
	static cairn_meter meter;
	static cairn_kernels k;
	const char *what = argc > 2 ? argv[2] : "";
	bool is_ceilings = strcmp(what, "ceilings") == 0 && argc <= 5;
	bool is_attention = strcmp(what, "attention") == 0 && argc == 8;

	if (!is_ceilings && !is_attention && !(strcmp(what, "kernels") == 0 && argc == 6)) {
		fprintf(stderr, "usage: bench-device BACKEND_SO ceilings [N [MIB]]\n"
				"       bench-device BACKEND_SO attention B T NH D ROUNDS\n"
				"       bench-device BACKEND_SO kernels R C V\n");
		return 2;
	}
	bench_open(&k, &meter, argv[1], 0);
	if (is_ceilings) {
		ceilings(&k, argc > 3 ? size(argv[3]) : 8192, argc > 4 ? size(argv[4]) : 1024);
	} else if (is_attention) {
		int64_t rounds = size(argv[7]);

		if (rounds > MAX_ROUNDS)
			bench_die("a size that cannot be", NULL);
		attention(&k, size(argv[3]), size(argv[4]), size(argv[5]), size(argv[6]),
			(int)rounds);
	} else {
		all_kernels(&k, size(argv[3]), size(argv[4]), size(argv[5]));
	}
	return 0;
}
