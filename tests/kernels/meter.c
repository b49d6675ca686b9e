/* SPDX-License-Identifier: Apache-2.0 */
/* meter.c - booked counts against closed forms, accounts, and that nothing is lost on the way. */
#include "kernels/meter.h"

#include <math.h>
#include <string.h>

#include "harness.h"

typedef struct metered {
	cairn_kernels table;
	cairn_meter meter;
} metered;

static const cairn_kernels *wrap(metered *m)
{
	memset(m, 0, sizeof(*m));
	cairn_meter_wrap(&m->table, cpu_table(NULL, 2), &m->meter);
	return &m->table;
}

static void test_kernels_meter__table_is_complete(void **state)
{
	metered m;
	const cairn_kernels *k = wrap(&m), *inner = cpu_table(NULL, 2);
	const size_t from = offsetof(cairn_kernels, alloc);

	(void)state;
	for (size_t at = from; at < sizeof(*k); at += sizeof(void (*)(void))) {
		void (*mine)(void), (*theirs)(void);

		memcpy(&mine, (const char *)k + at, sizeof(mine));
		memcpy(&theirs, (const char *)inner + at, sizeof(theirs));
		assert_true(
			(mine != NULL) == (theirs != NULL)); /* a backend need not have graphs */
		assert_true(!mine || mine != theirs);
	}
	assert_string_equal(k->name, inner->name);
	assert_string_equal(k->numerics, CAIRN_NUMERICS);
	assert_int_equal(k->threads, inner->threads);
	assert_int_equal(k->act_bytes, inner->act_bytes);
	assert_int_equal(k->batch_invariant, inner->batch_invariant);
}

/* ---- graphs ------------------------------------------------------------------------------- */

static int n_captures, n_replays, n_freed;

static void fake_begin(const cairn_kernels *k)
{
	(void)k;
	n_captures++;
}

static cairn_graph *fake_end(const cairn_kernels *k)
{
	(void)k;
	return (cairn_graph *)&n_captures;
}

static void fake_replay(const cairn_kernels *k, cairn_graph *graph, int64_t n_keys)
{
	(void)k;
	assert_ptr_equal(graph, &n_captures);
	assert_int_equal(n_keys, 100);
	n_replays++;
}

static void fake_free(const cairn_kernels *k, cairn_graph *graph)
{
	(void)k;
	assert_ptr_equal(graph, &n_captures);
	n_freed++;
}

static void fake_scale(const cairn_kernels *k, cairn_real *x, double a, int64_t n)
{
	(void)k, (void)x, (void)a, (void)n;
}

static void fake_gemm(const cairn_kernels *k, const cairn_gemm *g)
{
	(void)k, (void)g;
}

static void fake_lm_head(const cairn_kernels *k, const cairn_lm_head *h)
{
	(void)k, (void)h;
}

static void fake_decode(const cairn_kernels *k, const cairn_decode *d)
{
	(void)k, (void)d;
}

/* What is captured is booked when it is replayed, each time, with the keys of that time. */
static void test_kernels_meter__books_replays(void **state)
{
	const cairn_kernels inner = {.scale = fake_scale,
		.gemm = fake_gemm,
		.decode = fake_decode,
		.capture_begin = fake_begin,
		.capture_end = fake_end,
		.replay = fake_replay,
		.graph_free = fake_free};
	cairn_meter meter = {0};
	cairn_kernels k;
	cairn_graph *graph;

	(void)state;
	cairn_meter_wrap(&k, &inner, &meter);
	cairn_meter_account(&meter, CAIRN_ACCOUNT_ROLLOUT, 1, 2);
	k.capture_begin(&k);
	k.scale(&k, NULL, 1, 10);
	k.gemm(&k, &(cairn_gemm){.M = 2, .N = 3, .K = 4});
	k.decode(&k, &(cairn_decode){.NH = 2, .D = 3, .n_keys = 7});
	graph = k.capture_end(&k);
	assert_non_null(graph);
	assert_true(cairn_meter_total(&meter) == 0);
	for (int i = 1; i <= 2; i++) {
		k.replay(&k, graph, 100);
		assert_true(meter.flop[CAIRN_ACCOUNT_ROLLOUT] == i * (10 + 48 + 2400));
		assert_true(meter.flop_real[CAIRN_ACCOUNT_ROLLOUT] == i * (10 + 48 + 2400) / 2.0);
		assert_true(meter.gemm_flop == i * (48 + 2400));
	}
	/* Under the account of the replay, whatever it was captured for. */
	cairn_meter_account(&meter, CAIRN_ACCOUNT_VALUE, 0, 0);
	k.replay(&k, graph, 100);
	assert_true(meter.flop[CAIRN_ACCOUNT_VALUE] == 10 + 48 + 2400);
	cairn_meter_account(&meter, CAIRN_ACCOUNT_ROLLOUT, 1, 2);
	k.graph_free(&k, graph);
	k.graph_free(&k, NULL);
	assert_int_equal(n_captures, 1);
	assert_int_equal(n_replays, 3);
	assert_int_equal(n_freed, 1);
	k.scale(&k, NULL, 1, 10); /* at once again */
	assert_true(meter.flop[CAIRN_ACCOUNT_ROLLOUT] == 2 * 2458 + 10);
}

/* The logits of lm_head are a forward pass, in a replay as in a call. */
static void test_kernels_meter__heads_in_graphs(void **state)
{
	const cairn_kernels inner = {.lm_head = fake_lm_head,
		.capture_begin = fake_begin,
		.capture_end = fake_end,
		.replay = fake_replay,
		.graph_free = fake_free};
	const cairn_real weight = 0;
	const cairn_lm_head head = {.R = 2, .C = 3, .V = 4, .dlogprob = &weight};
	cairn_meter called = {0}, replayed = {0};
	cairn_kernels a, b;
	cairn_graph *graph;

	(void)state;
	cairn_meter_wrap(&a, &inner, &called);
	cairn_meter_wrap(&b, &inner, &replayed);
	cairn_meter_account(&replayed, CAIRN_ACCOUNT_PTX, 0, 0);
	b.capture_begin(&b);
	b.lm_head(&b, &head);
	graph = b.capture_end(&b);
	for (int account = 0; account < CAIRN_ACCOUNTS; account++) {
		cairn_meter_account(&called, account, 3, 4);
		cairn_meter_account(&replayed, account, 3, 4);
		a.lm_head(&a, &head);
		b.replay(&b, graph, 100);
		assert_memory_equal(called.flop, replayed.flop, sizeof(called.flop));
		assert_memory_equal(called.flop_real, replayed.flop_real, sizeof(called.flop));
		assert_true(called.gemm_flop == replayed.gemm_flop);
	}
	assert_true(called.flop[CAIRN_ACCOUNT_BACKWARD] == 96);
	b.graph_free(&b, graph);
}

/* A cairn_lm_head, attention and so on through the meter give what they give without. */
static void run_all(const cairn_kernels *k, outcome *out)
{
	enum {
		B = 2,
		T = 9,
		NH = 2,
		D = 5,
		C = NH * D,
		V = 11,
		R = B * T
	};
	float *h = normal(k, R * C, 1, 1), *wte = normal(k, V * C, 2, 1);
	float *x = poisoned(k, R * 3 * C), *w = normal(k, C * 3 * C, 3, 1);
	cairn_gemm g = {.M = R,
		.N = 3 * C,
		.K = C,
		.gelu = true,
		.A = h,
		.lda = C,
		.B = w,
		.ldb = 3 * C,
		.C = x,
		.ldc = 3 * C,
		.bias = w};
	cairn_attention a = {.B = B, .T = T, .NH = NH, .D = D, .qkv = x, .dout = h};
	cairn_lm_head l = {.R = R, .C = C, .V = V, .h = h, .wte = wte, .temperature = 1};

	k->gemm(k, &g);
	a.out = poisoned(k, R * C);
	a.lse = poisoned(k, R * NH);
	a.dqkv = poisoned(k, R * 3 * C);
	k->attention(k, &a);
	k->attention_backward(k, &a);
	l.target = random_ints(k, R, 4, V);
	l.logprob = poisoned(k, R);
	l.dlogprob = h;
	l.dh = poisoned(k, R * C);
	l.dwte = wte;
	k->lm_head(k, &l);
	emit(out, k, x, R * 3 * C, 0);
	emit(out, k, a.out, R * C, 0);
	emit(out, k, a.dqkv, R * 3 * C, 0);
	emit(out, k, l.logprob, R, 0);
	emit(out, k, wte, V * C, 0);
	emit_value(out, k->sum_squares(k, h, R * C), 0);
}

static void test_kernels_meter__passes_everything_on(void **state)
{
	metered m;
	outcome with = {0}, without = {0};

	(void)state;
	run_all(wrap(&m), &with);
	run_all(cpu_table(NULL, 2), &without);
	drop_tensors();
	assert_int_equal(with.n, without.n);
	assert_memory_equal(with.data, without.data, sizeof(float) * with.n);
	outcome_free(&with);
	outcome_free(&without);
}

static void test_kernels_meter__counts_products(void **state)
{
	enum {
		B = 2,
		T = 9,
		NH = 2,
		D = 5,
		C = NH * D,
		V = 11,
		R = B * T
	};
	metered m;
	outcome out = {0};
	double gemm = 2.0 * R * 3 * C * C, head = 6.0 * R * C * V;
	double attention = 4.0 * D * NH * B * (T * (T + 1) / 2);
	double rest = 9.0 * R * 3 * C + 2.0 * R * C; /* bias and gelu, sum_squares */

	(void)state;
	run_all(wrap(&m), &out);
	outcome_free(&out);
	drop_tensors();
	assert_true(m.meter.gemm_flop == gemm + head + 3.5 * attention);
	assert_true(cairn_meter_total(&m.meter) == m.meter.gemm_flop + rest);
	assert_true(cairn_meter_total_real(&m.meter) == cairn_meter_total(&m.meter));
	assert_true(m.meter.flop[CAIRN_ACCOUNT_OTHER] == cairn_meter_total(&m.meter));
}

/* The unembedding of a training pass is one kernel; a third of it is a forward pass. */
static void test_kernels_meter__tells_the_heads_forward_pass_apart(void **state)
{
	enum {
		R = 4,
		C = 8,
		V = 11
	};
	const double product = 2.0 * R * C * V;
	metered m;
	const cairn_kernels *k = wrap(&m);
	cairn_lm_head h = {.R = R, .C = C, .V = V, .temperature = 1};

	(void)state;
	h.h = normal(k, R * C, 1, 1);
	h.wte = h.dwte = normal(k, V * C, 2, 1);
	h.target = random_ints(k, R, 4, V);
	h.logprob = poisoned(k, R);
	h.dlogprob = normal(k, R, 3, 1);
	h.dh = poisoned(k, R * C);
	cairn_meter_account(&m.meter, CAIRN_ACCOUNT_BACKWARD, 0, 0);
	k->lm_head(k, &h);
	assert_true(m.meter.flop[CAIRN_ACCOUNT_FORWARD] == product);
	assert_true(m.meter.flop[CAIRN_ACCOUNT_BACKWARD] == 2 * product);
	cairn_meter_account(&m.meter, CAIRN_ACCOUNT_PTX, 0, 0);
	k->lm_head(k, &h);
	assert_true(m.meter.flop[CAIRN_ACCOUNT_PTX] == 3 * product);
	assert_true(m.meter.gemm_flop == 6 * product);
	drop_tensors();
}

static void test_kernels_meter__counts_decoding_by_positions(void **state)
{
	enum {
		NH = 2,
		D = 4,
		C = NH * D,
		B = 70,
		T_max = 128
	};
	metered m;
	const cairn_kernels *k = wrap(&m);
	int32_t slot[B], position[B];
	double keys = 0;
	cairn_decode d = {.B = B, .NH = NH, .D = D, .T_max = T_max};

	(void)state;
	for (int b = 0; b < B; b++) {
		slot[b] = b;
		position[b] = b % 5;
		keys += b % 5 + 1;
	}
	d.n_keys = (int64_t)keys;
	d.qkv = normal(k, B * 3 * C, 1, 1);
	d.slot = ints(k, slot, B);
	d.position = ints(k, position, B);
	d.out = poisoned(k, B * C);
	d.cache = k->alloc(k, k->cache_bytes(k, B, NH, D, T_max));
	k->decode(k, &d);
	k->free(k, d.cache);
	drop_tensors();
	assert_true(cairn_meter_total(&m.meter) == 4.0 * D * NH * keys);
}

static void test_kernels_meter__books_by_account_and_share(void **state)
{
	metered m;
	const cairn_kernels *k = wrap(&m);
	float *x = normal(k, 1000, 1, 1);

	(void)state;
	cairn_meter_account(&m.meter, CAIRN_ACCOUNT_ROLLOUT, 30, 40);
	k->scale(k, x, 1, 1000);
	cairn_meter_account(&m.meter, CAIRN_ACCOUNT_OPTIMIZER, 0, 0);
	k->axpy(k, x, x, 0, 500);
	cairn_meter_account(&m.meter, 99, 0, 10);
	k->scale(k, x, 1, 10);
	drop_tensors();
	assert_true(m.meter.flop[CAIRN_ACCOUNT_ROLLOUT] == 1000);
	assert_true(m.meter.flop_real[CAIRN_ACCOUNT_ROLLOUT] == 750);
	assert_true(m.meter.flop[CAIRN_ACCOUNT_OPTIMIZER] == 1000);
	assert_true(m.meter.flop_real[CAIRN_ACCOUNT_OPTIMIZER] == 1000);
	assert_true(m.meter.flop[CAIRN_ACCOUNT_OTHER] == 10);
	assert_true(m.meter.flop_real[CAIRN_ACCOUNT_OTHER] == 0);
	assert_true(m.meter.gemm_flop == 0);
}

static void test_kernels_meter__memory_is_counted_by_the_backend(void **state)
{
	metered m;
	const cairn_kernels *k = wrap(&m);
	size_t before = k->peak_bytes(k);
	char *x = k->alloc(k, before + 1000), y[3] = {1, 2, 3};

	(void)state;
	assert_non_null(x);
	assert_true((uintptr_t)x % 64 == 0);
	for (size_t i = 0; i < before + 1000; i++)
		assert_int_equal(x[i], 0);
	assert_true(k->peak_bytes(k) >= before + 1000);
	k->write(k, x, y, 3);
	k->copy(k, x + 1, x, 3); /* they may overlap */
	k->zero(k, x, 1);
	k->read(k, y, x, 3);
	assert_true(y[0] == 0 && y[1] == 1 && y[2] == 2);
	k->free(k, x);
	k->free(k, NULL);
	assert_null(k->alloc(k, SIZE_MAX - 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_meter__table_is_complete),
		cmocka_unit_test(test_kernels_meter__books_replays),
		cmocka_unit_test(test_kernels_meter__heads_in_graphs),
		cmocka_unit_test(test_kernels_meter__passes_everything_on),
		cmocka_unit_test(test_kernels_meter__counts_products),
		cmocka_unit_test(test_kernels_meter__tells_the_heads_forward_pass_apart),
		cmocka_unit_test(test_kernels_meter__counts_decoding_by_positions),
		cmocka_unit_test(test_kernels_meter__books_by_account_and_share),
		cmocka_unit_test(test_kernels_meter__memory_is_counted_by_the_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
