/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.c - the unembedding with its softmax, forward, backward and for sampling.
 *
 * Rows go through in chunks of CHUNK: logits [CHUNK,V] are made by one product and turned in
 * place into weights w = exp(x - max). The gradient of a row's logits is f (w - [target] sum)
 * with f = -dlogprob / (temperature sum): the logits are not walked over once more for it, but
 * sum is taken off the target's weight, and f goes into the row's h and dh, which the two
 * products that spend the gradient read and write.
 *
 * Rows without a target are left out before the first product, so padding costs nothing here
 * and cannot reach dwte. A chunk is made of whole chains of dwte. A small wte is packed once for
 * all chunks; with a large one nothing was won by that.
 */
#include "gpt/rng.h"
#include "kernels/cpu/compute.h"
#include "kernels/pick.h"

enum {
	CHUNK = CAIRN_HEAD_ROWS,
	TASK_ROWS = 4,
	FLOATS = 1 << 20, /* of a wte that is packed once for all chunks: 4 MiB */
};

/* The stride of rows of V logits: an odd number of vectors, so that a column of them does not
 * fall into one set of a cache. */
static int64_t logits_stride(int64_t V)
{
	return (pieces(V, 16) | 1) * 16;
}

/* ---- a row of logits ---------------------------------------------------------------------- */

/* max(x * scale): rounding keeps the order, so scale goes last. */
static float row_max(const float *x, int64_t n, float scale)
{
	v16 max[4] = {v_all(-INFINITY), v_all(-INFINITY), v_all(-INFINITY), v_all(-INFINITY)};
	int64_t i = 0;

	for (; i + 64 <= n; i += 64)
		for (int j = 0; j < 4; j++)
			max[j] = v_max(max[j], v_load(x + i + 16 * j));
	for (; i < n; i += 16)
		max[0] = v_max(max[0], v_get_or(x + i, n - i, -INFINITY));
	return v_largest(v_max(v_max(max[0], max[1]), v_max(max[2], max[3]))) * scale;
}

typedef struct walk {
	v16 scale, max, sum, moment, part; /* part: of sum, in this block */
	int64_t ahead;                     /* to the next row: it is fetched meanwhile */
} walk;

/* v vectors of a row (v > 1: whole ones), of which `left` elements are there. */
ALWAYS void walk_vectors(walk *w, const float *x, int v, int64_t left, float *weight, bool moment)
{
	v16 y[EXPS], e[EXPS];

#pragma GCC unroll 4
	for (int j = 0; j < v; j++) {
		__builtin_prefetch(x + w->ahead + 16 * j, 0, 2);
		e[j] = y[j] = (v > 1 ? v_load(x + 16 * j) : v_get(x, left)) * w->scale - w->max;
	}
	v_exps(e, v);
#pragma GCC unroll 4
	for (int j = 0; j < v; j++) {
		e[j] = v > 1 ? e[j] : v_keep(e[j], left);
		if (weight)
			v_put(weight + 16 * j, e[j], left - 16 * j);
		w->sum += e[j];
		w->part += e[j];
		if (moment)
			w->moment = v_fma(e[j], y[j], w->moment);
	}
}

/*
 * One walk over a row for all that is wanted of it: weight[i] = exp(x[i]*scale - max), which may
 * take the place of x; *moment = sum of weight * (x*scale - max); block[] for cairn_pick. Each of
 * them may be NULL. The sums are those of ISA(softmax_weights), whatever is wanted.
 */
ALWAYS softmax_row walk_row(
	const float *x, int64_t n, float scale, float *weight, float *moment, float *block)
{
	softmax_row row = {row_max(x, n, scale), 0, 0};
	walk w = {.scale = v_all(scale), .max = v_all(row.max), .ahead = logits_stride(n)};

	for (int64_t start = 0; start < n; start += CAIRN_PICK_BLOCK) {
		int64_t end = at_most(n, start + CAIRN_PICK_BLOCK), i = start;

		w.part = v_all(0);
		for (; i + 16 * EXPS <= end; i += 16 * EXPS)
			walk_vectors(&w, x + i, EXPS, 16 * EXPS, weight ? weight + i : NULL,
				moment != NULL);
		for (; i < end; i += 16)
			walk_vectors(
				&w, x + i, 1, n - i, weight ? weight + i : NULL, moment != NULL);
		if (block)
			block[start / CAIRN_PICK_BLOCK] = v_sum(w.part);
	}
	if (moment)
		*moment = v_sum(w.moment);
	row.sum = v_sum(w.sum);
	row.log_sum = scalar_log((double)row.sum);
	return row;
}

/* log softmax of logit x in its row; the one formula for lm_head and sample. */
static float logprob_of(softmax_row row, float x, float scale)
{
	float y = x * scale;

	return (float)((double)y - (double)row.max - row.log_sum);
}

/* logits [rows,V] of row stride ld = h wte^T */
static void make_logits(cpu *c, float *logits, int64_t ld, const float *h, int64_t rows,
	const float *wte, const cairn_packed *packed, int64_t C, int64_t V)
{
	cairn_gemm g = {.M = rows,
		.N = V,
		.K = C,
		.transpose_b = true,
		.A = h,
		.lda = C,
		.B = wte,
		.ldb = C,
		.C = logits,
		.ldc = ld,
		.packed = packed};

	ISA(product)(c, &g);
}

/* ---- lm_head ------------------------------------------------------------------------------ */

typedef struct head_job {
	const cairn_lm_head *head;
	const int32_t *row; /* of the chunk, in the caller's tensors */
	int64_t n, ld;
	int32_t length[CHUNK]; /* of the chunk's chains */
	float factor[CHUNK];
	float *logits, *h, *dh;
	float scale;
} head_job;

static void gather_task(void *context, int64_t i, int thread)
{
	const head_job *job = context;
	int64_t C = job->head->C;

	(void)thread;
	memcpy(job->h + i * C, job->head->h + job->row[i] * C, sizeof(float) * (size_t)C);
}

/* What the row's gradient is multiplied with: into h for dwte, into *factor for dh. */
static void put_factor(head_job *job, int64_t i, float factor)
{
	float *h = job->h + i * job->head->C;
	v16 f = v_all(factor);

	job->factor[i] = factor;
	for (int64_t c = 0; c < job->head->C; c += 16)
		v_put(h + c, v_get(h + c, job->head->C - c) * f, job->head->C - c);
}

static void head_row(head_job *job, int64_t i)
{
	const cairn_lm_head *head = job->head;
	float *logits = job->logits + i * job->ld, x, moment = 0;
	int64_t r = job->row[i];
	int32_t target = head->target[r];
	softmax_row row;

	x = logits[target];
	if (head->entropy && head->dlogprob)
		row = walk_row(logits, head->V, job->scale, logits, &moment, NULL);
	else if (head->entropy)
		row = walk_row(logits, head->V, job->scale, NULL, &moment, NULL);
	else if (head->dlogprob)
		row = walk_row(logits, head->V, job->scale, logits, NULL, NULL);
	else
		row = walk_row(logits, head->V, job->scale, NULL, NULL, NULL);
	head->logprob[r] = logprob_of(row, x, job->scale);
	if (head->entropy)
		head->entropy[r] = (float)(row.log_sum - (double)moment / (double)row.sum);
	if (head->best)
		head->best[r] = x * job->scale >= row.max ? 1 : 0;
	if (head->dlogprob) {
		logits[target] -= row.sum;
		put_factor(job, i, -head->dlogprob[r] * job->scale / row.sum);
	}
}

static void head_task(void *context, int64_t task, int thread)
{
	head_job *job = context;
	int64_t end = at_most(job->n, (task + 1) * TASK_ROWS);

	(void)thread;
	for (int64_t i = task * TASK_ROWS; i < end; i++)
		head_row(job, i);
}

static void scatter_task(void *context, int64_t task, int thread)
{
	const head_job *job = context;
	int64_t C = job->head->C, end = at_most(job->n, (task + 1) * TASK_ROWS);

	(void)thread;
	for (int64_t i = task * TASK_ROWS; i < end; i++) {
		float *to = job->head->dh + job->row[i] * C;
		const float *from = job->dh + i * C;
		v16 f = v_all(job->factor[i]);

		for (int64_t c = 0; c < C; c += 16)
			v_put(to + c, v_get(from + c, C - c) * f, C - c);
	}
}

static void head_backward(cpu *c, head_job *job)
{
	const cairn_lm_head *head = job->head;
	cairn_gemm dh = {.M = job->n,
		.N = head->C,
		.K = head->V,
		.A = job->logits,
		.lda = job->ld,
		.B = head->wte,
		.ldb = head->C,
		.C = job->dh,
		.ldc = head->C,
		.packed = head->packed_dh};
	cairn_gemm dwte = {.M = head->V,
		.N = head->C,
		.K = job->n,
		.transpose_a = true,
		.accumulate = true,
		.A = job->logits,
		.lda = job->ld,
		.B = job->h,
		.ldb = head->C,
		.C = head->dwte,
		.ldc = head->C};

	ISA(product)(c, &dh);
	pool_for(c->pool, pieces(job->n, TASK_ROWS), scatter_task, job);
	ISA(product_of_chains)(c, &dwte, job->length);
}

/* Rows of the chain of dwte that begins with row[0]; n: how many there are. */
static int64_t chain_rows(const cairn_lm_head *head, const int32_t *row, int64_t n)
{
	int64_t first = row[0], end, rows = 1;

	if (head->cut <= 0)
		return at_most(n, CAIRN_HEAD_ROWS);
	end = first - first % head->cut % CAIRN_HEAD_ROWS + CAIRN_HEAD_ROWS;
	end = at_most(end, first - first % head->cut + head->cut);
	while (rows < n && row[rows] < end)
		rows++;
	return rows;
}

/* Fills a chunk with whole chains of the n rows that are left. */
static void fill_chunk(head_job *job, int64_t n)
{
	int64_t chains = 0, rows;

	for (job->n = 0; job->n < n; job->n += rows) {
		rows = chain_rows(job->head, job->row + job->n, n - job->n);
		if (job->n + rows > CHUNK)
			break;
		job->length[chains++] = (int32_t)rows;
	}
}

/* Lists the rows that have a target; the others get their zeros. */
static int64_t list_rows(const cairn_lm_head *head, int32_t *row)
{
	int64_t n = 0;

	for (int64_t r = 0; r < head->R; r++) {
		if (head->target[r] >= 0) {
			CAIRN_ASSERT(head->target[r] < head->V);
			row[n++] = (int32_t)r;
			continue;
		}
		head->logprob[r] = 0;
		if (head->entropy)
			head->entropy[r] = 0;
		if (head->best)
			head->best[r] = 0;
		if (head->dlogprob)
			memset(head->dh + r * head->C, 0, sizeof(float) * (size_t)head->C);
	}
	return n;
}

/* wte as the right operand [K,N] of one of the two products. */
static const cairn_packed *pack_wte(const cairn_kernels *k, const cairn_lm_head *head,
	enum cpu_buffer buffer, cairn_packed *packed)
{
	packed->panels = cpu_shared(k->self, buffer, k->packed_bytes(k, packed->K, packed->N));
	k->repack(k, packed, head->wte, head->C);
	return packed;
}

static void lm_head(const cairn_kernels *k, const cairn_lm_head *given)
{
	cpu *c = k->self;
	cairn_lm_head packed = *given, *head = &packed;
	size_t chunk = (size_t)at_most(CHUNK, head->R);
	int32_t *row = cpu_shared(c, CPU_ROWS_INDEX, sizeof(*row) * (size_t)head->R);
	int64_t n = list_rows(head, row);
	head_job job = {.head = head, .ld = logits_stride(head->V), .scale = 1 / head->temperature};
	cairn_packed logits = {.K = head->C, .N = head->V, .transpose_b = true};
	cairn_packed dh = {.K = head->V, .N = head->C};

	if (n > CHUNK && head->V * head->C <= FLOATS && !head->packed_logits)
		head->packed_logits = pack_wte(k, head, CPU_PACK_LOGITS, &logits);
	if (n > CHUNK && head->V * head->C <= FLOATS && head->dlogprob && !head->packed_dh)
		head->packed_dh = pack_wte(k, head, CPU_PACK_DH, &dh);
	job.logits = cpu_shared(c, CPU_ROWS, sizeof(float) * chunk * (size_t)job.ld);
	job.h = cpu_shared(c, CPU_ROWS_H, sizeof(float) * chunk * (size_t)head->C);
	job.dh = cpu_shared(c, CPU_ROWS_DH, sizeof(float) * chunk * (size_t)head->C);
	for (int64_t i = 0; i < n; i += job.n) {
		job.row = row + i;
		fill_chunk(&job, n - i);
		for (int64_t r = 0; r < job.n; r++)
			gather_task(&job, r, 0);
		make_logits(c, job.logits, job.ld, job.h, job.n, head->wte, head->packed_logits,
			head->C, head->V);
		pool_for(c->pool, pieces(job.n, TASK_ROWS), head_task, &job);
		if (head->dlogprob)
			head_backward(c, &job);
	}
}

/* ---- sample -------------------------------------------------------------------------------- */

typedef struct sample_job {
	cpu *c;
	const cairn_sample *s;
	int64_t first, ld;
	const float *logits;
} sample_job;

/* The first of the largest logits; 0 where nothing compares. */
static int32_t first_equal(const float *x, int64_t n, float value)
{
	for (int64_t start = 0; start < n; start += CAIRN_PICK_BLOCK) {
		int64_t end = at_most(n, start + CAIRN_PICK_BLOCK);
		int32_t equal = 0;

		for (int64_t i = start; i < end; i++)
			equal += x[i] == value;
		for (int64_t i = start; equal > 0 && i < end; i++)
			if (x[i] == value)
				return (int32_t)i;
	}
	return 0;
}

static void sample_task(void *context, int64_t i, int thread)
{
	const sample_job *job = context;
	const cairn_sample *s = job->s;
	size_t V = (size_t)s->V, blocks = (size_t)pieces(s->V, CAIRN_PICK_BLOCK);
	float *weight = cpu_own(job->c, thread, CPU_OWN_WORK, sizeof(float) * (2 * V + blocks));
	float *block = weight + V;
	int32_t *heap = (int32_t *)(block + blocks), token;
	const float *logits = job->logits + i * job->ld;
	int64_t r = job->first + i;
	bool greedy = s->temperature == 0;
	float scale = greedy ? 1 : 1 / s->temperature;
	softmax_row row = walk_row(logits, s->V, scale, weight, NULL, block);
	double uniform = gpt_random_uniform(s->key, s->row_id[r], 0);

	if (greedy)
		token = first_equal(logits, s->V, row.max);
	else if (s->top_k > 0 || s->top_p < 1)
		token = cairn_pick_truncated(
			weight, s->V, uniform, s->top_k, (double)s->top_p, heap);
	else
		token = cairn_pick(weight, block, s->V, uniform);
	s->token[r] = token;
	s->logprob[r] = logprob_of(row, logits[token], scale);
}

static void sample(const cairn_kernels *k, const cairn_sample *s)
{
	cpu *c = k->self;
	sample_job job = {.c = c, .s = s, .ld = logits_stride(s->V)};
	float *logits = cpu_shared(
		c, CPU_ROWS, sizeof(float) * (size_t)at_most(CHUNK, s->R) * (size_t)job.ld);

	job.logits = logits;
	for (job.first = 0; job.first < s->R; job.first += CHUNK) {
		int64_t rows = at_most(CHUNK, s->R - job.first);

		make_logits(c, logits, job.ld, s->h + job.first * s->C, rows, s->wte, s->packed,
			s->C, s->V);
		pool_for(c->pool, rows, sample_task, &job);
	}
}

static void gemm(const cairn_kernels *k, const cairn_gemm *g)
{
	ISA(product)(k->self, g);
}

void ISA(fill_head)(cairn_kernels *k)
{
	k->gemm = gemm;
	k->lm_head = lm_head;
	k->sample = sample;
}
