/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - causal self-attention of whole sequences.
 *
 * Queries go in blocks of BLOCK against the keys up to the end of their block: scores by a
 * product, softmax by rows, values by a second product in which the keys behind a query
 * weigh 0. So a row of the output is: scores, chains over D; softmax.c over keys 0..t;
 * chains over the keys in ascending order, cut every CAIRN_KC; that divided by the sum.
 * decode.c computes the same of one row.
 *
 * Only lse is kept; the backward pass makes the weights again from it, a block at a time.
 * dk and dv of a key are added up over the blocks of queries in their order.
 */
#include "kernels/cpu/compute.h"

enum {
	BLOCK = 64,
};
_Static_assert(CAIRN_KC % BLOCK == 0, "the end of a block must not lie behind a cut");

typedef struct attention_job {
	cpu *c;
	const cairn_attention *a;
	int64_t C, ld; /* ld: of a block of scores */
	int64_t blocks;
	float scale;
} attention_job;

static attention_job job_of(const cairn_kernels *k, const cairn_attention *a)
{
	attention_job job = {.c = k->self, .a = a, .C = a->NH * a->D};

	CAIRN_ASSERT(a->D <= CAIRN_KC);
	job.ld = round_up(a->T, 16);
	job.blocks = pieces(a->T, BLOCK);
	job.scale = 1 / sqrtf((float)a->D);
	return job;
}

static int64_t length_of(const cairn_attention *a, int64_t b)
{
	return a->lengths ? at_most(a->lengths[b], a->T) : a->T;
}

/* Queries t0..t0+m-1 of one head; n keys are at stake. */
typedef struct block {
	int64_t b, h, t0, m, n;
} block;

static block block_of(const attention_job *job, int64_t b, int64_t h, int64_t t0)
{
	int64_t end = at_most(t0 + BLOCK, length_of(job->a, b));

	return (block){b, h, t0, end - t0, end};
}

/* to[m,n] = left (rows t0.. of a tensor [B,T,ldl]) times right^T (rows 0.. of one of [B,T,ldr]) */
static void rows_by_rows(const attention_job *job, int thread, block q, float *to,
	const float *left, int64_t ldl, const float *right, int64_t ldr)
{
	int64_t D = job->a->D, row = q.b * job->a->T;
	cairn_gemm g = {.M = q.m,
		.N = q.n,
		.K = D,
		.transpose_b = true,
		.A = left + (row + q.t0) * ldl + q.h * D,
		.lda = ldl,
		.B = right + row * ldr + q.h * D,
		.ldb = ldr,
		.C = to,
		.ldc = job->ld};

	ISA(product_serial)(job->c, thread, &g);
}

/* to (rows t0.. of a tensor [B,T,ldt]) = weights[m,n] times right (rows 0..) */
static void weights_by_rows(const attention_job *job, int thread, block q, float *to, int64_t ldt,
	const float *weights, const float *right, int64_t ldr)
{
	int64_t D = job->a->D, row = q.b * job->a->T;
	cairn_gemm g = {.M = q.m,
		.N = D,
		.K = q.n,
		.A = weights,
		.lda = job->ld,
		.B = right + row * ldr + q.h * D,
		.ldb = ldr,
		.C = to + (row + q.t0) * ldt + q.h * D,
		.ldc = ldt};

	ISA(product_serial)(job->c, thread, &g);
}

/* to (rows 0.. of a tensor [B,T,3C]) += weights[m,n]^T times right (rows t0..) */
static void add_weights_by_rows(const attention_job *job, int thread, block q, float *to,
	const float *weights, const float *right, int64_t ldr)
{
	int64_t D = job->a->D, row = q.b * job->a->T, ldt = 3 * job->C;
	cairn_gemm g = {.M = q.n,
		.N = D,
		.K = q.m,
		.transpose_a = true,
		.accumulate = true,
		.A = weights,
		.lda = job->ld,
		.B = right + (row + q.t0) * ldr + q.h * D,
		.ldb = ldr,
		.C = to + row * ldt + q.h * D,
		.ldc = ldt};

	ISA(product_serial)(job->c, thread, &g);
}

/* ---- forward ----------------------------------------------------------------------------------
 */

static void zero_rows(float *at, int64_t ld, int64_t rows, int64_t columns)
{
	for (int64_t r = 0; r < rows; r++)
		memset(at + r * ld, 0, sizeof(float) * (size_t)columns);
}

static void forward_task(void *context, int64_t task, int thread)
{
	const attention_job *job = context;
	const cairn_attention *a = job->a;
	int64_t bh = task / job->blocks, t0 = task % job->blocks * BLOCK, D = a->D, C = job->C;
	block q = block_of(job, bh / a->NH, bh % a->NH, t0);
	float *lse = a->lse + bh * a->T;
	float *out = a->out + q.b * a->T * C + q.h * D;
	float inverse[BLOCK], *p;
	int64_t empty = at_least(t0, q.n), end = at_most(t0 + BLOCK, a->T);

	zero_rows(out + empty * C, C, end - empty, D);
	for (int64_t t = empty; t < end; t++)
		lse[t] = 0;
	if (q.m <= 0)
		return;
	p = cpu_own(job->c, thread, CPU_OWN_WORK, sizeof(float) * (size_t)(BLOCK * job->ld));
	rows_by_rows(job, thread, q, p, a->qkv, 3 * C, a->qkv + C, 3 * C);
	for (int64_t i = 0; i < q.m; i++) {
		int64_t t = t0 + i;
		float *row = p + i * job->ld;
		softmax_row s = ISA(softmax)(row, row, t + 1, job->scale);

		memset(row + t + 1, 0, sizeof(float) * (size_t)(q.n - t - 1));
		inverse[i] = 1 / s.sum;
		lse[t] = (float)((double)s.max + s.log_sum);
	}
	weights_by_rows(job, thread, q, a->out, C, p, a->qkv + 2 * C, 3 * C);
	for (int64_t i = 0; i < q.m; i++)
		for (int64_t d = 0; d < D; d += 16) {
			float *at = out + (t0 + i) * C + d;

			/* + 0: the weights of 0 may have turned a -0 into +0, or not. */
			v_put(at, v_get(at, D - d) * v_all(inverse[i]) + v_all(0), D - d);
		}
}

static void attention(const cairn_kernels *k, const cairn_attention *a)
{
	attention_job job = job_of(k, a);

	pool_for(job.c->pool, a->B * a->NH * job.blocks, forward_task, &job);
}

/* ---- backward ----------------------------------------------------------------------------------
 */

/* One row: scores become weights p, dp becomes the gradient of the scores. */
static void backward_row(
	float *p, float *dp, int64_t keys, int64_t n, float lse, float delta, float scale)
{
	for (int64_t s = 0; s < keys; s += 16) {
		int64_t left = keys - s;
		v16 weight = v_exp(v_get(p + s, left) * v_all(scale) - v_all(lse));
		v16 ds = weight * (v_get(dp + s, left) - v_all(delta)) * v_all(scale);

		v_put(p + s, weight, left);
		v_put(dp + s, ds, left);
	}
	memset(p + keys, 0, sizeof(float) * (size_t)(n - keys));
	memset(dp + keys, 0, sizeof(float) * (size_t)(n - keys));
}

static void backward_block(const attention_job *job, int thread, block q)
{
	const cairn_attention *a = job->a;
	int64_t C = job->C, D = a->D;
	size_t cells = (size_t)(BLOCK * job->ld);
	float *p = cpu_own(job->c, thread, CPU_OWN_WORK, sizeof(float) * 2 * cells);
	float *dp = p + cells;

	rows_by_rows(job, thread, q, p, a->qkv, 3 * C, a->qkv + C, 3 * C);
	rows_by_rows(job, thread, q, dp, a->dout, C, a->qkv + 2 * C, 3 * C);
	for (int64_t i = 0; i < q.m; i++) {
		int64_t t = q.t0 + i, at = (q.b * a->T + t) * C + q.h * D;
		v16 delta = v_all(0); /* sum of p dp, by way of the output */

		for (int64_t d = 0; d < D; d += 16)
			delta = v_fma(v_get(a->out + at + d, D - d), v_get(a->dout + at + d, D - d),
				delta);
		backward_row(p + i * job->ld, dp + i * job->ld, t + 1, q.n,
			a->lse[(q.b * a->NH + q.h) * a->T + t], v_sum(delta), job->scale);
	}
	weights_by_rows(job, thread, q, a->dqkv, 3 * C, dp, a->qkv + C, 3 * C);
	add_weights_by_rows(job, thread, q, a->dqkv + C, dp, a->qkv, 3 * C);
	add_weights_by_rows(job, thread, q, a->dqkv + 2 * C, p, a->dout, C);
}

static void backward_task(void *context, int64_t task, int thread)
{
	const attention_job *job = context;
	const cairn_attention *a = job->a;
	int64_t b = task / a->NH, h = task % a->NH, C = job->C;

	for (int64_t part = 0; part < 3; part++)
		zero_rows(a->dqkv + b * a->T * 3 * C + part * C + h * a->D, 3 * C, a->T, a->D);
	for (int64_t t0 = 0; t0 < length_of(a, b); t0 += BLOCK)
		backward_block(job, thread, block_of(job, b, h, t0));
}

static void attention_backward(const cairn_kernels *k, const cairn_attention *a)
{
	attention_job job = job_of(k, a);

	pool_for(job.c->pool, a->B * a->NH, backward_task, &job);
}

void ISA(fill_attention)(cairn_kernels *k)
{
	k->attention = attention;
	k->attention_backward = attention_backward;
}
