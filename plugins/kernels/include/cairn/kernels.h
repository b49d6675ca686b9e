/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernels.h - the compute backends behind one table.
 *
 * A backend (cpu.so, cuda.so) exports `cairn_kernels_backend`; the stage host
 * opens it, wraps its table with the FLOP meter (meter.h) and gives it to the plugin.
 * Pointers named `dev` memory come from alloc() and are never dereferenced by callers:
 * write(), read(), copy() and zero() move bytes. Tensors are dense, row-major.
 *
 * Numerics, which enter the keys: every element of a product is one chain of fused
 * multiply-adds over k in ascending order, cut every CAIRN_KC terms; the parts are added
 * in order to what C holds. Other reductions use 16 interleaved lanes added in a fixed tree.
 * So results depend neither on the number of threads nor on the width of the vector unit, and
 * a row of an output depends on its own row of the input only (padding and batch mates cannot
 * change it).
 *
 * Gradients of parameters are sums over the rows of sequences. `cut` = T, the rows of one
 * sequence, ends a chain with each of them: then a batch adds bit for bit what its sequences
 * add one after the other, however it is split, and rows of zeros behind a sequence add
 * nothing. Two sums that meet in one tensor (lm_head and embed_backward in a tied wte) must
 * be kept apart for that until the last sequence is through: the order of the calls is part
 * of a sum.
 *
 * Letters as in the papers: B batch, T positions, R rows (B*T), C channels, V vocabulary,
 * NH heads, D = C/NH.
 *
 * Parameters, their gradients and numbers a row has one of are cairn_real. Activations - whatever
 * has a row for each position - are cairn_act, of `act_bytes` bytes each: a backend for GPUs may
 * keep them in bf16. Callers move them and address them by act_bytes (cairn_act_at()), and never
 * look inside. What is said above of bits holds where `batch_invariant` is 1; elsewhere results
 * depend on the shape of a call, too, and `cut` may be ignored: then equal calls still give equal
 * bits.
 *
 * With CAIRN_DOUBLE the element type is double: the portable backend and the model are
 * built so for gradient checks by central differences; never in the product.
 */
#ifndef CAIRN_KERNELS_H
#define CAIRN_KERNELS_H

#include <stdbool.h>

#include "cairn/base.h"
#include "cairn/stage.h"

CAIRN_BEGIN_DECLS

#ifdef CAIRN_DOUBLE
typedef double cairn_real;
#else
typedef float cairn_real;
#endif

/* An activation. Backends in the host's memory, and their tests, define CAIRN_ACT_IS_REAL: there it
 * is an element like all others. */
#ifdef CAIRN_ACT_IS_REAL
typedef cairn_real cairn_act;
#else
typedef struct cairn_act cairn_act;
#endif

#define CAIRN_KERNELS_MAGIC  0x4b524143u /* "CARK" */
#define CAIRN_KERNELS_MAJOR  3
#define CAIRN_KERNELS_MINOR  0
#define CAIRN_KERNELS_SYMBOL "cairn_kernels_backend"

/* Depth of one block of a product; part of the numeric class. */
#define CAIRN_KC 512
/* Rows of a chain of dwte at most; without `cut`, rows that have a target are counted. */
#define CAIRN_HEAD_ROWS 256
/* Name of the numeric class of the CPU; the key's component `numerics`. */
#define CAIRN_NUMERICS "fp32-fma512-lanes16-v2"

typedef struct cairn_kernels cairn_kernels;

/* A copy of a product's right operand in the order in which the backend reads it. */
typedef struct cairn_packed cairn_packed;

/* A captured sequence of calls. */
typedef struct cairn_graph cairn_graph;

/* C[M,N] = op(A)[M,K] op(B)[K,N] + beta*C + bias; then, where `gelu`, C = gelu(that). */
typedef struct cairn_gemm {
	int64_t M, N, K;
	bool transpose_a; /* A is stored [K,M] */
	bool transpose_b; /* B is stored [N,K] */
	bool accumulate;  /* beta = 1, else 0 */
	bool gelu;
	/* Which of them are activations; the others are cairn_real. */
	bool act_a, act_b, act_c;
	const void *A;
	int64_t lda;
	const void *B;
	int64_t ldb;
	void *C;
	int64_t ldc;
	const cairn_real *bias; /* [N] or NULL */
	void *pre; /* like C; with gelu: receives the value before it, [M,N] of stride ldc; or NULL
		    */
	/* 0, or: chains end at every multiple of `cut` terms too, and CAIRN_KC counts from there.
	 */
	int64_t cut;
	/* Of B, K, N, transpose_b; B is then not read. Or NULL. Where wants_packed it may also be
	 * of the transpose: of N, K, !transpose_b, which is stored in the same order. */
	const cairn_packed *packed;
} cairn_gemm;

/*
 * The unembedding and what follows it, in chunks of rows, so that logits [R,V] are never
 * stored whole. logits = h wte^T / temperature; logprob[r] = log softmax(logits[r])[target[r]].
 * Where dlogprob is given, the gradient sum_r dlogprob[r] * logprob[r] goes back into
 * dh (overwritten) and dwte (added to).
 */
typedef struct cairn_lm_head {
	int64_t R, C, V;
	const cairn_act *h;    /* [R,C] */
	const cairn_real *wte; /* [V,C] */
	const int32_t *target; /* [R]; -1: the row is left out, logprob 0, gradient 0 */
	cairn_real temperature;
	cairn_real *logprob;        /* [R] */
	cairn_real *entropy;        /* [R] or NULL: -sum p log p, in nats */
	const cairn_real *dlogprob; /* [R] or NULL */
	cairn_act *dh;              /* [R,C], with dlogprob */
	cairn_real *dwte;           /* [V,C], with dlogprob */
	/* 0, or the rows of a sequence: chains of dwte end with it and with every CAIRN_HEAD_ROWS
	 * positions within it. Rows left out are no terms: they leave no trace in the sums. */
	int64_t cut;
	const cairn_packed *packed_logits; /* pack(wte, C, C, V, true) or NULL */
	const cairn_packed *packed_dh;     /* pack(wte, C, V, C, false) or NULL, with dlogprob */
	cairn_real *best; /* [R] or NULL: 1 where no token's logit is above the target's, else 0 */
} cairn_lm_head;

/* One token a row, drawn from softmax(h wte^T / temperature) by Philox(key, row_id). */
typedef struct cairn_sample {
	int64_t R, C, V;
	const cairn_act *h;
	const cairn_real *wte;
	cairn_real temperature; /* 0: the most likely token, the lowest id among equals */
	uint64_t key;
	const uint64_t *row_id; /* [R], dev: unique per drawn token */
	int32_t *token;         /* [R] */
	cairn_real *logprob;    /* [R]: bitwise what cairn_lm_head gives for this row and token */
	int32_t top_k;          /* 0: all */
	cairn_real top_p;       /* 1: all; both for generation only, they break PPO's ratio */
	const cairn_packed *packed; /* pack(wte, C, C, V, true) or NULL; wte is then not read */
} cairn_sample;

typedef struct cairn_attention {
	int64_t B, T, NH, D;
	const cairn_act *qkv;   /* [B,T,3C]: q, k, v side by side */
	const int32_t *lengths; /* [B], dev, or NULL: rows t >= lengths[b] are skipped and give 0 */
	cairn_act *out;         /* [B,T,C] */
	cairn_real *lse;        /* [B,NH,T]: log-sum-exp of the scaled scores */
	/* backward only */
	const cairn_act *dout; /* [B,T,C] */
	cairn_act *dqkv;       /* [B,T,3C], overwritten */
} cairn_attention;

/* One new position for each of B sequences against a cache of `slots` x T_max positions. */
typedef struct cairn_decode {
	int64_t B, NH, D, T_max;
	const cairn_act *qkv;    /* [B,3C] */
	const int32_t *slot;     /* [B], dev: which cache a row uses */
	const int32_t *position; /* [B], dev: of the new token; the cache holds 0..position-1 */
	int64_t n_keys;          /* sum of position + 1: what the FLOPs of the call follow from */
	cairn_act *cache; /* cache_bytes(slots, NH, D, T_max) bytes; layout is the backend's */
	cairn_act *out;   /* [B,C]: bitwise the row that attention_forward would give */
} cairn_decode;

typedef struct cairn_adam {
	int64_t n;
	cairn_real *w;
	const cairn_real *g;
	cairn_real *m, *v;
	double grad_scale;                          /* multiplies g first (clipping, averaging) */
	double lr, beta1, beta2, eps, weight_decay; /* decoupled: w -= lr*weight_decay*w */
	uint64_t t;                                 /* 1 at the first step */
	bool tf_form; /* METHOD 2.11: eps outside the corrected root, as TensorFlow has it */
} cairn_adam;

struct cairn_kernels {
	cairn_abi_head abi;
	const char *name;     /* "cpu/avx512" */
	const char *numerics; /* CAIRN_NUMERICS */
	void *self;           /* the backend's own */
	int32_t threads;
	/* 1: memory from alloc() is the host's own, and may be read in place as read() would. */
	int32_t in_host_memory;
	int32_t act_bytes;       /* of an activation */
	int32_t batch_invariant; /* 1: a row's bits do not depend on its batch (above) */
	/* 1: products read a weight in another form than it is stored in, so one that is used more
	 * than once between two changes is worth packing. */
	int32_t wants_packed;
	int32_t reserved;
	/* Rows of a pass beyond which more are no faster each; INT64_MAX: there is no such bound. A
	 * step is cut into passes by it and by what memory its caller allows. */
	int64_t enough_rows;
	/* Of activations: the largest relative error of one rounding, 2^-24 or 2^-8. How far two
	 * results may be apart that are equal but for the order of their sums follows from it. */
	double rounding;
	uint64_t device_bytes; /* memory that the device has; 0: it is the host's */
	double peak_flops;     /* of products, dense, a second, as its maker says; 0: not known */

	/* Zeroed, aligned to 64 bytes; NULL where there is no memory. */
	void *(*alloc)(const cairn_kernels *k, size_t bytes);
	void (*free)(const cairn_kernels *k, void *dev);
	void (*write)(const cairn_kernels *k, void *dev, const void *host, size_t bytes);
	void (*read)(const cairn_kernels *k, void *host, const void *dev, size_t bytes);
	void (*copy)(const cairn_kernels *k, void *to, const void *from, size_t bytes);
	void (*zero)(const cairn_kernels *k, void *dev, size_t bytes);
	/* Largest number of bytes that were allocated at once. */
	size_t (*peak_bytes)(const cairn_kernels *k);
	/* Calls cannot fail, but a device can: EDEVICE once it has, with what it said. Asked before
	 * anything that was computed is believed. */
	int (*status)(const cairn_kernels *k, cairn_error *err);
	/* What results depend on beside `numerics` and shapes, and what was chosen for them, a line
	 * each: for provenance. To be freed by free(); NULL: nothing, or no memory. The function is
	 * NULL where there is never anything. */
	char *(*describe)(const cairn_kernels *k);

	/* Reading beside computing: fetch() copies what `dev` holds after all calls before it and
	 * returns at once; calls after fetch_fence() may change it (until then none may); after
	 * fetch_wait() the bytes are there. `pinned` comes from pinned_alloc(), which gives NULL
	 * where there is no memory. All five are NULL where in_host_memory. */
	void *(*pinned_alloc)(const cairn_kernels *k, size_t bytes);
	void (*pinned_free)(const cairn_kernels *k, void *pinned); /* NULL: nothing */
	void (*fetch)(const cairn_kernels *k, void *pinned, const void *dev, size_t bytes);
	void (*fetch_fence)(const cairn_kernels *k);
	void (*fetch_wait)(const cairn_kernels *k);

	/* What is called between the two is not done but kept; replay() does it, with the same
	 * addresses and numbers. Between them no alloc, free, write, read or sum_squares, and every
	 * shape must have been called before. n_keys: as in cairn_decode, of each such call within.
	 * All four are NULL where nothing is won by that; capture_end gives NULL where it failed:
	 * then nothing was done and nothing kept. */
	void (*capture_begin)(const cairn_kernels *k);
	cairn_graph *(*capture_end)(const cairn_kernels *k);
	void (*replay)(const cairn_kernels *k, cairn_graph *graph, int64_t n_keys);
	void (*graph_free)(const cairn_kernels *k, cairn_graph *graph); /* NULL: nothing */

	void (*gemm)(const cairn_kernels *k, const cairn_gemm *g);
	/* B is [K,N], or [N,K] where transpose_b, as in cairn_gemm. Products with the copy give
	 * the bits of products with B as it was at pack() or the last repack(). NULL where there
	 * is no memory. For weights: they change once in many products. */
	cairn_packed *(*pack)(const cairn_kernels *k, const cairn_real *B, int64_t ldb, int64_t K,
		int64_t N, bool transpose_b);
	void (*repack)(
		const cairn_kernels *k, cairn_packed *packed, const cairn_real *B, int64_t ldb);
	void (*pack_free)(const cairn_kernels *k, cairn_packed *packed); /* NULL: nothing */
	/* What pack() takes from alloc(). */
	size_t (*packed_bytes)(const cairn_kernels *k, int64_t K, int64_t N);
	/* out[R,C] = wte[token] + wpe[position] */
	void (*embed)(const cairn_kernels *k, cairn_act *out, const int32_t *token,
		const int32_t *position, const cairn_real *wte, const cairn_real *wpe, int64_t R,
		int64_t C);
	/* dwte[token[r]] += dout[r], dwpe[position[r]] += dout[r], in ascending r */
	void (*embed_backward)(const cairn_kernels *k, cairn_real *dwte, cairn_real *dwpe,
		const cairn_act *dout, const int32_t *token, const int32_t *position, int64_t R,
		int64_t C);
	/* sum = a + b (b NULL: sum is a, and `sum` may be NULL or a); out =
	 * (sum-mean)*rstd*gain+bias */
	void (*layernorm)(const cairn_kernels *k, cairn_act *out, cairn_real *mean,
		cairn_real *rstd, cairn_act *sum, const cairn_act *a, const cairn_act *b,
		const cairn_real *gain, const cairn_real *bias, int64_t R, int64_t C);
	/* dx += ..., dgain += ..., dbias += ...; x is the layer's input (`sum`). The sums over
	 * rows run by chunks of 64, which are added in order; cut: 0, or the rows of a sequence,
	 * where a chunk ends too. */
	void (*layernorm_backward)(const cairn_kernels *k, cairn_act *dx, cairn_real *dgain,
		cairn_real *dbias, const cairn_act *dout, const cairn_act *x,
		const cairn_real *gain, const cairn_real *mean, const cairn_real *rstd, int64_t R,
		int64_t C, int64_t cut);
	/* d = d * gelu'(z), in place; gelu in its tanh form, as GPT-2 */
	void (*gelu_backward)(const cairn_kernels *k, cairn_act *d, const cairn_act *z, int64_t n);
	/* dbias[N] += column sums of dout[R,N], by chunks and cut as above; `act`: of activations,
	 * else of cairn_real */
	void (*bias_backward)(const cairn_kernels *k, cairn_real *dbias, const void *dout, bool act,
		int64_t R, int64_t N, int64_t cut);
	void (*attention)(const cairn_kernels *k, const cairn_attention *a);
	void (*attention_backward)(const cairn_kernels *k, const cairn_attention *a);
	size_t (*cache_bytes)(
		const cairn_kernels *k, int64_t slots, int64_t NH, int64_t D, int64_t T_max);
	/* Puts k and v of qkv[B,T,3C], positions 0..lengths[b]-1, into the caches slot[b]. */
	void (*cache_fill)(const cairn_kernels *k, cairn_act *cache, const cairn_act *qkv,
		const int32_t *slot, const int32_t *lengths, int64_t B, int64_t T, int64_t NH,
		int64_t D, int64_t T_max);
	void (*decode)(const cairn_kernels *k, const cairn_decode *d);
	void (*lm_head)(const cairn_kernels *k, const cairn_lm_head *h);
	void (*sample)(const cairn_kernels *k, const cairn_sample *s);
	/* x[r,c] = 0 with probability p, else x/(1-p); the coin is Philox(key; row_id[r], site, c).
	 * The same call on the gradient is the backward pass. */
	void (*dropout)(const cairn_kernels *k, cairn_act *x, const uint64_t *row_id, int64_t R,
		int64_t C, double p, uint64_t key, uint32_t site);
	void (*gather_rows)(const cairn_kernels *k, cairn_act *out, const cairn_act *x,
		const int32_t *index, int64_t n, int64_t C);
	/* x[index[i]] += rows[i]; indices are distinct */
	void (*scatter_rows)(const cairn_kernels *k, cairn_real *x, const cairn_real *rows,
		const int32_t *index, int64_t n, int64_t C);
	/* y += a*x */
	void (*axpy)(
		const cairn_kernels *k, cairn_real *y, const cairn_real *x, double a, int64_t n);
	/* x *= a */
	void (*scale)(const cairn_kernels *k, cairn_real *x, double a, int64_t n);
	/* average = decay*average + (1-decay)*w */
	void (*ema)(const cairn_kernels *k, cairn_real *average, const cairn_real *w, double decay,
		int64_t n);
	/* Sum of squares in double, fixed order; not finite where an element is not. */
	double (*sum_squares)(const cairn_kernels *k, const cairn_real *x, int64_t n);
	void (*adam)(const cairn_kernels *k, const cairn_adam *a);
};

/* Element i of an array of activations. */
static inline cairn_act *cairn_act_at(const cairn_kernels *k, const cairn_act *array, int64_t i)
{
	return (cairn_act *)((uintptr_t)array + (uintptr_t)(i * k->act_bytes));
}

/* What a backend exports under CAIRN_KERNELS_SYMBOL. */
typedef struct cairn_kernels_backend {
	cairn_abi_head abi;
	const char *name;
	/* How well it would serve on this machine; 0: cannot run here. */
	int (*score)(void);
	/* threads = 0: as many as the process may use. Fills *out, whose abi is the backend's. */
	int (*open)(cairn_kernels *out, int threads, cairn_error *err);
	void (*close)(cairn_kernels *k);
	/* What the machine has of its kind and of what it needs, lines "name: value", also where it
	 * cannot run: driver, libraries, each device. To be freed by free(); NULL: no memory. The
	 * function is NULL where there is nothing to say. */
	char *(*look)(void);
} cairn_kernels_backend;

CAIRN_END_DECLS

#endif
