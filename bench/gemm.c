/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.c - how fast is the matrix product, beside what the machine could do and what others do?
 *
 *   bench-gemm [THREADS [WHAT]]     WHAT: rows whose names begin so, e.g. g124
 *
 * Measures the peak first (fused multiply-adds on registers), then every product of a training
 * step, the unembedding as a whole, decoding, and what it costs to end sums with sequences.
 * Loads plugins/kernels/cpu.so from beside the program. Prints GFLOP/s and the part of the peak:
 * medians of rounds in which the peak, ours and the peers take turns, so that what else the
 * machine does meets all of them. With one thread the processor's time is taken, not the wall's.
 *
 *   cairn    as a caller gets it who keeps nothing
 *   packed   with the right operand packed before (weights: once for each update)
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
};

enum peer {
	CAIRN,
	PACKED,
	OPENBLAS,
	ONEDNN,
	PEERS
};

typedef struct size {
	const char *name, *part;
	int64_t M, N, K;
	bool ta, tb;
	bool add; /* to C: gradients of weights */
	int64_t cut;
	int64_t ldc; /* 0: N */
} size;

static const size sizes[] = {
	{"square", "512", 512, 512, .K = 512},
	{"square", "1024", 1024, 1024, .K = 1024},
	{"square", "2048", 2048, 2048, .K = 2048},
	{"decode", "g124 1", 1, 3072, .K = 768},
	{"decode", "g124 16", 16, 3072, .K = 768},
	{"decode", "g124 64", 64, 3072, .K = 768},
	{"decode", "s256 16", 16, 1024, .K = 256},
	{"decode", "s256 64", 64, 1024, .K = 256},
	{"decode", "s128 16", 16, 512, .K = 128},
	{"decode", "s128 64", 64, 512, .K = 128},
	{"decode", "g124 16 head", 16, 50257, .K = 768, .tb = true},
	{"decode", "g124 64 head", 64, 50257, .K = 768, .tb = true},
	{"decode", "s128 64 head", 64, 8192, .K = 128, .tb = true},
};

/* Models of COMPUTE's training targets: R rows of C channels, V tokens. */
typedef struct model {
	const char *name;
	int64_t R, C, V;
} model;

static const model models[] = {
	{"g124", 1024, 768, 50257},
	{"s256", 1024, 256, 8192},
	{"s128", 2048, 128, 8192},
};

static const struct linear {
	const char *name;
	int64_t in, out; /* of C */
} linears[] = {{"qkv", 1, 3}, {"attproj", 1, 1}, {"fc", 1, 4}, {"proj", 4, 1}};

/* Where one thread computes, its own time: others may be at work on the machine. */
static clockid_t clock_of_run = CLOCK_MONOTONIC;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(clock_of_run, &t);
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

typedef void cblas_fn(int order, int ta, int tb, int M, int N, int K, float alpha, const float *A,
	int lda, const float *B, int ldb, float beta, float *C, int ldc);
typedef int dnnl_fn(char ta, char tb, int64_t M, int64_t N, int64_t K, float alpha, const float *A,
	int64_t lda, const float *B, int64_t ldb, float beta, float *C, int64_t ldc);

static struct {
	cairn_kernels own;
	cblas_fn *openblas;
	dnnl_fn *onednn;
	int threads;
	const char *what;
} run;

/* ---- the peak: fused multiply-adds on registers, twelve chains ------------------------------- */

enum {
	CHAINS = 12,
	STEPS = 500000, /* about a millisecond */
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

static double peak_flop(void)
{
	return 2.0 * CHAINS * STEPS * (wide() ? 16 : 8);
}

typedef struct peak_run {
	double gflops;
	float sum;
} peak_run;

static void *peak_thread(void *context)
{
	peak_run *p = context;
	double start = seconds();

	p->sum = wide() ? peak_avx512() : peak_avx2();
	p->gflops = peak_flop() / (seconds() - start) / 1e9;
	return NULL;
}
#endif

/* GFLOP/s of all threads at once; 0 where this program has no loop for the machine. */
static double measure_peak(void)
{
	double sum = 0;
#if defined(__x86_64__)
	pthread_t thread[MAX_THREADS];
	peak_run p[MAX_THREADS];

	for (int i = 1; i < run.threads; i++)
		if (pthread_create(&thread[i], NULL, peak_thread, &p[i]))
			die("no threads");
	peak_thread(&p[0]);
	for (int i = 1; i < run.threads; i++)
		pthread_join(thread[i], NULL);
	for (int i = 0; i < run.threads; i++)
		sum += p[i].gflops;
#endif
	return sum;
}

/* ---- who multiplies ---------------------------------------------------------------------------
 */

static const char *const names[PEERS] = {"cairn", "packed", "OpenBLAS", "oneDNN"};

typedef struct operands {
	float *A, *B, *C;
	cairn_packed *packed;
} operands;

/* Gradients of weights have nothing that could be packed before. */
static bool takes_part(enum peer who, const size *s)
{
	switch (who) {
	case CAIRN:
		return true;
	case PACKED:
		return !s->add;
	case OPENBLAS:
		return run.openblas != NULL && !s->cut;
	case ONEDNN:
		return run.onednn != NULL && !s->cut;
	case PEERS:
		break;
	}
	return false;
}

static void multiply(enum peer who, const size *s, const operands *o)
{
	int64_t lda = s->ta ? s->M : s->K, ldb = s->tb ? s->K : s->N;
	int64_t ldc = s->ldc ? s->ldc : s->N;
	float beta = s->add ? 1 : 0;

	if (who == CAIRN || who == PACKED)
		run.own.gemm(&run.own, &(cairn_gemm){.M = s->M,
					       .N = s->N,
					       .K = s->K,
					       .transpose_a = s->ta,
					       .transpose_b = s->tb,
					       .accumulate = s->add,
					       .A = o->A,
					       .lda = lda,
					       .B = o->B,
					       .ldb = ldb,
					       .C = o->C,
					       .ldc = ldc,
					       .cut = s->cut,
					       .packed = who == PACKED ? o->packed : NULL});
	else if (who == OPENBLAS)
		run.openblas(101, s->ta ? 112 : 111, s->tb ? 112 : 111, (int)s->M, (int)s->N,
			(int)s->K, 1, o->A, (int)lda, o->B, (int)ldb, beta, o->C, (int)ldc);
	else
		(void)run.onednn(s->ta ? 'T' : 'N', s->tb ? 'T' : 'N', s->M, s->N, s->K, 1, o->A,
			lda, o->B, ldb, beta, o->C, ldc);
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
	find(library, "cblas_sgemm", &run.openblas, sizeof(run.openblas));
	find(library, "openblas_set_num_threads", &set_threads, sizeof(set_threads));
	find(library, "openblas_get_corename", &core, sizeof(core));
	if (set_threads)
		set_threads(threads);
	printf("OpenBLAS: %s\n", core ? core() : "not installed");
	library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
	find(library, "dnnl_sgemm", &run.onednn, sizeof(run.onednn));
	printf("oneDNN: %s\n", run.onednn ? "libdnnl.so.2" : "not installed");
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
	if (!backend || backend->open(&run.own, threads, &err))
		die(err.message);
}

/* ---- timing -----------------------------------------------------------------------------------
 */

static void *room(size_t bytes)
{
	void *x = run.own.alloc(&run.own, bytes);

	if (!x)
		die("no memory");
	return x;
}

static float *filled(int64_t n)
{
	float *x = room((size_t)n * sizeof(*x));

	for (int64_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761 % 1000) / 1000 - 0.5f;
	return x;
}

/* What the rounds of one contestant gave. */
typedef struct series {
	double gflops[ROUNDS], share[ROUNDS]; /* share: of the peak, measured just before */
} series;

static void print_series(series *s)
{
	printf("  %7.1f %3.0f%%", median(s->gflops, ROUNDS), 100 * median(s->share, ROUNDS));
}

/* One round: as many calls as take about ten milliseconds. */
static void round_speed(enum peer who, const size *s, const operands *o, series *to, int round)
{
	double flop = 2.0 * (double)s->M * (double)s->N * (double)s->K, start;
	int calls = (int)(2e9 / flop) + 1;
	double peak;

	/* The threads of the one before still watch for work, on cores that this one needs. */
	usleep(20000);
	peak = measure_peak();
	multiply(who, s, o);
	start = seconds();
	for (int i = 0; i < calls; i++)
		multiply(who, s, o);
	to->gflops[round] = flop * calls / (seconds() - start) / 1e9;
	to->share[round] = peak > 0 ? to->gflops[round] / peak : 0;
}

static bool wanted(const char *name)
{
	return strncmp(name, run.what, strlen(run.what)) == 0;
}

static void bench(const size *s)
{
	operands o = {filled(s->M * s->K), filled(s->K * s->N),
		filled(s->M * (s->ldc ? s->ldc : s->N)), NULL};
	series speed[PEERS];

	o.packed = run.own.pack(&run.own, o.B, s->tb ? s->K : s->N, s->K, s->N, s->tb);
	if (!o.packed)
		die("no memory");
	for (int round = 0; round < ROUNDS; round++)
		for (enum peer who = 0; who < PEERS; who++)
			if (takes_part(who, s))
				round_speed(who, s, &o, &speed[who], round);
	printf("%-6s %-16s %6lld %6lld %6lld %c%c", s->name, s->part, (long long)s->M,
		(long long)s->N, (long long)s->K, s->ta ? 'T' : 'N', s->tb ? 'T' : 'N');
	for (enum peer who = 0; who < PEERS; who++) {
		if (takes_part(who, s))
			print_series(&speed[who]);
		else
			printf("  %12s", "-");
	}
	printf("\n");
	fflush(stdout);
	run.own.pack_free(&run.own, o.packed);
	run.own.free(&run.own, o.A);
	run.own.free(&run.own, o.B);
	run.own.free(&run.own, o.C);
}

/* y = x W, and the way back to x and to W. */
static void bench_linear(const model *m, const struct linear *l)
{
	int64_t in = l->in * m->C, out = l->out * m->C;
	char part[32];
	size s = {m->name, part, m->R, out, .K = in};

	snprintf(part, sizeof(part), "%s forward", l->name);
	bench(&s);
	snprintf(part, sizeof(part), "%s back to x", l->name);
	s = (size){m->name, part, m->R, in, out, .tb = true};
	bench(&s);
	snprintf(part, sizeof(part), "%s back to w", l->name);
	s = (size){m->name, part, in, out, m->R, .ta = true, .add = true};
	bench(&s);
}

/* ---- the unembedding and sampling as they are called
 * ---------------------------------------------
 */

typedef struct head_case {
	cairn_lm_head head;
	cairn_sample sample;
	double flop;
} head_case;

static void head_speed(const head_case *c, bool sample, series *to, int round)
{
	int calls = (int)(2e9 / c->flop) + 1;
	double start = 0, peak;

	usleep(20000);
	peak = measure_peak();
	for (int i = -1; i < calls; i++) {
		if (i == 0)
			start = seconds();
		if (sample)
			run.own.sample(&run.own, &c->sample);
		else
			run.own.lm_head(&run.own, &c->head);
	}
	to->gflops[round] = c->flop * calls / (seconds() - start) / 1e9;
	to->share[round] = peak > 0 ? to->gflops[round] / peak : 0;
}

/* The table's own alloc() is not given back: the program ends soon. */
static head_case make_head(const model *m, int64_t R)
{
	head_case c = {.head = {.R = R, .C = m->C, .V = m->V, .temperature = 1}};
	int32_t *target = room((size_t)R * sizeof(*target));
	uint64_t *id = room((size_t)R * sizeof(*id));

	for (int64_t r = 0; r < R; r++) {
		target[r] = (int32_t)(r * 7919 % m->V);
		id[r] = (uint64_t)r;
	}
	c.head.h = filled(R * m->C);
	c.head.wte = filled(m->V * m->C);
	c.head.target = target;
	c.head.logprob = room((size_t)R * sizeof(float));
	c.head.dlogprob = filled(R);
	c.head.dh = filled(R * m->C);
	c.head.dwte = filled(m->V * m->C);
	c.sample = (cairn_sample){.R = R,
		.C = m->C,
		.V = m->V,
		.h = c.head.h,
		.wte = c.head.wte,
		.temperature = 1,
		.top_p = 1,
		.row_id = id,
		.token = target,
		.logprob = c.head.logprob};
	return c;
}

static void bench_head(const model *m, const char *part, int64_t R, int64_t cut, bool sample)
{
	head_case plain = make_head(m, R), packed = plain;
	series speed[2];

	plain.flop = packed.flop = (sample ? 2.0 : 6.0) * (double)R * (double)m->C * (double)m->V;
	plain.head.cut = packed.head.cut = cut;
	packed.head.packed_logits = run.own.pack(&run.own, plain.head.wte, m->C, m->C, m->V, true);
	packed.head.packed_dh = run.own.pack(&run.own, plain.head.wte, m->C, m->V, m->C, false);
	packed.sample.packed = packed.head.packed_logits;
	for (int round = 0; round < ROUNDS; round++) {
		head_speed(&plain, sample, &speed[0], round);
		head_speed(&packed, sample, &speed[1], round);
	}
	printf("%-6s %-16s %6lld %6lld %6lld   ", m->name, part, (long long)R, (long long)m->V,
		(long long)m->C);
	print_series(&speed[0]);
	print_series(&speed[1]);
	printf("\n");
	fflush(stdout);
}

static void bench_model(const model *m)
{
	for (size_t l = 0; l < CAIRN_COUNT(linears); l++)
		bench_linear(m, &linears[l]);
	bench_head(m, "lm_head", m->R, 0, false);
	bench_head(m, "lm_head cut 128", m->R, 128, false);
	bench_head(m, "sample", 64, 0, true);
}

/* What ending sums with sequences of T rows costs a layer's widest gradient. */
static void bench_cut(const model *m)
{
	static const int64_t cuts[] = {0, 256, 128, 64, 32, 16};

	for (size_t i = 0; i < CAIRN_COUNT(cuts); i++) {
		char part[32];
		size s = {
			"cut", part, m->C, 4 * m->C, m->R, .ta = true, .add = true, .cut = cuts[i]};

		snprintf(part, sizeof(part), "%s fc T %d", m->name, (int)cuts[i]);
		bench(&s);
	}
}

int main(int argc, char **argv)
{
	run.threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 2;
	run.what = argc > 2 ? argv[2] : "";
	if (run.threads < 1 || run.threads > MAX_THREADS)
		die("usage: bench-gemm [THREADS [WHAT]]");
	if (run.threads == 1)
		clock_of_run = CLOCK_THREAD_CPUTIME_ID;
	open_own(run.threads);
	open_peers(run.threads);
	printf("backend: %s, %d threads; FMA peak, measured: %.1f GFLOP/s\n", run.own.name,
		run.threads, measure_peak());
	printf("%-23s %6s %6s %6s   ", "GFLOP/s", "M", "N", "K");
	for (enum peer who = 0; who < PEERS; who++)
		printf("  %12s", names[who]);
	printf("\n");
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++)
		if (wanted(sizes[i].name))
			bench(&sizes[i]);
	for (size_t i = 0; i < CAIRN_COUNT(models); i++)
		if (wanted(models[i].name))
			bench_model(&models[i]);
	for (size_t i = 0; i < CAIRN_COUNT(models); i++)
		if (wanted("cut"))
			bench_cut(&models[i]);
	return 0;
}
