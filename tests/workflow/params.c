/* SPDX-License-Identifier: Apache-2.0 */
/* params.c - canonical text, the plugin's struct, and descriptions as JSON. */
#include <math.h>
#include <string.h>

#include "fake.h"

struct everything {
	int64_t whole;
	double real, time;
	uint64_t size;
	const char *text;
	int32_t flag, word;
};

#define PARAM(field, kind)                                                                    \
	{                                                                                     \
		.name = #field, .type = (kind), .offset = offsetof(struct everything, field), \
		.choices = "none|linear|cosine"                                               \
	}

static const cairn_param params[] = {PARAM(whole, CAIRN_PARAM_INT), PARAM(real, CAIRN_PARAM_REAL),
	PARAM(time, CAIRN_PARAM_DURATION), PARAM(size, CAIRN_PARAM_SIZE),
	PARAM(text, CAIRN_PARAM_STRING), PARAM(flag, CAIRN_PARAM_BOOL),
	PARAM(word, CAIRN_PARAM_ENUM)};
enum {
	WHOLE,
	REAL,
	TIME,
	SIZE,
	TEXT,
	FLAG,
	WORD
};

static void test_workflow_params__canonical_text(void **state)
{
	static const struct {
		int param;
		const char *text, *canonical;
	} cases[] = {
		{WHOLE, "16", "16"},
		{WHOLE, "-0016", "-16"},
		{WHOLE, "+7", "7"},
		{WHOLE, "9223372036854775807", "9223372036854775807"},
		{REAL, "9.65e-6", "9.65e-06"},
		{REAL, "0.00000965", "9.65e-06"},
		{REAL, "1", "1"},
		{REAL, "0.1", "0.1"},
		{REAL, "-0", "0"},
		{REAL, "0.30000000000000004", "0.30000000000000004"},
		{TIME, "90", "90"},
		{TIME, "90s", "90"},
		{TIME, "1.5m", "90"},
		{TIME, "2h", "7200"},
		{SIZE, "64K", "65536"},
		{SIZE, "4M", "4194304"},
		{SIZE, "0", "0"},
		{TEXT, "", ""},
		{TEXT, "a\\nb\\tc\\\\n", "a\nb\tc\\n"},
		{TEXT, "s/\\(a\\)/", "s/\\(a\\)/"},
		{TEXT, "\\", "\\"},
		{FLAG, "TRUE", "yes"},
		{FLAG, "off", "no"},
		{FLAG, "1", "yes"},
		{WORD, "cosine", "cosine"},
		{WORD, "none", "none"},
	};
	cairn_arena *arena = cairn_arena_new();

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		const char *out = NULL;

		assert_int_equal(cairn_param_canonical(
					 &params[cases[i].param], cases[i].text, arena, &out, NULL),
			0);
		assert_string_equal(out, cases[i].canonical);
	}
	cairn_arena_free(arena);
}

static void test_workflow_params__refuses(void **state)
{
	static const struct {
		int param;
		const char *text;
	} cases[] = {{WHOLE, ""}, {WHOLE, "1.0"}, {WHOLE, "1e3"}, {WHOLE, "9223372036854775808"},
		{WHOLE, " 1"}, {REAL, "nan"}, {REAL, "inf"}, {REAL, "1e999"}, {REAL, "0x10"},
		{REAL, "1,5"}, {TIME, "-1s"}, {TIME, "5 weeks"}, {SIZE, "-1"}, {SIZE, "4X"},
		{FLAG, "2"}, {WORD, "lin"}, {WORD, ""}, {WORD, "none|linear"}};
	cairn_arena *arena = cairn_arena_new();

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		const char *out = NULL;
		cairn_error err = {0};

		assert_int_equal(cairn_param_canonical(
					 &params[cases[i].param], cases[i].text, arena, &out, &err),
			CAIRN_EPARAM);
		assert_null(out);
		assert_non_null(strstr(err.message, params[cases[i].param].name));
		assert_true(err.hint[0]);
	}
	cairn_arena_free(arena);
}

static void test_workflow_params__bounds_are_inclusive(void **state)
{
	const cairn_param closed = {.name = "x", .type = CAIRN_PARAM_REAL, .min = 0, .max = 1};
	const cairn_param open = {.name = "x", .type = CAIRN_PARAM_INT, .min = 1};
	const cairn_param infinite = {
		.name = "x", .type = CAIRN_PARAM_REAL, .min = 0, .max = INFINITY};
	const cairn_param none = {.name = "x", .type = CAIRN_PARAM_REAL};
	static const struct {
		int rc;
		const char *text;
	} of_closed[] = {{0, "0"}, {0, "1"}, {0, "0.5"}, {CAIRN_EPARAM, "-1e-9"},
		{CAIRN_EPARAM, "1.0000001"}};
	cairn_arena *arena = cairn_arena_new();
	const char *out;

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(of_closed); i++)
		assert_int_equal(
			cairn_param_canonical(&closed, of_closed[i].text, arena, &out, NULL),
			of_closed[i].rc);
	assert_int_equal(cairn_param_canonical(&open, "0", arena, &out, NULL), CAIRN_EPARAM);
	assert_int_equal(cairn_param_canonical(&open, "1000000", arena, &out, NULL), 0);
	assert_int_equal(cairn_param_canonical(&infinite, "-1", arena, &out, NULL), CAIRN_EPARAM);
	assert_int_equal(cairn_param_canonical(&infinite, "1e300", arena, &out, NULL), 0);
	assert_int_equal(cairn_param_canonical(&none, "-1e300", arena, &out, NULL), 0);
	cairn_arena_free(arena);
}

static void test_workflow_params__fill(void **state)
{
	const char *values[] = {"-3", "0.25", "90", "65536", "a\nb", "yes", "cosine"};
	struct everything out = {0};

	(void)state;
	assert_int_equal(cairn_param_fill(params, CAIRN_COUNT(params), values, &out, NULL), 0);
	assert_int_equal(out.whole, -3);
	assert_true(out.real == 0.25);
	assert_true(out.time == 90);
	assert_int_equal(out.size, 65536);
	assert_string_equal(out.text, "a\nb");
	assert_int_equal(out.flag, 1);
	assert_int_equal(out.word, 2);
	values[WORD] = "square";
	assert_int_equal(
		cairn_param_fill(params, CAIRN_COUNT(params), values, &out, NULL), CAIRN_EPARAM);
}

static void test_workflow_params__kinds(void **state)
{
	(void)state;
	assert_true(cairn_kind_accepts("text", "text"));
	assert_true(cairn_kind_accepts("dataset/prompt|dataset/demo", "dataset/demo"));
	assert_false(cairn_kind_accepts("dataset/prompt|dataset/demo", "dataset"));
	assert_false(cairn_kind_accepts("text", "dataset/text"));
	assert_false(cairn_kind_accepts("dataset/text", "text"));
	assert_false(cairn_kind_accepts("a|b", "a|b"));
}

/* ---- descriptions ----------------------------------------------------------------------- */

static void test_workflow_params__description_survives_json(void **state)
{
	static const char *const names[] = {"sft", "ppo", "rm", "node"};
	cairn_arena *arena = cairn_arena_new();
	cairn_registry *registry = fake_registry();

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		const cairn_plugin_info *info = registry->find(registry, names[i], NULL);
		json_t *json = cairn_plugin_info_to_json(info);
		cairn_plugin_info again;
		char *before = cairn_json_canonical(json), *after;

		assert_int_equal(cairn_plugin_info_from_json(&again, json, arena, NULL), 0);
		json_decref(json);
		assert_int_equal(again.n_params, info->n_params);
		assert_int_equal(again.capabilities, info->capabilities);
		assert_int_equal(again.has_check, info->has_check);
		for (uint64_t j = 0; j < info->n_params; j++) {
			assert_int_equal(again.params[j].offset, info->params[j].offset);
			assert_int_equal(again.params[j].type, info->params[j].type);
			assert_int_equal(again.params[j].flags, info->params[j].flags);
			assert_true(again.params[j].max == info->params[j].max);
		}
		for (uint64_t j = 0; j < info->n_inputs; j++) {
			assert_string_equal(again.inputs[j].kind, info->inputs[j].kind);
			assert_int_equal(again.inputs[j].flags, info->inputs[j].flags);
		}
		json = cairn_plugin_info_to_json(&again);
		after = cairn_json_canonical(json);
		json_decref(json);
		assert_string_equal(before, after);
		free(before);
		free(after);
	}
	cairn_arena_free(arena);
}

static void test_workflow_params__wrong_descriptions_are_refused(void **state)
{
	static const struct {
		const char *json, *detail;
	} cases[] = {
		{"{}", "schema of the description is not: 'cairn.plugin/1'"},
		{"[1]", "schema of the description is not: 'cairn.plugin/1'"},
		{"{'schema':'cairn.plugin/1'}", "no name for a plugin: '?'"},
		{"{'schema':'cairn.plugin/1','name':'a'}", "no version of plugin: 'a'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':8,"
		 "'params':[{'name':'x','type':'int','offset':8}]}",
			"parameter outside its struct: 'x'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':16,"
		 "'params':[{'name':'x','type':'int','offset':4}]}",
			"parameter outside its struct: 'x'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':8,"
		 "'params':[{'name':'x','type':'int','offset':-8}]}",
			"parameter outside its struct: 'x'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':-1,"
		 "'params':[{'name':'x','type':'int','offset':1000}]}",
			"parameter struct of more than 1 MiB in: 'a'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':8,"
		 "'params':[{'name':'x','type':'float','offset':0}]}",
			"unknown type of parameter: 'x'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':8,"
		 "'params':[{'name':'retries','type':'int','offset':0}]}",
			"no name for a parameter: 'retries'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':8,"
		 "'params':[{'name':'x','type':'enum','offset':0}]}",
			"no choices for parameter: 'x'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':8,"
		 "'params':[{'name':'x','type':'int','offset':0,'default':'many'}]}",
			"impossible default of parameter: 'x'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','params_size':8,"
		 "'params':[{'name':'x','type':'int','offset':0},{'name':'x','type':'int','offset':0}]}",
			"two parameters of one name: 'x'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1',"
		 "'inputs':[{'name':'a:b','kind':'text'}]}",
			"no name for a port: 'a:b'"},
		{"{'schema':'cairn.plugin/1','name':'a','version':'1','outputs':[{'name':'x'}]}",
			"port without a kind: 'x'"},
	};
	cairn_arena *arena = cairn_arena_new();

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		char *text = cairn_arena_strdup(arena, cases[i].json);
		cairn_plugin_info info;
		cairn_error err = {0};
		json_t *json;

		for (char *quote; (quote = strchr(text, '\''));)
			*quote = '"';
		json = json_loads(text, 0, NULL);
		assert_non_null(json);
		assert_int_equal(cairn_plugin_info_from_json(&info, json, arena, &err), CAIRN_EABI);
		assert_string_equal(err.detail, cases[i].detail);
		json_decref(json);
	}
	cairn_arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workflow_params__canonical_text),
		cmocka_unit_test(test_workflow_params__refuses),
		cmocka_unit_test(test_workflow_params__bounds_are_inclusive),
		cmocka_unit_test(test_workflow_params__fill),
		cmocka_unit_test(test_workflow_params__kinds),
		cmocka_unit_test(test_workflow_params__description_survives_json),
		cmocka_unit_test(test_workflow_params__wrong_descriptions_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
