/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key.c - the encoding of keys, against vectors made by another implementation (Python's
 * hashlib, from the words of key.h), and what a key must and must not depend on.
 */
#include <string.h>

#include "fake.h"

#define ID_A "sha256:abababababababababababababababababababababababababababababababab"
#define ID_B "sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

static void check_key(const cairn_component *components, size_t n, const char *wanted)
{
	char text[CAIRN_KEY_TEXT];
	cairn_key key;

	cairn_key_of(&key, components, n);
	cairn_key_format(&key, text);
	assert_string_equal(text, wanted);
}

static void test_workflow_key__golden_vectors(void **state)
{
	const cairn_component one[] = {{"plugin", "sft"}};
	const cairn_component left[] = {{"a", "bc"}}, right[] = {{"ab", "c"}};

	(void)state;
	check_key(NULL, 0, "fe3479f7b9e1a7578d0ab1e02b9ec9735acd642dba79472a574cb4c2bd6f02b0");
	check_key(one, 1, "b95fcf0c5cec31a9fc8444c7862330348fc87a3561f5f7de5aaa7133c91e1007");
	check_key(left, 1, "7fa651e47ce6c8856540ab8edd8e8698f36ea12d4007d0d44a2119e57a5683a0");
	check_key(right, 1, "476d76e82f2509f656dc5a9fb86c26b3e40612c696dff120c24e3d9be8334506");
}

static const cairn_arithmetic cpu = {"cpu-f32", true}, gpu = {"gpu-bf16", false};

/* The key of sft in a workflow, as text. */
static void key_of(char out[CAIRN_KEY_TEXT], const char *ini, const char *const *ids)
{
	cairn_workflow *workflow = fake_load(ini);
	const cairn_instance *sft = cairn_workflow_find(workflow, "sft", NULL);
	const cairn_component *components;
	cairn_key key;
	size_t n;

	if (!sft)
		sft = cairn_workflow_find(workflow, "renamed", NULL);
	assert_non_null(sft);
	assert_int_equal(sft->n_bindings, 2);
	n = cairn_key_components(&components, sft, ids, &cpu, workflow->arena);
	cairn_key_of(&key, components, n);
	cairn_key_format(&key, out);
	cairn_workflow_free(workflow);
}

#define SFT FAKE_BASE "[stage sft]\nplugin = sft\nseed = 7\n"
#define IN  "input.base = base:model\ninput.demos = demos:train\n"

static const char *const ids[] = {ID_A, ID_B};

static void test_workflow_key__components_in_order(void **state)
{
	static const cairn_component wanted[] = {{"plugin", "sft"}, {"version", "1.0"},
		{"numerics", "cpu-f32"}, {"seed", "7"}, {"param.epochs", "16"},
		{"param.lr", "1e-05"}, {"param.dropout", "0.2"}, {"param.schedule", "cosine"},
		{"param.mask", "yes"}, {"param.template", "\n\n"}, {"param.buffer", "65536"},
		{"param.warmup", "60"}, {"input.base.0", ID_A}, {"input.demos.0", ID_B}};
	cairn_workflow *workflow = fake_load(SFT IN "lr = 0.00001\nlog_every = 3\n");
	const cairn_instance *sft = cairn_workflow_find(workflow, "sft", NULL);
	const cairn_component *components;
	size_t n;

	(void)state;
	n = cairn_key_components(&components, sft, ids, &cpu, workflow->arena);
	assert_int_equal(n, CAIRN_COUNT(wanted));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(components[i].name, wanted[i].name);
		assert_string_equal(components[i].value, wanted[i].value);
	}
	check_key(
		components, n, "8d174095c60ab0d913bba03c700e4ab6edd1e35057f492ca38e61eddb98447b5");
	cairn_workflow_free(workflow);
}

static void test_workflow_key__many_inputs_are_numbered(void **state)
{
	cairn_workflow *workflow = fake_load(
		FAKE_HEAD "[stage a]\nplugin = node\ninput.in = file:data/a.txt file:data/b.txt\n");
	const cairn_component *components;
	size_t n;

	(void)state;
	n = cairn_key_components(&components, &workflow->instances[0], ids, &cpu, workflow->arena);
	assert_int_equal(n, 5); /* no numerics: 'node' does not use kernels */
	assert_string_equal(components[3].name, "input.in.0");
	assert_string_equal(components[4].name, "input.in.1");
	assert_string_equal(components[4].value, ID_B);
	cairn_workflow_free(workflow);
}

static void test_workflow_key__same_result_same_key(void **state)
{
	static const char *const same[] = {
		SFT IN "lr = 1e-5\n",
		SFT IN "lr = 0.00001\n", /* written otherwise */
		SFT "lr = 1.0E-5\ninput.demos = demos:train\ninput.base = base:model\n", /* lines
											    moved */
		SFT IN "lr = 1e-5\nepochs = 16\n",   /* the default, given */
		SFT IN "lr = 1e-5\nlog_every = 1\n", /* neutral */
		SFT IN "lr = 1e-5\nretries = 3\ncpus = 1\ntimeout = 1h\ncheckpoint_every = 1s\n",
		FAKE_BASE "[params]\nx = 5\n[stage renamed]\nplugin = sft\nseed = 7\n" IN
			  "lr = 1e-${x}\n",
		SFT "input.base = file2:model\ninput.demos = demos:train\nlr = 1e-5\n"
		    "[stage file2]\nplugin = pretrain\ninput.text = text:text\n",
	};
	char first[CAIRN_KEY_TEXT], key[CAIRN_KEY_TEXT];

	(void)state;
	key_of(first, same[0], ids);
	for (size_t i = 1; i < CAIRN_COUNT(same); i++) {
		key_of(key, same[i], ids);
		assert_string_equal(key, first);
	}
}

static void test_workflow_key__other_result_other_key(void **state)
{
	static const char *const other_ids[] = {ID_B, ID_B};
	static const char *const ini[] = {
		SFT IN,
		SFT IN "lr = 1e-5\n",
		SFT IN "template = \\n\n",
		SFT IN "mask = no\n",
		FAKE_BASE "[stage sft]\nplugin = sft\nseed = 8\n" IN,
		FAKE_BASE "[stage sft]\nplugin = sft\n" IN,
	};
	char keys[CAIRN_COUNT(ini) + 1][CAIRN_KEY_TEXT];

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(ini); i++)
		key_of(keys[i], ini[i], ids);
	key_of(keys[CAIRN_COUNT(ini)], ini[0], other_ids);
	for (size_t i = 0; i < CAIRN_COUNT(keys); i++) {
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(keys[i], keys[j]);
	}
}

/* On a device whose bits follow from the shape of a call, how work is cut is part of what it is. */
static void test_workflow_key__cuts_count_where_bits_follow_from_them(void **state)
{
	cairn_workflow *workflow = fake_load(SFT IN "micro = 64\nlog_every = 3\n");
	const cairn_instance *sft = cairn_workflow_find(workflow, "sft", NULL);
	const cairn_component *components;
	size_t n, on_cpu;

	(void)state;
	on_cpu = cairn_key_components(&components, sft, ids, &cpu, workflow->arena);
	n = cairn_key_components(&components, sft, ids, &gpu, workflow->arena);
	assert_int_equal(n, on_cpu + 1);
	assert_string_equal(components[2].value, "gpu-bf16");
	assert_string_equal(components[n - 3].name, "param.micro");
	assert_string_equal(components[n - 3].value, "64");
	cairn_workflow_free(workflow);
}

/* The same words of a plugin that has no kernels mean nothing. */
static void test_workflow_key__cuts_without_kernels_are_neutral(void **state)
{
	cairn_workflow *workflow =
		fake_load(FAKE_HEAD "[stage a]\nplugin = wide\nlr = 1\nmicro = 64\n"
				    "input.in = file:data/a.txt file:data/b.txt\n");
	const cairn_component *components;
	cairn_key on_cpu, on_gpu;
	cairn_text scratch = {0};
	size_t n;

	(void)state;
	n = cairn_key_components(&components, &workflow->instances[0], ids, &gpu, workflow->arena);
	for (size_t i = 0; i < n; i++)
		assert_string_not_equal(components[i].name, "param.micro");
	cairn_key_make(&on_cpu, &workflow->instances[0], ids, &cpu, &scratch);
	cairn_key_make(&on_gpu, &workflow->instances[0], ids, &gpu, &scratch);
	assert_memory_equal(&on_cpu, &on_gpu, sizeof(on_cpu));
	cairn_text_free(&scratch);
	cairn_workflow_free(workflow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workflow_key__golden_vectors),
		cmocka_unit_test(test_workflow_key__components_in_order),
		cmocka_unit_test(test_workflow_key__many_inputs_are_numbered),
		cmocka_unit_test(test_workflow_key__same_result_same_key),
		cmocka_unit_test(test_workflow_key__other_result_other_key),
		cmocka_unit_test(test_workflow_key__cuts_count_where_bits_follow_from_them),
		cmocka_unit_test(test_workflow_key__cuts_without_kernels_are_neutral),
	};

	return cmocka_run_group_tests(tests, fake_enter, fake_leave);
}
