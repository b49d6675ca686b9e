/* SPDX-License-Identifier: Apache-2.0 */
/* exec.c - the `exec` stage: files in, files out, the protocol, resuming. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "fakehost.h"
#include "gpt/safetensors.h"

static struct fakehost *make(const char *command, const char *outputs)
{
	struct fakehost *host = fakehost_new("exec");
	cairn_text text = {0};

	cairn_text_printf(&text, "command=%s", command);
	fakehost_param(host, text.data);
	cairn_text_clear(&text);
	cairn_text_printf(&text, "outputs=%s", outputs);
	fakehost_param(host, text.data);
	cairn_text_free(&text);
	return host;
}

static void assert_out(const struct fakehost *host, const char *name, const char *text)
{
	assert_string_equal(fake_text(fakehost_output(host, "out"), name), text);
}

static void add_bytes(struct fake_artifact *to, const char *name, const char *text)
{
	fake_add(to, name, CAIRN_U8, 1, NULL, text, strlen(text));
}

/* ---- files -------------------------------------------------------------------------------- */

static void test_exec__inputs_and_outputs(void **state)
{
	struct fakehost *host = make(
		"sort -r in/in-0/a.txt > out/sorted; cat in/in-1/data > out/b\n"
		"find in -type f | sort > out/a; test ! -s in/in-0/sub/b.txt && mkdir out/d && "
		"echo 1 > out/d/y && echo 2 > out/d/x",
		"sorted  b\ta d/");
	struct fake_artifact *first = fakehost_input(host, "in", "file", "a:out");

	(void)state;
	add_bytes(first, "a.txt", "x\ny\n");
	add_bytes(first, "sub/b.txt", "");
	fakehost_file(host, "in", "z", "z");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(fake_artifact_entries(fakehost_output(host, "out")), 5);
	assert_out(host, "a", "in/in-0/a.txt\nin/in-0/sub/b.txt\nin/in-1/data\n");
	assert_out(host, "b", "z");
	assert_out(host, "sorted", "y\nx\n");
	assert_out(host, "d/x", "2\n");
	assert_out(host, "d/y", "1\n");
	fakehost_free(host);
}

static void test_exec__inputs_are_read_only(void **state)
{
	struct fakehost *host = make("stat -c %a in/in-0/data > out/data", "data");

	(void)state;
	fakehost_file(host, "in", "x", "x");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "data", "444\n");
	fakehost_free(host);
}

static void test_exec__scripts_keep_their_names(void **state)
{
	struct fakehost *host = make("./go.sh > out/data", "data");

	(void)state;
	fakehost_file(host, "script", "go.sh", "#!/bin/sh\n. ./lib.sh; greet\n");
	fake_meta(fakehost_input_artifact(host, "script"), "{\"name\":\"go.sh\"}");
	fakehost_file(host, "deps", "lib.sh", "greet() { echo hello; }\n");
	fake_meta(fakehost_input_artifact(host, "deps"), "{\"name\":\"lib.sh\"}");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "data", "hello\n");
	fakehost_free(host);
}

static void test_exec__a_model_becomes_one_file(void **state)
{
	static const float values[] = {1, 2, 3, 4, 5, 6};
	static const uint64_t dims[] = {2, 3};
	struct fakehost *host = make(
		"cp in/in-0/model.safetensors out/w; cp in/in-0/config.json out/c; ls in/in-0 > out/l",
		"w c l");
	struct fake_artifact *model = fakehost_input(host, "in", "model/lm", "sft:model");
	gpt_safetensors file = {0};
	const gpt_st_tensor *tensor;
	const cairn_tensor *entry;
	float back[6];

	(void)state;
	add_bytes(model, "config.json", "{}");
	fake_add(model, "wte.weight", CAIRN_F32, 2, dims, values, sizeof(values));
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "l", "config.json\nmodel.safetensors\n");
	assert_out(host, "c", "{}");
	entry = fake_entry(fakehost_output(host, "out"), "w");
	assert_int_equal(gpt_safetensors_open(&file, "w", entry->data, entry->bytes, NULL), 0);
	tensor = gpt_safetensors_find(&file, "wte.weight");
	assert_non_null(tensor);
	assert_int_equal(tensor->n_dims, 2);
	assert_int_equal(tensor->dims[1], 3);
	gpt_st_floats(&file, tensor, 0, 6, back);
	assert_memory_equal(back, values, sizeof(values));
	gpt_safetensors_close(&file);
	fakehost_free(host);
}

static void test_exec__unsafe_names_are_refused(void **state)
{
	static const char *const bad[] = {"../x", "/x", "a//b", "a/..", "./a"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		struct fakehost *host = make("touch out/data", "data");

		add_bytes(fakehost_input(host, "in", "file", "a:out"), bad[i], "x");
		assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
		assert_non_null(strstr(fakehost_error(host)->message, "cannot become a file"));
		fakehost_free(host);
	}
}

/* ---- models out --------------------------------------------------------------------------- */

#define CONFIG                                                                                 \
	"{\"model_type\":\"gpt2\",\"n_layer\":1,\"n_head\":2,\"n_embd\":8,\"n_positions\":16," \
	"\"vocab_size\":32}"

static void test_exec__takes_a_saved_model(void **state)
{
	struct fakehost *host =
		make("mkdir -p out/final/deeper; echo '" CONFIG "' > out/final/config.json; "
		     "echo w > out/final/model.safetensors; echo o > out/final/optimizer.pt; "
		     "echo s > out/final/deeper/state.json; echo {} > out/final/vocab.json",
			"");
	const struct fake_artifact *model;

	(void)state;
	fakehost_param(host, "model=final");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_null(fakehost_output(host, "out"));
	model = fakehost_output(host, "model");
	assert_string_equal(fake_artifact_kind(model), "model/lm");
	assert_int_equal(fake_artifact_entries(model), 3);
	assert_string_equal(fake_text(model, "model.safetensors"), "w\n");
	assert_non_null(strstr(fake_artifact_meta(model), "\"n_embd\":8"));
	assert_non_null(strstr(fake_artifact_meta(model), "\"head\":\"lm\""));
	fakehost_free(host);
}

static void test_exec__refuses_what_is_no_model(void **state)
{
	static const struct {
		const char *command, *message, *hint;
	} cases[] = {
		{"true", "cannot open 'out/m': No such file or directory", NULL},
		{"mkdir out/m", "'out/m' has no 'config.json'", "save_pretrained"},
		{"mkdir out/m; echo '" CONFIG
		 "' > out/m/config.json; touch out/m/pytorch_model.bin",
			"'out/m' has no weights as '.safetensors'", "safe_serialization=True"},
		{"mkdir out/m; touch out/m/model.safetensors; echo '{\"model_type\":\"llama\"}' > "
		 "out/m/config.json",
			"config.json of 'out/m/config.json'", "a stage `exec` that reads them"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		struct fakehost *host = make(cases[i].command, "");

		fakehost_param(host, "reward=m");
		assert_true(fakehost_run(host) < 0);
		if (!strstr(fakehost_error(host)->message, cases[i].message))
			fail_msg("%s", fakehost_error(host)->message);
		if (cases[i].hint)
			assert_non_null(strstr(fakehost_error(host)->hint, cases[i].hint));
		fakehost_free(host);
	}
}

/* ---- environment -------------------------------------------------------------------------- */

static void test_exec__environment_is_what_was_declared(void **state)
{
	struct fakehost *host = make(
		"printf '%s,%s,%s,%s,%s,%s' \"$CAIRN_TEST_SEEN\" \"$CAIRN_TEST_HIDDEN\" \"$HOME\" "
		"\"${PATH:+path}\" \"$BETA\" \"${CAIRN_RESUME-none}\" > out/data; "
		"test \"$CAIRN_SEED\" -ge 0 && test -p \"$CAIRN_EVENTS\" && test -d \"$CAIRN_ASK\"",
		"data");

	(void)state;
	setenv("CAIRN_TEST_SEEN", "yes", 1);
	setenv("CAIRN_TEST_HIDDEN", "no", 1);
	setenv("HOME", "/nowhere", 1);
	fakehost_param(host, "env=CAIRN_TEST_SEEN");
	fakehost_param(host, "set=BETA=0.1 GAMMA=");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "data", "yes,,/nowhere,path,0.1,none");
	fakehost_free(host);
}

static void test_exec__descriptors_are_not_inherited(void **state)
{
	struct fakehost *host =
		make("if [ -e /proc/self/fd/77 ]; then echo open; else echo closed; fi > out/data",
			"data");

	(void)state;
	assert_int_equal(dup2(0, 77), 77); /* without close-on-exec, as the runner's wire is */
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "data", "closed\n");
	close(77);
	fakehost_free(host);
}

/* ---- failures ----------------------------------------------------------------------------- */

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
		struct fakehost *host = make(cases[i].command, "data");

		assert_int_equal(fakehost_run(host), cases[i].code);
		assert_string_equal(fakehost_error(host)->message, cases[i].message);
		assert_string_equal(fakehost_error(host)->detail, cases[i].detail);
		fakehost_free(host);
	}
}

static void test_exec__keeps_the_last_lines_only(void **state)
{
	struct fakehost *host =
		make("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i >&2; done; exit 1",
			"data");

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_ECRASH);
	assert_null(strstr(fakehost_error(host)->detail, "line 1 |"));
	assert_int_equal(strncmp(fakehost_error(host)->detail, "line 19", 7), 0);
	assert_non_null(strstr(fakehost_error(host)->detail, "| line 1999 | line 2000"));
	fakehost_free(host);
}

static void test_exec__a_directory_with_a_link_is_refused(void **state)
{
	struct fakehost *host = make("mkdir out/d; ln -s /etc/passwd out/d/x", "d/");

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_string_equal(fakehost_error(host)->message, "'x' is neither a file nor a directory");
	fakehost_free(host);
}

static void test_exec__what_is_left_running_does_not_hold_it(void **state)
{
	/* The one left behind has stderr open; it ends by itself, later. */
	struct fakehost *host = make("sleep 3 > /dev/null & echo a > out/data", "data");

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "data", "a\n");
	assert_true(fakehost_steps(host) < 4);
	fakehost_free(host);
}

/* ---- events ------------------------------------------------------------------------------- */

static void test_exec__progress_and_metrics(void **state)
{
	struct fakehost *host = make(
		"{ echo 'phase train'; echo 'step 1 of 3 loss=0.5 tokens=128'; "
		"echo 'step 2 loss=nan lr=1e-5'; } >> $CAIRN_EVENTS\n"
		"echo 'step 3 loss=0.25' >> $CAIRN_EVENTS; echo 'log fine so far' >> $CAIRN_EVENTS\n"
		"echo 'summary accuracy=0.75 n=4' >> $CAIRN_EVENTS; touch out/data",
		"data");

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(fakehost_metrics(host),
		"1 train loss=0.5\n2 train loss=nan lr=1e-05\n3 train loss=0.25\n");
	assert_true(fakehost_summary(host, "accuracy") == 0.75);
	assert_true(fakehost_summary(host, "n") == 4);
	assert_non_null(strstr(fakehost_log(host), "fine so far"));
	fakehost_free(host);
}

static void test_exec__events_are_not_believed(void **state)
{
	static const struct {
		const char *event, *complaint;
	} cases[] = {
		{"step 0 loss=1", "step takes a number from 1 on: '0'"},
		{"step -1", "step takes a number from 1 on: '-1'"},
		{"step", "step takes a number from 1 on: ''"},
		{"step 1\nstep 1", "this step was there before: '1'"},
		{"step 1 of many", "not a number of steps: 'many'"},
		{"step 1 loss=low", "not NAME=NUMBER: 'loss=low'"},
		{"step 1 =1", "not NAME=NUMBER: '=1'"},
		{"summary accuracy", "not NAME=NUMBER: 'accuracy'"},
		{"checkpoint 7 there", "no such step was told: '7'"},
		{"phase", "phase takes a short word: ''"},
		{"phase a-phase-with-a-name-over-thirty-two-bytes", "phase takes a short word"},
		{"dance", "unknown word: 'dance'"},
		{"step 1\ncheckpoint 1 ../..", "give a path inside of the command's directory"},
		{"step 1\ncheckpoint 1 /etc", "give a path inside of the command's directory"},
		{"step 1\ncheckpoint 1 none", "was not taken: No such file or directory"},
		{"step 1\ncheckpoint 1 in", "was not taken: it is empty"},
		{"step 1\ncheckpoint 1 events", "neither a file nor a directory"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		struct fakehost *host = make("", "data");
		cairn_text text = {0};

		cairn_text_printf(&text,
			"command=printf '%%s\\n' '%s' >> $CAIRN_EVENTS; touch out/data",
			cases[i].event);
		fakehost_param(host, text.data);
		assert_int_equal(fakehost_run(host), CAIRN_DONE);
		if (!strstr(fakehost_log(host), cases[i].complaint))
			fail_msg("%s: %s", cases[i].event, fakehost_log(host));
		assert_null(fakehost_checkpoint(host, NULL));
		cairn_text_free(&text);
		fakehost_free(host);
	}
}

static void test_exec__a_flood_of_nonsense_is_harmless(void **state)
{
	struct fakehost *host = make(
		"head -c 3000000 /dev/zero | tr '\\0' 'x' >> $CAIRN_EVENTS\n"
		"printf '\\nstep 1 loss=1\\na\\0b\\n' >> $CAIRN_EVENTS\n"
		"i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo bogus; done >> $CAIRN_EVENTS\n"
		"touch out/data",
		"data");

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(fakehost_metrics(host), "1 command loss=1\n");
	assert_non_null(strstr(fakehost_log(host), "longer than 64 KiB"));
	assert_non_null(strstr(fakehost_log(host), "has a NUL byte"));
	assert_non_null(strstr(fakehost_log(host), "further ones are not told"));
	assert_true(strlen(fakehost_log(host)) < 5000);
	fakehost_free(host);
}

static void test_exec__waits_for_people(void **state)
{
	struct fakehost *host = make("echo 'waiting for the labelers' >> $CAIRN_EVENTS", "data");

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_WAITING);
	assert_non_null(strstr(fakehost_log(host), "for the labelers"));
	assert_null(fakehost_output(host, "out"));
	fakehost_free(host);
}

/* ---- checkpoints -------------------------------------------------------------------------- */

/* Adds up 1..10 and keeps a checkpoint of each step: the sum in a file beside another. */
static const char counter[] =
	"n=0; sum=0\n"
	"if [ -n \"$CAIRN_RESUME\" ]; then read n sum < $CAIRN_RESUME/state/at; "
	"test $n = $CAIRN_RESUME_STEP || exit 9; fi\n"
	"while [ $n -lt 10 ]; do\n"
	"  n=$((n+1)); sum=$((sum+n)); echo \"step $n of 10 sum=$sum\" >> $CAIRN_EVENTS\n"
	"  mkdir -p ck-$n/state; echo $n $sum > ck-$n/state/at; : > ck-$n/empty\n"
	"  echo \"checkpoint $n ck-$n\" >> $CAIRN_EVENTS\n"
	"  while [ -e ck-$n ]; do sleep 0.01; done\n"
	"  if [ -e $CAIRN_ASK/stop ]; then exit 0; fi\n"
	"done\n"
	"echo $sum > out/data";

static void test_exec__goes_on_from_its_checkpoint(void **state)
{
	struct fakehost *straight = make(counter, "data"), *broken = make(counter, "data");
	uint64_t step;

	(void)state;
	assert_int_equal(fakehost_run(straight), CAIRN_DONE);
	assert_out(straight, "data", "55\n");

	fakehost_param(broken, "stop_signal=none");
	fakehost_stop_at(broken, 4);
	assert_int_equal(fakehost_run(broken), CAIRN_STOPPED);
	assert_non_null(fakehost_checkpoint(broken, &step));
	assert_int_equal(step, 4);
	assert_int_equal(fake_artifact_entries(fakehost_checkpoint(broken, &step)), 2);
	fakehost_rewind(broken, 3); /* step 4 is done again */
	assert_int_equal(fakehost_run(broken), CAIRN_DONE);
	fake_assert_equal(fakehost_output(broken, "out"), fakehost_output(straight, "out"));
	assert_string_equal(fakehost_metrics(broken), fakehost_metrics(straight));
	fakehost_free(straight);
	fakehost_free(broken);
}

static void test_exec__a_file_is_a_checkpoint_too(void **state)
{
	struct fakehost *host = make(
		"if [ -n \"$CAIRN_RESUME\" ]; then cp $CAIRN_RESUME/state.bin out/data; exit; fi\n"
		"echo step 1 >> $CAIRN_EVENTS; mkdir s; echo kept > s/state.bin\n"
		"echo checkpoint 1 $PWD/s/state.bin >> $CAIRN_EVENTS\n"
		"while [ ! -e $CAIRN_ASK/stop ]; do sleep 0.01; done",
		"data");

	(void)state;
	fakehost_param(host, "stop_signal=none");
	fakehost_stop_at(host, 1);
	assert_int_equal(fakehost_run(host), CAIRN_STOPPED);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "data", "kept\n");
	fakehost_free(host);
}

static void test_exec__is_asked_for_checkpoints(void **state)
{
	struct fakehost *host =
		make("for n in 1 2 3 4; do echo step $n >> $CAIRN_EVENTS; sleep 0.1\n"
		     "  if [ -e $CAIRN_ASK/checkpoint ]; then echo $n >> asked; echo $n > ck\n"
		     "    echo checkpoint $n ck >> $CAIRN_EVENTS\n"
		     "    while [ -e $CAIRN_ASK/checkpoint ]; do sleep 0.01; done; fi\n"
		     "done; cp asked out/data",
			"data");

	(void)state;
	fakehost_checkpoint_every(host, 2);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_out(host, "data", "2\n4\n");
	fakehost_free(host);
}

/* ---- stopping ----------------------------------------------------------------------------- */

static void test_exec__a_signal_ends_it(void **state)
{
	struct fakehost *host = make("echo step 1 >> $CAIRN_EVENTS; exec sleep 1000", "data");

	(void)state;
	fakehost_stop_at(host, 1);
	assert_int_equal(fakehost_run(host), CAIRN_STOPPED);
	fakehost_free(host);
}

static void test_exec__one_that_does_not_end_is_killed(void **state)
{
	struct fakehost *host = make(
		"trap '' TERM; echo step 1 >> $CAIRN_EVENTS; while :; do sleep 0.2; done", "data");

	(void)state;
	fakehost_param(host, "grace=0.3s");
	fakehost_stop_at(host, 1);
	assert_int_equal(fakehost_run(host), CAIRN_STOPPED);
	fakehost_free(host);
}

/* It ended well, but perhaps only because it was asked to. */
static void test_exec__after_a_stop_nothing_is_done(void **state)
{
	struct fakehost *host = make("echo step 1 >> $CAIRN_EVENTS; touch out/data; "
				     "while [ ! -e $CAIRN_ASK/stop ]; do sleep 0.01; done",
		"data");

	(void)state;
	fakehost_param(host, "stop_signal=none");
	fakehost_stop_at(host, 1);
	assert_int_equal(fakehost_run(host), CAIRN_STOPPED);
	assert_null(fakehost_output(host, "out"));
	fakehost_free(host);
}

/* ---- parameters --------------------------------------------------------------------------- */

static void test_exec__check(void **state)
{
	static const struct {
		const char *params[3], *message;
	} cases[] = {
		{{"command= \n"}, "command is empty"},
		{{"command=true", "outputs= "}, "outputs names no file"},
		{{"command=true", "outputs=a b a"}, "output 'a' is named twice"},
		{{"command=true", "outputs=../a"}, "'../a' cannot be an output"},
		{{"command=true", "outputs=/etc/passwd"}, "'/etc/passwd' cannot be an output"},
		{{"command=true", "outputs=/"}, "'/' cannot be an output"},
		{{"command=true", "model=final/"}, "model = 'final/' is no directory below out/"},
		{{"command=true", "reward=.."}, "reward = '..' is no directory below out/"},
		{{"command=true", "set=A"}, "'A' sets no environment variable"},
		{{"command=true", "set=A-B=1"}, "'A-B=1' sets no environment variable"},
		{{"command=true", "set=CAIRN_ASK=1"}, "'CAIRN_ASK=1' sets no environment variable"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		struct fakehost *host = fakehost_new("exec");

		for (size_t k = 0; k < 3 && cases[i].params[k]; k++)
			fakehost_param(host, cases[i].params[k]);
		assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
		assert_string_equal(fakehost_error(host)->message, cases[i].message);
		assert_true(fakehost_error(host)->hint[0] != '\0');
		fakehost_free(host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec__inputs_and_outputs),
		cmocka_unit_test(test_exec__inputs_are_read_only),
		cmocka_unit_test(test_exec__scripts_keep_their_names),
		cmocka_unit_test(test_exec__a_model_becomes_one_file),
		cmocka_unit_test(test_exec__unsafe_names_are_refused),
		cmocka_unit_test(test_exec__takes_a_saved_model),
		cmocka_unit_test(test_exec__refuses_what_is_no_model),
		cmocka_unit_test(test_exec__environment_is_what_was_declared),
		cmocka_unit_test(test_exec__descriptors_are_not_inherited),
		cmocka_unit_test(test_exec__failures),
		cmocka_unit_test(test_exec__keeps_the_last_lines_only),
		cmocka_unit_test(test_exec__a_directory_with_a_link_is_refused),
		cmocka_unit_test(test_exec__what_is_left_running_does_not_hold_it),
		cmocka_unit_test(test_exec__progress_and_metrics),
		cmocka_unit_test(test_exec__events_are_not_believed),
		cmocka_unit_test(test_exec__a_flood_of_nonsense_is_harmless),
		cmocka_unit_test(test_exec__waits_for_people),
		cmocka_unit_test(test_exec__goes_on_from_its_checkpoint),
		cmocka_unit_test(test_exec__a_file_is_a_checkpoint_too),
		cmocka_unit_test(test_exec__is_asked_for_checkpoints),
		cmocka_unit_test(test_exec__a_signal_ends_it),
		cmocka_unit_test(test_exec__one_that_does_not_end_is_killed),
		cmocka_unit_test(test_exec__after_a_stop_nothing_is_done),
		cmocka_unit_test(test_exec__check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
