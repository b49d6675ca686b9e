/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - embedding, rows by index, dropout. */
#include <math.h>
#include <string.h>

#include "gpt/rng.h"
#include "harness.h"

typedef struct shape {
	int64_t R, C;
} shape;

static const shape shapes[] = {{1, 1}, {7, 3}, {50, 65}, {333, 130}};

enum {
	V = 13,
	POSITIONS = 40,
};

static void run_embed(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	int32_t *token = random_ints(k, s->R, 1, V), *position = random_ints(k, s->R, 2, POSITIONS);
	cairn_act *x = poisoned_acts(k, s->R * s->C), *dout = normal_acts(k, s->R * s->C, 3, 1);
	float *wte = normal(k, V * s->C, 4, 1), *wpe = normal(k, POSITIONS * s->C, 5, 1);

	/* -1 is no token: its row is 0 and gives no gradient. */
	k->write(k, token + s->R / 2, &(int32_t){-1}, sizeof(int32_t));
	k->embed(k, x, token, position, wte, wpe, s->R, s->C);
	emit_acts(out, k, x, s->R * s->C, loosened(k, 1e-7, 1));
	k->embed_backward(k, wte, wpe, dout, token, position, s->R, s->C);
	emit(out, k, wte, V * s->C, 2e-6);
	emit(out, k, wpe, POSITIONS * s->C, 2e-6);
}

static void test_kernels_rows__embed(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_embed, &shapes[i]);
}

static void run_index(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	int64_t n = (s->R + 1) / 2;
	int32_t index[400];
	cairn_act *from = normal_acts(k, s->R * s->C, 1, 1), *rows = poisoned_acts(k, n * s->C);
	float *x = normal(k, s->R * s->C, 2, 1);
	int32_t *dev;

	for (int64_t i = 0; i < n; i++)
		index[i] = (int32_t)(s->R - 1 - 2 * i);
	dev = ints(k, index, n);
	k->gather_rows(k, rows, from, dev, n, s->C);
	emit_acts(out, k, rows, n * s->C, 0);
	k->scatter_rows(k, x, normal(k, n * s->C, 3, 1), dev, n, s->C);
	emit(out, k, x, s->R * s->C, 1e-7);
}

static void test_kernels_rows__gather_and_scatter(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_index, &shapes[i]);
}

/* ---- dropout ----------------------------------------------------------------------------------
 */

static void run_dropout(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	cairn_act *x = normal_acts(k, s->R * s->C, 1, 1);

	k->dropout(k, x, row_ids(k, s->R, 0xffffff00), s->R, s->C, 0.3, 99, 4);
	emit_acts(out, k, x, s->R * s->C, loosened(k, 1e-7, 1));
}

static void test_kernels_rows__dropout(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_dropout, &shapes[i]);
}

static float *drop_ones(const cairn_kernels *k, uint64_t first, int64_t R, int64_t C, uint32_t site)
{
	float *x = poisoned(k, R * C);

	for (int64_t i = 0; i < R * C; i++)
		x[i] = 1;
	k->dropout(k, x, row_ids(k, R, first), R, C, 0.2, 1234, site);
	return x;
}

static void test_kernels_rows__dropout_has_its_rate(void **state)
{
	enum {
		R = 400,
		C = 250
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *x = drop_ones(k, 0, R, C, 1), *other = drop_ones(k, 0, R, C, 2);
	double dropped = 0, both = 0;

	(void)state;
	for (int i = 0; i < R * C; i++) {
		assert_true(x[i] == 0 || x[i] == (float)(1 / 0.8));
		dropped += x[i] == 0;
		both += x[i] == 0 && other[i] == 0;
	}
	/* 100000 coins: five standard deviations are 0.0064 and 0.0031. */
	assert_true(fabs(dropped / (R * C) - 0.2) < 0.0064);
	assert_true(fabs(both / (R * C) - 0.04) < 0.0031); /* sites are independent */
	drop_tensors();
}

/* The coin is a function of (row id, site, channel): so the backward pass finds it again. */
static void test_kernels_rows__dropout_is_keyed_by_row_id(void **state)
{
	enum {
		R = 30,
		C = 70
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *all = drop_ones(k, 100, R, C, 3);

	(void)state;
	for (int r = 0; r < R; r++) {
		float *one = drop_ones(k, 100 + (uint64_t)r, 1, C, 3);

		assert_memory_equal(one, all + r * C, sizeof(float) * C);
	}
	for (int c = 0; c < C; c++) {
		uint32_t counter[4] = {107, 0, 3, (uint32_t)c / 4}, coin[4];

		gpt_philox(1234, counter, coin);
		assert_true((all[7 * C + c] == 0) == (coin[c % 4] < (uint32_t)(0.2 * 0x1p32)));
	}
	drop_tensors();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_rows__embed),
		cmocka_unit_test(test_kernels_rows__gather_and_scatter),
		cmocka_unit_test(test_kernels_rows__dropout),
		cmocka_unit_test(test_kernels_rows__dropout_has_its_rate),
		cmocka_unit_test(test_kernels_rows__dropout_is_keyed_by_row_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
