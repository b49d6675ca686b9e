/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo.c - how long one whole PPO-ptx iteration takes on a backend, and where its time goes.
 *
 * Usage: bench-ppo BACKEND_SO NAME BATCH MINIBATCH PROMPT NEW PTX_RATIO THREADS [MICRO]. The ppo
 * stage's own rollout and updates with random weights: BATCH prompts of PROMPT/2..PROMPT tokens,
 * responses of at most NEW, reward model and value function of the policy's size, passes of at most
 * MICRO positions (4096).
 *
 * The first iteration grows buffers and is not counted; the line of JSON tells of the median one of
 * the next. Then one more, with every call of the kernel table timed (what is left is the stage's
 * own code): the share of each kind of kernel, the share of each account of the ledger, and how
 * much of the whole the products are. There every call is waited for and none is captured: on a
 * device that iteration takes longer than the others, and the shares are of its time.
 *
 * With one thread in the host's memory CPU time is taken, which others on the machine disturb
 * least; else wall time.
 */
#include <string.h>
#include <time.h>

#include "common.h"
#include "gpt/rng.h"
#include "ppo/ppo.h"

enum kind {
	GEMM,
	LM_HEAD,
	SAMPLE,
	ATTENTION,
	DECODE,
	LAYERNORM,
	ELEMENTS,
	OPTIMIZER,
	PACK,
	MEMORY,
	KINDS
};

static const char *const kind_names[KINDS] = {"gemm", "lm_head", "sample", "attention", "decode",
	"layernorm", "elementwise", "optimizer", "pack", "memory"};
static const char *const account_names[CAIRN_ACCOUNTS] = {"other", "forward", "backward", "rollout",
	"reference", "reward", "value", "ptx", "optimizer"};

enum {
	ROUNDS = 3, /* iterations that are measured */
};

static cairn_kernels inner;
static clockid_t time_source;
static double by_kind[KINDS], by_account[CAIRN_ACCOUNTS];
static int account;

static double now(void)
{
	struct timespec t;

	clock_gettime(time_source, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void book(enum kind kind, double since)
{
	double spent;

	bench_wait(&inner);
	spent = now() - since;
	by_kind[kind] += spent;
	by_account[account] += spent;
}

/* A kernel that is timed: its kind, name, parameters and arguments behind the table. */
#define TIMED(kind, name, parameters, arguments) \
	static void timed_##name parameters      \
	{                                        \
		double since = now();            \
                                                 \
		(void)k;                         \
		inner.name arguments;            \
		book(kind, since);               \
	}

typedef const cairn_kernels *table;

TIMED(GEMM, gemm, (table k, const cairn_gemm *g), (&inner, g))
TIMED(LM_HEAD, lm_head, (table k, const cairn_lm_head *h), (&inner, h))
TIMED(SAMPLE, sample, (table k, const cairn_sample *s), (&inner, s))
TIMED(ATTENTION, attention, (table k, const cairn_attention *a), (&inner, a))
TIMED(ATTENTION, attention_backward, (table k, const cairn_attention *a), (&inner, a))
TIMED(DECODE, decode, (table k, const cairn_decode *d), (&inner, d))
TIMED(LAYERNORM, layernorm,
	(table k, cairn_act *out, cairn_real *mean, cairn_real *rstd, cairn_act *sum,
		const cairn_act *a, const cairn_act *b, const cairn_real *gain,
		const cairn_real *bias, int64_t R, int64_t C),
	(&inner, out, mean, rstd, sum, a, b, gain, bias, R, C))
TIMED(LAYERNORM, layernorm_backward,
	(table k, cairn_act *dx, cairn_real *dgain, cairn_real *dbias, const cairn_act *dout,
		const cairn_act *x, const cairn_real *gain, const cairn_real *mean,
		const cairn_real *rstd, int64_t R, int64_t C, int64_t cut),
	(&inner, dx, dgain, dbias, dout, x, gain, mean, rstd, R, C, cut))
TIMED(ELEMENTS, gelu_backward, (table k, cairn_act *d, const cairn_act *z, int64_t n),
	(&inner, d, z, n))
TIMED(ELEMENTS, bias_backward,
	(table k, cairn_real *dbias, const void *dout, bool act, int64_t R, int64_t N, int64_t cut),
	(&inner, dbias, dout, act, R, N, cut))
TIMED(ELEMENTS, embed,
	(table k, cairn_act *out, const int32_t *token, const int32_t *position,
		const cairn_real *wte, const cairn_real *wpe, int64_t R, int64_t C),
	(&inner, out, token, position, wte, wpe, R, C))
TIMED(ELEMENTS, embed_backward,
	(table k, cairn_real *dwte, cairn_real *dwpe, const cairn_act *dout, const int32_t *token,
		const int32_t *position, int64_t R, int64_t C),
	(&inner, dwte, dwpe, dout, token, position, R, C))
TIMED(ELEMENTS, gather_rows,
	(table k, cairn_act *out, const cairn_act *x, const int32_t *index, int64_t n, int64_t C),
	(&inner, out, x, index, n, C))
TIMED(ELEMENTS, scatter_rows,
	(table k, cairn_real *x, const cairn_real *rows, const int32_t *index, int64_t n,
		int64_t C),
	(&inner, x, rows, index, n, C))
TIMED(ELEMENTS, axpy, (table k, cairn_real *y, const cairn_real *x, double a, int64_t n),
	(&inner, y, x, a, n))
TIMED(OPTIMIZER, adam, (table k, const cairn_adam *a), (&inner, a))
TIMED(OPTIMIZER, ema, (table k, cairn_real *average, const cairn_real *w, double decay, int64_t n),
	(&inner, average, w, decay, n))
TIMED(PACK, repack, (table k, cairn_packed *packed, const cairn_real *B, int64_t ldb),
	(&inner, packed, B, ldb))
TIMED(MEMORY, free, (table k, void *dev), (&inner, dev))
TIMED(MEMORY, write, (table k, void *dev, const void *host, size_t n), (&inner, dev, host, n))
TIMED(MEMORY, read, (table k, void *host, const void *dev, size_t n), (&inner, host, dev, n))
TIMED(MEMORY, copy, (table k, void *to, const void *from, size_t n), (&inner, to, from, n))
TIMED(MEMORY, zero, (table k, void *dev, size_t n), (&inner, dev, n))
TIMED(MEMORY, cache_fill,
	(table k, cairn_act *cache, const cairn_act *qkv, const int32_t *slot,
		const int32_t *lengths, int64_t B, int64_t T, int64_t NH, int64_t D, int64_t T_max),
	(&inner, cache, qkv, slot, lengths, B, T, NH, D, T_max))

static void *timed_alloc(table k, size_t bytes)
{
	double since = now();
	void *dev = inner.alloc(&inner, bytes);

	(void)k;
	book(MEMORY, since);
	return dev;
}

static double timed_sum_squares(table k, const float *x, int64_t n)
{
	double since = now(), sum = inner.sum_squares(&inner, x, n);

	(void)k;
	book(OPTIMIZER, since);
	return sum;
}

/* Nothing is captured: what is replayed cannot be told apart. */
static cairn_kernels timed_table(void)
{
	cairn_kernels k = inner;

	k.capture_begin = NULL;
	k.alloc = timed_alloc;
	k.free = timed_free;
	k.repack = timed_repack;
	k.gemm = timed_gemm;
	k.lm_head = timed_lm_head;
	k.sample = timed_sample;
	k.attention = timed_attention;
	k.attention_backward = timed_attention_backward;
	k.decode = timed_decode;
	k.layernorm = timed_layernorm;
	k.layernorm_backward = timed_layernorm_backward;
	k.gelu_backward = timed_gelu_backward;
	k.bias_backward = timed_bias_backward;
	k.embed = timed_embed;
	k.embed_backward = timed_embed_backward;
	k.gather_rows = timed_gather_rows;
	k.scatter_rows = timed_scatter_rows;
	k.axpy = timed_axpy;
	k.adam = timed_adam;
	k.ema = timed_ema;
	k.write = timed_write;
	k.read = timed_read;
	k.copy = timed_copy;
	k.zero = timed_zero;
	k.cache_fill = timed_cache_fill;
	k.sum_squares = timed_sum_squares;
	return k;
}

/* ---- the stage ----------------------------------------------------------------------------------
 */

static void host_account(cairn_run *run, int to, uint64_t real, uint64_t padded)
{
	(void)run;
	(void)real;
	(void)padded;
	account = to;
}

static int host_fail(cairn_run *run, int code, const char *format, ...)
{
	va_list args;

	(void)run;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(code ? 1 : 0);
}

static int host_fail_with(cairn_run *run, const cairn_error *error)
{
	return host_fail(run, error->code, "%s", error->message);
}

static void host_hint(cairn_run *run, const char *format, ...)
{
	(void)run;
	(void)format;
}

static const cairn_host host = {
	.head = CAIRN_STAGE_HEAD(cairn_host),
	.account = host_account,
	.fail = host_fail,
	.fail_with = host_fail_with,
	.hint = host_hint,
};

static gpt_model *network(
	const cairn_kernels *k, const gpt_config *config, enum gpt_head head, unsigned flags)
{
	gpt_model *model = NULL;
	cairn_error err = {0};

	if (gpt_model_new(&model, k, config, head, flags, &err))
		bench_die("model", &err);
	gpt_model_init(model, 1);
	return model;
}

static gpt_adam *adam(const gpt_model *model)
{
	gpt_adam_options options = {.beta1 = .9, .beta2 = .95, .eps = 1e-5};
	gpt_adam *out = NULL;
	cairn_error err = {0};

	if (gpt_adam_new(&out, model, &options, &err))
		bench_die("optimizer", &err);
	return out;
}

static void *room(size_t n, size_t size)
{
	void *out = calloc(n, size);

	if (!out)
		bench_die("out of memory", NULL);
	return out;
}

static void add_prompts(ppo_stage *stage, int32_t longest, int32_t V)
{
	size_t n = 4 * (size_t)stage->params->batch;
	gpt_examples *prompts = &stage->prompts;
	int32_t *tokens = room(n * (size_t)longest, sizeof(*tokens));

	prompts->n = n;
	prompts->seqs = room(n, sizeof(*prompts->seqs));
	prompts->row = room(n, sizeof(*prompts->row));
	for (size_t i = 0; i < n; i++) {
		int32_t len =
			longest - (int32_t)gpt_random_below(2, 0, i, (uint64_t)(longest / 2) + 1);

		for (int32_t t = 0; t < len; t++)
			tokens[i * (size_t)longest + (size_t)t] =
				1 + (int32_t)gpt_random_below(3, i, (uint64_t)t, (uint64_t)V - 1);
		prompts->seqs[i] = (gpt_seq){
			.tokens = tokens + i * (size_t)longest, .n = len, .first = len, .unit = i};
	}
	if (gpt_order_init(&stage->order, &stage->work, 3, n))
		bench_die("prompts", NULL);
}

static void add_text(ppo_stage *stage, int32_t length, int32_t V)
{
	enum {
		N = 100000
	};
	int32_t *tokens = room(N, sizeof(*tokens));

	for (uint64_t i = 0; i < N; i++)
		tokens[i] = (int32_t)gpt_random_below(4, 0, i, (uint64_t)V);
	stage->text = (gpt_text){.train = tokens, .n_train = N};
	stage->ptx_length = length;
}

static void open_stage(ppo_stage *stage, const cairn_kernels *k, const gpt_config *config,
	const ppo_params *params)
{
	size_t batch = (size_t)params->batch;

	stage->params = params;
	gpt_work_init(&stage->work, &host, NULL, params->micro_tokens);
	stage->end_token = 0;
	stage->score = ppo_score;
	stage->policy = network(k, config, GPT_HEAD_LM, GPT_TRAINABLE);
	stage->reference = network(k, config, GPT_HEAD_LM, 0);
	stage->reward = network(k, config, GPT_HEAD_SCALAR, 0);
	stage->value = network(k, config, GPT_HEAD_SCALAR, GPT_TRAINABLE);
	stage->policy_adam = adam(stage->policy);
	stage->value_adam = adam(stage->value);
	stage->ema = k->alloc(k, stage->policy->n_params * sizeof(cairn_real));
	add_prompts(stage, (int32_t)params->max_prompt, config->n_vocab);
	add_text(stage, config->n_ctx, config->n_vocab);
	stage->limits.max_response = (int32_t)params->max_new;
	stage->iterations = 10;
	stage->per_iteration = (uint64_t)(params->batch / params->minibatch);
	stage->at.beta = params->beta;
	stage->shuffled = room(batch, sizeof(*stage->shuffled));
	stage->minibatch = room(batch, sizeof(*stage->minibatch));
	stage->ptx = room(batch * (size_t)params->ptx_ratio + 1, sizeof(*stage->ptx));
	stage->scratch = room(batch * (size_t)params->max_new, sizeof(*stage->scratch));
	if (!stage->ema || ppo_rollout_init(stage))
		bench_die("out of memory", NULL);
}

static void iterate(ppo_stage *stage, uint64_t i)
{
	if (ppo_rollout_make(stage, i))
		exit(1);
	for (uint64_t u = 0; u < stage->per_iteration; u++) {
		if (ppo_update(stage, i, u))
			exit(1);
		stage->at.update++;
	}
}

static void print_shares(double total)
{
	double kernels = 0, products = by_kind[GEMM] + by_kind[LM_HEAD] + by_kind[SAMPLE];

	for (int i = 0; i < KINDS; i++)
		kernels += by_kind[i];
	for (int i = 0; i < KINDS; i++)
		printf("  %-12s %5.1f %%\n", kind_names[i], 100 * by_kind[i] / total);
	printf("  %-12s %5.1f %%\n", "stage", 100 * (total - kernels) / total);
	printf("by account:");
	for (int i = 0; i < CAIRN_ACCOUNTS; i++)
		if (by_account[i] > 0)
			printf(" %s %.1f %%", account_names[i], 100 * by_account[i] / total);
	printf("\nproducts (gemm, lm_head, sample): %.1f %%; with attention %.1f %%\n",
		100 * products / total,
		100 * (products + by_kind[ATTENTION] + by_kind[DECODE]) / total);
}

static uint64_t drawn_tokens(const ppo_stage *stage)
{
	return stage->rollout.first[stage->rollout.n];
}

/* One that is looked into. */
static void share_out(ppo_stage *stage, cairn_kernels *k, const char *shape)
{
	double since, total;

	*k = timed_table();
	since = now();
	iterate(stage, ROUNDS + 1);
	total = now() - since;
	printf("%s: %.3f s an iteration with all kernels timed, %llu drawn tokens\n", shape, total,
		(unsigned long long)drawn_tokens(stage));
	print_shares(total);
}

static void measure(ppo_stage *stage, const cairn_kernels *k, const char *shape)
{
	double seconds[ROUNDS], sorted[ROUNDS], median;
	uint64_t drawn[ROUNDS];
	int middle = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double since = now();

		iterate(stage, (uint64_t)round + 1);
		bench_wait(k);
		seconds[round] = now() - since;
		drawn[round] = drawn_tokens(stage);
	}
	memcpy(sorted, seconds, sizeof(sorted));
	median = bench_median(sorted, ROUNDS);
	while (seconds[middle] != median)
		middle++;
	printf("{\"who\": \"cairn %s\", \"shape\": \"%s\", \"iteration_s\": %.4f, "
	       "\"drawn_tokens\": %llu, \"tokens_per_s\": %.1f, \"peak_mib\": %.0f}\n",
		k->name, shape, median, (unsigned long long)drawn[middle],
		(double)drawn[middle] / median, (double)k->peak_bytes(k) / 1048576);
}

int main(int argc, char **argv)
{
	static ppo_stage stage;
	static cairn_kernels k;
	static cairn_meter meter;

	if (argc != 9 && argc != 10) {
		fprintf(stderr,
			"usage: bench-ppo BACKEND_SO NAME BATCH MINIBATCH PROMPT NEW PTX_RATIO "
			"THREADS [MICRO]\n");
		return 2;
	}
	int threads = (int)strtol(argv[8], NULL, 10);
	ppo_params params = {
		.batch = strtol(argv[3], NULL, 10),
		.minibatch = strtol(argv[4], NULL, 10),
		.max_prompt = strtol(argv[5], NULL, 10),
		.max_new = strtol(argv[6], NULL, 10),
		.ptx_ratio = strtol(argv[7], NULL, 10),
		.inner_epochs = 1,
		.micro_tokens = argc > 9 ? strtol(argv[9], NULL, 10) : 4096,
		.temperature = 1,
		.beta = .02,
		.lr = 1e-5,
		.value_lr = 1e-5,
		.ema = .992,
		.gamma_rl = 1,
		.gae_lambda = .95,
		.clip = .2,
		.value_clip = .2,
	};
	params.gamma_ptx = params.ptx_ratio > 0 ? 27.8 : 0;
	gpt_config config = bench_shape(argv[2], params.max_prompt + params.max_new);
	bench_open(&inner, &meter, argv[1], threads);
	time_source =
		threads == 1 && inner.in_host_memory ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
	k = inner;
	open_stage(&stage, &k, &config, &params);
	iterate(&stage, 0);
	measure(&stage, &k, argv[2]);
	share_out(&stage, &k, argv[2]);
	return 0;
}
