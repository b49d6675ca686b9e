/* SPDX-License-Identifier: Apache-2.0 */
/*
 * products.c - matrix products, the unembedding and sampling, out of cuBLASLt and our kernels.
 *
 * In bf16 a weight is rounded once for each product that reads it, or once for many by pack(): a
 * packed weight is a bf16 copy in the same order, its rows padded to 16 bytes, and where it is
 * stored [N,K] with rows of zeros up to a multiple of 128, so that the products of the head have
 * no odd N; a vector stays as it is. Products of one column or one term, and those that cuBLASLt
 * has no plan for, go to cuda_product_simple(), which reads weights as they are. Those of few rows
 * in bf16 are cuda_product_few()'s, which rounds weights in passing.
 *
 * Logits are float: 4 bytes written and 4 read a token of the vocabulary, the gradient 2 written
 * and twice 2 read. Logits in bf16 would save a third of that (0.05 us a position of GPT-2 on an
 * H100), but a logit of 16 would be off by up to 0.06, and so would be log-probabilities, on which
 * PPO's ratio and the KL penalty rest.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/head.h"
#include "kernels/cuda/sample.h"

enum {
	PAD_ROWS = 128,
	PAD_COLUMNS = 8,
};

#define LOGITS_BYTES ((int64_t)512 << 20) /* of a chunk at most */

struct cairn_packed {
	int64_t K, N, rows, ld; /* as stored: rows of stride ld */
	bool transpose_b;
	enum cuda_type type;
	void *dev;
};

static int64_t round_up(int64_t n, int64_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- packed weights ---------------------------------------------------------------------------
 */

static size_t type_bytes(const cuda_backend *b)
{
	return cuda_type_bytes(b->type);
}

/* Stored [rows, columns], then padded. */
static int64_t padded_rows(int64_t rows, bool transpose_b)
{
	return transpose_b ? round_up(rows, PAD_ROWS) : rows;
}

/* Products of one column or one term read a weight as it is, so its copy is one. */
static enum cuda_type packed_type(const cuda_backend *b, int64_t K, int64_t N)
{
	return K <= 1 || N <= 1 ? CUDA_FLOAT : b->type;
}

static size_t packed_size(const cuda_backend *b, int64_t rows, int64_t columns, bool transpose_b)
{
	return (size_t)(padded_rows(rows, transpose_b) * round_up(columns, PAD_COLUMNS)) *
	       cuda_type_bytes(packed_type(b, rows, columns));
}

static size_t packed_bytes(const cairn_kernels *k, int64_t K, int64_t N)
{
	size_t plain = packed_size(cuda_backend_of(k), K, N, false);
	size_t transposed = packed_size(cuda_backend_of(k), N, K, true);

	return plain > transposed ? plain : transposed;
}

static void repack(const cairn_kernels *k, cairn_packed *packed, const cairn_real *B, int64_t ldb)
{
	cuda_backend *b = cuda_backend_of(k);
	int64_t rows = packed->transpose_b ? packed->N : packed->K;
	int64_t columns = packed->transpose_b ? packed->K : packed->N;

	cuda_pad(b->stream, packed->type, packed->dev, packed->rows, packed->ld, B, ldb, rows,
		columns);
	cuda_device_check(b->device, "packing a weight");
}

static void pack_free(const cairn_kernels *k, cairn_packed *packed)
{
	if (!packed)
		return;
	cuda_device_free(cuda_backend_of(k)->device, packed->dev);
	free(packed);
}

static cairn_packed *pack(const cairn_kernels *k, const cairn_real *B, int64_t ldb, int64_t K,
	int64_t N, bool transpose_b)
{
	cairn_packed *packed = malloc(sizeof(*packed));

	if (!packed)
		return NULL;
	*packed = (cairn_packed){.K = K,
		.N = N,
		.rows = padded_rows(transpose_b ? N : K, transpose_b),
		.ld = round_up(transpose_b ? K : N, PAD_COLUMNS),
		.transpose_b = transpose_b,
		.type = packed_type(cuda_backend_of(k), K, N)};
	packed->dev = cuda_device_alloc(cuda_backend_of(k)->device, packed_bytes(k, K, N));
	if (!packed->dev) {
		free(packed);
		return NULL;
	}
	repack(k, packed, B, ldb);
	return packed;
}

/* ---- one product --------------------------------------------------------------------------------
 */

static void simple(cuda_backend *b, const cuda_product *p)
{
	void *workspace = cuda_backend_buffer(b, CUDA_BUFFER_SCRATCH, cuda_product_workspace(p));

	if (!workspace)
		return;
	cuda_product_simple(b->stream, p, workspace);
	cuda_device_check(b->device, "a product");
}

/* An operand of floats, stored [rows, columns], as bf16 in a buffer. */
static bool narrowed(cuda_backend *b, enum cuda_buffer which, const void **operand, int64_t *ld,
	int64_t rows, int64_t columns)
{
	int64_t wide = round_up(columns, PAD_COLUMNS);
	void *dev = cuda_backend_buffer(b, which, (size_t)(rows * wide) * sizeof(uint16_t));

	if (!dev)
		return false;
	cuda_pad(b->stream, CUDA_BF16, dev, rows, wide, *operand, *ld, rows, columns);
	cuda_device_check(b->device, "rounding a weight");
	*operand = dev;
	*ld = wide;
	return true;
}

/* Rounds what cuBLASLt wants in bf16. */
static bool prepare(cuda_backend *b, cuda_product *p, const void **bias)
{
	int64_t ld = p->N;

	*bias = p->bias;
	if (b->type != CUDA_BF16)
		return true;
	if (p->type_a == CUDA_FLOAT &&
		!narrowed(b, CUDA_BUFFER_A, &p->A, &p->lda, p->transpose_a ? p->K : p->M,
			p->transpose_a ? p->M : p->K))
		return false;
	if (p->type_b == CUDA_FLOAT &&
		!narrowed(b, CUDA_BUFFER_B, &p->B, &p->ldb, p->transpose_b ? p->N : p->K,
			p->transpose_b ? p->K : p->N))
		return false;
	p->type_a = p->type_b = CUDA_BF16;
	return !p->bias || p->type_c == CUDA_FLOAT ||
	       narrowed(b, CUDA_BUFFER_BIAS, bias, &ld, 1, p->N);
}

/* Two operands of floats are kept as they are: they are gradients of a scalar head. */
static bool is_simple(const cuda_backend *b, const cuda_product *p)
{
	return p->N == 1 || p->M == 0 || p->N == 0 || p->K <= 1 ||
	       (b->type == CUDA_BF16 && p->type_a == CUDA_FLOAT && p->type_b == CUDA_FLOAT);
}

static void product(cuda_backend *b, const cuda_product *given)
{
	cuda_product p = *given;
	const void *bias;

	if (is_simple(b, given)) {
		simple(b, given);
		return;
	}
	if (b->type == CUDA_BF16 && cuda_product_few(b->stream, given)) {
		cuda_device_check(b->device, "a product of few rows");
		return;
	}
	if (!prepare(b, &p, &bias))
		return;
	if (!cuda_blas_product(b->blas, &p, bias))
		simple(b, &p);
	cuda_device_check(b->device, "a product");
}

static enum cuda_type type_if(const cuda_backend *b, bool activation)
{
	return activation ? b->type : CUDA_FLOAT;
}

static void gemm(const cairn_kernels *k, const cairn_gemm *g)
{
	cuda_backend *b = cuda_backend_of(k);
	cuda_product p = {
		.M = g->M,
		.N = g->N,
		.K = g->K,
		.lda = g->lda,
		.ldb = g->ldb,
		.ldc = g->ldc,
		.transpose_a = g->transpose_a,
		.transpose_b = g->transpose_b,
		.accumulate = g->accumulate,
		.gelu = g->gelu,
		.type_a = type_if(b, g->act_a),
		.type_b = type_if(b, g->act_b),
		.type_c = type_if(b, g->act_c),
		.A = g->A,
		.B = g->B,
		.C = g->C,
		.pre = g->gelu ? g->pre : NULL,
		.bias = g->bias,
	};

	if (g->packed) {
		bool same = g->packed->transpose_b == g->transpose_b;

		CAIRN_ASSERT(g->packed->K == (same ? g->K : g->N));
		CAIRN_ASSERT(g->packed->N == (same ? g->N : g->K));
		p.B = g->packed->dev;
		p.ldb = g->packed->ld;
		p.type_b = g->packed->type;
	}
	product(b, &p);
}

/* ---- the head
 * ------------------------------------------------------------------------------------ */

/* wte [V,C] as both products of the head read it: Vp rows, those behind V zeros. */
typedef struct unembedding {
	const void *dev;
	int64_t rows, ld; /* Vp */
	enum cuda_type type;
} unembedding;

static bool unembed_with(cuda_backend *b, unembedding *out, const cairn_packed *packed,
	const cairn_real *wte, int64_t V, int64_t C)
{
	int64_t rows = round_up(V, PAD_ROWS), ld = round_up(C, PAD_COLUMNS);
	enum cuda_type type = packed_type(b, C, V);
	void *dev;

	if (packed) {
		CAIRN_ASSERT(packed->transpose_b && packed->N == V && packed->K == C);
		*out = (unembedding){packed->dev, packed->rows, packed->ld, type};
		return true;
	}
	dev = cuda_backend_buffer(b, CUDA_BUFFER_WTE, (size_t)(rows * ld) * cuda_type_bytes(type));
	if (!dev)
		return false;
	cuda_pad(b->stream, type, dev, rows, ld, wte, C, V, C);
	cuda_device_check(b->device, "rounding the embedding");
	*out = (unembedding){dev, rows, ld, type};
	return true;
}

static void *at(const cuda_backend *b, const void *activations, int64_t i)
{
	return (void *)((uintptr_t)activations + (uintptr_t)i * type_bytes(b));
}

/* logits [rows,Vp] = h wte^T */
static void make_logits(cuda_backend *b, float *logits, const void *h, int64_t rows,
	const unembedding *wte, int64_t C)
{
	product(b, &(cuda_product){.M = rows,
			   .N = wte->rows,
			   .K = C,
			   .lda = C,
			   .ldb = wte->ld,
			   .ldc = wte->rows,
			   .transpose_b = true,
			   .type_a = b->type,
			   .type_b = wte->type,
			   .type_c = CUDA_FLOAT,
			   .A = h,
			   .B = wte->dev,
			   .C = logits});
}

/* Rows of a chunk: whole tiles, whatever R is. */
static int64_t chunk_rows(int64_t Vp, int64_t R)
{
	int64_t rows = LOGITS_BYTES / (Vp * (int64_t)sizeof(float)) / 128 * 128;

	rows = rows > 128 ? rows : 128;
	return rows < R ? rows : R;
}

/* The gradient of a chunk's logits, which lies in `d`, back into dh and dwte. */
static void head_backward(cuda_backend *b, const cairn_lm_head *head, const unembedding *wte,
	const void *d, int64_t first, int64_t rows)
{
	int64_t C = head->C, ld = wte->rows * (int64_t)(sizeof(float) / type_bytes(b));
	void *h = cuda_backend_buffer(b, CUDA_BUFFER_H, (size_t)(rows * C) * type_bytes(b));

	if (!h)
		return;
	cuda_head_keep(
		b->stream, b->type, h, at(b, head->h, first * C), head->target + first, rows, C);
	product(b, &(cuda_product){.M = rows,
			   .N = C,
			   .K = wte->rows,
			   .lda = ld,
			   .ldb = wte->ld,
			   .ldc = C,
			   .type_a = b->type,
			   .type_b = wte->type,
			   .type_c = b->type,
			   .A = d,
			   .B = wte->dev,
			   .C = at(b, head->dh, first * C)});
	product(b, &(cuda_product){.M = head->V,
			   .N = C,
			   .K = rows,
			   .lda = ld,
			   .ldb = C,
			   .ldc = C,
			   .transpose_a = true,
			   .accumulate = true,
			   .type_a = b->type,
			   .type_b = b->type,
			   .type_c = CUDA_FLOAT,
			   .A = d,
			   .B = h,
			   .C = head->dwte});
}

static void lm_head(const cairn_kernels *k, const cairn_lm_head *head)
{
	cuda_backend *b = cuda_backend_of(k);
	unembedding wte;
	int64_t chunk;
	float *logits;

	if (head->R == 0 ||
		!unembed_with(b, &wte, head->packed_logits, head->wte, head->V, head->C))
		return;
	chunk = chunk_rows(wte.rows, head->R);
	logits = cuda_backend_buffer(
		b, CUDA_BUFFER_LOGITS, (size_t)(chunk * wte.rows) * sizeof(*logits));
	for (int64_t r = 0; logits && r < head->R; r += chunk) {
		int64_t rows = head->R - r < chunk ? head->R - r : chunk;

		make_logits(b, logits, at(b, head->h, r * head->C), rows, &wte, head->C);
		cuda_head(b->stream, b->type,
			&(cuda_head_rows){.rows = rows,
				.V = head->V,
				.logits = logits,
				.ld = wte.rows,
				.scale = 1 / head->temperature,
				.target = head->target + r,
				.dlogprob = head->dlogprob ? head->dlogprob + r : NULL,
				.logprob = head->logprob + r,
				.entropy = head->entropy ? head->entropy + r : NULL,
				.best = head->best ? head->best + r : NULL});
		cuda_device_check(b->device, "the head");
		if (head->dlogprob)
			head_backward(b, head, &wte, logits, r, rows);
	}
}

static void sample(const cairn_kernels *k, const cairn_sample *s)
{
	cuda_backend *b = cuda_backend_of(k);
	unembedding wte;
	int64_t chunk;
	float *logits;

	if (s->R == 0 || !unembed_with(b, &wte, s->packed, s->wte, s->V, s->C))
		return;
	chunk = chunk_rows(wte.rows, s->R);
	logits = cuda_backend_buffer(
		b, CUDA_BUFFER_LOGITS, (size_t)(chunk * wte.rows) * sizeof(*logits));
	for (int64_t r = 0; logits && r < s->R; r += chunk) {
		int64_t rows = s->R - r < chunk ? s->R - r : chunk;

		make_logits(b, logits, at(b, s->h, r * s->C), rows, &wte, s->C);
		cuda_sample(b->stream, b->type,
			&(cuda_sample_rows){.rows = rows,
				.V = s->V,
				.logits = logits,
				.ld = wte.rows,
				.scale = s->temperature == 0 ? 1 : 1 / s->temperature,
				.greedy = s->temperature == 0,
				.key = s->key,
				.row_id = s->row_id + r,
				.top_k = s->top_k,
				.top_p = (double)s->top_p,
				.token = s->token + r,
				.logprob = s->logprob + r});
		cuda_device_check(b->device, "sampling");
	}
}

void cuda_fill_products(cairn_kernels *k)
{
	k->wants_packed = 1;
	k->gemm = gemm;
	k->pack = pack;
	k->repack = repack;
	k->pack_free = pack_free;
	k->packed_bytes = packed_bytes;
	k->lm_head = lm_head;
	k->sample = sample;
}
