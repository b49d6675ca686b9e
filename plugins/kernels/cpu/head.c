/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.c - the unembedding with its softmax, forward, backward and for sampling.
 *
 * Rows go through in chunks of CHUNK: logits [CHUNK,V] are made by one product, turned in
 * place into probabilities and, where a gradient is wanted, into the gradient of the
 * logits, which two more products spend. Rows without a target are left out before that, so
 * padding costs nothing here and cannot reach dwte. A chunk is made of whole chains of dwte.
 */
#include "gpt/rng.h"
#include "kernels/cpu/compute.h"
#include "kernels/pick.h"

enum {
	CHUNK = CAIRN_HEAD_ROWS,
};

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

/* Logits into d(sum dlogprob*logprob)/dlogits. */
static void logits_gradient(float *logits, int64_t V, softmax_row row, float d, int32_t target)
{
	v16 factor = v_all(-d / row.sum);

	for (int64_t v = 0; v < V; v += 16)
		v_put(logits + v, v_get(logits + v, V - v) * factor, V - v);
	logits[target] += d;
}

static void head_task(void *context, int64_t i, int thread)
{
	const head_job *job = context;
	const cairn_lm_head *head = job->head;
	float *logits = job->logits + i * job->ld, x, moment = 0;
	int64_t r = job->row[i];
	int32_t target = head->target[r];
	softmax_row row = {0};

	(void)thread;
	x = logits[target];
	if (head->entropy || !head->dlogprob)
		row = ISA(softmax_sums)(
			logits, head->V, job->scale, head->entropy ? &moment : NULL);
	if (head->dlogprob)
		row = ISA(softmax)(logits, logits, head->V, job->scale);
	head->logprob[r] = logprob_of(row, x, job->scale);
	if (head->entropy)
		head->entropy[r] = (float)(row.log_sum - (double)moment / (double)row.sum);
	if (head->dlogprob)
		logits_gradient(logits, head->V, row, head->dlogprob[r] * job->scale, target);
}

static void scatter_task(void *context, int64_t i, int thread)
{
	const head_job *job = context;
	int64_t C = job->head->C;

	(void)thread;
	memcpy(job->head->dh + job->row[i] * C, job->dh + i * C, sizeof(float) * (size_t)C);
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
	pool_for(c->pool, job->n, scatter_task, job);
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
		if (head->dlogprob)
			memset(head->dh + r * head->C, 0, sizeof(float) * (size_t)head->C);
	}
	return n;
}

static void lm_head(const cairn_kernels *k, const cairn_lm_head *head)
{
	cpu *c = k->self;
	size_t chunk = (size_t)at_most(CHUNK, head->R);
	int32_t *row = cpu_shared(c, CPU_ROWS_INDEX, sizeof(*row) * (size_t)head->R);
	int64_t n = list_rows(head, row);
	head_job job = {.head = head, .ld = round_up(head->V, 16), .scale = 1 / head->temperature};

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
		pool_for(c->pool, job.n, head_task, &job);
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

static void sample_task(void *context, int64_t i, int thread)
{
	const sample_job *job = context;
	const cairn_sample *s = job->s;
	size_t V = (size_t)s->V;
	float *weight =
		cpu_own(job->c, thread, CPU_OWN_WORK, (sizeof(float) + sizeof(int32_t)) * V);
	int32_t *heap = (int32_t *)(weight + V), token;
	const float *logits = job->logits + i * job->ld;
	int64_t r = job->first + i;
	bool greedy = s->temperature == 0;
	float scale = greedy ? 1 : 1 / s->temperature;
	softmax_row row = ISA(softmax)(weight, logits, s->V, scale);
	double uniform = gpt_random_uniform(s->key, s->row_id[r], 0);

	if (greedy)
		token = cairn_pick_largest(logits, s->V);
	else if (s->top_k > 0 || s->top_p < 1)
		token = cairn_pick_truncated(
			weight, s->V, uniform, s->top_k, (double)s->top_p, heap);
	else
		token = cairn_pick(weight, s->V, uniform);
	s->token[r] = token;
	s->logprob[r] = logprob_of(row, logits[token], scale);
}

static void sample(const cairn_kernels *k, const cairn_sample *s)
{
	cpu *c = k->self;
	sample_job job = {.c = c, .s = s, .ld = round_up(s->V, 16)};
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
