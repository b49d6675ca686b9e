/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.c - the `exec` stage, through its descriptor and a host of a few lines: artifacts in
 * memory, outputs kept as text.
 */
#include <dlfcn.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "cairn/stage.h"

struct exec_params {
	const char *command, *outputs, *env;
};

struct cairn_run {
	const cairn_tensor *entries[3]; /* of two inputs; by index */
	uint64_t n_entries[3], n_inputs;
	cairn_text out; /* "name=bytes;" of each entry put */
	bool is_committed;
	cairn_error error;
	int n_steps, stop_at;
	char scratch[64];
};

static const cairn_stage_plugin *plugin;

static uint64_t input_count(cairn_run *run, const char *port)
{
	assert_string_equal(port, "in");
	return run->n_inputs;
}

static int input_open(cairn_run *run, const char *port, uint64_t index, cairn_artifact *out)
{
	(void)port;
	*out = (cairn_artifact){.source = "a:out",
		.n_entries = run->n_entries[index],
		.handle = run->entries[index]};
	return 0;
}

static int entry_list(
	cairn_run *run, const cairn_artifact *artifact, uint64_t index, cairn_tensor *out)
{
	(void)run;
	*out = ((const cairn_tensor *)artifact->handle)[index];
	out->data = NULL;
	return 0;
}

static int entry_get(
	cairn_run *run, const cairn_artifact *artifact, const char *name, cairn_tensor *out)
{
	(void)run;
	for (uint64_t i = 0; i < artifact->n_entries; i++) {
		*out = ((const cairn_tensor *)artifact->handle)[i];
		if (strcmp(out->name, name) == 0)
			return 0;
	}
	return 1;
}

static int output_begin(cairn_run *run, const char *port, cairn_writer **out)
{
	assert_string_equal(port, "out");
	*out = (cairn_writer *)run;
	return 0;
}

static int put(cairn_writer *writer, const cairn_tensor *tensor)
{
	cairn_run *run = (cairn_run *)writer;

	assert_int_equal(tensor->dtype, CAIRN_U8);
	assert_int_equal(tensor->dims[0], tensor->bytes);
	cairn_text_printf(&run->out, "%s=", tensor->name);
	cairn_text_add_bytes(&run->out, tensor->data, tensor->bytes);
	cairn_text_add_char(&run->out, ';');
	return 0;
}

static int commit(cairn_writer *writer)
{
	((cairn_run *)writer)->is_committed = true;
	return 0;
}

static int step(cairn_run *run, const cairn_progress *progress)
{
	assert_int_equal(progress->n_metrics, 0); /* or the log would depend on the clock */
	return ++run->n_steps == run->stop_at ? CAIRN_STOP : CAIRN_GO;
}

static const char *scratch(cairn_run *run)
{
	return run->scratch;
}

static int fail_(cairn_run *run, int code, const char *format, ...)
{
	char text[384];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return cairn_error_set(&run->error, code, "%s", text);
}

static int fail_with(cairn_run *run, const cairn_error *error)
{
	run->error = *error;
	return error->code;
}

static void hint(cairn_run *run, const char *format, ...)
{
	(void)run, (void)format;
}

static const cairn_host host = {.input_count = input_count,
	.input_open = input_open,
	.entry_list = entry_list,
	.entry_get = entry_get,
	.output_begin = output_begin,
	.put = put,
	.commit = commit,
	.step = step,
	.scratch = scratch,
	.fail = fail_,
	.fail_with = fail_with,
	.hint = hint};

/* ---- running ------------------------------------------------------------------------------ */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)where;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

static int run_with(cairn_run *run, const char *command, const char *outputs, const char *env)
{
	const struct exec_params params = {command, outputs, env};
	int rc;

	cairn_copy(run->scratch, sizeof(run->scratch), "/tmp/cairn-exec-XXXXXX");
	assert_non_null(mkdtemp(run->scratch));
	rc = plugin->run(&host, run, &params);
	assert_int_equal(nftw(run->scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(run->is_committed, rc == 0);
	return rc;
}

static int find_plugin(void **state)
{
	void *library = dlopen(CAIRN_EXEC_PLUGIN, RTLD_NOW | RTLD_LOCAL);

	(void)state;
	plugin = library ? dlsym(library, CAIRN_STAGE_SYMBOL) : NULL;
	return plugin ? 0 : -1;
}

#define ENTRY(text_name, text)                                                                 \
	{                                                                                      \
		.name = text_name, .dtype = CAIRN_U8, .n_dims = 1, .dims = {sizeof(text) - 1}, \
		.data = text, .bytes = sizeof(text) - 1                                        \
	}

static void test_exec__inputs_and_outputs(void **state)
{
	static const cairn_tensor first[] = {ENTRY("a.txt", "x\ny\n"), ENTRY("sub/b.txt", "")};
	static const cairn_tensor second[] = {ENTRY("data", "z")};
	cairn_run run = {.entries = {first, second}, .n_entries = {2, 1}, .n_inputs = 2};

	(void)state;
	assert_int_equal(run_with(&run,
				 "sort -r in/in-0/a.txt > out/sorted; cat in/in-1/data > out/b\n"
				 "find in -type f | sort > out/a; test ! -s in/in-0/sub/b.txt",
				 "sorted  b\ta", ""),
		0);
	assert_string_equal(cairn_text_get(&run.out),
		"a=in/in-0/a.txt\nin/in-0/sub/b.txt\nin/in-1/data\n;b=z;sorted=y\nx\n;");
	cairn_text_free(&run.out);
}

static void test_exec__inputs_are_read_only(void **state)
{
	static const cairn_tensor first[] = {ENTRY("data", "x")};
	cairn_run run = {.entries = {first}, .n_entries = {1}, .n_inputs = 1};

	(void)state;
	assert_int_equal(
		run_with(&run, "stat -c %a in/in-0/data | tr -d '\\n' > out/data", "data", ""), 0);
	assert_string_equal(cairn_text_get(&run.out), "data=444;");
	cairn_text_free(&run.out);
}

static void test_exec__environment_is_what_was_declared(void **state)
{
	cairn_run run = {0};

	(void)state;
	setenv("CAIRN_TEST_SEEN", "yes", 1);
	setenv("CAIRN_TEST_HIDDEN", "no", 1);
	setenv("HOME", "/nowhere", 1);
	/* The shell adds PWD and such; PATH and HOME are there. */
	assert_int_equal(run_with(&run,
				 "printf '%s,%s,%s,%s' \"$CAIRN_TEST_SEEN\" \"$CAIRN_TEST_HIDDEN\" "
				 "\"$HOME\" \"${PATH:+path}\" > out/data",
				 "data", "CAIRN_TEST_SEEN"),
		0);
	assert_string_equal(cairn_text_get(&run.out), "data=yes,,/nowhere,path;");
	cairn_text_free(&run.out);
}

static void test_exec__descriptors_are_not_inherited(void **state)
{
	cairn_run run = {0};

	(void)state;
	assert_int_equal(dup2(0, 77), 77); /* without close-on-exec, as the runner's wire is */
	assert_int_equal(run_with(&run,
				 "if [ -e /proc/self/fd/77 ]; then echo open; else echo closed; "
				 "fi > out/data",
				 "data", ""),
		0);
	assert_string_equal(cairn_text_get(&run.out), "data=closed\n;");
	close(77);
	cairn_text_free(&run.out);
}

static void test_exec__failures(void **state)
{
	static const struct {
		const char *command;
		int code;
		const char *message, *detail;
	} cases[] = {
		{"echo one >&2; echo two >&2; exit 3", CAIRN_ECRASH,
			"the command ended with status 3", "one | two"},
		{"kill -9 $$", CAIRN_ECRASH, "the command died of signal 9 (Killed)", ""},
		{"true", CAIRN_EINPUT,
			"the command did not write 'out/data': No such file or directory", ""},
		{"mkdir out/data", CAIRN_EINPUT, "'out/data' is no regular file", ""},
		{"ln -s /etc/passwd out/data", CAIRN_EINPUT,
			"the command did not write 'out/data': Too many levels of symbolic links",
			""},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		cairn_run run = {0};

		assert_int_equal(run_with(&run, cases[i].command, "data", ""), cases[i].code);
		assert_string_equal(run.error.message, cases[i].message);
		assert_string_equal(run.error.detail, cases[i].detail);
		cairn_text_free(&run.out);
	}
}

static void test_exec__keeps_the_last_lines_only(void **state)
{
	cairn_run run = {0};

	(void)state;
	assert_int_equal(
		run_with(&run,
			"i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i >&2; done; exit 1",
			"data", ""),
		CAIRN_ECRASH);
	assert_null(strstr(run.error.detail, "line 1 |"));
	assert_int_equal(strncmp(run.error.detail, "line 19", 7), 0);
	assert_non_null(strstr(run.error.detail, "| line 1999 | line 2000"));
}

static void test_exec__unsafe_names_are_refused(void **state)
{
	static const cairn_tensor bad[][1] = {{ENTRY("../x", "")}, {ENTRY("/x", "")},
		{ENTRY("a//b", "")}, {ENTRY("a/..", "")}, {ENTRY("./a", "")}};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		cairn_run run = {.entries = {bad[i]}, .n_entries = {1}, .n_inputs = 1};

		assert_int_equal(run_with(&run, "touch out/data", "data", ""), CAIRN_EINPUT);
		assert_non_null(strstr(run.error.message, "cannot become a file"));
	}
}

static void test_exec__stops_when_asked(void **state)
{
	cairn_run run = {.stop_at = 1};

	(void)state;
	assert_int_equal(run_with(&run, "exec sleep 1000", "data", ""), CAIRN_STOPPED);
	assert_int_equal(run.n_steps, 1);
}

static void test_exec__what_is_left_running_does_not_hold_it(void **state)
{
	cairn_run run = {0};

	(void)state;
	/* The one left behind has stderr open; it ends by itself, later. */
	assert_int_equal(run_with(&run, "sleep 3 > /dev/null & echo a > out/data", "data", ""), 0);
	assert_string_equal(cairn_text_get(&run.out), "data=a\n;");
	assert_true(run.n_steps < 4);
	cairn_text_free(&run.out);
}

static void test_exec__check(void **state)
{
	static const struct {
		struct exec_params params;
		const char *message;
	} cases[] = {
		{{"true", "data", ""}, ""},
		{{"true", "a/b c", ""}, ""},
		{{" \n", "data", ""}, "command is empty"},
		{{"true", " ", ""}, "outputs names no file"},
		{{"true", "a b a", ""}, "output 'a' is named twice"},
		{{"true", "../a", ""}, "'../a' cannot be an output"},
		{{"true", "/etc/passwd", ""}, "'/etc/passwd' cannot be an output"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		cairn_error err = {0};
		int rc = plugin->check(&cases[i].params, &err);

		assert_int_equal(rc, cases[i].message[0] ? CAIRN_EPARAM : 0);
		assert_string_equal(err.message, cases[i].message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec__inputs_and_outputs),
		cmocka_unit_test(test_exec__inputs_are_read_only),
		cmocka_unit_test(test_exec__environment_is_what_was_declared),
		cmocka_unit_test(test_exec__descriptors_are_not_inherited),
		cmocka_unit_test(test_exec__failures),
		cmocka_unit_test(test_exec__keeps_the_last_lines_only),
		cmocka_unit_test(test_exec__unsafe_names_are_refused),
		cmocka_unit_test(test_exec__stops_when_asked),
		cmocka_unit_test(test_exec__what_is_left_running_does_not_hold_it),
		cmocka_unit_test(test_exec__check),
	};

	return cmocka_run_group_tests(tests, find_plugin, NULL);
}
