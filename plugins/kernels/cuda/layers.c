/* SPDX-License-Identifier: Apache-2.0 */
/* layers.c - the table's other operations: each is a launch and, where it needs one, a workspace.
 */
#include <string.h>

#include "kernels/cuda/adam.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/cache.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/cuda/reduce.h"
#include "kernels/cuda/rows.h"

static void *scratch(cuda_backend *b, size_t bytes)
{
	return cuda_backend_buffer(b, CUDA_BUFFER_SCRATCH, bytes);
}

static void embed(const cairn_kernels *k, cairn_act *out, const int32_t *token,
	const int32_t *position, const cairn_real *wte, const cairn_real *wpe, int64_t R, int64_t C)
{
	cuda_backend *b = cuda_backend_of(k);

	if (R > 0)
		cuda_embed(b->stream, b->type, out, token, position, wte, wpe, R, C);
	cuda_device_check(b->device, "the embedding");
}

static void embed_backward(const cairn_kernels *k, cairn_real *dwte, cairn_real *dwpe,
	const cairn_act *dout, const int32_t *token, const int32_t *position, int64_t R, int64_t C)
{
	cuda_backend *b = cuda_backend_of(k);
	void *room = R > 0 ? scratch(b, cuda_embed_backward_workspace(R, C)) : NULL;

	if (room)
		cuda_embed_backward(
			b->stream, b->type, dwte, dwpe, dout, token, position, R, C, room);
	cuda_device_check(b->device, "the embedding's gradient");
}

static void layernorm(const cairn_kernels *k, cairn_act *out, cairn_real *mean, cairn_real *rstd,
	cairn_act *sum, const cairn_act *a, const cairn_act *b_, const cairn_real *gain,
	const cairn_real *bias, int64_t R, int64_t C)
{
	cuda_backend *b = cuda_backend_of(k);

	if (R > 0)
		cuda_layernorm(b->stream, b->type, out, mean, rstd, sum, a, b_, gain, bias, R, C);
	cuda_device_check(b->device, "layer norm");
}

static void layernorm_backward(const cairn_kernels *k, cairn_act *dx, cairn_real *dgain,
	cairn_real *dbias, const cairn_act *dout, const cairn_act *x, const cairn_real *gain,
	const cairn_real *mean, const cairn_real *rstd, int64_t R, int64_t C, int64_t cut)
{
	cuda_backend *b = cuda_backend_of(k);
	void *room = R > 0 ? scratch(b, cuda_layernorm_backward_workspace(R, C)) : NULL;

	(void)cut; /* kernels.h: a backend whose results depend on the batch may ignore it */
	if (room)
		cuda_layernorm_backward(b->stream, b->type, dx, dgain, dbias, dout, x, gain, mean,
			rstd, R, C, room);
	cuda_device_check(b->device, "layer norm's gradient");
}

static void gelu_backward(const cairn_kernels *k, cairn_act *d, const cairn_act *z, int64_t n)
{
	cuda_backend *b = cuda_backend_of(k);

	if (n > 0)
		cuda_gelu_backward(b->stream, b->type, d, z, n);
	cuda_device_check(b->device, "gelu's gradient");
}

static void bias_backward(const cairn_kernels *k, cairn_real *dbias, const void *dout, bool act,
	int64_t R, int64_t N, int64_t cut)
{
	cuda_backend *b = cuda_backend_of(k);
	void *room = R > 0 ? scratch(b, cuda_bias_backward_workspace(R, N)) : NULL;

	(void)cut;
	if (room)
		cuda_bias_backward(b->stream, act ? b->type : CUDA_FLOAT, dbias, dout, R, N, room);
	cuda_device_check(b->device, "a bias' gradient");
}

static cuda_attention attention_of(cuda_backend *b, const cairn_attention *a)
{
	return (cuda_attention){
		.B = a->B,
		.T = a->T,
		.NH = a->NH,
		.D = a->D,
		.qkv = a->qkv,
		.lengths = a->lengths,
		.out = a->out,
		.lse = a->lse,
		.dout = a->dout,
		.dqkv = a->dqkv,
		.workspace = scratch(b, cuda_attention_workspace(a->B, a->T, a->NH)),
	};
}

static void attention(const cairn_kernels *k, const cairn_attention *given)
{
	cuda_backend *b = cuda_backend_of(k);
	cuda_attention a = attention_of(b, given);

	if (a.workspace)
		cuda_attention_forward(b->stream, b->type, &a);
	cuda_device_check(b->device, "attention");
}

static void attention_backward(const cairn_kernels *k, const cairn_attention *given)
{
	cuda_backend *b = cuda_backend_of(k);
	cuda_attention a = attention_of(b, given);

	if (a.workspace)
		cuda_attention_backward(b->stream, b->type, &a);
	cuda_device_check(b->device, "attention's gradient");
}

static size_t cache_bytes(
	const cairn_kernels *k, int64_t slots, int64_t NH, int64_t D, int64_t T_max)
{
	return cuda_cache_bytes(cuda_backend_of(k)->type, slots, NH, D, T_max);
}

static void cache_fill(const cairn_kernels *k, cairn_act *cache, const cairn_act *qkv,
	const int32_t *slot, const int32_t *lengths, int64_t B, int64_t T, int64_t NH, int64_t D,
	int64_t T_max)
{
	cuda_backend *b = cuda_backend_of(k);

	if (B > 0)
		cuda_cache_fill(b->stream, b->type, cache, qkv, slot, lengths, B, T, NH, D, T_max);
	cuda_device_check(b->device, "filling the cache");
}

static void decode(const cairn_kernels *k, const cairn_decode *d)
{
	cuda_backend *b = cuda_backend_of(k);
	cuda_decode work = {
		.B = d->B,
		.NH = d->NH,
		.D = d->D,
		.T_max = d->T_max,
		.qkv = d->qkv,
		.slot = d->slot,
		.position = d->position,
		.cache = d->cache,
		.out = d->out,
		.workspace = scratch(b, cuda_decode_workspace(d->B, d->NH, d->D, d->T_max)),
	};

	if (work.workspace && d->B > 0)
		cuda_decode_attention(b->stream, b->type, &work);
	cuda_device_check(b->device, "decoding");
}

static void dropout(const cairn_kernels *k, cairn_act *x, const uint64_t *row_id, int64_t R,
	int64_t C, double p, uint64_t key, uint32_t site)
{
	cuda_backend *b = cuda_backend_of(k);

	if (R > 0)
		cuda_dropout(b->stream, b->type, x, row_id, R, C, p, key, site);
	cuda_device_check(b->device, "dropout");
}

static void gather_rows(const cairn_kernels *k, cairn_act *out, const cairn_act *x,
	const int32_t *index, int64_t n, int64_t C)
{
	cuda_backend *b = cuda_backend_of(k);

	if (n > 0)
		cuda_gather_rows(b->stream, b->type, out, x, index, n, C);
	cuda_device_check(b->device, "choosing rows");
}

static void scatter_rows(const cairn_kernels *k, cairn_real *x, const cairn_real *rows,
	const int32_t *index, int64_t n, int64_t C)
{
	cuda_backend *b = cuda_backend_of(k);

	if (n > 0)
		cuda_scatter_rows(b->stream, x, rows, index, n, C);
	cuda_device_check(b->device, "adding rows");
}

static void axpy(const cairn_kernels *k, cairn_real *y, const cairn_real *x, double a, int64_t n)
{
	cuda_backend *b = cuda_backend_of(k);

	if (n > 0)
		cuda_axpy(b->stream, y, x, a, n);
	cuda_device_check(b->device, "adding vectors");
}

static void scale(const cairn_kernels *k, cairn_real *x, double a, int64_t n)
{
	cuda_backend *b = cuda_backend_of(k);

	if (n > 0)
		cuda_scale(b->stream, x, a, n);
	cuda_device_check(b->device, "scaling");
}

static void ema(
	const cairn_kernels *k, cairn_real *average, const cairn_real *w, double decay, int64_t n)
{
	cuda_backend *b = cuda_backend_of(k);

	if (n > 0)
		cuda_ema(b->stream, average, w, decay, n);
	cuda_device_check(b->device, "averaging");
}

/* The sum lies at the front of the workspace. */
static double sum_squares(const cairn_kernels *k, const cairn_real *x, int64_t n)
{
	enum {
		FRONT = 64
	};
	cuda_backend *b = cuda_backend_of(k);
	char *room = n > 0 ? scratch(b, FRONT + cuda_sum_squares_workspace(n)) : NULL;
	double sum = 0;

	if (room) {
		cuda_sum_squares(b->stream, (double *)room, x, n, room + FRONT);
		cuda_device_check(b->device, "a sum of squares");
		cuda_device_read(b->device, &sum, room, sizeof(sum));
	}
	return sum;
}

static void adam(const cairn_kernels *k, const cairn_adam *a)
{
	cuda_backend *b = cuda_backend_of(k);

	if (a->n > 0)
		cuda_adam(b->stream, a);
	cuda_device_check(b->device, "AdamW");
}

void cuda_fill_layers(cairn_kernels *k)
{
	k->embed = embed;
	k->embed_backward = embed_backward;
	k->layernorm = layernorm;
	k->layernorm_backward = layernorm_backward;
	k->gelu_backward = gelu_backward;
	k->bias_backward = bias_backward;
	k->attention = attention;
	k->attention_backward = attention_backward;
	k->cache_bytes = cache_bytes;
	k->cache_fill = cache_fill;
	k->decode = decode;
	k->dropout = dropout;
	k->gather_rows = gather_rows;
	k->scatter_rows = scatter_rows;
	k->axpy = axpy;
	k->scale = scale;
	k->ema = ema;
	k->sum_squares = sum_squares;
	k->adam = adam;
}
