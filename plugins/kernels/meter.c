/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meter.c - a kernel table that books what it passes on.
 *
 * Conventions, from shapes only; a fused multiply-add is two operations:
 *
 *   gemm                2 M N K, and M N for each of bias and accumulate, 8 M N for gelu
 *   lm_head             2 R C V, and 4 R C V more where a gradient goes back; under the account
 *                       `backward` the former is booked as `forward`
 *   sample              2 R C V
 *   attention           two products over the causal half: 4 D NH B T (T+1)/2
 *   attention_backward  2.5 times that: five products, one of them the scores again
 *   decode              4 D NH n_keys
 *   layernorm           8 an element, backward 14; gelu_backward 16; dropout 1
 *   adam                14 an element; axpy, ema, sum_squares 2 or 3, scale 1
 *   embed, rows, bias   1 addition an element; gather_rows, cache_fill and pack only move
 *
 * The exponentials of softmax count nothing: no peak is measured in them. Products (gemm,
 * lm_head, sample, attention, decode) also enter gemm_flop. Sequences shorter than T count
 * as T in attention: they are padding, which account(real, padded) takes out of flop_real.
 *
 * Calls that are captured are booked each time they are replayed, not when they are made, and under
 * the account of that time: a graph may serve several.
 */
#include "kernels/meter.h"

#include <stdlib.h>
#include <string.h>

/* The meter's graph: the backend's, and what one replay of it comes to. */
struct cairn_graph {
	cairn_graph *inner;
	double flop, gemm_flop;
	double head_forward; /* part of both: logits on whose gradient the rest of lm_head works */
	double flop_per_key; /* of decode, in products */
};

/* Takes what is captured where there is no memory for a graph; it is thrown away. */
static cairn_graph lost;

static const cairn_kernels *inner_of(const cairn_kernels *k)
{
	return ((const cairn_meter *)k->self)->inner;
}

static void book_as(cairn_meter *meter, int account, double flop)
{
	double share = meter->padded ? (double)meter->real / (double)meter->padded : 1;

	meter->flop[account] += flop;
	meter->flop_real[account] += flop * share;
}

static void book(const cairn_kernels *k, double flop)
{
	cairn_meter *meter = k->self;

	if (meter->captured)
		meter->captured->flop += flop;
	else
		book_as(meter, meter->account, flop);
}

static void book_product(const cairn_kernels *k, double flop)
{
	cairn_meter *meter = k->self;

	*(meter->captured ? &meter->captured->gemm_flop : &meter->gemm_flop) += flop;
	book(k, flop);
}

/* ---- memory: passed on ---------------------------------------------------------------- */

static void *meter_alloc(const cairn_kernels *k, size_t bytes)
{
	return inner_of(k)->alloc(inner_of(k), bytes);
}

static void meter_free(const cairn_kernels *k, void *dev)
{
	inner_of(k)->free(inner_of(k), dev);
}

static void meter_write(const cairn_kernels *k, void *dev, const void *host, size_t bytes)
{
	inner_of(k)->write(inner_of(k), dev, host, bytes);
}

static void meter_read(const cairn_kernels *k, void *host, const void *dev, size_t bytes)
{
	inner_of(k)->read(inner_of(k), host, dev, bytes);
}

static void meter_copy(const cairn_kernels *k, void *to, const void *from, size_t bytes)
{
	inner_of(k)->copy(inner_of(k), to, from, bytes);
}

static void meter_zero(const cairn_kernels *k, void *dev, size_t bytes)
{
	inner_of(k)->zero(inner_of(k), dev, bytes);
}

static size_t meter_peak_bytes(const cairn_kernels *k)
{
	return inner_of(k)->peak_bytes(inner_of(k));
}

static size_t meter_cache_bytes(
	const cairn_kernels *k, int64_t slots, int64_t NH, int64_t D, int64_t T_max)
{
	return inner_of(k)->cache_bytes(inner_of(k), slots, NH, D, T_max);
}

static void meter_cache_fill(const cairn_kernels *k, cairn_act *cache, const cairn_act *qkv,
	const int32_t *slot, const int32_t *lengths, int64_t B, int64_t T, int64_t NH, int64_t D,
	int64_t T_max)
{
	inner_of(k)->cache_fill(inner_of(k), cache, qkv, slot, lengths, B, T, NH, D, T_max);
}

static void meter_gather_rows(const cairn_kernels *k, cairn_act *out, const cairn_act *x,
	const int32_t *index, int64_t n, int64_t C)
{
	inner_of(k)->gather_rows(inner_of(k), out, x, index, n, C);
}

static int meter_status(const cairn_kernels *k, cairn_error *err)
{
	return inner_of(k)->status(inner_of(k), err);
}

static char *meter_describe(const cairn_kernels *k)
{
	return inner_of(k)->describe(inner_of(k));
}

static void *meter_pinned_alloc(const cairn_kernels *k, size_t bytes)
{
	return inner_of(k)->pinned_alloc(inner_of(k), bytes);
}

static void meter_pinned_free(const cairn_kernels *k, void *pinned)
{
	inner_of(k)->pinned_free(inner_of(k), pinned);
}

static void meter_fetch(const cairn_kernels *k, void *pinned, const void *dev, size_t bytes)
{
	inner_of(k)->fetch(inner_of(k), pinned, dev, bytes);
}

static void meter_fetch_fence(const cairn_kernels *k)
{
	inner_of(k)->fetch_fence(inner_of(k));
}

static void meter_fetch_wait(const cairn_kernels *k)
{
	inner_of(k)->fetch_wait(inner_of(k));
}

/* ---- graphs ------------------------------------------------------------------------------ */

static void meter_capture_begin(const cairn_kernels *k)
{
	cairn_meter *meter = k->self;

	meter->captured = calloc(1, sizeof(*meter->captured));
	if (!meter->captured)
		meter->captured = &lost;
	inner_of(k)->capture_begin(inner_of(k));
}

static cairn_graph *meter_capture_end(const cairn_kernels *k)
{
	cairn_meter *meter = k->self;
	cairn_graph *graph = meter->captured, *inner = inner_of(k)->capture_end(inner_of(k));

	meter->captured = NULL;
	if (graph != &lost && inner) {
		graph->inner = inner;
		return graph;
	}
	inner_of(k)->graph_free(inner_of(k), inner);
	if (graph != &lost)
		free(graph);
	return NULL;
}

static void meter_replay(const cairn_kernels *k, cairn_graph *graph, int64_t n_keys)
{
	cairn_meter *meter = k->self;

	double keys = graph->flop_per_key * (double)n_keys;
	bool apart = meter->account == CAIRN_ACCOUNT_BACKWARD;

	meter->gemm_flop += graph->gemm_flop + keys;
	book_as(meter, meter->account, graph->flop + keys - (apart ? graph->head_forward : 0));
	if (apart)
		book_as(meter, CAIRN_ACCOUNT_FORWARD, graph->head_forward);
	inner_of(k)->replay(inner_of(k), graph->inner, n_keys);
}

static void meter_graph_free(const cairn_kernels *k, cairn_graph *graph)
{
	if (!graph)
		return;
	inner_of(k)->graph_free(inner_of(k), graph->inner);
	free(graph);
}

/* ---- products --------------------------------------------------------------------------- */

static void meter_gemm(const cairn_kernels *k, const cairn_gemm *g)
{
	double cells = (double)g->M * (double)g->N;

	book_product(k, 2 * cells * (double)g->K);
	book(k, cells * ((g->bias ? 1 : 0) + (g->accumulate ? 1 : 0) + (g->gelu ? 8 : 0)));
	inner_of(k)->gemm(inner_of(k), g);
}

static cairn_packed *meter_pack(const cairn_kernels *k, const cairn_real *B, int64_t ldb, int64_t K,
	int64_t N, bool transpose_b)
{
	return inner_of(k)->pack(inner_of(k), B, ldb, K, N, transpose_b);
}

static void meter_repack(
	const cairn_kernels *k, cairn_packed *packed, const cairn_real *B, int64_t ldb)
{
	inner_of(k)->repack(inner_of(k), packed, B, ldb);
}

static void meter_pack_free(const cairn_kernels *k, cairn_packed *packed)
{
	inner_of(k)->pack_free(inner_of(k), packed);
}

static size_t meter_packed_bytes(const cairn_kernels *k, int64_t K, int64_t N)
{
	return inner_of(k)->packed_bytes(inner_of(k), K, N);
}

static void meter_lm_head(const cairn_kernels *k, const cairn_lm_head *h)
{
	double product = 2 * (double)h->R * (double)h->C * (double)h->V;
	cairn_meter *meter = k->self;
	int account = meter->account;

	/* One kernel, two accounts: its logits are a forward pass. */
	if (h->dlogprob && account == CAIRN_ACCOUNT_BACKWARD)
		meter->account = CAIRN_ACCOUNT_FORWARD;
	book_product(k, product);
	meter->account = account;
	if (h->dlogprob && meter->captured)
		meter->captured->head_forward += product;
	if (h->dlogprob)
		book_product(k, 2 * product);
	inner_of(k)->lm_head(inner_of(k), h);
}

static void meter_sample(const cairn_kernels *k, const cairn_sample *s)
{
	book_product(k, 2 * (double)s->R * (double)s->C * (double)s->V);
	inner_of(k)->sample(inner_of(k), s);
}

static double attention_flop(const cairn_attention *a)
{
	double pairs = (double)a->B * (double)a->NH * (double)a->T * (double)(a->T + 1) / 2;

	return 4 * (double)a->D * pairs;
}

static void meter_attention(const cairn_kernels *k, const cairn_attention *a)
{
	book_product(k, attention_flop(a));
	inner_of(k)->attention(inner_of(k), a);
}

static void meter_attention_backward(const cairn_kernels *k, const cairn_attention *a)
{
	book_product(k, 2.5 * attention_flop(a));
	inner_of(k)->attention_backward(inner_of(k), a);
}

static void meter_decode(const cairn_kernels *k, const cairn_decode *d)
{
	cairn_meter *meter = k->self;
	double flop_per_key = 4 * (double)d->D * (double)d->NH;

	if (meter->captured)
		meter->captured->flop_per_key += flop_per_key;
	else
		book_product(k, flop_per_key * (double)d->n_keys);
	inner_of(k)->decode(inner_of(k), d);
}

/* ---- element-wise ------------------------------------------------------------------------ */

static void meter_embed(const cairn_kernels *k, cairn_act *out, const int32_t *token,
	const int32_t *position, const cairn_real *wte, const cairn_real *wpe, int64_t R, int64_t C)
{
	book(k, (double)R * (double)C);
	inner_of(k)->embed(inner_of(k), out, token, position, wte, wpe, R, C);
}

static void meter_embed_backward(const cairn_kernels *k, cairn_real *dwte, cairn_real *dwpe,
	const cairn_act *dout, const int32_t *token, const int32_t *position, int64_t R, int64_t C)
{
	book(k, 2 * (double)R * (double)C);
	inner_of(k)->embed_backward(inner_of(k), dwte, dwpe, dout, token, position, R, C);
}

static void meter_layernorm(const cairn_kernels *k, cairn_act *out, cairn_real *mean,
	cairn_real *rstd, cairn_act *sum, const cairn_act *a, const cairn_act *b,
	const cairn_real *gain, const cairn_real *bias, int64_t R, int64_t C)
{
	book(k, (b ? 9 : 8) * (double)R * (double)C);
	inner_of(k)->layernorm(inner_of(k), out, mean, rstd, sum, a, b, gain, bias, R, C);
}

static void meter_layernorm_backward(const cairn_kernels *k, cairn_act *dx, cairn_real *dgain,
	cairn_real *dbias, const cairn_act *dout, const cairn_act *x, const cairn_real *gain,
	const cairn_real *mean, const cairn_real *rstd, int64_t R, int64_t C, int64_t cut)
{
	book(k, 14 * (double)R * (double)C);
	inner_of(k)->layernorm_backward(
		inner_of(k), dx, dgain, dbias, dout, x, gain, mean, rstd, R, C, cut);
}

static void meter_gelu_backward(const cairn_kernels *k, cairn_act *d, const cairn_act *z, int64_t n)
{
	book(k, 16 * (double)n);
	inner_of(k)->gelu_backward(inner_of(k), d, z, n);
}

static void meter_bias_backward(const cairn_kernels *k, cairn_real *dbias, const void *dout,
	bool act, int64_t R, int64_t N, int64_t cut)
{
	book(k, (double)R * (double)N);
	inner_of(k)->bias_backward(inner_of(k), dbias, dout, act, R, N, cut);
}

static void meter_dropout(const cairn_kernels *k, cairn_act *x, const uint64_t *row_id, int64_t R,
	int64_t C, double p, uint64_t key, uint32_t site)
{
	book(k, (double)R * (double)C);
	inner_of(k)->dropout(inner_of(k), x, row_id, R, C, p, key, site);
}

static void meter_scatter_rows(const cairn_kernels *k, cairn_real *x, const cairn_real *rows,
	const int32_t *index, int64_t n, int64_t C)
{
	book(k, (double)n * (double)C);
	inner_of(k)->scatter_rows(inner_of(k), x, rows, index, n, C);
}

static void meter_axpy(
	const cairn_kernels *k, cairn_real *y, const cairn_real *x, double a, int64_t n)
{
	book(k, 2 * (double)n);
	inner_of(k)->axpy(inner_of(k), y, x, a, n);
}

static void meter_scale(const cairn_kernels *k, cairn_real *x, double a, int64_t n)
{
	book(k, (double)n);
	inner_of(k)->scale(inner_of(k), x, a, n);
}

static void meter_ema(
	const cairn_kernels *k, cairn_real *average, const cairn_real *w, double decay, int64_t n)
{
	book(k, 3 * (double)n);
	inner_of(k)->ema(inner_of(k), average, w, decay, n);
}

static double meter_sum_squares(const cairn_kernels *k, const cairn_real *x, int64_t n)
{
	book(k, 2 * (double)n);
	return inner_of(k)->sum_squares(inner_of(k), x, n);
}

static void meter_adam(const cairn_kernels *k, const cairn_adam *a)
{
	book(k, 14 * (double)a->n);
	inner_of(k)->adam(inner_of(k), a);
}

/* ---- the table ---------------------------------------------------------------------------- */

static void fill_memory(cairn_kernels *k)
{
	k->alloc = meter_alloc;
	k->free = meter_free;
	k->write = meter_write;
	k->read = meter_read;
	k->copy = meter_copy;
	k->zero = meter_zero;
	k->peak_bytes = meter_peak_bytes;
	k->status = meter_status;
}

static void fill_fetch(cairn_kernels *k)
{
	k->pinned_alloc = meter_pinned_alloc;
	k->pinned_free = meter_pinned_free;
	k->fetch = meter_fetch;
	k->fetch_fence = meter_fetch_fence;
	k->fetch_wait = meter_fetch_wait;
}

static void fill_graphs(cairn_kernels *k)
{
	k->capture_begin = meter_capture_begin;
	k->capture_end = meter_capture_end;
	k->replay = meter_replay;
	k->graph_free = meter_graph_free;
}

static void fill_compute(cairn_kernels *k)
{
	k->gemm = meter_gemm;
	k->pack = meter_pack;
	k->repack = meter_repack;
	k->pack_free = meter_pack_free;
	k->packed_bytes = meter_packed_bytes;
	k->embed = meter_embed;
	k->embed_backward = meter_embed_backward;
	k->layernorm = meter_layernorm;
	k->layernorm_backward = meter_layernorm_backward;
	k->gelu_backward = meter_gelu_backward;
	k->bias_backward = meter_bias_backward;
	k->attention = meter_attention;
	k->attention_backward = meter_attention_backward;
	k->cache_bytes = meter_cache_bytes;
	k->cache_fill = meter_cache_fill;
	k->decode = meter_decode;
	k->lm_head = meter_lm_head;
	k->sample = meter_sample;
	k->dropout = meter_dropout;
	k->gather_rows = meter_gather_rows;
	k->scatter_rows = meter_scatter_rows;
	k->axpy = meter_axpy;
	k->scale = meter_scale;
	k->ema = meter_ema;
	k->sum_squares = meter_sum_squares;
	k->adam = meter_adam;
}

void cairn_meter_wrap(cairn_kernels *out, const cairn_kernels *inner, cairn_meter *meter)
{
	/* Only the head is taken over: a member that this meter does not know would be
	 * called with a `self` that is not the backend's. */
	memset(out, 0, sizeof(*out));
	out->abi = inner->abi;
	out->abi.struct_size = sizeof(*out);
	out->name = inner->name;
	out->numerics = inner->numerics;
	out->threads = inner->threads;
	out->in_host_memory = inner->in_host_memory;
	out->act_bytes = inner->act_bytes;
	out->batch_invariant = inner->batch_invariant;
	out->wants_packed = inner->wants_packed;
	out->enough_rows = inner->enough_rows;
	out->rounding = inner->rounding;
	out->device_bytes = inner->device_bytes;
	out->peak_flops = inner->peak_flops;
	out->self = meter;
	meter->inner = inner;
	fill_memory(out);
	fill_compute(out);
	if (inner->describe)
		out->describe = meter_describe;
	if (inner->fetch)
		fill_fetch(out);
	if (inner->capture_begin)
		fill_graphs(out);
}

void cairn_meter_account(cairn_meter *meter, int account, uint64_t real, uint64_t padded)
{
	meter->account =
		account >= 0 && account < CAIRN_ACCOUNTS ? account : (int)CAIRN_ACCOUNT_OTHER;
	meter->real = real;
	meter->padded = padded;
}

static double sum_of(const double flop[CAIRN_ACCOUNTS])
{
	double sum = 0;

	for (int i = 0; i < CAIRN_ACCOUNTS; i++)
		sum += flop[i];
	return sum;
}

double cairn_meter_total(const cairn_meter *meter)
{
	return sum_of(meter->flop);
}

double cairn_meter_total_real(const cairn_meter *meter)
{
	return sum_of(meter->flop_real);
}
