/* SPDX-License-Identifier: Apache-2.0 */
/* recorder.c - see recorder.h. */
#include "gpt/recorder.h"

#include "base/alloc.h"
#include "test.h"

/* One call: what it was and its arguments. */
typedef struct kept {
	void (*again)(const cairn_kernels *k, const struct kept *call);
	union {
		cairn_gemm gemm;
		cairn_attention attention;
		cairn_decode decode;
		cairn_lm_head lm_head;
		cairn_sample sample;
		struct {
			void *dev;
			size_t bytes;
		} zero;
		struct {
			void *to;
			const void *from;
			size_t bytes;
		} copy;
		struct {
			cairn_act *out;
			const int32_t *token;
			const int32_t *position;
			const cairn_real *wte;
			const cairn_real *wpe;
			int64_t R;
			int64_t C;
		} embed;
		struct {
			cairn_real *dwte;
			cairn_real *dwpe;
			const cairn_act *dout;
			const int32_t *token;
			const int32_t *position;
			int64_t R;
			int64_t C;
		} embed_backward;
		struct {
			cairn_act *out;
			cairn_real *mean;
			cairn_real *rstd;
			cairn_act *sum;
			const cairn_act *a;
			const cairn_act *b;
			const cairn_real *gain;
			const cairn_real *bias;
			int64_t R;
			int64_t C;
		} layernorm;
		struct {
			cairn_act *dx;
			cairn_real *dgain;
			cairn_real *dbias;
			const cairn_act *dout;
			const cairn_act *x;
			const cairn_real *gain;
			const cairn_real *mean;
			const cairn_real *rstd;
			int64_t R;
			int64_t C;
			int64_t cut;
		} layernorm_backward;
		struct {
			cairn_act *d;
			const cairn_act *z;
			int64_t n;
		} gelu_backward;
		struct {
			cairn_real *dbias;
			const void *dout;
			bool act;
			int64_t R;
			int64_t N;
			int64_t cut;
		} bias_backward;
		struct {
			cairn_act *x;
			const uint64_t *row_id;
			int64_t R;
			int64_t C;
			double p;
			uint64_t key;
			uint32_t site;
		} dropout;
	} is;
} kept;

struct cairn_graph {
	kept *calls;
	size_t n, cap;
};

static recorder *of(const cairn_kernels *k)
{
	return k->self;
}

static kept *record(const cairn_kernels *k, void (*again)(const cairn_kernels *k, const kept *call))
{
	cairn_graph *graph = of(k)->capturing;

	if (graph->n == graph->cap) {
		graph->cap = 2 * graph->cap + 64;
		graph->calls = cairn_realloc(graph->calls, graph->cap, sizeof(*graph->calls));
		assert_non_null(graph->calls);
	}
	graph->calls[graph->n] = (kept){.again = again};
	return &graph->calls[graph->n++];
}

/* ---- what computes ------------------------------------------------------------------------- */

static void again_gemm(const cairn_kernels *k, const kept *call)
{
	k->gemm(k, &call->is.gemm);
}

static void do_gemm(const cairn_kernels *k, const cairn_gemm *args)
{
	if (of(k)->capturing)
		record(k, again_gemm)->is.gemm = *args;
	else
		of(k)->inner->gemm(of(k)->inner, args);
}

static void again_attention(const cairn_kernels *k, const kept *call)
{
	k->attention(k, &call->is.attention);
}

static void do_attention(const cairn_kernels *k, const cairn_attention *args)
{
	if (of(k)->capturing)
		record(k, again_attention)->is.attention = *args;
	else
		of(k)->inner->attention(of(k)->inner, args);
}

static void again_attention_backward(const cairn_kernels *k, const kept *call)
{
	k->attention_backward(k, &call->is.attention);
}

static void do_attention_backward(const cairn_kernels *k, const cairn_attention *args)
{
	if (of(k)->capturing)
		record(k, again_attention_backward)->is.attention = *args;
	else
		of(k)->inner->attention_backward(of(k)->inner, args);
}

static void again_decode(const cairn_kernels *k, const kept *call)
{
	k->decode(k, &call->is.decode);
}

static void do_decode(const cairn_kernels *k, const cairn_decode *args)
{
	if (of(k)->capturing)
		record(k, again_decode)->is.decode = *args;
	else
		of(k)->inner->decode(of(k)->inner, args);
}

static void again_lm_head(const cairn_kernels *k, const kept *call)
{
	k->lm_head(k, &call->is.lm_head);
}

static void do_lm_head(const cairn_kernels *k, const cairn_lm_head *args)
{
	if (of(k)->capturing)
		record(k, again_lm_head)->is.lm_head = *args;
	else
		of(k)->inner->lm_head(of(k)->inner, args);
}

static void again_sample(const cairn_kernels *k, const kept *call)
{
	k->sample(k, &call->is.sample);
}

static void do_sample(const cairn_kernels *k, const cairn_sample *args)
{
	if (of(k)->capturing)
		record(k, again_sample)->is.sample = *args;
	else
		of(k)->inner->sample(of(k)->inner, args);
}

static void again_zero(const cairn_kernels *k, const kept *call)
{
	k->zero(k, call->is.zero.dev, call->is.zero.bytes);
}

static void do_zero(const cairn_kernels *k, void *dev, size_t bytes)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->zero(of(k)->inner, dev, bytes);
		return;
	}
	call = record(k, again_zero);
	call->is.zero.dev = dev;
	call->is.zero.bytes = bytes;
}

static void again_copy(const cairn_kernels *k, const kept *call)
{
	k->copy(k, call->is.copy.to, call->is.copy.from, call->is.copy.bytes);
}

static void do_copy(const cairn_kernels *k, void *to, const void *from, size_t bytes)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->copy(of(k)->inner, to, from, bytes);
		return;
	}
	call = record(k, again_copy);
	call->is.copy.to = to;
	call->is.copy.from = from;
	call->is.copy.bytes = bytes;
}

static void again_embed(const cairn_kernels *k, const kept *call)
{
	k->embed(k, call->is.embed.out, call->is.embed.token, call->is.embed.position,
		call->is.embed.wte, call->is.embed.wpe, call->is.embed.R, call->is.embed.C);
}

static void do_embed(const cairn_kernels *k, cairn_act *out, const int32_t *token,
	const int32_t *position, const cairn_real *wte, const cairn_real *wpe, int64_t R, int64_t C)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->embed(of(k)->inner, out, token, position, wte, wpe, R, C);
		return;
	}
	call = record(k, again_embed);
	call->is.embed.out = out;
	call->is.embed.token = token;
	call->is.embed.position = position;
	call->is.embed.wte = wte;
	call->is.embed.wpe = wpe;
	call->is.embed.R = R;
	call->is.embed.C = C;
}

static void again_embed_backward(const cairn_kernels *k, const kept *call)
{
	k->embed_backward(k, call->is.embed_backward.dwte, call->is.embed_backward.dwpe,
		call->is.embed_backward.dout, call->is.embed_backward.token,
		call->is.embed_backward.position, call->is.embed_backward.R,
		call->is.embed_backward.C);
}

static void do_embed_backward(const cairn_kernels *k, cairn_real *dwte, cairn_real *dwpe,
	const cairn_act *dout, const int32_t *token, const int32_t *position, int64_t R, int64_t C)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->embed_backward(of(k)->inner, dwte, dwpe, dout, token, position, R, C);
		return;
	}
	call = record(k, again_embed_backward);
	call->is.embed_backward.dwte = dwte;
	call->is.embed_backward.dwpe = dwpe;
	call->is.embed_backward.dout = dout;
	call->is.embed_backward.token = token;
	call->is.embed_backward.position = position;
	call->is.embed_backward.R = R;
	call->is.embed_backward.C = C;
}

static void again_layernorm(const cairn_kernels *k, const kept *call)
{
	k->layernorm(k, call->is.layernorm.out, call->is.layernorm.mean, call->is.layernorm.rstd,
		call->is.layernorm.sum, call->is.layernorm.a, call->is.layernorm.b,
		call->is.layernorm.gain, call->is.layernorm.bias, call->is.layernorm.R,
		call->is.layernorm.C);
}

static void do_layernorm(const cairn_kernels *k, cairn_act *out, cairn_real *mean, cairn_real *rstd,
	cairn_act *sum, const cairn_act *a, const cairn_act *b, const cairn_real *gain,
	const cairn_real *bias, int64_t R, int64_t C)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->layernorm(of(k)->inner, out, mean, rstd, sum, a, b, gain, bias, R, C);
		return;
	}
	call = record(k, again_layernorm);
	call->is.layernorm.out = out;
	call->is.layernorm.mean = mean;
	call->is.layernorm.rstd = rstd;
	call->is.layernorm.sum = sum;
	call->is.layernorm.a = a;
	call->is.layernorm.b = b;
	call->is.layernorm.gain = gain;
	call->is.layernorm.bias = bias;
	call->is.layernorm.R = R;
	call->is.layernorm.C = C;
}

static void again_layernorm_backward(const cairn_kernels *k, const kept *call)
{
	k->layernorm_backward(k, call->is.layernorm_backward.dx, call->is.layernorm_backward.dgain,
		call->is.layernorm_backward.dbias, call->is.layernorm_backward.dout,
		call->is.layernorm_backward.x, call->is.layernorm_backward.gain,
		call->is.layernorm_backward.mean, call->is.layernorm_backward.rstd,
		call->is.layernorm_backward.R, call->is.layernorm_backward.C,
		call->is.layernorm_backward.cut);
}

static void do_layernorm_backward(const cairn_kernels *k, cairn_act *dx, cairn_real *dgain,
	cairn_real *dbias, const cairn_act *dout, const cairn_act *x, const cairn_real *gain,
	const cairn_real *mean, const cairn_real *rstd, int64_t R, int64_t C, int64_t cut)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->layernorm_backward(
			of(k)->inner, dx, dgain, dbias, dout, x, gain, mean, rstd, R, C, cut);
		return;
	}
	call = record(k, again_layernorm_backward);
	call->is.layernorm_backward.dx = dx;
	call->is.layernorm_backward.dgain = dgain;
	call->is.layernorm_backward.dbias = dbias;
	call->is.layernorm_backward.dout = dout;
	call->is.layernorm_backward.x = x;
	call->is.layernorm_backward.gain = gain;
	call->is.layernorm_backward.mean = mean;
	call->is.layernorm_backward.rstd = rstd;
	call->is.layernorm_backward.R = R;
	call->is.layernorm_backward.C = C;
	call->is.layernorm_backward.cut = cut;
}

static void again_gelu_backward(const cairn_kernels *k, const kept *call)
{
	k->gelu_backward(
		k, call->is.gelu_backward.d, call->is.gelu_backward.z, call->is.gelu_backward.n);
}

static void do_gelu_backward(const cairn_kernels *k, cairn_act *d, const cairn_act *z, int64_t n)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->gelu_backward(of(k)->inner, d, z, n);
		return;
	}
	call = record(k, again_gelu_backward);
	call->is.gelu_backward.d = d;
	call->is.gelu_backward.z = z;
	call->is.gelu_backward.n = n;
}

static void again_bias_backward(const cairn_kernels *k, const kept *call)
{
	k->bias_backward(k, call->is.bias_backward.dbias, call->is.bias_backward.dout,
		call->is.bias_backward.act, call->is.bias_backward.R, call->is.bias_backward.N,
		call->is.bias_backward.cut);
}

static void do_bias_backward(const cairn_kernels *k, cairn_real *dbias, const void *dout, bool act,
	int64_t R, int64_t N, int64_t cut)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->bias_backward(of(k)->inner, dbias, dout, act, R, N, cut);
		return;
	}
	call = record(k, again_bias_backward);
	call->is.bias_backward.dbias = dbias;
	call->is.bias_backward.dout = dout;
	call->is.bias_backward.act = act;
	call->is.bias_backward.R = R;
	call->is.bias_backward.N = N;
	call->is.bias_backward.cut = cut;
}

static void again_dropout(const cairn_kernels *k, const kept *call)
{
	k->dropout(k, call->is.dropout.x, call->is.dropout.row_id, call->is.dropout.R,
		call->is.dropout.C, call->is.dropout.p, call->is.dropout.key,
		call->is.dropout.site);
}

static void do_dropout(const cairn_kernels *k, cairn_act *x, const uint64_t *row_id, int64_t R,
	int64_t C, double p, uint64_t key, uint32_t site)
{
	kept *call;

	if (!of(k)->capturing) {
		of(k)->inner->dropout(of(k)->inner, x, row_id, R, C, p, key, site);
		return;
	}
	call = record(k, again_dropout);
	call->is.dropout.x = x;
	call->is.dropout.row_id = row_id;
	call->is.dropout.R = R;
	call->is.dropout.C = C;
	call->is.dropout.p = p;
	call->is.dropout.key = key;
	call->is.dropout.site = site;
}

/* ---- what has no place in a graph, or is not met in one here --------------------------------- */

static void *do_alloc(const cairn_kernels *k, size_t bytes)
{
	assert_null(of(k)->capturing);
	return of(k)->inner->alloc(of(k)->inner, bytes);
}

static void do_free(const cairn_kernels *k, void *dev)
{
	assert_null(of(k)->capturing);
	of(k)->inner->free(of(k)->inner, dev);
}

static void do_write(const cairn_kernels *k, void *dev, const void *host, size_t bytes)
{
	assert_null(of(k)->capturing);
	of(k)->inner->write(of(k)->inner, dev, host, bytes);
}

static void do_read(const cairn_kernels *k, void *host, const void *dev, size_t bytes)
{
	assert_null(of(k)->capturing);
	of(k)->inner->read(of(k)->inner, host, dev, bytes);
}

static double do_sum_squares(const cairn_kernels *k, const cairn_real *x, int64_t n)
{
	assert_null(of(k)->capturing);
	return of(k)->inner->sum_squares(of(k)->inner, x, n);
}

static cairn_packed *do_pack(const cairn_kernels *k, const cairn_real *B, int64_t ldb, int64_t K,
	int64_t N, bool transpose_b)
{
	assert_null(of(k)->capturing);
	return of(k)->inner->pack(of(k)->inner, B, ldb, K, N, transpose_b);
}

static void do_repack(
	const cairn_kernels *k, cairn_packed *packed, const cairn_real *B, int64_t ldb)
{
	assert_null(of(k)->capturing);
	of(k)->inner->repack(of(k)->inner, packed, B, ldb);
}

static void do_pack_free(const cairn_kernels *k, cairn_packed *packed)
{
	assert_null(of(k)->capturing);
	of(k)->inner->pack_free(of(k)->inner, packed);
}

static void do_cache_fill(const cairn_kernels *k, cairn_act *cache, const cairn_act *qkv,
	const int32_t *slot, const int32_t *lengths, int64_t B, int64_t T, int64_t NH, int64_t D,
	int64_t T_max)
{
	assert_null(of(k)->capturing);
	of(k)->inner->cache_fill(of(k)->inner, cache, qkv, slot, lengths, B, T, NH, D, T_max);
}

static void do_gather_rows(const cairn_kernels *k, cairn_act *out, const cairn_act *x,
	const int32_t *index, int64_t n, int64_t C)
{
	assert_null(of(k)->capturing);
	of(k)->inner->gather_rows(of(k)->inner, out, x, index, n, C);
}

static void do_scatter_rows(const cairn_kernels *k, cairn_real *x, const cairn_real *rows,
	const int32_t *index, int64_t n, int64_t C)
{
	assert_null(of(k)->capturing);
	of(k)->inner->scatter_rows(of(k)->inner, x, rows, index, n, C);
}

static void do_adam(const cairn_kernels *k, const cairn_adam *a)
{
	assert_null(of(k)->capturing);
	of(k)->inner->adam(of(k)->inner, a);
}

static size_t do_cache_bytes(
	const cairn_kernels *k, int64_t slots, int64_t NH, int64_t D, int64_t T_max)
{
	return of(k)->inner->cache_bytes(of(k)->inner, slots, NH, D, T_max);
}

/* ---- graphs ---------------------------------------------------------------------------------- */

static void capture_begin(const cairn_kernels *k)
{
	assert_null(of(k)->capturing);
	of(k)->capturing = cairn_alloc(1, sizeof(cairn_graph));
	assert_non_null(of(k)->capturing);
}

static void forget(cairn_graph *graph)
{
	free(graph->calls);
	free(graph);
}

static cairn_graph *capture_end(const cairn_kernels *k)
{
	cairn_graph *graph = of(k)->capturing;

	assert_non_null(graph);
	of(k)->capturing = NULL;
	if (of(k)->refuses) {
		forget(graph);
		return NULL;
	}
	of(k)->n_captured++;
	return graph;
}

static void replay(const cairn_kernels *k, cairn_graph *graph, int64_t n_keys)
{
	const cairn_kernels *inner = of(k)->inner;

	(void)n_keys;
	assert_null(of(k)->capturing);
	of(k)->n_replayed++;
	for (size_t i = 0; i < graph->n; i++)
		graph->calls[i].again(inner, &graph->calls[i]);
}

static void graph_free(const cairn_kernels *k, cairn_graph *graph)
{
	if (!graph)
		return;
	of(k)->n_freed++;
	forget(graph);
}

void recorder_wrap(recorder *r, const cairn_kernels *inner)
{
	*r = (recorder){.inner = inner, .k = *inner};
	r->k.self = r;
	r->k.capture_begin = capture_begin;
	r->k.capture_end = capture_end;
	r->k.replay = replay;
	r->k.graph_free = graph_free;
	r->k.cache_bytes = do_cache_bytes;
	r->k.gemm = do_gemm;
	r->k.attention = do_attention;
	r->k.attention_backward = do_attention_backward;
	r->k.decode = do_decode;
	r->k.lm_head = do_lm_head;
	r->k.sample = do_sample;
	r->k.zero = do_zero;
	r->k.copy = do_copy;
	r->k.embed = do_embed;
	r->k.embed_backward = do_embed_backward;
	r->k.layernorm = do_layernorm;
	r->k.layernorm_backward = do_layernorm_backward;
	r->k.gelu_backward = do_gelu_backward;
	r->k.bias_backward = do_bias_backward;
	r->k.dropout = do_dropout;
	r->k.alloc = do_alloc;
	r->k.free = do_free;
	r->k.write = do_write;
	r->k.read = do_read;
	r->k.sum_squares = do_sum_squares;
	r->k.pack = do_pack;
	r->k.repack = do_repack;
	r->k.pack_free = do_pack_free;
	r->k.cache_fill = do_cache_fill;
	r->k.gather_rows = do_gather_rows;
	r->k.scatter_rows = do_scatter_rows;
	r->k.adam = do_adam;
}
