/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.c - the matrix product: blocking, sharing out, what comes after the sums.
 *
 * A block of K is some whole chains; the tile ends them and adds them up, so every element of C
 * is what kernels.h promises, however its rows and columns are shared out. For each block of K:
 *
 *   large products   all threads pack op(A) and op(B) into shared panels; then they take
 *                    blocks of C (ROWS panels of A, kept in the second-level cache, against
 *                    a run of panels of B)
 *   few rows         (decoding) packing B together would cost more than the product: each
 *                    task takes a run of columns and goes through B by itself
 *
 * Where B comes packed, its panels are taken where they are.
 *
 * Reads like: tile.c for the innermost kernel, pack.c for the panels.
 */
#include "kernels/cpu/compute.h"

enum {
	ROWS = 18,                 /* panels of A in a block of C: 504 KiB at MR = 14 */
	MAX_ROWS = 4096 / MR * MR, /* of A packed at once */
	MAX_COLUMNS = 4096,        /* of B packed at once */
	FEW_ROWS = 64,             /* up to here each task packs for itself */
	DIRECT_ROWS = 2 * MR,
	OWN_ROWS = 8 * MR,
	OWN_COLUMNS = 8 * NR,
	TASKS = 8, /* wanted for each thread, so that a slow one costs little */
};

/* A product below this is done by the caller alone. */
static const double SMALL_FLOP = 200e3;

/* Rows m x columns n of C at (i,j), done with the sums: bias, then gelu. */
static void finish(const cairn_gemm *g, int64_t i0, int64_t m, int64_t j0, int64_t n)
{
	if (!g->bias && !g->gelu)
		return;
	for (int64_t i = i0; i < i0 + m; i++) {
		for (int64_t j = j0; j < j0 + n; j += 16) {
			int64_t left = j0 + n - j;
			float *at = g->C + i * g->ldc + j;
			v16 x = v_get(at, left);

			if (g->bias)
				x += v_get(g->bias + j, left);
			if (g->gelu && g->pre)
				v_put(g->pre + i * g->ldc + j, x, left);
			v_put(at, g->gelu ? v_gelu(x) : x, left);
		}
	}
}

/* The block of K behind *t; false where there is none. length: see product_of_chains, or NULL. */
static bool next_terms(terms *t, const cairn_gemm *g, const int32_t *length)
{
	int64_t cut = g->cut > 0 ? g->cut : g->K;

	t->k0 += t->kc;
	t->before += t->n;
	t->kc = t->n = 0;
	for (int64_t k = t->k0; k < g->K && t->n < MAX_CHAINS; k = t->k0 + t->kc) {
		int64_t n = at_most(at_most(CAIRN_KC, cut - k % cut), g->K - k);

		if (length)
			n = length[t->before + t->n];
		if (t->kc + n > DEPTH)
			break;
		t->length[t->n++] = (int32_t)n;
		t->kc += n;
	}
	return t->kc > 0;
}

/* One tile of C at (i,j) from packed panels; at the edge by way of a full tile. */
static void one_tile(const cairn_gemm *g, int64_t i, int64_t j, int64_t m, int64_t n,
	const terms *t, const float *a, const float *b, int64_t ldb)
{
	float *at = g->C + i * g->ldc + j;
	bool add = t->k0 > 0 || g->accumulate;

	if (n == NR) {
		ISA(tiles)[m](t, a, b, ldb, at, g->ldc, add);
	} else {
		float edge[MR * NR];

		for (int64_t r = 0; r < m && add; r++)
			memcpy(edge + r * NR, at + r * g->ldc, sizeof(float) * (size_t)n);
		ISA(tiles)[m](t, a, b, ldb, edge, NR, add);
		for (int64_t r = 0; r < m; r++)
			memcpy(at + r * g->ldc, edge + r * NR, sizeof(float) * (size_t)n);
	}
	if (t->k0 + t->kc == g->K)
		finish(g, i, m, j, n);
}

/* K = 0: the sum is empty. */
static void no_terms(const cairn_gemm *g)
{
	for (int64_t i = 0; i < g->M; i++) {
		if (!g->accumulate)
			memset(g->C + i * g->ldc, 0, sizeof(float) * (size_t)g->N);
		finish(g, i, 1, 0, g->N);
	}
}

/* ---- on one thread ------------------------------------------------------------------------ */

/* Panels of B, each `stride` floats behind the one before it, with ldb floats a row. */
typedef struct panels {
	const float *first;
	int64_t stride, ldb;
} panels;

/* Of the packed operand, from column j0 and term k0 on. */
static panels packed_panels(const cairn_packed *p, int64_t j0, int64_t k0)
{
	return (panels){p->panels + (j0 / NR * p->K + k0) * NR, p->K * NR, NR};
}

/* Rows i0..i0+rows-1 against `columns` columns of one block of K. Rows are shared out evenly: 16
 * are 8 and 8, because the last two of 14 and 2 would wait for their own sums. */
static void serial_rows(cpu *c, int thread, const cairn_gemm *g, int64_t i0, int64_t rows,
	int64_t j0, int64_t columns, const terms *t, panels b)
{
	float *a = cpu_own(c, thread, CPU_OWN_PACK_A, sizeof(float) * (OWN_ROWS / MR) * PANEL_A);
	int64_t height = pieces(rows, pieces(rows, MR));

	for (int64_t i = 0; i < rows; i += height)
		ISA(pack_a)
	(a + i / height * PANEL_A, g, i0 + i, at_most(height, rows - i), t->k0, t->kc);
	for (int64_t j = 0; j < columns; j += NR)
		for (int64_t i = 0; i < rows; i += height)
			one_tile(g, i0 + i, j0 + j, at_most(height, rows - i),
				at_most(NR, columns - j), t, a + i / height * PANEL_A,
				b.first + j / NR * b.stride, b.ldb);
}

/* At most WIDE_ROWS rows against columns j0..j1-1 of B where it lies; returns where it ended. */
static int64_t serial_wide(
	cpu *c, int thread, const cairn_gemm *g, int64_t j0, int64_t j1, const terms *t)
{
	float *a = cpu_own(c, thread, CPU_OWN_PACK_A, sizeof(float) * (OWN_ROWS / MR) * PANEL_A);

	ISA(pack_a)(a, g, 0, g->M, t->k0, t->kc);
	for (; j0 + WIDE <= j1; j0 += WIDE) {
		ISA(wide_tiles)
		[g->M](t, a, g->B + t->k0 * g->ldb + j0, g->ldb, g->C + j0, g->ldc,
			t->k0 > 0 || g->accumulate);
		if (t->k0 + t->kc == g->K)
			finish(g, 0, g->M, j0, WIDE);
	}
	return j0;
}

static void serial_all_rows(cpu *c, int thread, const cairn_gemm *g, int64_t j0, int64_t columns,
	const terms *t, panels b)
{
	for (int64_t i0 = 0; i0 < g->M && columns > 0; i0 += OWN_ROWS)
		serial_rows(c, thread, g, i0, at_most(OWN_ROWS, g->M - i0), j0, columns, t, b);
}

static void serial_block(
	cpu *c, int thread, const cairn_gemm *g, int64_t j0, int64_t columns, const terms *t)
{
	float *b = cpu_own(c, thread, CPU_OWN_PACK_B, sizeof(float) * (OWN_COLUMNS / NR) * PANEL_B);
	int64_t end = j0 + columns, direct = 0;

	if (!g->transpose_b && g->M <= WIDE_ROWS)
		j0 = serial_wide(c, thread, g, j0, end, t);
	/* So few rows use B once or twice: a copy of it would cost more than it saves. */
	if (!g->transpose_b && g->M <= DIRECT_ROWS)
		direct = (end - j0) / NR * NR;
	if (direct)
		serial_all_rows(c, thread, g, j0, direct, t,
			(panels){g->B + t->k0 * g->ldb + j0, NR, g->ldb});
	j0 += direct;
	columns = end - j0;
	for (int64_t j = 0; j < columns; j += NR)
		ISA(pack_b)
		(b + j / NR * PANEL_B, g, j0 + j, at_most(NR, columns - j), t->k0, t->kc);
	serial_all_rows(c, thread, g, j0, columns, t, (panels){b, PANEL_B, NR});
}

static void serial_columns(
	cpu *c, int thread, const cairn_gemm *g, const int32_t *length, int64_t from, int64_t to)
{
	for (int64_t j = from; j < to; j += OWN_COLUMNS) {
		int64_t columns = at_most(OWN_COLUMNS, to - j);
		terms t = {0};

		while (next_terms(&t, g, length)) {
			if (g->packed)
				serial_all_rows(c, thread, g, j, columns, &t,
					packed_panels(g->packed, j, t.k0));
			else
				serial_block(c, thread, g, j, columns, &t);
		}
	}
}

void ISA(product_serial)(cpu *c, int thread, const cairn_gemm *g)
{
	if (g->K == 0)
		no_terms(g);
	else
		serial_columns(c, thread, g, NULL, 0, g->N);
}

/* ---- few rows: runs of columns -------------------------------------------------------------- */

typedef struct columns_job {
	cpu *c;
	const cairn_gemm *g;
	const int32_t *length;
	int64_t width;
} columns_job;

static void columns_task(void *context, int64_t task, int thread)
{
	const columns_job *job = context;
	int64_t from = task * job->width;

	serial_columns(
		job->c, thread, job->g, job->length, from, at_most(job->g->N, from + job->width));
}

static void by_columns(cpu *c, const cairn_gemm *g, const int32_t *length)
{
	columns_job job = {c, g, length, 0};
	int64_t wanted = (int64_t)TASKS * c->threads;

	job.width = at_least(NR, at_most(OWN_COLUMNS, round_up(pieces(g->N, wanted), NR)));
	pool_for(c->pool, pieces(g->N, job.width), columns_task, &job);
}

/* ---- large: shared panels ------------------------------------------------------------------- */

typedef struct shared_job {
	const cairn_gemm *g;
	const terms *t;
	float *a, *b; /* b: where B is not packed yet */
	int64_t i0, rows, j0, columns;
	int64_t block_rows, block_columns; /* of C, by task */
	int64_t panels_a;
} shared_job;

static void pack_task(void *context, int64_t task, int thread)
{
	const shared_job *job = context;

	(void)thread;
	if (task < job->panels_a) {
		int64_t i = task * MR;

		ISA(pack_a)
		(job->a + task * PANEL_A, job->g, job->i0 + i, at_most(MR, job->rows - i),
			job->t->k0, job->t->kc);
	} else {
		int64_t panel = task - job->panels_a, j = panel * NR;

		ISA(pack_b)
		(job->b + panel * PANEL_B, job->g, job->j0 + j, at_most(NR, job->columns - j),
			job->t->k0, job->t->kc);
	}
}

static void block_task(void *context, int64_t task, int thread)
{
	const shared_job *job = context;
	const cairn_packed *packed = job->g->packed;
	panels b = {job->b, PANEL_B, NR};
	int64_t across = pieces(job->columns, job->block_columns);
	int64_t i0 = task / across * job->block_rows, j0 = task % across * job->block_columns;
	int64_t i1 = at_most(job->rows, i0 + job->block_rows);
	int64_t j1 = at_most(job->columns, j0 + job->block_columns);

	(void)thread;
	if (packed)
		b = packed_panels(packed, job->j0, job->t->k0);
	for (int64_t j = j0; j < j1; j += NR)
		for (int64_t i = i0; i < i1; i += MR)
			one_tile(job->g, job->i0 + i, job->j0 + j, at_most(MR, i1 - i),
				at_most(NR, j1 - j), job->t, job->a + i / MR * PANEL_A,
				b.first + j / NR * b.stride, b.ldb);
}

/* Rows i0.. and columns j0.. of C for one block of K. */
static void shared_block(cpu *c, shared_job *job)
{
	int64_t wanted = (int64_t)TASKS * c->threads, down, across;

	down = pieces(job->rows, (int64_t)ROWS * MR);
	across = at_most(pieces(job->columns, (int64_t)4 * NR), pieces(wanted, down));
	job->block_rows = round_up(pieces(job->rows, down), MR);
	job->block_columns = round_up(pieces(job->columns, across), NR);
	job->panels_a = pieces(job->rows, MR);
	pool_for(c->pool, job->panels_a + (job->g->packed ? 0 : pieces(job->columns, NR)),
		pack_task, job);
	pool_for(c->pool,
		pieces(job->rows, job->block_rows) * pieces(job->columns, job->block_columns),
		block_task, job);
}

static void by_blocks(cpu *c, const cairn_gemm *g, const int32_t *length)
{
	int64_t panels_a = pieces(at_most(g->M, MAX_ROWS), MR);
	int64_t panels_b = g->packed ? 0 : pieces(at_most(g->N, MAX_COLUMNS), NR);
	shared_job job = {.g = g};

	job.a = cpu_shared(c, CPU_PACK_A, sizeof(float) * (size_t)(panels_a * PANEL_A));
	job.b = cpu_shared(c, CPU_PACK_B, sizeof(float) * (size_t)(panels_b * PANEL_B));
	for (job.i0 = 0; job.i0 < g->M; job.i0 += MAX_ROWS) {
		job.rows = at_most(MAX_ROWS, g->M - job.i0);
		for (job.j0 = 0; job.j0 < g->N; job.j0 += MAX_COLUMNS) {
			terms t = {0};

			job.t = &t;
			job.columns = at_most(MAX_COLUMNS, g->N - job.j0);
			while (next_terms(&t, g, length))
				shared_block(c, &job);
		}
	}
}

void ISA(product_of_chains)(cpu *c, const cairn_gemm *g, const int32_t *length)
{
	double flop = 2 * (double)g->M * (double)g->N * (double)g->K;

	CAIRN_ASSERT(!g->packed || (g->packed->K == g->K && g->packed->N == g->N));
	if (g->M <= 0 || g->N <= 0)
		return;
	if (g->K == 0)
		no_terms(g);
	else if (flop < SMALL_FLOP)
		serial_columns(c, 0, g, length, 0, g->N);
	else if (g->M <= FEW_ROWS)
		by_columns(c, g, length);
	else
		by_blocks(c, g, length);
}

void ISA(product)(cpu *c, const cairn_gemm *g)
{
	ISA(product_of_chains)(c, g, NULL);
}
