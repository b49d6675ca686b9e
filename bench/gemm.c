/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.c - the matrix product beside the machine's measured FMA peak and its peers.
 *
 * Usage: bench-gemm [THREADS]. Needs plugins/kernels/cpu.so beside the program. Prints for
 * every size GFLOP/s and the part of the peak: medians of rounds in which ours and the peers
 * take turns, so that what else the machine does meets all of them.
 *
 * Peers, where installed: OpenBLAS and oneDNN. Debian's OpenBLAS 0.3.21 does not know newer
 * processors and then runs SSE3 kernels at a fifth of the speed, so it is told which kernels
 * to take (OPENBLAS_CORETYPE), and which it took is printed.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cairn/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
	ROUNDS = 9,
	MAX_THREADS = 64,
	PEERS = 3,
};

typedef struct size {
	const char *name;
	int64_t M, N, K;
	bool ta, tb;
} size;

static const size sizes[] = {
	{"square 512", 512, 512, 512, false, false},
	{"square 1024", 1024, 1024, 1024, false, false},
	{"square 2048", 2048, 2048, 2048, false, false},
	{"g124 fc forward", 1024, 3072, 768, false, false},
	{"g124 fc back to x", 1024, 768, 3072, false, true},
	{"g124 fc back to w", 768, 3072, 1024, true, false},
	{"g124 head chunk", 256, 50257, 768, false, true},
	{"g124 head back to h", 256, 768, 50257, false, false},
	{"g124 head back to w", 50257, 768, 256, true, false},
	{"s256 fc forward", 1024, 1024, 256, false, false},
	{"s128 fc forward", 2048, 512, 128, false, false},
	{"s128 attn back to w", 128, 384, 2048, true, false},
	{"s128 head chunk", 256, 8192, 128, false, true},
	{"decode 1", 1, 3072, 768, false, false},
	{"decode 16", 16, 3072, 768, false, false},
	{"decode 64", 64, 3072, 768, false, false},
	{"decode 16 s128", 16, 512, 128, false, false},
	{"decode 64 s128", 64, 512, 128, false, false},
	{"decode 16 head", 16, 50257, 768, false, true},
	{"decode 64 head", 64, 50257, 768, false, true},
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), ascending);
	return values[n / 2];
}

static CAIRN_NORETURN void die(const char *what)
{
	fprintf(stderr, "bench-gemm: %s\n", what);
	exit(1);
}

/* ---- the peak: fused multiply-adds on registers, twelve chains ------------------------------- */

enum {
	CHAINS = 12,
	STEPS = 2000000,
};

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float peak_avx512(void)
{
	__m512 x = _mm512_set1_ps(0.5f), sum[CHAINS];

	for (int i = 0; i < CHAINS; i++)
		sum[i] = x;
	for (int step = 0; step < STEPS; step++)
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			sum[i] = _mm512_fmadd_ps(sum[i], x, x);
	for (int i = 1; i < CHAINS; i++)
		sum[0] = _mm512_add_ps(sum[0], sum[i]);
	return _mm512_reduce_add_ps(sum[0]);
}

__attribute__((target("avx2,fma"))) static float peak_avx2(void)
{
	__m256 x = _mm256_set1_ps(0.5f), sum[CHAINS];

	for (int i = 0; i < CHAINS; i++)
		sum[i] = x;
	for (int step = 0; step < STEPS; step++)
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			sum[i] = _mm256_fmadd_ps(sum[i], x, x);
	for (int i = 1; i < CHAINS; i++)
		sum[0] = _mm256_add_ps(sum[0], sum[i]);
	return _mm256_cvtss_f32(sum[0]);
}

static bool wide(void)
{
	return __builtin_cpu_supports("avx512f") != 0;
}

static void *peak_thread(void *result)
{
	*(float *)result = wide() ? peak_avx512() : peak_avx2();
	return NULL;
}

static double peak_flop(void)
{
	return 2.0 * CHAINS * STEPS * (wide() ? 16 : 8);
}
#endif

/* GFLOP/s of all threads at once; 0 where this program has no loop for the machine. */
static double measure_peak(int threads)
{
#if defined(__x86_64__)
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		pthread_t thread[MAX_THREADS];
		float result[MAX_THREADS];
		double start = seconds(), speed;

		for (int i = 1; i < threads; i++)
			if (pthread_create(&thread[i], NULL, peak_thread, &result[i]))
				die("no threads");
		peak_thread(&result[0]);
		for (int i = 1; i < threads; i++)
			pthread_join(thread[i], NULL);
		speed = threads * peak_flop() / (seconds() - start) / 1e9;
		best = speed > best ? speed : best;
	}
	return best;
#else
	(void)threads;
	return 0;
#endif
}

/* ---- who multiplies
 * ------------------------------------------------------------------------------ */

typedef void cblas_fn(int order, int ta, int tb, int M, int N, int K, float alpha, const float *A,
	int lda, const float *B, int ldb, float beta, float *C, int ldc);
typedef int dnnl_fn(char ta, char tb, int64_t M, int64_t N, int64_t K, float alpha, const float *A,
	int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc);

static struct {
	cairn_kernels own;
	cblas_fn *openblas;
	dnnl_fn *onednn;
} who;

static const char *const names[PEERS] = {"cairn", "OpenBLAS", "oneDNN"};

static bool has(int peer)
{
	return peer == 0 || (peer == 1 ? who.openblas != NULL : who.onednn != NULL);
}

static void multiply(int peer, const size *s, const float *A, const float *B, float *C)
{
	int64_t lda = s->ta ? s->M : s->K, ldb = s->tb ? s->K : s->N;

	if (peer == 0) {
		cairn_gemm g = {.M = s->M,
			.N = s->N,
			.K = s->K,
			.transpose_a = s->ta,
			.transpose_b = s->tb,
			.A = A,
			.lda = lda,
			.B = B,
			.ldb = ldb,
			.C = C,
			.ldc = s->N};

		who.own.gemm(&who.own, &g);
	} else if (peer == 1) {
		who.openblas(101, s->ta ? 112 : 111, s->tb ? 112 : 111, (int)s->M, (int)s->N,
			(int)s->K, 1, A, (int)lda, B, (int)ldb, 0, C, (int)s->N);
	} else {
		(void)who.onednn(s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', s->M, s->N, s->K, 1, A, lda,
			B, ldb, 0, C, s->N);
	}
}

/* A function of another library, without the warning about object pointers. */
static void find(void *library, const char *name, void *function, size_t bytes)
{
	void *symbol = library ? dlsym(library, name) : NULL;

	memcpy(function, &symbol, bytes);
}

static void open_peers(int threads)
{
	void (*set_threads)(int) = NULL;
	char *(*core)(void) = NULL;
	char number[16];
	void *library;

	snprintf(number, sizeof(number), "%d", threads);
	setenv("OMP_NUM_THREADS", number, 1);
	setenv("OPENBLAS_NUM_THREADS", number, 1);
#if defined(__x86_64__)
	setenv("OPENBLAS_CORETYPE", wide() ? "SkylakeX" : "Haswell", 1);
#endif
	unsetenv("OPENBLAS_L2_SIZE");
	library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	find(library, "cblas_sgemm", &who.openblas, sizeof(who.openblas));
	find(library, "openblas_set_num_threads", &set_threads, sizeof(set_threads));
	find(library, "openblas_get_corename", &core, sizeof(core));
	if (set_threads)
		set_threads(threads);
	printf("OpenBLAS: %s\n", core ? core() : "not installed");
	library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
	find(library, "dnnl_sgemm", &who.onednn, sizeof(who.onednn));
	printf("oneDNN: %s\n", who.onednn ? "libdnnl.so.2" : "not installed");
}

static void open_own(int threads)
{
	const cairn_kernels_backend *backend;
	cairn_error err = {0};
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	void *library;

	if (n <= 0)
		die("where am I?");
	while (n > 0 && path[n - 1] != '/')
		n--;
	snprintf(path + n, sizeof(path) - (size_t)n, "plugins/kernels/cpu.so");
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		die(dlerror());
	backend = dlsym(library, CAIRN_KERNELS_SYMBOL);
	if (!backend || backend->open(&who.own, threads, &err))
		die(err.message);
}

/* ---- timing
 * ---------------------------------------------------------------------------------------- */

static float *filled(int64_t n)
{
	float *x = who.own.alloc(&who.own, (size_t)n * sizeof(*x));

	if (!x)
		die("no memory");
	for (int64_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761 % 1000) / 1000 - 0.5f;
	return x;
}

/* GFLOP/s of one round: as many calls as take about ten milliseconds. */
static double round_speed(int peer, const size *s, const float *A, const float *B, float *C)
{
	double flop = 2.0 * (double)s->M * (double)s->N * (double)s->K, start;
	int calls = (int)(2e9 / flop) + 1;

	/* The threads of the one before still watch for work, on cores that this one needs. */
	usleep(20000);
	multiply(peer, s, A, B, C);
	start = seconds();
	for (int i = 0; i < calls; i++)
		multiply(peer, s, A, B, C);
	return flop * calls / (seconds() - start) / 1e9;
}

static void bench(const size *s, double peak)
{
	float *A = filled(s->M * s->K), *B = filled(s->K * s->N), *C = filled(s->M * s->N);
	double speed[PEERS][ROUNDS];

	for (int round = 0; round < ROUNDS; round++)
		for (int peer = 0; peer < PEERS; peer++)
			speed[peer][round] = has(peer) ? round_speed(peer, s, A, B, C) : 0;
	printf("%-20s %6lld %6lld %6lld %c%c", s->name, (long long)s->M, (long long)s->N,
		(long long)s->K, s->ta ? 'T' : 'N', s->tb ? 'T' : 'N');
	for (int peer = 0; peer < PEERS; peer++) {
		double middle = median(speed[peer], ROUNDS);

		if (!has(peer))
			continue;
		printf("  %7.1f", middle);
		if (peak > 0)
			printf(" %3.0f%%", 100 * middle / peak);
	}
	printf("\n");
	fflush(stdout);
	who.own.free(&who.own, A);
	who.own.free(&who.own, B);
	who.own.free(&who.own, C);
}

int main(int argc, char **argv)
{
	int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
	double peak;

	if (threads < 1 || threads > MAX_THREADS)
		die("usage: bench-gemm [THREADS]");
	peak = measure_peak(threads);
	open_own(threads);
	open_peers(threads);
	printf("backend: %s, %d threads; FMA peak, measured: %.1f GFLOP/s\n", who.own.name, threads,
		peak);
	printf("%-20s %6s %6s %6s   ", "GFLOP/s", "M", "N", "K");
	for (int peer = 0; peer < PEERS; peer++)
		if (has(peer))
			printf("  %12s", names[peer]);
	printf("\n");
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++)
		bench(&sizes[i], peak);
	return 0;
}
