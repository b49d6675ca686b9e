/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blas.c - see blas.h.
 *
 * cuBLASLt counts columns first. A row-major C = A B is the column-major C^T = B^T A^T, so its A is
 * our B, its m our N, and a bias over our columns is one over its rows, as its epilogue wants it.
 *
 * Equal calls must give equal bits. Of a K that is shared out only the scheme is allowed in which
 * the parts go through the workspace in float and a second kernel adds them in order
 * (COMPUTE_TYPE); adding in place to C (INPLACE: blocks take turns) and parts rounded to the type
 * of C (OUTPUT_TYPE) are not. The heuristic is asked once for a kind of product and its first
 * answer is kept; it depends on the library's version and on the GPU, which the numeric class
 * therefore names. Nothing is tuned by timing: clocks would choose the bits.
 */
#include "kernels/cuda/blas.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(x)  #x
#define TEXT(x)     TEXT_OF(x)
#define BLAS_SONAME "libcublasLt.so." TEXT(CUBLAS_VER_MAJOR)

#define FUNCTIONS(F)                    \
	F(Create)                       \
	F(Destroy)                      \
	F(GetVersion)                   \
	F(Matmul)                       \
	F(MatmulDescCreate)             \
	F(MatmulDescDestroy)            \
	F(MatmulDescSetAttribute)       \
	F(MatrixLayoutCreate)           \
	F(MatrixLayoutDestroy)          \
	F(MatmulPreferenceCreate)       \
	F(MatmulPreferenceDestroy)      \
	F(MatmulPreferenceSetAttribute) \
	F(MatmulAlgoGetHeuristic)       \
	F(MatmulAlgoConfigGetAttribute)

typedef struct functions {
#define MEMBER(name) __typeof__(&cublasLt##name) name;
	FUNCTIONS(MEMBER)
#undef MEMBER
} functions;

/* What a plan depends on; compared as bytes. */
typedef struct kind {
	int64_t M, N, K, lda, ldb, ldc;
	int32_t transpose_a, transpose_b, accumulate, epilogue, type, type_c;
	uint32_t align_a, align_b, align_c, align_bias, align_pre;
	int32_t none; /* so that no byte is left undefined */
} kind;

typedef struct plan {
	kind kind;
	bool usable;
	cublasLtMatmulDesc_t product;
	cublasLtMatrixLayout_t a, b, c;
	cublasLtMatmulAlgo_t algorithm;
	size_t workspace;
} plan;

struct cuda_blas {
	cuda_device *device;
	void *library;
	functions lt;
	cublasLtHandle_t handle;
	void *workspace;
	plan **plans; /* by kind: open addressing, a power of two of places */
	size_t n, places;
	char *text;
	size_t text_len, text_cap;
};

/* ---- opening ------------------------------------------------------------------------------------
 */

/* A library of another version that is there: not to be used, but to be told of. */
static int other_major(void)
{
	for (int major = CUBLAS_VER_MAJOR + 2; major > 10; major--) {
		char name[32];
		void *library;

		if (major == CUBLAS_VER_MAJOR)
			continue;
		(void)snprintf(name, sizeof(name), "libcublasLt.so.%d", major);
		library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
		if (library) {
			(void)dlclose(library);
			return major;
		}
	}
	return 0;
}

static int missing(cairn_error *err)
{
	const char *why = dlerror();
	char found[48] = "";
	int other;

	cairn_error_set(err, CAIRN_EDEVICE, "'%s' cannot be loaded", BLAS_SONAME);
	cairn_error_detail(err, "%s", why ? why : "the loader does not say why");
	other = other_major();
	if (other)
		(void)snprintf(found, sizeof(found), " (only version %d was found)", other);
	cairn_error_hint(err,
		"Install NVIDIA's package libcublas-%d-%d%s, or name the directory that has it in "
		"LD_LIBRARY_PATH.",
		CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, found);
	return CAIRN_EDEVICE;
}

static int load(cuda_blas *b, cairn_error *err)
{
	const char *lacking = NULL;
	int rc;

	b->library = dlopen(BLAS_SONAME, RTLD_NOW | RTLD_LOCAL);
	if (!b->library)
		return missing(err);
#define FIND(name)                                                   \
	*(void **)&b->lt.name = dlsym(b->library, "cublasLt" #name); \
	if (!b->lt.name)                                             \
		lacking = "cublasLt" #name;
	FUNCTIONS(FIND)
#undef FIND
	if (!lacking && b->lt.GetVersion() / 10000 == CUBLAS_VER_MAJOR)
		return CAIRN_OK;
	rc = cairn_error_set(err, CAIRN_EDEVICE, "'%s' is not what its name says", BLAS_SONAME);
	if (lacking)
		cairn_error_detail(err, "it has no function '%s'", lacking);
	else
		cairn_error_detail(err, "it says that its version is %zu", b->lt.GetVersion());
	cairn_error_hint(err,
		"A file or a link of another version has this name: see with `ldconfig -p` and in "
		"LD_LIBRARY_PATH where it lies.");
	return rc;
}

void cuda_blas_look(char *out, size_t size)
{
	cuda_blas b = {0};
	cairn_error err = {0};
	size_t version;

	if (load(&b, &err)) {
		(void)snprintf(out, size, "%s", err.message);
		return;
	}
	version = b.lt.GetVersion();
	(void)snprintf(
		out, size, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

int cuda_blas_open(cuda_blas **out, cuda_device *d, cairn_error *err)
{
	cuda_blas *b = calloc(1, sizeof(*b));
	int rc;

	*out = NULL;
	if (!b)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for products");
	b->device = d;
	rc = load(b, err);
	if (rc)
		goto out;
	if (b->lt.Create(&b->handle) != CUBLAS_STATUS_SUCCESS) {
		rc = cairn_error_set(err, CAIRN_EDEVICE, "cuBLASLt cannot be started on the GPU");
		cairn_error_hint(err, "It needs memory of its own there: see with nvidia-smi how "
				      "much other processes have taken.");
		goto out;
	}
	b->workspace = cuda_device_alloc(d, CUDA_BLAS_WORKSPACE);
	if (!b->workspace) {
		rc = cairn_error_set(
			err, CAIRN_EDEVICE, "no memory on the GPU for the workspace of products");
		cairn_error_hint(err, "Another process may use the GPU: see nvidia-smi.");
		goto out;
	}
	*out = b;
	b = NULL;
out:
	cuda_blas_close(b);
	return rc;
}

static void plan_free(const cuda_blas *b, plan *p)
{
	if (p->product)
		(void)b->lt.MatmulDescDestroy(p->product);
	if (p->a)
		(void)b->lt.MatrixLayoutDestroy(p->a);
	if (p->b)
		(void)b->lt.MatrixLayoutDestroy(p->b);
	if (p->c)
		(void)b->lt.MatrixLayoutDestroy(p->c);
	free(p);
}

void cuda_blas_close(cuda_blas *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->places; i++)
		if (b->plans[i])
			plan_free(b, b->plans[i]);
	free(b->plans);
	free(b->text);
	cuda_device_free(b->device, b->workspace);
	if (b->handle)
		(void)b->lt.Destroy(b->handle);
	/* The library stays: it has threads and thread-local memory of its own. */
	free(b);
}

size_t cuda_blas_version(const cuda_blas *b)
{
	return b->lt.GetVersion();
}

/* ---- the text of all plans ----------------------------------------------------------------------
 */

static int32_t config(const cuda_blas *b, const plan *p, cublasLtMatmulAlgoConfigAttributes_t which)
{
	int32_t value = 0; /* all that are asked for have 32 bits, but two that have 16 */
	size_t size = which == CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID ||
				      which == CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID
			      ? 2
			      : 4;

	(void)b->lt.MatmulAlgoConfigGetAttribute(&p->algorithm, which, &value, size, &size);
	return value;
}

static void note(cuda_blas *b, const plan *p)
{
	const kind *k = &p->kind;
	char line[320];
	int n = snprintf(line, sizeof(line),
		"%lldx%lldx%lld %c%c ld %lld,%lld,%lld %s>%s%s epilogue %d: ", (long long)k->M,
		(long long)k->N, (long long)k->K, k->transpose_a ? 't' : 'n',
		k->transpose_b ? 't' : 'n', (long long)k->lda, (long long)k->ldb, (long long)k->ldc,
		k->type == CUDA_BF16 ? "bf16" : "float", k->type_c == CUDA_BF16 ? "bf16" : "float",
		k->accumulate ? " added" : "", k->epilogue);

	if (p->usable)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
			"algorithm %d tile %d stages %d split-k %d reduction %d swizzle %d "
			"custom %d inner %d cluster %d workspace %zu\n",
			config(b, p, CUBLASLT_ALGO_CONFIG_ID),
			config(b, p, CUBLASLT_ALGO_CONFIG_TILE_ID),
			config(b, p, CUBLASLT_ALGO_CONFIG_STAGES_ID),
			config(b, p, CUBLASLT_ALGO_CONFIG_SPLITK_NUM),
			config(b, p, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME),
			config(b, p, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
			config(b, p, CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION),
			config(b, p, CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID),
			config(b, p, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID), p->workspace);
	else
		n += snprintf(line + n, sizeof(line) - (size_t)n, "none\n");
	if (b->text_len + (size_t)n + 1 > b->text_cap) {
		size_t cap = 2 * b->text_cap + 4096;
		char *more = realloc(b->text, cap);

		if (!more)
			return;
		b->text = more;
		b->text_cap = cap;
	}
	memcpy(b->text + b->text_len, line, (size_t)n + 1);
	b->text_len += (size_t)n;
}

const char *cuda_blas_plans(cuda_blas *b)
{
	return b->text ? b->text : "";
}

/* ---- plans
 * ---------------------------------------------------------------------------------------- */

static cudaDataType_t type_of(int32_t type)
{
	return type == CUDA_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* Of the address, up to what any kernel asks for. */
static uint32_t alignment_of(const void *address)
{
	uintptr_t low = (uintptr_t)address & 15;

	return low ? (uint32_t)(low & -low) : 16;
}

static int32_t epilogue_of(const cuda_product *p, const void *bias)
{
	if (!p->gelu)
		return bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
	if (p->pre)
		return bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
	return bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
}

static kind kind_of(const cuda_product *p, const void *bias)
{
	return (kind){
		.M = p->M,
		.N = p->N,
		.K = p->K,
		.lda = p->lda,
		.ldb = p->ldb,
		.ldc = p->ldc,
		.transpose_a = p->transpose_a,
		.transpose_b = p->transpose_b,
		.accumulate = p->accumulate,
		.epilogue = epilogue_of(p, bias),
		.type = (int32_t)p->type_a,
		.type_c = (int32_t)p->type_c,
		.align_a = alignment_of(p->A),
		.align_b = alignment_of(p->B),
		.align_c = alignment_of(p->C),
		.align_bias = alignment_of(bias),
		.align_pre = alignment_of(p->gelu ? p->pre : NULL),
	};
}

static bool set(const cuda_blas *b, plan *p, cublasLtMatmulDescAttributes_t which,
	const void *value, size_t size)
{
	return b->lt.MatmulDescSetAttribute(p->product, which, value, size) ==
	       CUBLAS_STATUS_SUCCESS;
}

static bool layout(const cuda_blas *b, cublasLtMatrixLayout_t *out, int32_t type, bool transposed,
	int64_t rows, int64_t columns, int64_t ld)
{
	return b->lt.MatrixLayoutCreate(out, type_of(type), (uint64_t)(transposed ? columns : rows),
		       (uint64_t)(transposed ? rows : columns), ld) == CUBLAS_STATUS_SUCCESS;
}

static bool describe(const cuda_blas *b, plan *p)
{
	const kind *k = &p->kind;
	cublasOperation_t a = k->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasOperation_t c = k->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
	cublasLtEpilogue_t epilogue = (cublasLtEpilogue_t)k->epilogue;

	return b->lt.MatmulDescCreate(&p->product, CUBLAS_COMPUTE_32F, CUDA_R_32F) ==
		       CUBLAS_STATUS_SUCCESS &&
	       set(b, p, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof(a)) &&
	       set(b, p, CUBLASLT_MATMUL_DESC_TRANSB, &c, sizeof(c)) &&
	       set(b, p, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof(epilogue)) &&
	       layout(b, &p->a, k->type, k->transpose_b, k->N, k->K, k->ldb) &&
	       layout(b, &p->b, k->type, k->transpose_a, k->K, k->M, k->lda) &&
	       layout(b, &p->c, k->type_c, false, k->N, k->M, k->ldc);
}

/* What differs from call to call of one plan. */
static bool point(const cuda_blas *b, plan *p, const void *bias, void *pre)
{
	int64_t ld = p->kind.ldc;

	if (bias && !set(b, p, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof(bias)))
		return false;
	return !pre || (set(b, p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &pre, sizeof(pre)) &&
			       set(b, p, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, sizeof(ld)));
}

static bool prefer(const cuda_blas *b, cublasLtMatmulPreference_t preference, const kind *k)
{
	uint64_t workspace = CUDA_BLAS_WORKSPACE;
	uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
	const struct {
		cublasLtMatmulPreferenceAttributes_t which;
		const void *value;
		size_t size;
	} wishes[] = {
		{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof(workspace)},
		{CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &scheme, sizeof(scheme)},
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &k->align_b, sizeof(k->align_b)},
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &k->align_a, sizeof(k->align_a)},
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &k->align_c, sizeof(k->align_c)},
		{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &k->align_c, sizeof(k->align_c)},
	};

	for (size_t i = 0; i < CAIRN_COUNT(wishes); i++)
		if (b->lt.MatmulPreferenceSetAttribute(preference, wishes[i].which, wishes[i].value,
			    wishes[i].size) != CUBLAS_STATUS_SUCCESS)
			return false;
	return true;
}

/* The first of the heuristic's answers that keeps to the rules. */
static bool choose(const cuda_blas *b, plan *p)
{
	cublasLtMatmulHeuristicResult_t found[8];
	cublasLtMatmulPreference_t preference = NULL;
	bool chosen = false;
	int n = 0;

	if (b->lt.MatmulPreferenceCreate(&preference) != CUBLAS_STATUS_SUCCESS)
		return false;
	if (prefer(b, preference, &p->kind) &&
		b->lt.MatmulAlgoGetHeuristic(b->handle, p->product, p->a, p->b, p->c, p->c,
			preference, CAIRN_COUNT(found), found, &n) != CUBLAS_STATUS_SUCCESS)
		n = 0;
	for (int i = 0; i < n && !chosen; i++) {
		int32_t scheme;

		if (found[i].state != CUBLAS_STATUS_SUCCESS ||
			found[i].workspaceSize > CUDA_BLAS_WORKSPACE)
			continue;
		p->algorithm = found[i].algo;
		p->workspace = found[i].workspaceSize;
		scheme = config(b, p, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
		chosen = scheme == CUBLASLT_REDUCTION_SCHEME_NONE ||
			 scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
	}
	(void)b->lt.MatmulPreferenceDestroy(preference);
	return chosen;
}

static size_t place_of(const cuda_blas *b, const kind *k)
{
	const unsigned char *byte = (const unsigned char *)k;
	uint64_t hash = 14695981039346656037u;
	size_t at;

	for (size_t i = 0; i < sizeof(*k); i++)
		hash = (hash ^ byte[i]) * 1099511628211u;
	at = (size_t)(hash >> 16) & (b->places - 1);
	while (b->plans[at] && memcmp(&b->plans[at]->kind, k, sizeof(*k)) != 0)
		at = (at + 1) & (b->places - 1);
	return at;
}

static bool grow(cuda_blas *b)
{
	plan **old = b->plans;
	size_t places = b->places;

	if (2 * (b->n + 1) <= places)
		return true;
	b->plans = calloc(places ? 2 * places : 64, sizeof(plan *));
	if (!b->plans) {
		b->plans = old;
		return false;
	}
	b->places = places ? 2 * places : 64;
	for (size_t i = 0; i < places; i++)
		if (old[i])
			b->plans[place_of(b, &old[i]->kind)] = old[i];
	free(old);
	return true;
}

static plan *plan_of(cuda_blas *b, const cuda_product *p, const void *bias)
{
	kind k = kind_of(p, bias);
	size_t at;
	plan *made;

	if (!grow(b))
		return NULL;
	at = place_of(b, &k);
	if (b->plans[at])
		return b->plans[at];
	made = calloc(1, sizeof(*made));
	if (!made)
		return NULL;
	made->kind = k;
	made->usable = describe(b, made) && point(b, made, bias, p->gelu ? p->pre : NULL) &&
		       choose(b, made);
	b->plans[at] = made;
	b->n++;
	note(b, made);
	return made;
}

bool cuda_blas_product(cuda_blas *b, const cuda_product *p, const void *bias)
{
	const float one = 1, zero = 0;
	plan *made = plan_of(b, p, bias);

	if (!made || !made->usable || !point(b, made, bias, p->gelu ? p->pre : NULL))
		return false;
	if (b->lt.Matmul(b->handle, made->product, &one, p->B, made->a, p->A, made->b,
		    p->accumulate ? &one : &zero, p->C, made->c, p->C, made->c, &made->algorithm,
		    b->workspace, CUDA_BLAS_WORKSPACE,
		    cuda_device_stream(b->device)) != CUBLAS_STATUS_SUCCESS)
		cuda_device_fail(b->device, "a product", "cuBLASLt refused what it had planned");
	return true;
}
