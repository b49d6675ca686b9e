/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - embedding, dropout, and rows by index: work of which nothing is summed but in place. */
#include "kernels/cpu/compute.h"

enum {
	ELEMENTS = 16384, /* of one task */
	COLUMNS = 64,     /* of one task over columns */
	GROUPS = 8,       /* of four coins, drawn together */
};

typedef struct rows_job {
	float *to;
	const float *from;
	const int32_t *index;
	int64_t n, C, rows;
} rows_job;

static int64_t rows_of_task(int64_t C)
{
	return at_least(1, ELEMENTS / at_least(C, 1));
}

/* ---- embedding ----------------------------------------------------------------------------------
 */

typedef struct embed_job {
	float *out;
	const int32_t *token, *position;
	const float *wte, *wpe;
	int64_t R, C, rows;
} embed_job;

static void embed_task(void *context, int64_t task, int thread)
{
	const embed_job *job = context;
	int64_t C = job->C, end = at_most(job->R, (task + 1) * job->rows);

	(void)thread;
	for (int64_t r = task * job->rows; r < end; r++) {
		float *to = job->out + r * C;
		const float *a, *b;

		if (job->token[r] < 0) {
			memset(to, 0, sizeof(float) * (size_t)C);
			continue;
		}
		a = job->wte + job->token[r] * C;
		b = job->wpe + job->position[r] * C;
		for (int64_t c = 0; c < C; c++)
			to[c] = a[c] + b[c];
	}
}

static void embed(const cairn_kernels *k, float *out, const int32_t *token, const int32_t *position,
	const float *wte, const float *wpe, int64_t R, int64_t C)
{
	cpu *c = k->self;
	embed_job job = {out, token, position, wte, wpe, R, C, rows_of_task(C)};

	pool_for(c->pool, pieces(R, job.rows), embed_task, &job);
}

typedef struct embed_back_job {
	float *dwte, *dwpe;
	const float *dout;
	const int32_t *token, *position;
	int64_t R, C;
} embed_back_job;

/* By columns: two rows may have one token, and their order is part of the result. */
static void embed_back_task(void *context, int64_t task, int thread)
{
	const embed_back_job *job = context;
	int64_t C = job->C, first = task * COLUMNS, end = at_most(C, first + COLUMNS);

	(void)thread;
	for (int64_t r = 0; r < job->R; r++) {
		const float *d = job->dout + r * C;

		if (job->token[r] < 0)
			continue;
		for (int64_t c = first; c < end; c++) {
			job->dwte[job->token[r] * C + c] += d[c];
			job->dwpe[job->position[r] * C + c] += d[c];
		}
	}
}

static void embed_backward(const cairn_kernels *k, float *dwte, float *dwpe, const float *dout,
	const int32_t *token, const int32_t *position, int64_t R, int64_t C)
{
	cpu *c = k->self;
	embed_back_job job = {dwte, dwpe, dout, token, position, R, C};

	pool_for(c->pool, pieces(C, COLUMNS), embed_back_task, &job);
}

/* ---- rows by index
 * -------------------------------------------------------------------------------- */

static void gather_task(void *context, int64_t task, int thread)
{
	const rows_job *job = context;
	int64_t C = job->C, end = at_most(job->n, (task + 1) * job->rows);

	(void)thread;
	for (int64_t i = task * job->rows; i < end; i++)
		memcpy(job->to + i * C, job->from + job->index[i] * C, sizeof(float) * (size_t)C);
}

static void gather_rows(const cairn_kernels *k, float *out, const float *x, const int32_t *index,
	int64_t n, int64_t C)
{
	cpu *c = k->self;
	rows_job job = {out, x, index, n, C, rows_of_task(C)};

	pool_for(c->pool, pieces(n, job.rows), gather_task, &job);
}

static void scatter_task(void *context, int64_t task, int thread)
{
	const rows_job *job = context;
	int64_t C = job->C, end = at_most(job->n, (task + 1) * job->rows);

	(void)thread;
	for (int64_t i = task * job->rows; i < end; i++) {
		float *to = job->to + job->index[i] * C;
		const float *from = job->from + i * C;

		for (int64_t c = 0; c < C; c++)
			to[c] += from[c];
	}
}

static void scatter_rows(const cairn_kernels *k, float *x, const float *rows, const int32_t *index,
	int64_t n, int64_t C)
{
	cpu *c = k->self;
	rows_job job = {x, rows, index, n, C, rows_of_task(C)};

	pool_for(c->pool, pieces(n, job.rows), scatter_task, &job);
}

/* ---- dropout
 * ---------------------------------------------------------------------------------------- */

/*
 * Philox4x32-10 of GROUPS counters (row, site, first + i): gpt/rng.h's, eight at a time in
 * lanes of 64 bits, whose upper halves hold rubbish. coin[4*i + j] is word j of counter i.
 */
static void draw(
	uint32_t coin[4 * GROUPS], uint64_t key, uint64_t row, uint32_t site, uint32_t first)
{
	const v8u place = {0, 1, 2, 3, 4, 5, 6, 7};
	v8u none = {0}, c0 = none + (uint32_t)row, c1 = none + (row >> 32), c2 = none + site;
	v8u c3 = place + first;
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

	for (int round = 0; round < 10; round++) {
		v8u p0 = v_product(c0, none + 0xD2511F53u), p1 = v_product(c2, none + 0xCD9E8D57u);

		c0 = (p1 >> 32) ^ c1 ^ k0;
		c2 = (p0 >> 32) ^ c3 ^ k1;
		c1 = p1;
		c3 = p0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	for (int i = 0; i < GROUPS; i++) {
		coin[4 * i] = (uint32_t)c0[i];
		coin[4 * i + 1] = (uint32_t)c1[i];
		coin[4 * i + 2] = (uint32_t)c2[i];
		coin[4 * i + 3] = (uint32_t)c3[i];
	}
}

typedef struct dropout_job {
	float *x;
	const uint64_t *row_id;
	int64_t R, C, rows;
	uint64_t key;
	uint32_t site, threshold;
	float scale;
} dropout_job;

static void dropout_task(void *context, int64_t task, int thread)
{
	const dropout_job *job = context;
	int64_t C = job->C, end = at_most(job->R, (task + 1) * job->rows);
	uint32_t coin[4 * GROUPS];

	(void)thread;
	for (int64_t r = task * job->rows; r < end; r++) {
		for (int64_t first = 0; first < C; first += 4 * GROUPS) {
			float *x = job->x + r * C + first;
			int64_t n = at_most(4 * GROUPS, C - first);

			draw(coin, job->key, job->row_id[r], job->site, (uint32_t)(first / 4));
			for (int64_t i = 0; i < n; i++)
				x[i] = coin[i] < job->threshold ? 0 : x[i] * job->scale;
		}
	}
}

static void dropout(const cairn_kernels *k, float *x, const uint64_t *row_id, int64_t R, int64_t C,
	double p, uint64_t key, uint32_t site)
{
	cpu *c = k->self;
	dropout_job job = {x, row_id, R, C, rows_of_task(C), key, site, (uint32_t)(p * 0x1p32),
		(float)(1 / (1 - p))};

	CAIRN_ASSERT(p >= 0 && p < 1);
	pool_for(c->pool, pieces(R, job.rows), dropout_task, &job);
}

void ISA(fill_rows)(cairn_kernels *k)
{
	k->embed = embed;
	k->embed_backward = embed_backward;
	k->gather_rows = gather_rows;
	k->scatter_rows = scatter_rows;
	k->dropout = dropout;
}
