/* SPDX-License-Identifier: Apache-2.0 */
/* products.c - matrix products, the unembedding, sampling: plain loops. */
#include <math.h>

#include "gpt/rng.h"
#include "kernels/pick.h"
#include "kernels/portable/ops.h"

/* GPT-2's tanh form, as z times a sigmoid: 1 + tanh(u) would lose its digits far below 0. */
static double gelu(double z)
{
	return z / (1 + exp(-2 * 0.7978845608028654 * (z + 0.044715 * z * z * z)));
}

/* A dense copy [K,N]. */
struct cairn_packed {
	int64_t K, N;
	bool transpose_b;
	cairn_real *dense;
};

static void repack(const cairn_kernels *k, cairn_packed *packed, const cairn_real *B, int64_t ldb)
{
	(void)k;
	for (int64_t x = 0; x < packed->K; x++)
		for (int64_t j = 0; j < packed->N; j++)
			packed->dense[x * packed->N + j] =
				packed->transpose_b ? B[j * ldb + x] : B[x * ldb + j];
}

static size_t packed_bytes(const cairn_kernels *k, int64_t K, int64_t N)
{
	(void)k;
	return (size_t)K * (size_t)N * sizeof(cairn_real);
}

static void pack_free(const cairn_kernels *k, cairn_packed *packed)
{
	if (!packed)
		return;
	k->free(k, packed->dense);
	free(packed);
}

static cairn_packed *pack(const cairn_kernels *k, const cairn_real *B, int64_t ldb, int64_t K,
	int64_t N, bool transpose_b)
{
	cairn_packed *packed = malloc(sizeof(*packed));

	if (!packed)
		return NULL;
	*packed = (cairn_packed){K, N, transpose_b, k->alloc(k, packed_bytes(k, K, N))};
	if (!packed->dense) {
		pack_free(k, packed);
		return NULL;
	}
	repack(k, packed, B, ldb);
	return packed;
}

/* Element (x,j) of op(B). */
static double right(const cairn_gemm *g, int64_t x, int64_t j)
{
	const cairn_real *B = g->B;

	if (g->packed)
		return (double)g->packed->dense[x * g->N + j];
	return (double)B[g->transpose_b ? j * g->ldb + x : x * g->ldb + j];
}

static double left(const cairn_gemm *g, int64_t i, int64_t x)
{
	const cairn_real *A = g->A;

	return (double)A[g->transpose_a ? x * g->lda + i : i * g->lda + x];
}

/* Without chains: their parts, added up in double, are the same sum. */
static void gemm(const cairn_kernels *k, const cairn_gemm *g)
{
	cairn_real *C = g->C, *pre = g->pre;

	(void)k;
	CAIRN_ASSERT(!g->packed || (g->packed->K == g->K && g->packed->N == g->N));
	for (int64_t i = 0; i < g->M; i++) {
		for (int64_t j = 0; j < g->N; j++) {
			cairn_real *c = &C[i * g->ldc + j];
			double sum = g->accumulate ? (double)*c : 0;

			for (int64_t x = 0; x < g->K; x++)
				sum += left(g, i, x) * right(g, x, j);
			if (g->bias)
				sum += (double)g->bias[j];
			if (g->gelu && pre)
				pre[i * g->ldc + j] = (cairn_real)sum;
			*c = (cairn_real)(g->gelu ? gelu(sum) : sum);
		}
	}
}

/* logits of one row against wte [V,C] or its packed transpose; returns log(sum(exp(logits))). */
static double row_logits(double *logits, const cairn_real *h, const cairn_real *wte,
	const cairn_packed *packed, int64_t C, int64_t V, double temperature)
{
	double max = -INFINITY, sum = 0;

	for (int64_t v = 0; v < V; v++) {
		double dot = 0;

		for (int64_t c = 0; c < C; c++)
			dot += (double)h[c] *
			       (double)(packed ? packed->dense[c * V + v] : wte[v * C + c]);
		logits[v] = dot / temperature;
		max = logits[v] > max ? logits[v] : max;
	}
	for (int64_t v = 0; v < V; v++)
		sum += exp(logits[v] - max);
	return max + log(sum);
}

static cairn_real is_best(const double *logits, int64_t V, int32_t target)
{
	for (int64_t v = 0; v < V; v++)
		if (!(logits[v] <= logits[target]))
			return 0;
	return 1;
}

/* One row of lm_head's backward: dh is overwritten, dwte is added to. */
static void row_backward(
	const cairn_lm_head *head, int64_t r, const double *logits, double lse, double *dh)
{
	const cairn_real *wte = head->packed_dh ? head->packed_dh->dense : head->wte;
	int64_t C = head->C;

	for (int64_t c = 0; c < C; c++)
		dh[c] = 0;
	for (int64_t v = 0; v < head->V; v++) {
		double hit = v == head->target[r] ? 1 : 0;
		double d = (double)head->dlogprob[r] * (hit - exp(logits[v] - lse)) /
			   (double)head->temperature;

		for (int64_t c = 0; c < C; c++) {
			dh[c] += d * (double)wte[v * C + c];
			head->dwte[v * C + c] += (cairn_real)(d * (double)head->h[r * C + c]);
		}
	}
	for (int64_t c = 0; c < C; c++)
		head->dh[r * C + c] = (cairn_real)dh[c];
}

static void lm_head(const cairn_kernels *k, const cairn_lm_head *head)
{
	double *logits = portable_scratch(head->V, sizeof(*logits));
	double *dh = portable_scratch(head->C, sizeof(*dh));

	(void)k;
	for (int64_t r = 0; r < head->R; r++) {
		double lse, entropy = 0;

		if (head->target[r] < 0) {
			head->logprob[r] = 0;
			if (head->entropy)
				head->entropy[r] = 0;
			if (head->best)
				head->best[r] = 0;
			for (int64_t c = 0; head->dlogprob && c < head->C; c++)
				head->dh[r * head->C + c] = 0;
			continue;
		}
		lse = row_logits(logits, head->h + r * head->C, head->wte, head->packed_logits,
			head->C, head->V, (double)head->temperature);
		head->logprob[r] = (cairn_real)(logits[head->target[r]] - lse);
		for (int64_t v = 0; head->entropy && v < head->V; v++)
			entropy -= exp(logits[v] - lse) * (logits[v] - lse);
		if (head->entropy)
			head->entropy[r] = (cairn_real)entropy;
		if (head->best)
			head->best[r] = is_best(logits, head->V, head->target[r]);
		if (head->dlogprob)
			row_backward(head, r, logits, lse, dh);
	}
	free(logits);
	free(dh);
}

/* block[]: see cairn_pick. */
static void sum_blocks(cairn_real *block, const cairn_real *weight, int64_t V)
{
	for (int64_t start = 0; start < V; start += CAIRN_PICK_BLOCK) {
		double sum = 0;

		for (int64_t v = start; v < V && v < start + CAIRN_PICK_BLOCK; v++)
			sum += (double)weight[v];
		block[start / CAIRN_PICK_BLOCK] = (cairn_real)sum;
	}
}

static void sample(const cairn_kernels *k, const cairn_sample *s)
{
	double *logits = portable_scratch(s->V, sizeof(*logits));
	cairn_real *weight = portable_scratch(2 * s->V, sizeof(*weight));
	cairn_real *block = weight + s->V;
	int32_t *heap = portable_scratch(s->V, sizeof(*heap));
	bool greedy = s->temperature == 0;
	bool truncated = s->top_k > 0 || s->top_p < 1;

	(void)k;
	for (int64_t r = 0; r < s->R; r++) {
		double lse = row_logits(logits, s->h + r * s->C, s->wte, s->packed, s->C, s->V,
			greedy ? 1 : (double)s->temperature);
		double uniform = gpt_random_uniform(s->key, s->row_id[r], 0);

		for (int64_t v = 0; v < s->V; v++)
			weight[v] = (cairn_real)(greedy ? logits[v] : exp(logits[v] - lse));
		sum_blocks(block, weight, s->V);
		if (greedy)
			s->token[r] = cairn_pick_largest(weight, s->V);
		else if (truncated)
			s->token[r] = cairn_pick_truncated(
				weight, s->V, uniform, s->top_k, (double)s->top_p, heap);
		else
			s->token[r] = cairn_pick(weight, block, s->V, uniform);
		s->logprob[r] = (cairn_real)(logits[s->token[r]] - lse);
	}
	free(logits);
	free(weight);
	free(heap);
}

void portable_fill_products(cairn_kernels *k)
{
	k->gemm = gemm;
	k->pack = pack;
	k->repack = repack;
	k->pack_free = pack_free;
	k->packed_bytes = packed_bytes;
	k->lm_head = lm_head;
	k->sample = sample;
}
