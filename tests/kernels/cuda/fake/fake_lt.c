/* SPDX-License-Identifier: Apache-2.0 */
/* fake_lt.c - see fake_lt.h. The test program is linked with --wrap=dlopen and --wrap=dlsym. */
#pragma GCC visibility push(default) /* dlsym() is to find them */
#include "fake_lt.h"

#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fake_lt_state fake_lt;

#define DEMAND(condition)                                                                 \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s: breaks a rule: %s\n", __func__, #condition); \
			abort();                                                          \
		}                                                                         \
	} while (0)

typedef struct description {
	cublasComputeType_t compute;
	cudaDataType_t scale;
	int32_t op_a, op_b, epilogue;
	const void *bias;
	void *aux;
	int64_t aux_ld;
} description;

typedef struct layout {
	cudaDataType_t type;
	uint64_t rows, columns;
	int64_t ld;
} layout;

typedef struct preference {
	uint64_t workspace;
	uint32_t schemes, align[4]; /* of A, B, C, D */
} preference;

/* What lies in an algorithm. */
typedef struct algorithm {
	int32_t id, split_k, scheme;
	uint32_t align[3]; /* promised: of A, B, D */
	uint64_t workspace;
} algorithm;

void fake_lt_reset(void)
{
	fake_lt = (fake_lt_state){
		.version = CUBLAS_VERSION, .answers = {{.id = 66, .split_k = 1}}, .n_answers = 1};
}

/* ---- loading ----------------------------------------------------------------------------------
 */

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);
void *__real_dlsym(void *library, const char *name);
void *__wrap_dlsym(void *library, const char *name);

void *__wrap_dlopen(const char *name, int flags)
{
	int major = 0;

	DEMAND(sscanf(name, "libcublasLt.so.%d", &major) == 1);
	if (fake_lt.is_missing ? major != fake_lt.other_major : major != CUBLAS_VER_MAJOR) {
		/* So that dlerror() has something to say. */
		return __real_dlopen("/nowhere/libcublasLt.so", flags);
	}
	return __real_dlopen(NULL, flags);
}

void *__wrap_dlsym(void *library, const char *name)
{
	if (fake_lt.lacks && strcmp(name, fake_lt.lacks) == 0)
		return NULL;
	return __real_dlsym(library, name);
}

/* ---- handles, descriptors ---------------------------------------------------------------------
 */

static void *object(size_t size)
{
	void *made = calloc(1, size);

	DEMAND(made);
	fake_lt.alive++;
	return made;
}

static cublasStatus_t drop(const void *made)
{
	DEMAND(made);
	free((void *)(uintptr_t)made);
	fake_lt.alive--;
	return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void)
{
	return fake_lt.version;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *out)
{
	if (fake_lt.create == CUBLAS_STATUS_SUCCESS)
		*out = object(1);
	return fake_lt.create;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
	return drop(handle);
}

cublasStatus_t cublasLtMatmulDescCreate(
	cublasLtMatmulDesc_t *out, cublasComputeType_t compute, cudaDataType_t scale)
{
	description *d = object(sizeof(*d));

	*d = (description){
		.compute = compute, .scale = scale, .epilogue = CUBLASLT_EPILOGUE_DEFAULT};
	*out = (cublasLtMatmulDesc_t)d;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
	return drop(d);
}

static cublasStatus_t take(void *to, size_t wanted, const void *from, size_t size)
{
	if (size != wanted)
		return CUBLAS_STATUS_INVALID_VALUE;
	memcpy(to, from, size);
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque,
	cublasLtMatmulDescAttributes_t which, const void *from, size_t size)
{
	description *d = (description *)opaque;

	switch (which) {
	case CUBLASLT_MATMUL_DESC_TRANSA:
		return take(&d->op_a, sizeof(d->op_a), from, size);
	case CUBLASLT_MATMUL_DESC_TRANSB:
		return take(&d->op_b, sizeof(d->op_b), from, size);
	case CUBLASLT_MATMUL_DESC_EPILOGUE:
		return take(&d->epilogue, sizeof(d->epilogue), from, size);
	case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
		return take(&d->bias, sizeof(d->bias), from, size);
	case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
		return take(&d->aux, sizeof(d->aux), from, size);
	case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
		return take(&d->aux_ld, sizeof(d->aux_ld), from, size);
	default:
		return CUBLAS_STATUS_INVALID_VALUE;
	}
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType_t type,
	uint64_t rows, uint64_t columns, int64_t ld)
{
	layout *l = object(sizeof(*l));

	*l = (layout){type, rows, columns, ld};
	*out = (cublasLtMatrixLayout_t)l;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
	return drop(l);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
	preference *p = object(sizeof(*p));

	*p = (preference){.schemes = CUBLASLT_REDUCTION_SCHEME_MASK, .align = {256, 256, 256, 256}};
	*out = (cublasLtMatmulPreference_t)p;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
	return drop(p);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque,
	cublasLtMatmulPreferenceAttributes_t which, const void *from, size_t size)
{
	preference *p = (preference *)opaque;

	switch (which) {
	case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
		return take(&p->workspace, sizeof(p->workspace), from, size);
	case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
		return take(&p->schemes, sizeof(p->schemes), from, size);
	case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
	case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
	case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
	case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
		return take(&p->align[which - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES],
			sizeof(p->align[0]), from, size);
	default:
		return CUBLAS_STATUS_INVALID_VALUE;
	}
}

/* ---- the heuristic ----------------------------------------------------------------------------
 */

static bool has_bias(const description *d)
{
	return d->epilogue == CUBLASLT_EPILOGUE_BIAS ||
	       d->epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
	       d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

static bool has_aux(const description *d)
{
	return d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX ||
	       d->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

static bool has_gelu(const description *d)
{
	return has_aux(d) || d->epilogue == CUBLASLT_EPILOGUE_GELU ||
	       d->epilogue == CUBLASLT_EPILOGUE_GELU_BIAS;
}

/* D[m,n] = op(A)[m,k] op(B)[k,n] */
static bool fits(const description *d, const layout *a, const layout *b, const layout *c)
{
	uint64_t m = d->op_a ? a->columns : a->rows, k = d->op_a ? a->rows : a->columns;
	uint64_t n = d->op_b ? b->rows : b->columns;

	return (d->op_b ? b->columns : b->rows) == k && c->rows == m && c->columns == n &&
	       a->ld >= (int64_t)a->rows && b->ld >= (int64_t)b->rows && c->ld >= (int64_t)c->rows;
}

static size_t element_bytes(cudaDataType_t type)
{
	return type == CUDA_R_16BF ? 2 : 4;
}

/* Kernels for bf16 want strides of whole 16 bytes. */
static bool is_supported(const description *d, const layout *a, const layout *b, const layout *c)
{
	bool is_narrow = a->type == CUDA_R_16BF;

	return d->compute == CUBLAS_COMPUTE_32F && d->scale == CUDA_R_32F && a->type == b->type &&
	       (is_narrow || c->type == CUDA_R_32F) &&
	       (!is_narrow || (a->ld % 8 == 0 && b->ld % 8 == 0 &&
				      c->ld * (int64_t)element_bytes(c->type) % 16 == 0)) &&
	       (!has_bias(d) || d->bias) &&
	       (!has_aux(d) || (d->aux && d->aux_ld % 8 == 0 && d->aux_ld >= (int64_t)c->rows));
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t opaque,
	cublasLtMatrixLayout_t a_, cublasLtMatrixLayout_t b_, cublasLtMatrixLayout_t c_,
	cublasLtMatrixLayout_t d_, cublasLtMatmulPreference_t p_, int wanted,
	cublasLtMatmulHeuristicResult_t found[], int *n)
{
	const description *d = (const description *)opaque;
	const layout *a = (const layout *)a_, *b = (const layout *)b_, *c = (const layout *)c_;
	const preference *p = (const preference *)p_;

	DEMAND(handle && c_ == d_);
	fake_lt.asked++;
	*n = 0;
	if (!fits(d, a, b, c))
		return CUBLAS_STATUS_INVALID_VALUE;
	if (!is_supported(d, a, b, c))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	DEMAND(p->align[2] == p->align[3]);
	for (int i = 0; i < fake_lt.n_answers && *n < wanted; i++) {
		const fake_lt_answer *answer = &fake_lt.answers[i];
		algorithm made = {.id = answer->id,
			.split_k = answer->split_k,
			.scheme = (int32_t)answer->scheme,
			.align = {p->align[0], p->align[1], p->align[3]},
			.workspace = answer->workspace};

		_Static_assert(sizeof(made) <= sizeof(found->algo), "room");
		memset(&found[*n], 0, sizeof(*found));
		memcpy(&found[*n].algo, &made, sizeof(made));
		found[*n].workspaceSize = answer->workspace;
		found[*n].state = answer->state;
		++*n;
	}
	return *n > 0 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
	cublasLtMatmulAlgoConfigAttributes_t which, void *out, size_t size, size_t *written)
{
	const algorithm *a = (const algorithm *)(const void *)algo;
	bool is_short = which == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ||
			which == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID;
	int32_t value = which == CUBLASLT_ALGO_CONFIG_ID                 ? a->id
			: which == CUBLASLT_ALGO_CONFIG_SPLITK_NUM       ? a->split_k
			: which == CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME ? a->scheme
									 : (int32_t)which + 100;

	if (size != (is_short ? 2 : 4))
		return CUBLAS_STATUS_INVALID_VALUE;
	memcpy(out, &value, size);
	*written = size;
	return CUBLAS_STATUS_SUCCESS;
}

/* ---- multiplying ------------------------------------------------------------------------------
 */

static double get(cudaDataType_t type, const void *from, int64_t i)
{
	uint32_t bits;
	float value;

	if (type == CUDA_R_32F)
		return (double)((const float *)from)[i];
	bits = (uint32_t)((const uint16_t *)from)[i] << 16;
	memcpy(&value, &bits, sizeof(value));
	return (double)value;
}

static void put(cudaDataType_t type, void *to, int64_t i, double value)
{
	float narrow = (float)value;
	uint32_t bits;

	if (type == CUDA_R_32F) {
		((float *)to)[i] = narrow;
		return;
	}
	memcpy(&bits, &narrow, sizeof(bits));
	((uint16_t *)to)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void finish(
	const description *d, const layout *c, void *to, int64_t i, int64_t j, double sum)
{
	double u;

	if (has_bias(d))
		sum += get(c->type, d->bias, i);
	if (has_aux(d))
		put(c->type, d->aux, j * d->aux_ld + i, sum);
	u = 0.7978845608028654 * (sum + 0.044715 * sum * sum * sum);
	put(c->type, to, j * c->ld + i, has_gelu(d) ? sum / (1 + exp(-2 * u)) : sum);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t opaque,
	const void *alpha, const void *A, cublasLtMatrixLayout_t a_, const void *B,
	cublasLtMatrixLayout_t b_, const void *beta, const void *C, cublasLtMatrixLayout_t c_,
	void *D, cublasLtMatrixLayout_t d_, const cublasLtMatmulAlgo_t *algo, void *workspace,
	size_t bytes, cudaStream_t stream)
{
	const description *d = (const description *)opaque;
	const layout *a = (const layout *)a_, *b = (const layout *)b_, *c = (const layout *)c_;
	const algorithm *how = (const algorithm *)(const void *)algo;
	int64_t K = (int64_t)(d->op_a ? a->rows : a->columns);
	float added = *(const float *)beta;

	DEMAND(handle && stream && workspace && C == D && c_ == d_);
	DEMAND(*(const float *)alpha == 1);
	DEMAND(fits(d, a, b, c) && is_supported(d, a, b, c));
	DEMAND((uintptr_t)A % how->align[0] == 0);
	DEMAND((uintptr_t)B % how->align[1] == 0);
	DEMAND((uintptr_t)D % how->align[2] == 0);
	DEMAND(bytes >= how->workspace);
	fake_lt.multiplied++;
	if (fake_lt.matmul != CUBLAS_STATUS_SUCCESS)
		return fake_lt.matmul;
	for (int64_t j = 0; j < (int64_t)c->columns; j++) {
		for (int64_t i = 0; i < (int64_t)c->rows; i++) {
			/* As the library: what is not added to is not read. */
			double sum =
				added != 0 ? (double)added * get(c->type, C, j * c->ld + i) : 0;

			for (int64_t k = 0; k < K; k++)
				sum += get(a->type, A, d->op_a ? i * a->ld + k : k * a->ld + i) *
				       get(b->type, B, d->op_b ? k * b->ld + j : j * b->ld + k);
			finish(d, c, D, i, j, sum);
		}
	}
	return CUBLAS_STATUS_SUCCESS;
}
