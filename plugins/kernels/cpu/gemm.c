/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.c - the matrix product: blocking, sharing out, what comes after the sums.
 *
 * A block of K is some whole chains; the tile ends them and adds them up, so every element of C
 * is what kernels.h promises, however its rows and columns are shared out. Rows of A go in
 * strips of MR or a little less, all about as high, columns of B in panels of NR.
 *
 *   by rows       (many rows) all threads pack B, unless it comes packed; then each task takes
 *                 a run of strips, packs these into its own second-level cache and meets all
 *                 panels with them
 *   by columns    (few rows, or many more columns: decoding, logits) A is packed once; each task
 *                 takes a run of panels, packs one at a time, unless they come packed, and meets
 *                 all strips with it
 *
 * So a product waits for all threads twice, with packed weights once. Reads like: tile.c for the
 * innermost kernel, pack.c for the panels.
 */
#include "kernels/cpu/compute.h"

enum {
	FEW_ROWS = 64,            /* up to here always by columns */
	WIDER = 4,                /* and where there are more than so many columns for each row */
	DIRECT_ROWS = 2 * MR,     /* so few rows read B where it lies: a copy would cost more */
	OWN_STRIPS = 8,           /* of A in a task's cache, DEPTH deep: 448 KiB at MR = 14 */
	FLOATS = 4 << 20,         /* of an operand packed for all threads at once: 16 MiB */
	INLINE_FLOATS = 64 << 10, /* packing less is not worth waking the threads */
	TASKS = 8,                /* wanted for each thread, so that a slow one costs little */
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

/* ---- one block of K ------------------------------------------------------------------------ */

/* Rows i0..i0+rows-1 of A, in n packed strips. */
typedef struct strips {
	int64_t i0, rows, n;
	const float *first;
	int64_t stride;
} strips;

/* Row of A at which strip i begins, from i0. */
static int64_t strip_row(const strips *s, int64_t i)
{
	return i * s->rows / s->n;
}

/* Room for the strips of one block of K, `depth` deep. */
static int64_t strip_floats(int64_t depth)
{
	return round_up(depth * MR + 16, 16);
}

static void pack_strip(const cairn_gemm *g, const strips *s, int64_t i, int64_t k0, int64_t kc)
{
	int64_t from = strip_row(s, i);

	ISA(pack_a)
	((float *)s->first + i * s->stride, g, s->i0 + from, strip_row(s, i + 1) - from, k0, kc);
}

/* Where the panels of B are, from column 0 and the block's first term on. */
typedef struct panels {
	const float *first; /* NULL: pack them one by one into `own` */
	int64_t stride, ldb;
	float *own;
} panels;

static panels packed_panels(const float *first, int64_t depth, int64_t k)
{
	return (panels){first + k * NR, depth * NR, NR, NULL};
}

/* Up to WIDE_ROWS rows against columns j0..j1-1; returns where it ended. */
static int64_t wide_columns(const cairn_gemm *g, const terms *t, const strips *s, int64_t j0,
	int64_t j1, const panels *b)
{
	float *to = g->C + s->i0 * g->ldc;

	for (; j0 + WIDE <= j1; j0 += WIDE) {
		ISA(wide_tiles)
		[s->rows](t, s->first, b->first + j0 / NR * b->stride, b->ldb, b->stride, to + j0,
			g->ldc, t->k0 > 0 || g->accumulate);
		if (t->k0 + t->kc == g->K)
			finish(g, s->i0, s->rows, j0, WIDE);
	}
	return j0;
}

/* Strips against columns j0 (a multiple of NR) .. j1-1. */
static void block(const cairn_gemm *g, const terms *t, const strips *s, int64_t j0, int64_t j1,
	const panels *b)
{
	if (b->first && s->rows <= WIDE_ROWS)
		j0 = wide_columns(g, t, s, j0, j1, b);
	for (int64_t j = j0; j < j1; j += NR) {
		const float *panel = b->own;
		int64_t n = at_most(NR, j1 - j), ldb = NR;

		if (b->first && (b->ldb == NR || n == NR)) {
			panel = b->first + j / NR * b->stride;
			ldb = b->ldb;
		} else {
			ISA(pack_b)(b->own, g, j, n, t->k0, t->kc);
		}
		for (int64_t i = 0; i < s->n; i++) {
			int64_t from = strip_row(s, i);

			one_tile(g, s->i0 + from, j, strip_row(s, i + 1) - from, n, t,
				s->first + i * s->stride, panel, ldb);
		}
	}
}

/* Panels of the operand as it was given: packed before, read where they lie, or neither. */
static panels given_panels(cpu *c, int thread, const cairn_gemm *g, const terms *t)
{
	panels b = {NULL, 0, 0, NULL};

	if (g->packed)
		return packed_panels(g->packed->panels, g->K, t->k0);
	if (!g->transpose_b && g->M <= DIRECT_ROWS)
		b = (panels){g->B + t->k0 * g->ldb, NR, g->ldb, NULL};
	b.own = cpu_own(c, thread, CPU_OWN_PACK_B, sizeof(float) * (size_t)(DEPTH * NR));
	return b;
}

/* ---- on one thread ------------------------------------------------------------------------ */

static void serial(cpu *c, int thread, const cairn_gemm *g, const int32_t *length)
{
	terms t = {0};

	while (next_terms(&t, g, length)) {
		panels b = given_panels(c, thread, g, &t);
		int64_t room = strip_floats(DEPTH) * OWN_STRIPS, stride = strip_floats(t.kc);
		int64_t most = room / stride * MR;
		float *a = cpu_own(c, thread, CPU_OWN_PACK_A, sizeof(float) * (size_t)room);

		for (int64_t i = 0; i < g->M; i += most) {
			int64_t rows = at_most(most, g->M - i);
			strips s = {i, rows, pieces(rows, MR), a, stride};

			for (int64_t n = 0; n < s.n; n++)
				pack_strip(g, &s, n, t.k0, t.kc);
			block(g, &t, &s, 0, g->N, &b);
		}
	}
}

void ISA(product_serial)(cpu *c, int thread, const cairn_gemm *g)
{
	if (g->K == 0)
		no_terms(g);
	else
		serial(c, thread, g, NULL);
}

/* ---- by columns ---------------------------------------------------------------------------- */

typedef struct columns_job {
	cpu *c;
	const cairn_gemm *g;
	const int32_t *length;
	strips s; /* over all of K */
	int64_t runs, panels;
} columns_job;

static void strip_task(void *context, int64_t task, int thread)
{
	const columns_job *job = context;

	(void)thread;
	pack_strip(job->g, &job->s, task, 0, job->g->K);
}

static void columns_task(void *context, int64_t task, int thread)
{
	const columns_job *job = context;
	const cairn_gemm *g = job->g;
	int64_t from = task * job->panels / job->runs * NR;
	int64_t to = at_most(g->N, (task + 1) * job->panels / job->runs * NR);
	terms t = {0};

	while (next_terms(&t, g, job->length)) {
		panels b = given_panels(job->c, thread, g, &t);
		strips s = job->s;

		s.first += t.k0 * MR;
		block(g, &t, &s, from, to, &b);
	}
}

static void by_columns(cpu *c, const cairn_gemm *g, const int32_t *length)
{
	int64_t most = at_least(MR, FLOATS / g->K / MR * MR);
	columns_job job = {.c = c, .g = g, .length = length, .panels = pieces(g->N, NR)};

	job.runs = at_most(job.panels, (int64_t)TASKS * c->threads);
	for (int64_t i = 0; i < g->M; i += most) {
		int64_t rows = at_most(most, g->M - i), stride = strip_floats(g->K);

		job.s = (strips){i, rows, pieces(rows, MR), NULL, stride};
		job.s.first = cpu_shared(c, CPU_PACK_A, sizeof(float) * (size_t)(job.s.n * stride));
		if (rows * g->K <= INLINE_FLOATS)
			for (int64_t n = 0; n < job.s.n; n++)
				strip_task(&job, n, 0);
		else
			pool_for(c->pool, job.s.n, strip_task, &job);
		pool_for(c->pool, job.runs, columns_task, &job);
	}
}

/* ---- by rows --------------------------------------------------------------------------------- */

typedef struct rows_job {
	cpu *c;
	const cairn_gemm *g;
	const int32_t *length;
	terms start; /* the first block of K that is packed, */
	int64_t k1;  /* and the end of the last */
	int64_t j0, j1;
	float *b; /* where B is not packed yet */
	int64_t strips, runs;
} rows_job;

static void panel_task(void *context, int64_t task, int thread)
{
	const rows_job *job = context;
	int64_t depth = job->k1 - job->start.k0, j = job->j0 + task * NR;

	(void)thread;
	ISA(pack_b)
	(job->b + task * depth * NR, job->g, j, at_most(NR, job->j1 - j), job->start.k0, depth);
}

static void rows_task(void *context, int64_t task, int thread)
{
	const rows_job *job = context;
	const cairn_gemm *g = job->g;
	int64_t first = task * job->strips / job->runs, last = (task + 1) * job->strips / job->runs;
	int64_t room = strip_floats(DEPTH) * (last - first);
	int64_t from = first * g->M / job->strips;
	strips s = {from, last * g->M / job->strips - from, last - first, NULL, 0};
	terms t = job->start;

	s.first = cpu_own(job->c, thread, CPU_OWN_PACK_A, sizeof(float) * (size_t)room);
	do {
		panels b = packed_panels(job->b, job->k1 - job->start.k0, t.k0 - job->start.k0);

		if (g->packed)
			b = packed_panels(g->packed->panels, g->K, t.k0);
		else
			b.first -= job->j0 / NR * b.stride;
		s.stride = strip_floats(t.kc);
		for (int64_t i = 0; i < s.n; i++)
			pack_strip(g, &s, i, t.k0, t.kc);
		block(g, &t, &s, job->j0, job->j1, &b);
	} while (next_terms(&t, g, job->length) && t.k0 < job->k1);
}

static void by_rows(cpu *c, const cairn_gemm *g, const int32_t *length)
{
	int64_t columns = g->packed ? g->N : at_most(g->N, FLOATS / DEPTH);
	int64_t depth = g->packed ? g->K : at_least(DEPTH, FLOATS / columns);
	rows_job job = {.c = c, .g = g, .length = length, .strips = pieces(g->M, MR)};

	job.runs = at_least(pieces(job.strips, OWN_STRIPS),
		at_most(pieces(job.strips, 2), (int64_t)TASKS * c->threads));
	for (job.j0 = 0; job.j0 < g->N; job.j0 += columns) {
		terms t = {0};
		bool more = next_terms(&t, g, length);

		job.j1 = at_most(g->N, job.j0 + columns);
		while (more) {
			job.start = t;
			do {
				job.k1 = t.k0 + t.kc;
				more = next_terms(&t, g, length);
			} while (more && t.k0 + t.kc - job.start.k0 <= depth);
			if (!g->packed) {
				int64_t n = pieces(job.j1 - job.j0, NR);

				job.b = cpu_shared(c, CPU_PACK_B,
					sizeof(float) * (size_t)(n * (job.k1 - job.start.k0) * NR));
				pool_for(c->pool, n, panel_task, &job);
			}
			pool_for(c->pool, job.runs, rows_task, &job);
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
		serial(c, 0, g, length);
	else if (g->M <= FEW_ROWS || g->N > WIDER * g->M)
		by_columns(c, g, length);
	else
		by_rows(c, g, length);
}

void ISA(product)(cpu *c, const cairn_gemm *g)
{
	ISA(product_of_chains)(c, g, NULL);
}
