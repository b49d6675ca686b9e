/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - causal self-attention of whole sequences.
 *
 * A row of the output is: scores, chains over D; softmax.c over keys 0..t; chains over the keys
 * in ascending order, cut every CAIRN_KC; that divided by the sum. decode.c computes the same of
 * one row. Only lse is kept; the backward pass makes the weights again from it, BLOCK queries at a
 * time. dk and dv of a key are added up over the blocks of queries in their order; what lies behind
 * the end of a sequence is no term of any sum.
 *
 * The products are too small for gemm.c, whose packing would cost as much as they do: here a head's
 * keys are turned once, and ROWS queries at a time go through scores, softmax and values while all
 * of that is in the first-level cache. Keys behind a query weigh 0, so a tile may reach beyond the
 * diagonal and no further.
 */
#include "kernels/cpu/compute.h"

enum {
	BLOCK = 64,            /* queries of one part of dk and dv */
	PART = 512,            /* queries of one task, forward */
	ROWS = MR > 8 ? 8 : MR /* of a tile */
};
_Static_assert(CAIRN_KC % BLOCK == 0, "the end of a block must not lie behind a cut");
_Static_assert(16 % EXPS == 0 &&
		       (EXPS == 1 || (ROWS % EXPS == 0 && PART % ROWS == 0 && BLOCK % ROWS == 0)),
	"EXPS queries together end in the same vector of keys");

/* ---- tiles ------------------------------------------------------------------------------------
 */

/* c[ROWS][nv * VL] (add: +=) = sum over k < n of a's (i,k) times b[k][.], b's rows being ldb apart;
 * (i,k) is a[i*lda+k], or a[k*lda+i] where `across`. */
ALWAYS void tile_body(bool across, int nv, int64_t n, const float *a, int64_t lda, const float *b,
	int64_t ldb, float *c, int64_t ldc, bool add)
{
	vec sum[ROWS][NV];

#pragma GCC unroll 8
	for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
		for (int j = 0; j < nv; j++)
			sum[i][j] = vec_zero();
	for (int64_t k = 0; k < n; k++, b += ldb) {
		vec row[NV];

#pragma GCC unroll 2
		for (int j = 0; j < nv; j++)
			row[j] = vec_load(b + j * VL);
#pragma GCC unroll 8
		for (int i = 0; i < ROWS; i++) {
			vec x = vec_all(across ? a[k * lda + i] : a[i * lda + k]);

#pragma GCC unroll 2
			for (int j = 0; j < nv; j++)
				sum[i][j] = vec_fma(x, row[j], sum[i][j]);
		}
	}
#pragma GCC unroll 8
	for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
		for (int j = 0; j < nv; j++) {
			float *to = c + i * ldc + j * VL;

			vec_store(to, add ? vec_add(vec_load(to), sum[i][j]) : sum[i][j]);
		}
}

static void tile(int64_t n, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
	int64_t ldc, bool add)
{
	tile_body(false, NV, n, a, lda, b, ldb, c, ldc, add);
}

/* 16 columns, where they are half a tile */
static void tile_half(
	int64_t n, const float *a, int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc)
{
	tile_body(false, 1, n, a, lda, b, ldb, c, ldc, false);
}

static void tile_across(int64_t n, const float *a, int64_t lda, const float *b, int64_t ldb,
	float *c, int64_t ldc, bool add)
{
	tile_body(true, NV, n, a, lda, b, ldb, c, ldc, add);
}

/* ---- one head's operands --------------------------------------------------------------------- */

typedef struct attention_job {
	cpu *c;
	const cairn_attention *a;
	int64_t C, DP, TP, ld; /* D, T in whole tiles; ld: of a row of scores */
	int64_t parts;
	float scale;
} attention_job;

static attention_job job_of(const cairn_kernels *k, const cairn_attention *a)
{
	attention_job job = {.c = k->self, .a = a, .C = a->NH * a->D};

	CAIRN_ASSERT(a->D <= CAIRN_KC);
	job.DP = round_up(a->D, NR);
	job.TP = round_up(a->T, NR);
	job.ld = job.TP + 16; /* not a power of two: rows would share places in the cache */
	job.parts = pieces(a->T, PART);
	job.scale = 1 / sqrtf((float)a->D);
	return job;
}

static int64_t length_of(const cairn_attention *a, int64_t b)
{
	return a->lengths ? at_most(a->lengths[b], a->T) : a->T;
}

/* to[n] = from[n]; rows are too short for a call each. */
ALWAYS void copy_row(float *to, const float *from, int64_t n)
{
	for (int64_t d = 0; d < n; d += 16)
		v_put(to + d, v_get(from + d, n - d), n - d);
}

/* Rows of D at `from`, ldf apart, to rows of DP; `all` rows with those of zeros behind. */
static void copy_rows(const attention_job *job, float *to, const float *from, int64_t ldf,
	int64_t rows, int64_t all)
{
	int64_t D = job->a->D, DP = job->DP;

	for (int64_t r = 0; r < rows; r++) {
		int64_t d = 0;

		for (; d < D; d += 16)
			v_store(to + r * DP + d, v_get(from + r * ldf + d, D - d));
		for (; d < DP; d += 16)
			v_store(to + r * DP + d, v_all(0));
	}
	if (rows < all)
		memset(to + rows * DP, 0, sizeof(float) * (size_t)((all - rows) * DP));
}

/* Rows of D to panels [row / NR][D][NR], the last of which is filled up with zeros. */
static void turn_rows(
	const attention_job *job, float *to, const float *from, int64_t ldf, int64_t rows)
{
	int64_t D = job->a->D;

	for (int64_t r = 0; r < rows; r += 16) {
		float *panel = to + r / NR * NR * D + r % NR;
		const float *at = from + r * ldf;
		int64_t n = at_most(16, rows - r), d = 0;

		for (; n == 16 && d + 16 <= D; d += 16)
			ISA(transpose)(panel + d * NR, NR, at + d, ldf);
		for (; d < D; d++)
			for (int64_t i = 0; i < 16; i++)
				panel[d * NR + i] = i < n ? at[i * ldf + d] : 0;
	}
	for (int64_t r = round_up(rows, 16); r < round_up(rows, NR); r += 16)
		for (int64_t d = 0; d < D; d++)
			memset(to + r / NR * NR * D + d * NR + r % NR, 0, sizeof(float) * 16);
}

/* to[ROWS][n, rounded up to 16] = rows q[ROWS][DP] times the first n turned rows. */
static void against_turned(
	const attention_job *job, float *to, const float *q, const float *turned, int64_t n)
{
	int64_t D = job->a->D, half = NR > 16 ? 16 : 0, s = 0;

	for (; s + half < n; s += NR)
		tile(D, q, job->DP, turned + s * D, NR, to + s, job->ld, false);
	if (s < n)
		tile_half(D, q, job->DP, turned + s * D, NR, to + s, job->ld);
}

/* to[ROWS][DP] = weights[ROWS][n] times rows[n][DP] */
static void mix_rows(
	const attention_job *job, float *to, const float *weights, const float *rows, int64_t n)
{
	for (int64_t d = 0; d < job->DP; d += NR)
		for (int64_t k = 0; k < n; k += CAIRN_KC)
			tile(at_most(CAIRN_KC, n - k), weights + k, job->ld, rows + k * job->DP + d,
				job->DP, to + d, job->DP, k > 0);
}

/* ---- forward ----------------------------------------------------------------------------------
 */

typedef struct forward_head {
	const float *qkv; /* of the first row: q of this head; k and v stand C and 2C behind */
	float *out, *lse;
	float *keys, *values, *q, *p, *mixed;
	float *sum; /* of the weights of a query of the task */
} forward_head;

static size_t forward_floats(const attention_job *job)
{
	return (size_t)(job->TP * (job->a->D + job->DP) + ROWS * (2 * job->DP + job->ld) + PART);
}

/* softmax.c's softmax of `rows` rows at `p`, the first of which has `keys` elements and each other
 * one more than the one before it; 0 behind them up to n. All end in the same vector. */
ALWAYS void softmax_rows(const attention_job *job, int rows, float *p, int64_t keys, int64_t n,
	float *largest, float *total)
{
	v16 scale = v_all(job->scale), x[EXPS], max[EXPS], sum[EXPS];
	int64_t s = 0, ld = job->ld;

#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++)
	EACH max[i] = v_all(-INFINITY);
	EACH sum[i] = v_all(0);
	for (; s + 16 <= keys; s += 16)
		EACH max[i] = v_max(max[i], v_load(p + i * ld + s) * scale);
	if (s < keys + rows - 1)
		EACH max[i] =
			v_max(max[i], v_load_part(p + i * ld + s, keys + i - s, -INFINITY) * scale);
	EACH largest[i] = v_largest(max[i]);
	EACH max[i] = v_all(largest[i]);
	for (s = 0; s < keys + rows - 1; s += 16) {
		EACH x[i] = v_load(p + i * ld + s) * scale - max[i];
		v_exps(x, rows);
		if (s + 16 > keys)
			EACH x[i] = v_keep(x[i], keys + i - s);
		EACH v_store(p + i * ld + s, x[i]);
		EACH sum[i] += x[i];
	}
	for (; s < n; s += 16)
		EACH v_store(p + i * ld + s, v_all(0));
	EACH total[i] = v_sum(sum[i]);
#undef EACH
}

/* lse[n] = itself, the largest score, + log of sum[n]; 8 floats behind n are read. */
static void add_logs(float *lse, const float *sum, int64_t n)
{
	for (int64_t t = 0; t < n; t += 8) {
		v8d log = v_log(sum + t);

		for (int64_t i = 0; i < at_most(8, n - t); i++)
			lse[t + i] = (float)((double)lse[t + i] + log[i]);
	}
}

/* Queries t .. t+m-1, m <= ROWS: out, the largest score to lse, the sum of its exps. */
static void forward_rows(
	const attention_job *job, const forward_head *head, int64_t t, int64_t m, float *sum)
{
	int64_t C = job->C, D = job->a->D, n = t + m, i = 0;

	copy_rows(job, head->q, head->qkv + t * 3 * C, 3 * C, m, ROWS);
	against_turned(job, head->p, head->q, head->keys, n);
	for (; i + EXPS <= m; i += EXPS)
		softmax_rows(
			job, EXPS, head->p + i * job->ld, t + i + 1, n, head->lse + t + i, sum + i);
	for (; i < m; i++)
		softmax_rows(
			job, 1, head->p + i * job->ld, t + i + 1, n, head->lse + t + i, sum + i);
	mix_rows(job, head->mixed, head->p, head->values, n);
	for (i = 0; i < m; i++) {
		float *out = head->out + (t + i) * C, inverse = 1 / sum[i];

		/* + 0: the weights of 0 may have turned a -0 into +0, or not. */
		for (int64_t d = 0; d < D; d += 16)
			v_put(out + d,
				v_load(head->mixed + i * job->DP + d) * v_all(inverse) + v_all(0),
				D - d);
	}
}

static void zero_rows(float *at, int64_t ld, int64_t rows, int64_t columns)
{
	for (int64_t r = 0; r < rows; r++)
		memset(at + r * ld, 0, sizeof(float) * (size_t)columns);
}

static void forward_task(void *context, int64_t task, int thread)
{
	const attention_job *job = context;
	const cairn_attention *a = job->a;
	int64_t bh = task / job->parts, b = bh / a->NH, h = bh % a->NH, C = job->C, D = a->D;
	int64_t first = task % job->parts * PART, last = at_most(first + PART, a->T);
	int64_t end = at_most(last, length_of(a, b)), empty = at_least(first, end);
	forward_head head = {.qkv = a->qkv + b * a->T * 3 * C + h * D,
		.out = a->out + b * a->T * C + h * D,
		.lse = a->lse + bh * a->T};

	zero_rows(head.out + empty * C, C, last - empty, D);
	for (int64_t t = empty; t < last; t++)
		head.lse[t] = 0;
	if (end <= first)
		return;
	head.keys = cpu_own(job->c, thread, CPU_OWN_WORK, sizeof(float) * forward_floats(job));
	head.values = head.keys + job->TP * D;
	head.q = head.values + job->TP * job->DP;
	head.mixed = head.q + ROWS * job->DP;
	head.p = head.mixed + ROWS * job->DP;
	head.sum = head.p + ROWS * job->ld;
	turn_rows(job, head.keys, head.qkv + C, 3 * C, end);
	copy_rows(job, head.values, head.qkv + 2 * C, 3 * C, end, end);
	for (int64_t t = first; t < end; t += ROWS)
		forward_rows(job, &head, t, at_most(ROWS, end - t), head.sum + t - first);
	add_logs(head.lse + first, head.sum, end - first);
}

static void attention(const cairn_kernels *k, const cairn_attention *a)
{
	attention_job job = job_of(k, a);

	pool_for(job.c->pool, a->B * a->NH * job.parts, forward_task, &job);
}

/* ---- backward ----------------------------------------------------------------------------------
 */

typedef struct backward_head {
	const float *qkv, *out, *dout, *lse;
	float *dqkv;
	float *keys, *values;  /* turned */
	float *rows, *dk, *dv; /* [TP+ROWS][DP]: keys; gradients */
	float *q, *d, *dq;     /* [BLOCK+ROWS][DP]: of a block: queries, dout */
	float *p, *dp;         /* [BLOCK+ROWS][ld] */
} backward_head;

static void cut_backward(const attention_job *job, int thread, backward_head *head)
{
	int64_t D = job->a->D, DP = job->DP, tall = (job->TP + ROWS) * DP, block = BLOCK + ROWS;
	size_t floats = (size_t)(2 * job->TP * D + 3 * tall + block * (3 * DP + 2 * job->ld));

	head->keys = cpu_own(job->c, thread, CPU_OWN_WORK, sizeof(float) * floats);
	head->values = head->keys + job->TP * D;
	head->rows = head->values + job->TP * D;
	head->dk = head->rows + tall;
	head->dv = head->dk + tall;
	head->q = head->dv + tall;
	head->d = head->q + block * DP;
	head->dq = head->d + block * DP;
	head->p = head->dq + block * DP;
	head->dp = head->p + block * job->ld;
}

/* `rows` rows: scores become weights p, dp becomes the gradient of the scores; the first row has
 * `keys` of them, each other one more than the one before it; 0 behind them up to n. */
ALWAYS void backward_weights(const attention_job *job, int rows, float *p, float *dp, int64_t keys,
	int64_t n, const float *lse, const float *delta)
{
	v16 scale = v_all(job->scale), x[EXPS], ds[EXPS];
	int64_t s = 0, ld = job->ld;

#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++)
	for (; s < keys + rows - 1; s += 16) {
		EACH x[i] = v_load(p + i * ld + s) * scale - v_all(lse[i]);
		v_exps(x, rows);
		EACH ds[i] = x[i] * (v_load(dp + i * ld + s) - v_all(delta[i])) * scale;
		if (s + 16 > keys) {
			EACH x[i] = v_keep(x[i], keys + i - s);
			EACH ds[i] = v_keep(ds[i], keys + i - s);
		}
		EACH v_store(p + i * ld + s, x[i]);
		EACH v_store(dp + i * ld + s, ds[i]);
	}
	for (; s < n; s += 16) {
		EACH v_store(p + i * ld + s, v_all(0));
		EACH v_store(dp + i * ld + s, v_all(0));
	}
#undef EACH
}

/* Queries t .. t+m-1 (m <= ROWS), of which t is row i of its block: p, dp, dq. */
static void backward_rows(
	const attention_job *job, const backward_head *head, int64_t t, int64_t i, int64_t m)
{
	int64_t C = job->C, D = job->a->D, DP = job->DP, n = t + m;
	float *p = head->p + i * job->ld, *dp = head->dp + i * job->ld, delta[ROWS];
	/* Columns of zeros: as far as a tile of keys reaches from the diagonal. */
	int64_t zeros = at_most(job->ld, n + ROWS), r;

	against_turned(job, p, head->q + i * DP, head->keys, n);
	against_turned(job, dp, head->d + i * DP, head->values, n);
	for (r = 0; r < m; r++) {
		const float *out = head->out + (t + r) * C, *dout = head->d + (i + r) * DP;
		v16 sum = v_all(0); /* of p dp, by way of the output */

		for (int64_t d = 0; d < D; d += 16)
			sum = v_fma(v_get(out + d, D - d), v_load(dout + d), sum);
		delta[r] = v_sum(sum);
	}
	for (r = 0; r + EXPS <= m; r += EXPS)
		backward_weights(job, EXPS, p + r * job->ld, dp + r * job->ld, t + r + 1, zeros,
			head->lse + t + r, delta + r);
	for (; r < m; r++)
		backward_weights(job, 1, p + r * job->ld, dp + r * job->ld, t + r + 1, zeros,
			head->lse + t + r, delta + r);
	mix_rows(job, head->dq + i * DP, dp, head->rows, n);
}

/* to[n][DP] += weights[m][n]^T times rows[m][DP]; a key has queries from itself on. */
static void add_mixed(const attention_job *job, float *to, const float *weights, const float *rows,
	int64_t t0, int64_t m)
{
	int64_t DP = job->DP;

	for (int64_t s = 0; s < t0 + m; s += ROWS) {
		int64_t from = at_least(0, s - t0);

		for (int64_t d = 0; d < DP; d += NR)
			tile_across(m - from, weights + from * job->ld + s, job->ld,
				rows + from * DP + d, DP, to + s * DP + d, DP, true);
	}
}

/* Queries t0 .. t0+m-1, m <= BLOCK. */
static void backward_block(
	const attention_job *job, const backward_head *head, int64_t t0, int64_t m)
{
	int64_t C = job->C, D = job->a->D, DP = job->DP;

	copy_rows(job, head->q, head->qkv + t0 * 3 * C, 3 * C, m, m + ROWS);
	copy_rows(job, head->d, head->dout + t0 * C, C, m, m + ROWS);
	for (int64_t i = 0; i < m; i += ROWS)
		backward_rows(job, head, t0 + i, i, at_most(ROWS, m - i));
	add_mixed(job, head->dk, head->dp, head->q, t0, m);
	add_mixed(job, head->dv, head->p, head->d, t0, m);
	for (int64_t i = 0; i < m; i++)
		copy_row(head->dqkv + (t0 + i) * 3 * C, head->dq + i * DP, D);
}

static void backward_task(void *context, int64_t task, int thread)
{
	const attention_job *job = context;
	const cairn_attention *a = job->a;
	int64_t b = task / a->NH, h = task % a->NH, C = job->C, D = a->D, T = a->T;
	int64_t n = length_of(a, b);
	backward_head head = {.qkv = a->qkv + b * T * 3 * C + h * D,
		.out = a->out + b * T * C + h * D,
		.dout = a->dout + b * T * C + h * D,
		.lse = a->lse + task * T,
		.dqkv = a->dqkv + b * T * 3 * C + h * D};

	cut_backward(job, thread, &head);
	turn_rows(job, head.keys, head.qkv + C, 3 * C, n);
	turn_rows(job, head.values, head.qkv + 2 * C, 3 * C, n);
	copy_rows(job, head.rows, head.qkv + C, 3 * C, n, n);
	memset(head.dk, 0, sizeof(float) * (size_t)((n + ROWS) * job->DP));
	memset(head.dv, 0, sizeof(float) * (size_t)((n + ROWS) * job->DP));
	for (int64_t t0 = 0; t0 < n; t0 += BLOCK)
		backward_block(job, &head, t0, at_most(BLOCK, n - t0));
	for (int64_t t = 0; t < n; t++) {
		copy_row(head.dqkv + t * 3 * C + C, head.dk + t * job->DP, D);
		copy_row(head.dqkv + t * 3 * C + 2 * C, head.dv + t * job->DP, D);
	}
	for (int64_t part = 0; part < 3; part++)
		zero_rows(head.dqkv + n * 3 * C + part * C, 3 * C, T - n, D);
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
