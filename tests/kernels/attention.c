/* SPDX-License-Identifier: Apache-2.0 */
/* attention.c - attention, its backward pass, decoding: reference, padding, bits. */
#include <math.h>
#include <string.h>

#include "harness.h"

typedef struct shape {
	int64_t B, T, NH, D;
	bool padded;
} shape;

static const shape shapes[] = {
	{1, 1, 1, 1, false},
	{2, 5, 3, 7, false},
	{2, 67, 2, 16, true},
	{1, 130, 2, 24, false},
	{3, 64, 1, 64, true},
	{1, 33, 2, 80, false},
};

static void lengths_of(const shape *s, int32_t *to)
{
	for (int64_t b = 0; b < s->B; b++)
		to[b] = (int32_t)(s->T - (b * 29) % s->T);
}

static cairn_attention make(const cairn_kernels *k, const shape *s)
{
	int64_t C = s->NH * s->D;
	int32_t lengths[8];
	cairn_attention a = {.B = s->B, .T = s->T, .NH = s->NH, .D = s->D};

	lengths_of(s, lengths);
	a.qkv = normal_acts(k, s->B * s->T * 3 * C, 1, 1.5);
	a.lengths = s->padded ? ints(k, lengths, s->B) : NULL;
	a.out = poisoned_acts(k, s->B * s->T * C);
	a.lse = poisoned(k, s->B * s->NH * s->T);
	return a;
}

static void run_forward(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	cairn_attention a = make(k, s);

	k->attention(k, &a);
	emit_acts(out, k, a.out, s->B * s->T * s->NH * s->D, loosened(k, 3e-6, 2));
	emit(out, k, a.lse, s->B * s->NH * s->T, 3e-6);
}

static void run_backward(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	cairn_attention a = make(k, s);
	int64_t n = s->B * s->T * s->NH * s->D;

	k->attention(k, &a);
	a.dout = normal_acts(k, n, 2, 1);
	a.dqkv = poisoned_acts(k, 3 * n);
	k->attention_backward(k, &a);
	/* `out` and P dS are rounded, each of them under a sum. */
	emit_acts(out, k, a.dqkv, 3 * n, loosened(k, 1e-5, 4));
}

static void test_kernels_attention__forward(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_forward, &shapes[i]);
}

static void test_kernels_attention__backward(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_backward, &shapes[i]);
}

/* What stands behind a sequence, the length of T and the other sequences reach nothing. */
static void test_kernels_attention__padding_changes_no_bit(void **state)
{
	enum {
		T = 70,
		LONG = 150,
		NH = 2,
		D = 20,
		C = NH * D
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	const int32_t lengths[2] = {T, 150};
	float *alone = normal(k, T * 3 * C, 3, 1), *padded = poisoned(k, 2 * LONG * 3 * C);
	float *other = normal(k, LONG * 3 * C, 4, 1), *dout = normal(k, T * C, 5, 1);
	float *dpadded = normal(k, 2 * LONG * C, 6, 1);
	cairn_attention a = {.B = 1, .T = T, .NH = NH, .D = D, .qkv = alone};
	cairn_attention b = {.B = 2, .T = LONG, .NH = NH, .D = D, .qkv = padded};

	(void)state;
	memcpy(padded, alone, sizeof(float) * T * 3 * C);
	memcpy(padded + LONG * 3 * C, other, sizeof(float) * LONG * 3 * C);
	memcpy(dpadded, dout, sizeof(float) * T * C);
	a.out = poisoned(k, T * C);
	a.lse = poisoned(k, NH * T);
	a.dout = dout;
	a.dqkv = poisoned(k, T * 3 * C);
	b.out = poisoned(k, 2 * LONG * C);
	b.lse = poisoned(k, 2 * NH * LONG);
	b.dout = dpadded;
	b.dqkv = poisoned(k, 2 * LONG * 3 * C);
	b.lengths = ints(k, lengths, 2);
	k->attention(k, &a);
	k->attention(k, &b);
	assert_memory_equal(a.out, b.out, sizeof(float) * T * C);
	for (int h = 0; h < NH; h++)
		assert_memory_equal(a.lse + h * T, b.lse + h * LONG, sizeof(float) * T);
	k->attention_backward(k, &a);
	k->attention_backward(k, &b);
	assert_memory_equal(a.dqkv, b.dqkv, sizeof(float) * T * 3 * C);
	for (int i = T * C; i < LONG * C; i++)
		assert_true(b.out[i] == 0);
	for (int i = T * 3 * C; i < LONG * 3 * C; i++)
		assert_true(b.dqkv[i] == 0);
	drop_tensors();
}

/* ---- decoding -------------------------------------------------------------------------------- */

/*
 * Two sequences of T positions: the first `prompt` ones by cache_fill, the others one by one,
 * in slots 2 and 0 of 3. Emits the decoded rows.
 */
static cairn_act *decode_rows(const cairn_kernels *k, const cairn_act *qkv, int64_t T, int64_t NH,
	int64_t D, int32_t prompt)
{
	int64_t C = NH * D, T_max = T + 3;
	const int32_t slots[2] = {2, 0}, lengths[2] = {prompt, prompt};
	size_t bytes = k->cache_bytes(k, 3, NH, D, T_max), wide = (size_t)(k->act_bytes * C);
	cairn_act *rows = poisoned_acts(k, 2 * 3 * C), *out = poisoned_acts(k, 2 * T * C);
	cairn_act *one = poisoned_acts(k, 2 * C);
	cairn_decode d = {.B = 2, .NH = NH, .D = D, .T_max = T_max, .qkv = rows, .out = one};

	d.cache = poisoned_acts(k, (int64_t)bytes / k->act_bytes);
	d.slot = ints(k, slots, 2);
	k->cache_fill(k, d.cache, qkv, d.slot, ints(k, lengths, 2), 2, T, NH, D, T_max);
	for (int32_t t = prompt; t < T; t++) {
		const int32_t position[2] = {t, t};
		int32_t *where = ints(k, position, 2);

		d.position = where;
		for (int64_t b = 0; b < 2; b++)
			k->copy(k, cairn_act_at(k, rows, b * 3 * C),
				cairn_act_at(k, qkv, (b * T + t) * 3 * C), 3 * wide);
		k->decode(k, &d);
		for (int64_t b = 0; b < 2; b++)
			k->copy(k, cairn_act_at(k, out, (b * T + t) * C),
				cairn_act_at(k, one, b * C), wide);
	}
	return out;
}

static void check_decode(const cairn_kernels *k, int64_t T, int64_t NH, int64_t D, int32_t prompt)
{
	int64_t C = NH * D;
	float *qkv = normal(k, 2 * T * 3 * C, 7, 1.5), *rows;
	cairn_attention a = {.B = 2, .T = T, .NH = NH, .D = D, .qkv = qkv};

	a.out = poisoned(k, 2 * T * C);
	a.lse = poisoned(k, 2 * NH * T);
	k->attention(k, &a);
	rows = decode_rows(k, qkv, T, NH, D, prompt);
	for (int64_t b = 0; b < 2; b++)
		assert_memory_equal(rows + (b * T + prompt) * C, a.out + (b * T + prompt) * C,
			sizeof(float) * (size_t)((T - prompt) * C));
	drop_tensors();
}

static void test_kernels_attention__decode_is_bitwise_forward(void **state)
{
	static const char *const units[] = {"portable", "avx2", "avx512"};

	(void)state;
	for (size_t u = 0; u < CAIRN_COUNT(units); u++) {
		const cairn_kernels *k = cpu_table(units[u], 2);

		if (!k)
			continue;
		check_decode(k, 40, 2, 20, 1);
		check_decode(k, 100, 2, 64, 17);
		check_decode(k, 530, 1, 72, 500); /* across a cut of the chains */
	}
}

static void run_decode(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	int64_t C = s->NH * s->D;
	int32_t prompt = (int32_t)(s->T / 2);
	cairn_act *qkv = normal_acts(k, 2 * s->T * 3 * C, 8, 1.5);
	cairn_act *rows = decode_rows(k, qkv, s->T, s->NH, s->D, prompt);

	for (int64_t b = 0; b < 2; b++)
		emit_acts(out, k, cairn_act_at(k, rows, (b * s->T + prompt) * C),
			(s->T - prompt) * C, loosened(k, 3e-6, 2));
}

static void test_kernels_attention__decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_decode, &shapes[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_attention__forward),
		cmocka_unit_test(test_kernels_attention__backward),
		cmocka_unit_test(test_kernels_attention__padding_changes_no_bit),
		cmocka_unit_test(test_kernels_attention__decode_is_bitwise_forward),
		cmocka_unit_test(test_kernels_attention__decode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
