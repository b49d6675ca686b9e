/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools.c - tests of the verbs that are tools: options, inputs, what they leave behind, how they
 * end. The tools are those of tools/fake.c; the last test takes the product's.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drive.h"

#define WITH(directory) CAIRN_TEST_PLUGIN_DIR ":" CAIRN_TEST_TOOL_DIR "/" directory

/* The tools, and a run that left the artifact w/a:out (a report: `sum`, 8 bytes, and `text`). */
static int setup(void **state)
{
	int rc = drive_setup(state);

	drive_env("CAIRN_PLUGIN_PATH", WITH("good"));
	drive_env("USER", "ann");
	drive_write("w.ini", "[workflow]\nname = w\n[params]\ninput =\n"
			     "[stage a]\nplugin = counter\ntext = hello\n");
	cairn_is(0, "run -q");
	return rc;
}

/* model/: two files, a link to a third, and what is none. */
static void make_directory(void)
{
	assert_int_equal(mkdir("model", 0777), 0);
	drive_write("model/a.bin", "abc");
	drive_write("model/config.json", "{}");
	drive_write("elsewhere", "12345");
	assert_int_equal(symlink("../elsewhere", "model/link"), 0);
	assert_int_equal(symlink("nowhere", "model/dangling"), 0);
	assert_int_equal(mkdir("model/below", 0777), 0);
	assert_int_equal(mkfifo("model/pipe", 0666), 0);
}

/* ---- options ---------------------------------------------------------------------------- */

static void test_cli_tools__parameters_are_options(void **state)
{
	const outcome *got;

	(void)state;
	got = cairn_is(0, "generate a:out hello");
	assert_memory_equal(got->out, "hello 0 at 1: ", 14);
	got = cairn_is(0, "generate a:out -n 2 --temperature=0.5");
	assert_memory_equal(got->out, "(none) 0 at 0.5: ", 17);
	assert_has(got->out, "\n(none) 1 at 0.5: ");
	/* Words between, and the general ones before the verb. */
	got = cairn_is(0, "--color never generate --samples 2 a:out hello --temperature 2");
	assert_has(got->out, "\nhello 1 at 2: ");
	assert_string_equal(cairn_is(0, "tokenize a:out")->out, "decode 0, json 0, extra 0\n");
	assert_string_equal(
		cairn_is(0, "tokenize --decode a:out")->out, "decode 1, json 0, extra 0\n");
	assert_string_equal(
		cairn_is(0, "tokenize a:out --decode=no")->out, "decode 0, json 0, extra 0\n");
}

static void test_cli_tools__mistakes_name_the_option(void **state)
{
	const outcome *got;

	(void)state;
	got = cairn_is(2, "generate a:out --temperature 3");
	assert_has(got->err, "parameter 'temperature' must be at most 2, not 3\n"
			     "  at --temperature\n");
	got = cairn_is(2, "generate a:out --finish-mode bad");
	assert_has(got->err, "cannot be 'bad'");
	assert_has(got->err, "Did you mean 'badly'?");
	got = cairn_is(2, "generate a:out --temprature 1");
	assert_has(got->err, "unknown option '--temprature'");
	assert_has(got->err, "Did you mean '--temperature'?");
	assert_has(cairn_is(2, "generate a:out --seed")->err, "'--seed' needs a value");
	assert_has(cairn_is(2, "generate a:out x y")->err, "takes MODEL [PROMPT]");
	assert_has(cairn_is(2, "generate a:out --keep-going")->err, "takes no option");
	/* A tool's option belongs to its verb. */
	assert_has(cairn_is(2, "status --samples 3")->err, "unknown option '--samples'");
}

static void test_cli_tools__help_has_the_tools_words(void **state)
{
	const outcome *got;

	(void)state;
	got = cairn_is(0, "help generate");
	assert_has(got->out, "  -n, --samples N          how many (default: 1)\n");
	assert_has(got->out, "      --endless[=yes|no]   until somebody stops it\n");
	assert_has(got->out, "--finish-mode well|badly|waiting ");
	assert_has(got->out, "--threads N");
	assert_has_not(got->out, "--dry-run");
	/* Its parameter `json` stands for ours. */
	got = cairn_is(0, "tokenize --help");
	assert_has(got->out, "--json[=yes|no]");
	assert_has_not(got->out, "one JSON document");
}

static void test_cli_tools__json_is_the_tools_or_a_mistake(void **state)
{
	(void)state;
	assert_string_equal(
		cairn_is(0, "tokenize a:out --json")->out, "decode 0, json 1, extra 0\n");
	assert_has(cairn_is(2, "generate a:out --json")->err, "takes no option '--json'");
}

static void test_cli_tools__streams_follow_from_the_seed(void **state)
{
	char first[128];

	(void)state;
	snprintf(first, sizeof(first), "%s", cairn_is(0, "generate a:out x --seed 7")->out);
	assert_string_equal(cairn_is(0, "generate w/a:out x --seed 7")->out, first);
	assert_string_not_equal(cairn_is(0, "generate a:out x --seed 8")->out, first);
}

/* ---- inputs ----------------------------------------------------------------------------- */

static void test_cli_tools__inputs_are_artifacts_by_any_name(void **state)
{
	const char *names[5] = {"a:out", "w/a:out"};
	char id[80], run[64], bare[16], line[128];
	json_t *json = cairn_json("ls a:out", "cairn.ls/1");

	(void)state;
	snprintf(id, sizeof(id), "%s", cairn_json_string(json, "id", ""));
	json_decref(json);
	json = cairn_json("status", "cairn.status/1");
	snprintf(run, sizeof(run), "%s/a:out", cairn_json_string(json, "run", ""));
	json_decref(json);
	snprintf(bare, sizeof(bare), "%.8s", id + strlen("sha256:"));
	names[2] = id;
	names[3] = bare;
	names[4] = run;
	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		snprintf(line, sizeof(line), "score %s", names[i]);
		assert_string_equal(cairn_is(0, line)->out, "sum=8 text=5\n");
	}
	assert_has(cairn_is(3, "score b:out")->err, "no artifact is called 'b:out'");
}

static void test_cli_tools__inputs_are_directories(void **state)
{
	static const char *const names[] = {"model", "./model", "model/"};
	char line[64];

	(void)state;
	make_directory();
	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		snprintf(line, sizeof(line), "score %s", names[i]);
		/* No subdirectory, no pipe, no dangling link. */
		assert_string_equal(cairn_is(0, line)->out, "a.bin=3 config.json=2 link=5\n");
	}
	/* Without a store, too. */
	assert_string_equal(
		cairn_is(0, "--store none score model")->out, "a.bin=3 config.json=2 link=5\n");
	assert_has(cairn_is(3, "--store none score modell")->err, "no directory 'modell'");
	assert_has(cairn_is(3, "score ./nowhere")->err, "'./nowhere' is no directory");
	assert_int_equal(access("none", F_OK), -1);
}

static void test_cli_tools__wrong_kind_says_what_takes_it(void **state)
{
	const outcome *got;

	(void)state;
	make_directory();
	got = cairn_is(2, "tokenize model");
	assert_has(got->err, "'model' is of kind 'directory', `cairn tokenize` takes 'report'");
	assert_has(got->err, "`cairn import model`");
	got = cairn_is(2, "generate a:metrics");
	assert_has(got->err, "is of kind 'metrics', `cairn generate` takes 'report|directory'");
	assert_has(got->err, "`cairn score` takes that kind");
	assert_has(cairn_is(3, "import a:out")->err, "'a:out' is no directory");
	got = cairn_is(3, "export w");
	assert_has(got->err, "'w' is a run, not an artifact");
	assert_has(got->err, "`cairn export w --format tensorboard` writes its metrics.");
}

static void test_cli_tools__optional_inputs_are_options(void **state)
{
	(void)state;
	make_directory();
	assert_string_equal(cairn_is(0, "tokenize a:out --extra-words ./model")->out,
		"decode 0, json 0, extra 1\n./model");
	assert_has(cairn_is(2, "tokenize a:out --extra-words a:metrics")->err, "of kind 'metrics'");
}

/* ---- lines ------------------------------------------------------------------------------ */

static void test_cli_tools__lines_come_as_they_are(void **state)
{
	const size_t n = 3 << 20;
	char *text = malloc(n + 8), number[64];

	(void)state;
	assert_string_equal(cairn_fed("one\n\ntwo three\nlast", "score a:out")->out,
		"sum=8 text=5\n3 3\n0 0\n9 9\n4 4\n");
	assert_string_equal(cairn_fed("", "score a:out")->out, "sum=8 text=5\n");
	/* Longer than any buffer at first is, with another behind it. */
	assert_non_null(text);
	memset(text, 'x', n);
	snprintf(text + n, 8, "\nab\n");
	snprintf(number, sizeof(number), "sum=8 text=5\n%zu %zu\n2 2\n", n, n);
	assert_string_equal(cairn_fed(text, "score a:out")->out, number);
	free(text);
}

/* ---- how it ends ------------------------------------------------------------------------ */

static void test_cli_tools__errors_are_the_tools(void **state)
{
	const outcome *got;

	(void)state;
	got = cairn_is(2, "tokenize a:out --decode --json");
	assert_has(got->err, "error: cannot do both\nhint: Choose one.\n");
	got = cairn_is(1, "generate a:out x --finish-mode badly");
	assert_has(got->err, "'generate' failed: training diverged");
	assert_has(
		cairn_is(1, "generate a:out --finish-mode waiting")->err, "returned 2 from run()");
	/* What it says goes to stderr, and only as loud as was asked. */
	assert_has(got->err, "reading a:out\n");
	assert_has_not(got->err, "of kind");
	assert_has(cairn_is(0, "generate a:out -v")->err, "of kind report\n");
	assert_string_equal(cairn_is(0, "generate a:out -q")->err, "");
}

static void test_cli_tools__signal_ends_it_between_lines(void **state)
{
	const outcome *got;

	(void)state;
	got = cairn_signalled("generate a:out --endless", "reading a:out", SIGINT);
	assert_int_equal(got->status, 128 + SIGINT);
	assert_has_not(got->err, "error");
	assert_int_equal(strlen(got->out) % strlen("again and again\n"), 0);
	got = cairn_signalled("generate a:out --endless", "reading a:out", SIGTERM);
	assert_int_equal(got->status, 128 + SIGTERM);
}

static void test_cli_tools__closed_pipe_ends_it_quietly(void **state)
{
	const outcome *got;

	(void)state;
	got = cairn_unread("generate a:out --endless");
	assert_int_equal(got->status, 128 + SIGPIPE);
	assert_string_equal(got->err, "reading a:out\n");
}

/* ---- import ----------------------------------------------------------------------------- */

static void test_cli_tools__import_prints_id_and_name(void **state)
{
	char first[256], id[80];

	(void)state;
	make_directory();
	snprintf(first, sizeof(first), "%s", cairn_is(0, "import model")->out);
	assert_memory_equal(first, "sha256:", 7);
	assert_string_equal(first + 71, "  imported/model:model\n");
	snprintf(id, sizeof(id), "%.71s\n", first);
	assert_string_equal(cairn_is(0, "import -q ./model/ mine/gpt2")->out, id);
	/* Both names, one artifact. */
	assert_string_equal(cairn_is(0, "score gpt2:model")->out, "a.bin=3 config.json=2 link=5\n");
	assert_string_equal(
		cairn_is(0, "score imported/model:model")->out, "a.bin=3 config.json=2 link=5\n");
	assert_has(cairn_is(2, "import model a:b")->err, "'a:b' cannot be a name");
}

static void test_cli_tools__import_makes_its_store(void **state)
{
	json_t *json, *model;

	(void)state;
	make_directory();
	json = cairn_json("--store new import model", "cairn.import/1");
	model = json_object_get(json_object_get(json, "outputs"), "model");
	assert_string_equal(cairn_json_string(model, "kind", ""), "report");
	assert_string_equal(cairn_json_string(model, "name", ""), "imported/model:model");
	json_decref(json);
	assert_has(cairn_is(0, "--store new ls")->out, "imported/model:model");
	/* But not for nothing. */
	cairn_is(3, "--store other import nowhere");
	assert_int_equal(access("other", F_OK), -1);
}

static void test_cli_tools__import_has_a_lineage(void **state)
{
	const outcome *got;
	json_t *json, *made, *origin, *file;

	(void)state;
	make_directory();
	/* Only the files that were read are its origin. */
	cairn_is(0, "import model --only a.bin");
	json = cairn_json("lineage up model:model", "cairn.lineage/1");
	made = json_array_get(json_object_get(json, "nodes"), 1);
	assert_string_equal(cairn_json_string(made, "plugin", ""), "import");
	assert_string_equal(cairn_json_string(made, "version", ""), "7");
	assert_string_equal(
		cairn_json_string(json_object_get(made, "components"), "param.only", ""), "a.bin");
	origin = json_array_get(json_object_get(made, "origins"), 0);
	assert_has(cairn_json_string(origin, "path", ""), "/model");
	assert_int_equal(json_array_size(json_object_get(origin, "files")), 1);
	file = json_array_get(json_object_get(origin, "files"), 0);
	assert_string_equal(cairn_json_string(file, "name", ""), "a.bin");
	/* FIPS 180-2, the one-block example. */
	assert_string_equal(cairn_json_string(file, "sha256", ""),
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	json_decref(json);
	got = cairn_is(0, "lineage up imported/model:model");
	assert_has(got->out, "made by import as model  import 7  by ann\n    from /");
	assert_has(got->out, "\n      ba7816bf8f01  3 B  a.bin\n");
	/* The compute of an artifact from outside is nothing that we know of. */
	cairn_is(0, "cost model:model");
}

static void test_cli_tools__import_twice_is_one_producer(void **state)
{
	json_t *json;

	(void)state;
	make_directory();
	cairn_is(0, "import model");
	cairn_is(0, "import model again");
	json = cairn_json("lineage up again:model", "cairn.lineage/1");
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 2);
	json_decref(json);
	/* From elsewhere is another origin of the same artifact. */
	assert_int_equal(rename("model", "moved"), 0);
	cairn_is(0, "import moved");
	json = cairn_json("lineage up again:model", "cairn.lineage/1");
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 3);
	json_decref(json);
}

static void test_cli_tools__imported_artifact_feeds_a_workflow(void **state)
{
	char id[80], ini[256];

	(void)state;
	make_directory();
	snprintf(id, sizeof(id), "%.71s", cairn_is(0, "import model")->out);
	snprintf(ini, sizeof(ini),
		"[workflow]\nname = v\n[stage b]\nplugin = counter\ninput.in = %s\n", id);
	drive_write("v.ini", ini);
	assert_has(cairn_is(0, "run v.ini")->out, "done 1");
	/* By its name it is the same. */
	drive_write("u.ini", "[workflow]\nname = u\n[stage b]\nplugin = counter\n"
			     "input.in = ref:imported/model:model\n");
	assert_has(cairn_is(0, "run u.ini")->out, "cached 1");
	/* From the stage's output back to the files. */
	assert_has(cairn_is(0, "lineage up v/b:out")->out, "ba7816bf8f01  3 B  a.bin");
}

static void test_cli_tools__failed_import_leaves_nothing(void **state)
{
	char before[1024];

	(void)state;
	make_directory();
	snprintf(before, sizeof(before), "%s", cairn_is(0, "ls")->out);
	assert_has(cairn_is(2, "import model --mode badly")->err, "told to fail");
	assert_has(cairn_is(1, "import model --mode early")->err, "while a writer was open");
	assert_string_equal(cairn_is(0, "ls")->out, before);
}

/* ---- export ----------------------------------------------------------------------------- */

static void assert_file(const char *name, const char *text)
{
	char *got = drive_read(name);

	assert_string_equal(got, text);
	free(got);
}

static void test_cli_tools__export_writes_a_directory(void **state)
{
	json_t *json, *made;

	(void)state;
	assert_string_equal(cairn_is(0, "export a:out out/deep")->out, "out/deep\n");
	assert_file("out/deep/text", "hello");
	assert_int_equal(access("out/deep/sum", R_OK), 0);
	/* Where nothing is said, the name is made of the artifact's. */
	assert_string_equal(cairn_is(0, "export w/a:out")->out, "w-a-out\n");
	assert_file("w-a-out/text", "hello");
	json = cairn_json("export a:out again --format safetensors", "cairn.export/1");
	made = json_object_get(json, "directory");
	assert_string_equal(cairn_json_string(made, "path", ""), "again");
	assert_int_equal(cairn_json_integer(made, "bytes", 0), 13);
	assert_int_equal(json_array_size(json_object_get(made, "files")), 2);
	json_decref(json);
	assert_has(cairn_is(2, "export a:out x --format onnx")->err,
		"safetensors, bundle, tensorboard or "
		"jsonl");
}

static void test_cli_tools__export_spares_what_is_there(void **state)
{
	const outcome *got;

	(void)state;
	assert_int_equal(mkdir("out", 0777), 0);
	assert_string_equal(cairn_is(0, "export a:out out")->out, "out\n");
	drive_write("out/text", "mine");
	drive_write("out/other", "mine, too");
	got = cairn_is(2, "export a:out out");
	assert_has(got->err, "'out' exists and is not empty");
	assert_has(got->err, "--force");
	assert_file("out/text", "mine");
	cairn_is(0, "export a:out out/ --force");
	assert_file("out/text", "hello");
	assert_file("out/other", "mine, too");
	assert_has(cairn_is(2, "export a:out w.ini")->err, "'w.ini' is no directory");
}

static void test_cli_tools__failed_export_leaves_nothing(void **state)
{
	(void)state;
	assert_int_equal(mkdir("in", 0777), 0);
	cairn_is(2, "export a:out in/new --mode badly");
	/* Only an empty directory can be removed. */
	assert_int_equal(rmdir("in"), 0);
	assert_int_equal(mkdir("in", 0777), 0);
	cairn_is(2, "export a:out in --mode badly");
	assert_int_equal(rmdir("in"), 0);
}

/* ---- export of metrics -------------------------------------------------------------------- */

static void test_cli_tools__export_metrics_as_lines(void **state)
{
	char *log;

	(void)state;
	assert_string_equal(cairn_is(0, "export w m --format jsonl")->out, "m\n");
	log = strdup(cairn_is(0, "log a --metrics")->out);
	assert_true(strlen(log) > 100);
	assert_file("m/a/metrics.jsonl", log);
	free(log);
	assert_string_equal(cairn_is(0, "export w --format jsonl")->out, "w-jsonl\n");
	assert_has(
		cairn_is(3, "export nobody m2 --format jsonl")->err, "no run is called 'nobody'");
	assert_int_equal(access("m2", F_OK), -1);
}

static void test_cli_tools__export_metrics_as_events(void **state)
{
	char path[128];
	char *first, *second;
	json_t *json;
	struct stat st, again;

	(void)state;
	json = cairn_json("export w tb --format tensorboard", "cairn.export/1");
	snprintf(path, sizeof(path), "tb/%s",
		json_string_value(json_array_get(
			json_object_get(json_object_get(json, "directory"), "files"), 0)));
	json_decref(json);
	assert_memory_equal(path, "tb/a/events.out.tfevents.", 25);
	assert_int_equal(stat(path, &st), 0);
	first = drive_read(path);
	/* The same store, the same file. */
	cairn_is(0, "export w tb --force --format tensorboard");
	assert_int_equal(stat(path, &again), 0);
	assert_true(st.st_ino != again.st_ino);
	second = drive_read(path);
	assert_int_equal(st.st_size, again.st_size);
	assert_memory_equal(first, second, (size_t)st.st_size);
	free(first);
	free(second);
}

static void test_cli_tools__export_metrics_of_a_broken_run(void **state)
{
	char *rows;

	(void)state;
	drive_write("x.ini", "[workflow]\nname = x\n[stage b]\nplugin = counter\nsteps = 40\n"
			     "fail_at = 31\ncheckpoint_every = 10\n");
	cairn_is(1, "run x.ini");
	cairn_is(0, "export x m --format jsonl");
	/* Up to its last checkpoint. */
	rows = drive_read("m/b/metrics.jsonl");
	assert_memory_equal(strrchr(rows, '{'), "{\"step\":30,", 11);
	free(rows);
	drive_write("y.ini", "[workflow]\nname = y\n[stage b]\nplugin = counter\nfail_at = 1\n");
	cairn_is(1, "run y.ini");
	assert_has(cairn_is(3, "export y m2 --format jsonl")->err, "has committed metric rows");
	assert_int_equal(access("m2", F_OK), -1);
}

/* ---- which tools there are -------------------------------------------------------------- */

static void test_cli_tools__foreign_objects_are_refused(void **state)
{
	const outcome *got;

	(void)state;
	drive_alone();
	drive_env("CAIRN_PLUGIN_PATH", WITH("alien"));
	got = cairn_is(1, "score a:out --unknown");
	assert_has(got->err, "wrong_magic.so' is no cairn set of tools");
	assert_has(got->err, "Its descriptor must begin with CAIRN_TOOL_HEAD.");
	drive_env("CAIRN_PLUGIN_PATH", WITH("future"));
	got = cairn_is(1, "score a:out");
	assert_has(got->err,
		"new_major.so' is a set of tools for contract 2.0, this cairn speaks 1.0");
	assert_has(got->err, "major is 2, cairn has 1; built by a compiler to come");
	assert_has(got->err, "Rebuild it against the headers of this cairn");
	assert_has(cairn_is(0, "help score")->err, "new_major.so");
	drive_env("CAIRN_PLUGIN_PATH", WITH("faulty"));
	got = cairn_is(1, "score a:out");
	assert_has(got->err, "parameter 'must' of 'score' has no default");
}

static void test_cli_tools__a_bad_object_disturbs_nobody(void **state)
{
	const outcome *got;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("future:" CAIRN_TEST_TOOL_DIR "/good"));
	assert_string_equal(cairn_is(0, "score a:out")->out, "sum=8 text=5\n");
	/* But `plugins` says so, and shows the others. */
	got = cairn("plugins");
	assert_has(got->err, "new_major.so");
	assert_has(got->out, "tokenize  7        says what it was given\n");
}

static void test_cli_tools__metrics_need_no_tool(void **state)
{
	(void)state;
	drive_alone();
	drive_env("CAIRN_PLUGIN_PATH", WITH("nowhere"));
	cairn_is(0, "export w m --format jsonl");
	assert_has(cairn_is(3, "export a:out m2")->err, "the tool 'export' is not installed");
}

/* ---- the product's ------------------------------------------------------------------------ */

static void test_cli_tools__the_products_tools(void **state)
{
	char id[80], line[160], first[512];
	char *text;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", NULL);
	if (cairn("plugins pretrain")->status != 0 || cairn("help generate")->err[0]) {
		print_message("the product's plugins or tools are not built\n");
		skip();
	}
	cairn_is(0, "init first.ini");
	cairn_is(0, "run -q first.ini -p steps=2");
	/* The same words from the same seed, from the artifact and from what is exported of it. */
	snprintf(first, sizeof(first), "%s",
		cairn_is(0, "generate pretrain:model the --max-new 8 --seed 3")->out);
	assert_true(strlen(first) > 1);
	cairn_is(0, "export pretrain:model hf --format safetensors");
	assert_string_equal(cairn_is(0, "generate ./hf the --max-new 8 --seed 3")->out, first);
	/* And back in. */
	snprintf(id, sizeof(id), "%.71s", cairn_is(0, "import hf")->out);
	snprintf(line, sizeof(line), "generate %s the --max-new 8 --seed 3", id);
	assert_string_equal(cairn_is(0, line)->out, first);
	/* Text to numbers to text; numbers to log-probabilities. */
	text = strdup(cairn_fed("{\"text\":\"the end\"}\n", "tokenize pretrain:model")->out);
	assert_has(text, "{\"ids\":[");
	snprintf(first, sizeof(first), "%s", cairn_fed(text, "score pretrain:model")->out);
	assert_memory_equal(first, "{\"logprobs\":[null,-", 19);
	assert_string_equal(cairn_fed(text, "score ./hf")->out, first);
	assert_string_equal(
		cairn_fed(text, "tokenize ./hf --decode")->out, "{\"text\":\"the end\"}\n");
	free(text);
	assert_has(cairn_is(2, "generate pretrain:metrics")->err, "of kind 'metrics'");
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_tools__parameters_are_options),
		DRIVEN(test_cli_tools__mistakes_name_the_option),
		DRIVEN(test_cli_tools__help_has_the_tools_words),
		DRIVEN(test_cli_tools__json_is_the_tools_or_a_mistake),
		DRIVEN(test_cli_tools__streams_follow_from_the_seed),
		DRIVEN(test_cli_tools__inputs_are_artifacts_by_any_name),
		DRIVEN(test_cli_tools__inputs_are_directories),
		DRIVEN(test_cli_tools__wrong_kind_says_what_takes_it),
		DRIVEN(test_cli_tools__optional_inputs_are_options),
		DRIVEN(test_cli_tools__lines_come_as_they_are),
		DRIVEN(test_cli_tools__errors_are_the_tools),
		DRIVEN(test_cli_tools__signal_ends_it_between_lines),
		DRIVEN(test_cli_tools__closed_pipe_ends_it_quietly),
		DRIVEN(test_cli_tools__import_prints_id_and_name),
		DRIVEN(test_cli_tools__import_makes_its_store),
		DRIVEN(test_cli_tools__import_has_a_lineage),
		DRIVEN(test_cli_tools__import_twice_is_one_producer),
		DRIVEN(test_cli_tools__imported_artifact_feeds_a_workflow),
		DRIVEN(test_cli_tools__failed_import_leaves_nothing),
		DRIVEN(test_cli_tools__export_writes_a_directory),
		DRIVEN(test_cli_tools__export_spares_what_is_there),
		DRIVEN(test_cli_tools__failed_export_leaves_nothing),
		DRIVEN(test_cli_tools__export_metrics_as_lines),
		DRIVEN(test_cli_tools__export_metrics_as_events),
		DRIVEN(test_cli_tools__export_metrics_of_a_broken_run),
		DRIVEN(test_cli_tools__foreign_objects_are_refused),
		DRIVEN(test_cli_tools__a_bad_object_disturbs_nobody),
		DRIVEN(test_cli_tools__metrics_need_no_tool),
		DRIVEN(test_cli_tools__the_products_tools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
