/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers.c - layer norm, gelu's derivative, bias gradients.
 *
 * Sums over rows are made by chunks of CHUNK rows, counted from the start of each sequence
 * where these are told apart (cut), and the chunks are added in order: they follow from the
 * shape, never from the number of threads.
 */
#include "kernels/cpu/compute.h"

enum {
	CHUNK = 64,       /* rows of one partial sum */
	ELEMENTS = 16384, /* of one task */
	COLUMNS = 64,     /* of one task over columns */
};

static const float EPSILON = 1e-5f;

/* Rows of one chunk: first .. end-1. */
typedef struct chunk {
	int64_t first, end;
} chunk;

/* R rows in sequences of `cut` (0: one sequence). */
static int64_t chunks_of(int64_t R, int64_t cut)
{
	int64_t rows = cut > 0 && cut < R ? cut : R;

	return R > 0 ? R / rows * pieces(rows, CHUNK) + pieces(R % rows, CHUNK) : 0;
}

static chunk chunk_at(int64_t R, int64_t cut, int64_t i)
{
	int64_t rows = cut > 0 && cut < R ? cut : R, each = pieces(rows, CHUNK);
	int64_t start = i / each * rows, first = start + i % each * CHUNK;

	return (chunk){first, at_most(at_most(R, start + rows), first + CHUNK)};
}

/* ---- layer norm, forward ----------------------------------------------------------------------
 */

typedef struct norm_job {
	float *out, *mean, *rstd, *sum;
	const float *a, *b, *gain, *bias;
	int64_t R, C, rows;
} norm_job;

static void norm_row(const norm_job *job, int64_t r)
{
	int64_t C = job->C;
	const float *x = job->a + r * C;
	v16 total = v_all(0), squares = v_all(0), mean, rstd;
	float *to = job->out + r * C, *sum = job->sum ? job->sum + r * C : NULL;

	for (int64_t c = 0; c < C; c += 16) {
		v16 value = v_get(x + c, C - c);

		if (job->b)
			value += v_get(job->b + r * C + c, C - c);
		if (sum)
			v_put(sum + c, value, C - c);
		total += value;
	}
	x = job->b ? sum : x;
	mean = v_all(v_sum(total) / (float)C);
	for (int64_t c = 0; c < C; c += 16) {
		v16 centred = v_keep(v_get(x + c, C - c) - mean, C - c);

		squares = v_fma(centred, centred, squares);
	}
	rstd = v_all(1 / sqrtf(v_sum(squares) / (float)C + EPSILON));
	for (int64_t c = 0; c < C; c += 16) {
		v16 n = (v_get(x + c, C - c) - mean) * rstd;

		n = v_fma(n, v_get(job->gain + c, C - c), v_get(job->bias + c, C - c));
		v_put(to + c, n, C - c);
	}
	if (job->mean)
		job->mean[r] = mean[0];
	if (job->rstd)
		job->rstd[r] = rstd[0];
}

static void norm_task(void *context, int64_t task, int thread)
{
	const norm_job *job = context;
	int64_t end = at_most(job->R, (task + 1) * job->rows);

	(void)thread;
	for (int64_t r = task * job->rows; r < end; r++)
		norm_row(job, r);
}

static void layernorm(const cairn_kernels *k, float *out, float *mean, float *rstd, float *sum,
	const float *a, const float *b, const float *gain, const float *bias, int64_t R, int64_t C)
{
	cpu *c = k->self;
	norm_job job = {out, mean, rstd, sum, a, b, gain, bias, R, C, 0};

	CAIRN_ASSERT(!b || sum);
	job.rows = at_least(1, ELEMENTS / at_least(C, 1));
	pool_for(c->pool, pieces(R, job.rows), norm_task, &job);
}

/* ---- layer norm, backward -----------------------------------------------------------------------
 */

typedef struct norm_back_job {
	float *dx, *dgain, *dbias;
	const float *dout, *x, *gain, *mean, *rstd;
	int64_t R, C, cut, chunks;
	float *partial; /* [chunks][2][C] */
} norm_back_job;

static void norm_back_row(const norm_back_job *job, int64_t r, float *dgain, float *dbias)
{
	int64_t C = job->C;
	const float *d = job->dout + r * C, *x = job->x + r * C;
	float *dx = job->dx + r * C;
	v16 mean = v_all(job->mean[r]), rstd = v_all(job->rstd[r]);
	v16 sum = v_all(0), dot = v_all(0), mean_d, mean_dn;

	for (int64_t c = 0; c < C; c += 16) {
		int64_t left = C - c;
		v16 n = (v_get(x + c, left) - mean) * rstd;
		v16 dn = v_get(d + c, left) * v_get(job->gain + c, left);

		sum += dn;
		dot = v_fma(dn, n, dot);
	}
	mean_d = v_all(v_sum(sum) / (float)C);
	mean_dn = v_all(v_sum(dot) / (float)C);
	for (int64_t c = 0; c < C; c += 16) {
		int64_t left = C - c;
		v16 given = v_get(d + c, left), n = (v_get(x + c, left) - mean) * rstd;
		v16 dn = v_fma(given, v_get(job->gain + c, left), -mean_d);

		v_put(dx + c, v_fma(v_fma(-n, mean_dn, dn), rstd, v_get(dx + c, left)), left);
		v_put(dgain + c, v_fma(given, n, v_get(dgain + c, left)), left);
		v_put(dbias + c, given + v_get(dbias + c, left), left);
	}
}

static void norm_back_task(void *context, int64_t task, int thread)
{
	const norm_back_job *job = context;
	int64_t C = job->C;
	chunk rows = chunk_at(job->R, job->cut, task);
	float *dgain = job->partial + task * 2 * C;

	(void)thread;
	memset(dgain, 0, sizeof(float) * 2 * (size_t)C);
	for (int64_t r = rows.first; r < rows.end; r++)
		norm_back_row(job, r, dgain, dgain + C);
}

static void norm_sum_task(void *context, int64_t task, int thread)
{
	const norm_back_job *job = context;
	int64_t C = job->C, end = at_most(C, (task + 1) * COLUMNS);

	(void)thread;
	for (int64_t i = 0; i < job->chunks; i++) {
		const float *gain = job->partial + i * 2 * C, *bias = gain + C;

		for (int64_t c = task * COLUMNS; c < end; c++) {
			job->dgain[c] += gain[c];
			job->dbias[c] += bias[c];
		}
	}
}

static void layernorm_backward(const cairn_kernels *k, float *dx, float *dgain, float *dbias,
	const float *dout, const float *x, const float *gain, const float *mean, const float *rstd,
	int64_t R, int64_t C, int64_t cut)
{
	cpu *c = k->self;
	norm_back_job job = {
		dx, dgain, dbias, dout, x, gain, mean, rstd, R, C, cut, chunks_of(R, cut), NULL};

	job.partial = cpu_shared(c, CPU_PARTIALS, sizeof(float) * (size_t)(job.chunks * 2 * C));
	pool_for(c->pool, job.chunks, norm_back_task, &job);
	pool_for(c->pool, pieces(C, COLUMNS), norm_sum_task, &job);
}

/* ---- gelu, bias ---------------------------------------------------------------------------------
 */

typedef struct gelu_job {
	float *d;
	const float *z;
	int64_t n;
} gelu_job;

static void gelu_task(void *context, int64_t task, int thread)
{
	const gelu_job *job = context;
	int64_t end = at_most(job->n, (task + 1) * ELEMENTS);

	(void)thread;
	for (int64_t i = task * ELEMENTS; i < end; i += 16) {
		v16 slope = v_gelu_slope(v_get(job->z + i, end - i));

		v_put(job->d + i, v_get(job->d + i, end - i) * slope, end - i);
	}
}

static void gelu_backward(const cairn_kernels *k, float *d, const float *z, int64_t n)
{
	cpu *c = k->self;
	gelu_job job = {d, z, n};

	pool_for(c->pool, pieces(n, ELEMENTS), gelu_task, &job);
}

typedef struct bias_job {
	float *dbias;
	const float *dout;
	int64_t R, N, cut, chunks;
} bias_job;

static void bias_task(void *context, int64_t task, int thread)
{
	const bias_job *job = context;
	int64_t first = task * COLUMNS, n = at_most(COLUMNS, job->N - first);
	float *total = job->dbias + first;

	(void)thread;
	for (int64_t i = 0; i < job->chunks; i++) {
		chunk rows = chunk_at(job->R, job->cut, i);
		v16 sum[COLUMNS / 16] = {{0}};

		for (int64_t r = rows.first; r < rows.end; r++)
			for (int64_t j = 0; j < n; j += 16)
				sum[j / 16] += v_get(job->dout + r * job->N + first + j, n - j);
		for (int64_t j = 0; j < n; j += 16)
			v_put(total + j, v_get(total + j, n - j) + sum[j / 16], n - j);
	}
}

static void bias_backward(const cairn_kernels *k, float *dbias, const void *dout, bool act,
	int64_t R, int64_t N, int64_t cut)
{
	cpu *c = k->self;
	bias_job job = {dbias, dout, R, N, cut, chunks_of(R, cut)};

	(void)act; /* floats, either way */
	pool_for(c->pool, pieces(N, COLUMNS), bias_task, &job);
}

void ISA(fill_layers)(cairn_kernels *k)
{
	k->layernorm = layernorm;
	k->layernorm_backward = layernorm_backward;
	k->gelu_backward = gelu_backward;
	k->bias_backward = bias_backward;
}
