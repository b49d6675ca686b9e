/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions of plugins, good and bad, and the registry's caches. */
#include "fixture.h"

#include <string.h>
#include <unistd.h>

static int describe(const char *name, cairn_plugin_info *out, cairn_arena *arena, cairn_error *err)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.so", CAIRN_TEST_PLUGIN_DIR, name);
	return cairn_plugin_describe(out, path, arena, err);
}

static void refused(const char *name, int code, const char *message, const char *detail)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_plugin_info info;
	cairn_error err = {0};

	assert_int_equal(describe(name, &info, arena, &err), code);
	assert_int_equal(err.code, code);
	if (!strstr(err.message, message) || !strstr(err.detail, detail))
		fail_msg("'%s': '%s' / '%s'", name, err.message, err.detail);
	assert_non_null(strstr(err.message, name));
	assert_true(err.hint[0] || code == CAIRN_ECRASH);
	cairn_arena_free(arena);
}

static void test_run_plugins__describes(void **state)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_plugin_info info;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(describe("counter", &info, arena, &err), 0);
	assert_string_equal(info.name, "counter");
	assert_string_equal(info.version, "1");
	assert_int_equal(strlen(info.digest), 64);
	assert_int_equal(info.n_params, 6);
	assert_string_equal(info.params[1].name, "pause");
	assert_int_equal(info.params[1].type, CAIRN_PARAM_DURATION);
	assert_int_equal(info.params[1].flags, CAIRN_PARAM_NEUTRAL);
	assert_string_equal(info.inputs[0].kind, "file|report");
	assert_int_equal(info.capabilities, CAIRN_CAN_CHECKPOINT);
	assert_true(info.has_check);
	assert_true(info.has_estimate);
	assert_true(info.build[0]);
	cairn_arena_free(arena);
}

static void test_run_plugins__older_minor_reads_as_null(void **state)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_plugin_info info;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(describe("old_abi", &info, arena, &err), 0);
	assert_false(info.has_check);
	assert_false(info.has_estimate);
	cairn_arena_free(arena);
}

static void test_run_plugins__refuses(void **state)
{
	(void)state;
	refused("new_abi", CAIRN_EABI, "contract 1.4, this cairn speaks 1.3",
		"minor is 4, newer than cairn's 3; built by a compiler to come");
	refused("wrong_magic", CAIRN_EABI, "is no cairn stage plugin", "magic is 0x");
	refused("no_symbol", CAIRN_EABI, "does not export 'cairn_plugin'", "");
	refused("bad_offset", CAIRN_EABI, "offset 4096 does not lie inside a struct of 8 bytes",
		"");
}

static void test_run_plugins__crash_while_loading_is_an_error(void **state)
{
	(void)state;
	refused("crash_load", CAIRN_ECRASH, "died of signal 6 (Aborted)", "no one shall load me");
}

static void test_run_plugins__not_a_library(void **state)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_plugin_info info;
	cairn_error err = {0};

	(void)state;
	write_file("text.so", "not ELF");
	assert_int_equal(cairn_plugin_describe(&info, "text.so", arena, &err), CAIRN_EABI);
	assert_non_null(strstr(err.message, "cannot load"));
	cairn_error_clear(&err);
	assert_int_equal(cairn_plugin_describe(&info, "none.so", arena, &err), CAIRN_ENOTFOUND);
	cairn_arena_free(arena);
}

static void test_run_plugins__registry_finds_and_lists(void **state)
{
	fixture *f = *state;
	const char *const *names;
	cairn_error err = {0};
	size_t n;

	assert_int_equal(cairn_plugins_open(&f->registry, f->store, &err), 0);
	n = f->registry->names(f->registry, &names);
	assert_true(n >= 18);
	for (size_t i = 1; i < n; i++)
		assert_true(strcmp(names[i - 1], names[i]) < 0);
	assert_non_null(f->registry->find(f->registry, "counter", &err));
	assert_null(f->registry->find(f->registry, "countre", &err));
	assert_int_equal(err.code, CAIRN_ENOTFOUND);
	assert_non_null(strstr(err.hint, "counter"));
	cairn_error_clear(&err);
	assert_null(f->registry->find(f->registry, "new_abi", &err));
	assert_int_equal(err.code, CAIRN_EABI);
}

/* The store's description is used, not a new one: it was changed under the same digest. */
static void test_run_plugins__descriptions_are_kept(void **state)
{
	fixture *f = *state;
	const cairn_plugin_info *info;
	cairn_batch *batch;
	cairn_snapshot *snapshot;
	const void *value;
	uint8_t digest[32];
	json_t *json;
	char *text;
	size_t len;

	assert_int_equal(cairn_plugins_open(&f->registry, f->store, NULL), 0);
	info = f->registry->find(f->registry, "old_abi", NULL);
	assert_non_null(info);
	assert_int_equal(cairn_hex_decode(info->digest, digest, 32), 0);

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_snapshot_get(snapshot, "plugin", digest, 32, &value, &len, NULL), 0);
	assert_int_equal(cairn_json_parse(&json, value, len, "plugin", NULL), 0);
	cairn_snapshot_end(snapshot);
	json_object_set_new(json, "summary", json_string("as it is kept"));
	text = cairn_json_canonical(json);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_put(batch, "plugin", digest, 32, text, strlen(text), NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	free(text);
	json_decref(json);

	cairn_plugins_close(f->registry);
	assert_int_equal(cairn_plugins_open(&f->registry, f->store, NULL), 0);
	info = f->registry->find(f->registry, "old_abi", NULL);
	assert_non_null(info);
	assert_string_equal(info->summary, "as it is kept");
}

static void test_run_plugins__misnamed_file(void **state)
{
	fixture *f = *state;
	cairn_error err = {0};
	char from[512];

	snprintf(from, sizeof(from), "%s/liar.so", CAIRN_TEST_PLUGIN_DIR);
	assert_int_equal(symlink(from, "saint.so"), 0);
	setenv("CAIRN_PLUGIN_PATH", f->dir, 1);
	assert_int_equal(cairn_plugins_open(&f->registry, f->store, &err), 0);
	assert_null(f->registry->find(f->registry, "saint", &err));
	assert_int_equal(err.code, CAIRN_EABI);
	assert_non_null(strstr(err.message, "holds the plugin 'liar'"));
}

static void test_run_plugins__check_is_the_plugins_own(void **state)
{
	static const char bad[] = "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
				  "steps = 3\nfail_at = 4\n";
	static const char good[] = "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
				   "steps = 4\nfail_at = 4\n";
	fixture *f = *state;

	for (int i = 0; i < 2; i++) { /* the second answer is a kept one */
		assert_int_equal(fixture_plan(f, bad), CAIRN_EWORKFLOW);
		assert_non_null(strstr(f->error.message, "fail_at is 4, after the last step"));
		assert_int_equal(fixture_plan(f, good), 0);
	}
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_plugins__describes),
		FIXTURE_TEST(test_run_plugins__older_minor_reads_as_null),
		FIXTURE_TEST(test_run_plugins__refuses),
		FIXTURE_TEST(test_run_plugins__crash_while_loading_is_an_error),
		FIXTURE_TEST(test_run_plugins__not_a_library),
		FIXTURE_TEST(test_run_plugins__registry_finds_and_lists),
		FIXTURE_TEST(test_run_plugins__descriptions_are_kept),
		FIXTURE_TEST(test_run_plugins__misnamed_file),
		FIXTURE_TEST(test_run_plugins__check_is_the_plugins_own),
	};

	return cmocka_run_group_tests_name("run/plugins", tests, NULL, NULL);
}
