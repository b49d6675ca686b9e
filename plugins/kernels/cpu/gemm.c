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
	FEW_ROWS = 64,        /* up to here always by columns */
	WIDER = 4,            /* and where there are more than so many columns for each row */
	DIRECT_ROWS = 2 * MR, /* so few rows read B where it lies: a copy would cost more */
	DIRECT_COLUMNS = 512, /* and so few columns A, where its rows lie side by side */
	SET = 1024,           /* floats from one place to the next in one set of a cache */
	DIRECT_TERMS = 256,   /* in a block then, if chains allow: the tile fetches A earlier */
	OWN_STRIPS = 8,       /* of A in a task's cache, DEPTH deep: 448 KiB at MR = 14 */
	RUN_STRIPS = 5,       /* of a task, where there are enough: fewer use a panel too little */
	PACK_TERMS = 32,      /* of all strips before the next, where A lies so */
	FLOATS = 4 << 20,     /* of an operand packed for all threads at once: 16 MiB */
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
			float *at = (float *)g->C + i * g->ldc + j;
			v16 x = v_get(at, left);

			if (g->bias)
				x += v_get(g->bias + j, left);
			if (g->gelu && g->pre)
				v_put((float *)g->pre + i * g->ldc + j, x, left);
			v_put(at, g->gelu ? v_gelu(x) : x, left);
		}
	}
}

/* Packing a strip pays when it meets many panels. Without, its terms must not all fall into the
 * same few lines of the cache. */
static bool reads_strips_directly(const cairn_gemm *g)
{
	return g->transpose_a && g->N <= DIRECT_COLUMNS && g->lda % SET != 0;
}

/* The block of K behind *t; false where there is none. length: see product_of_chains, or NULL. */
static bool next_terms(terms *t, const cairn_gemm *g, const int32_t *length)
{
	int64_t cut = g->cut > 0 ? g->cut : g->K;
	int64_t most = reads_strips_directly(g) ? DIRECT_TERMS : DEPTH;

	t->k0 += t->kc;
	t->before += t->n;
	t->kc = t->n = 0;
	for (int64_t k = t->k0; k < g->K && t->n < MAX_CHAINS; k = t->k0 + t->kc) {
		int64_t n = at_most(at_most(CAIRN_KC, cut - k % cut), g->K - k);

		if (length)
			n = length[t->before + t->n];
		if (t->n > 0 && t->kc + n > most)
			break;
		t->length[t->n++] = (int32_t)n;
		t->kc += n;
	}
	return t->kc > 0;
}

/* One tile of C at (i,j); at the edge by way of a full tile. */
static void one_tile(const cairn_gemm *g, int64_t i, int64_t j, int64_t m, int64_t n,
	const terms *t, const operands *o)
{
	float *at = (float *)g->C + i * g->ldc + j;
	bool add = t->k0 > 0 || g->accumulate;

	if (n == NR) {
		ISA(tiles)[m](t, o, at, g->ldc, add);
	} else {
		float edge[MR * NR];

		for (int64_t r = 0; r < m && add; r++)
			memcpy(edge + r * NR, at + r * g->ldc, sizeof(float) * (size_t)n);
		ISA(tiles)[m](t, o, edge, NR, add);
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
			memset((float *)g->C + i * g->ldc, 0, sizeof(float) * (size_t)g->N);
		finish(g, i, 1, 0, g->N);
	}
}

/* ---- one block of K ------------------------------------------------------------------------ */

/* Rows i0..i0+rows-1 of A, in n strips. */
typedef struct strips {
	int64_t i0, rows, n;
	float *packed; /* NULL: */
	int64_t stride;
	const float *direct; /* where they lie, from row i0 on */
} strips;

/* Row of A at which strip i begins, from i0. */
static int64_t strip_row(const strips *s, int64_t i)
{
	return i * s->rows / s->n;
}

/* Room for a strip of one block of K, `depth` deep. */
static int64_t strip_floats(int64_t depth)
{
	return round_up(depth * MR + 16, 16);
}

static void pack_strip(const cairn_gemm *g, const strips *s, int64_t i, int64_t k0, int64_t kc)
{
	int64_t from = strip_row(s, i);

	ISA(pack_a)
	(s->packed + i * s->stride, g, s->i0 + from, strip_row(s, i + 1) - from, k0, kc);
}

/* Terms k0..k0+kc-1 of all strips. Where a term's rows lie side by side, some terms of all strips
 * before the next terms: each line of the cache is fetched once. */
static void pack_strips(const cairn_gemm *g, const strips *s, int64_t k0, int64_t kc)
{
	int64_t step = g->transpose_a ? PACK_TERMS : kc;

	for (int64_t k = 0; k < kc; k += step) {
		strips part = *s;

		part.packed += k * MR;
		for (int64_t i = 0; i < s->n; i++)
			pack_strip(g, &part, i, k0 + k, at_most(step, kc - k));
	}
}

/* Where the panels of B are, from column j0 (a multiple of NR) and the block's first term on. */
typedef struct panels {
	const float *first; /* NULL: pack them one by one into `own` */
	int64_t j0, stride, ldb;
	float *own;
} panels;

/* From term k on; a panel is `depth` terms. */
static panels packed_panels(const float *first, int64_t j0, int64_t depth, int64_t k)
{
	return (panels){first + k * NR, j0, depth * NR, NR, NULL};
}

/* Up to WIDE_ROWS rows against columns j0..j1-1; returns where it ended. */
static int64_t wide_columns(const cairn_gemm *g, const terms *t, const strips *s, int64_t j0,
	int64_t j1, const panels *b)
{
	operands o = {.a = s->packed, .lda = MR, .ldb = b->ldb, .stride = b->stride};

	for (; j0 + WIDE <= j1; j0 += WIDE) {
		o.b = o.next = b->first + (j0 - b->j0) / NR * b->stride;
		ISA(wide_tiles)
		[s->rows](t, &o, (float *)g->C + s->i0 * g->ldc + j0, g->ldc,
			t->k0 > 0 || g->accumulate);
		if (t->k0 + t->kc == g->K)
			finish(g, s->i0, s->rows, j0, WIDE);
	}
	return j0;
}

/* All strips against the panel o->b of columns j..j+n-1. next: the panel that comes then. */
static void one_panel(const cairn_gemm *g, const terms *t, const strips *s, int64_t j, int64_t n,
	operands *o, const float *next)
{
	o->lda = s->packed ? MR : g->lda;
	for (int64_t i = 0; i < s->n; i++) {
		int64_t from = strip_row(s, i);

		o->a = s->packed ? s->packed + i * s->stride : s->direct + from;
		/* A tile fetches 16 floats a term, a panel has NR: the first tiles fetch it. */
		o->next = i < NR / 16 ? next + i * t->kc * 16 : o->b;
		one_tile(g, s->i0 + from, j, strip_row(s, i + 1) - from, n, t, o);
	}
}

/* Strips against columns j0 (a multiple of NR) .. j1-1. */
static void block(const cairn_gemm *g, const terms *t, const strips *s, int64_t j0, int64_t j1,
	const panels *b)
{
	if (b->first && s->packed && s->rows <= WIDE_ROWS)
		j0 = wide_columns(g, t, s, j0, j1, b);
	for (int64_t j = j0; j < j1; j += NR) {
		int64_t n = at_most(NR, j1 - j);
		operands o = {.b = b->own, .ldb = NR};
		const float *next = b->own;

		if (b->first && (b->ldb == NR || n == NR)) {
			o.b = b->first + (j - b->j0) / NR * b->stride;
			o.ldb = b->ldb;
			next = b->ldb == NR && j + NR < j1 ? o.b + b->stride : o.b;
		} else {
			ISA(pack_b)(b->own, g, j, n, t->k0, t->kc);
		}
		one_panel(g, t, s, j, n, &o, next);
	}
}

/* Panels of the operand as it was given: packed before, read where they lie, or neither. */
static panels given_panels(cpu *c, int thread, const cairn_gemm *g, const terms *t)
{
	panels b = {0};

	if (g->packed)
		return packed_panels(g->packed->panels, 0, g->K, t->k0);
	if (!g->transpose_b && g->M <= DIRECT_ROWS)
		b = (panels){(const float *)g->B + t->k0 * g->ldb, 0, NR, g->ldb, NULL};
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
			strips s = {i, rows, pieces(rows, MR), a, stride, NULL};

			pack_strips(g, &s, t.k0, t.kc);
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

		s.packed += t.k0 * MR;
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

		job.s = (strips){i, rows, pieces(rows, MR), NULL, stride, NULL};
		job.s.packed =
			cpu_shared(c, CPU_PACK_A, sizeof(float) * (size_t)(job.s.n * stride));
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
	float *b;                     /* where B is not packed yet */
	int64_t strips, runs, across; /* tasks: runs of strips x runs of columns */
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
	int64_t run = task / job->across, column = task % job->across;
	int64_t first = run * job->strips / job->runs,
		n = (run + 1) * job->strips / job->runs - first;
	int64_t i0 = first * g->M / job->strips, i1 = (first + n) * g->M / job->strips;
	int64_t wide = pieces(job->j1 - job->j0, NR), depth = job->k1 - job->start.k0;
	int64_t j0 = job->j0 + column * wide / job->across * NR;
	int64_t j1 = at_most(job->j1, job->j0 + (column + 1) * wide / job->across * NR);
	strips s = {.i0 = i0, .rows = i1 - i0, .n = n};
	terms t = job->start;

	if (!reads_strips_directly(g))
		s.packed = cpu_own(job->c, thread, CPU_OWN_PACK_A,
			sizeof(float) * (size_t)(strip_floats(DEPTH) * n));
	do {
		panels b = g->packed ? packed_panels(g->packed->panels, 0, g->K, t.k0)
				     : packed_panels(job->b, job->j0, depth, t.k0 - job->start.k0);

		s.stride = strip_floats(t.kc);
		if (s.packed)
			pack_strips(g, &s, t.k0, t.kc);
		else
			s.direct = (const float *)g->A + t.k0 * g->lda + i0;
		block(g, &t, &s, j0, j1, &b);
	} while (next_terms(&t, g, job->length) && t.k0 < job->k1);
}

/* Computes the blocks of K that the job names. */
static void run_rows(rows_job *job)
{
	int64_t n = pieces(job->j1 - job->j0, NR), depth = job->k1 - job->start.k0;

	if (!job->g->packed) {
		job->b = cpu_shared(job->c, CPU_PACK_B, sizeof(float) * (size_t)(n * depth * NR));
		pool_for(job->c->pool, n, panel_task, job);
	}
	pool_for(job->c->pool, job->runs * job->across, rows_task, job);
}

static void by_rows(cpu *c, const cairn_gemm *g, const int32_t *length)
{
	int64_t columns = g->packed ? g->N : at_most(g->N, FLOATS / DEPTH);
	int64_t depth = g->packed ? g->K : at_least(DEPTH, FLOATS / columns);
	int64_t tasks = c->threads > 1 ? (int64_t)TASKS * c->threads : 1;
	rows_job job = {.c = c, .g = g, .length = length, .strips = pieces(g->M, MR)};

	job.runs = at_most(pieces(job.strips, RUN_STRIPS), tasks);
	job.runs = at_least(job.runs, pieces(job.strips, OWN_STRIPS));
	job.runs = at_most(job.strips, round_up(job.runs, c->threads));
	/* As many strips in each run: the threads are done together. */
	job.strips = round_up(job.strips, job.runs);
	/* Few strips: the columns are shared out, too. */
	job.across = at_least(1, at_most(pieces(columns, 2 * NR), tasks / 4 / job.runs));
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
			run_rows(&job);
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
