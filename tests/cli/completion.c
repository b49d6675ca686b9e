/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion.c - the completion scripts, in the shells that are installed.
 *
 * A shell without a terminal sources the script and is asked as its line editor would ask; what it
 * offers comes back a line each. The same lines are asked in bash, zsh and fish. Names that would
 * be commands if anybody evaluated them are offered as they are, and nothing happens.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit/record.h"
#include "base/text.h"
#include "drive.h"

static const char *const shells[] = {"bash", "zsh", "fish"};

/* How each is asked for LINE ($1), of which bash has the words ($2...). */
static const char *const harness[] = {
	"source ./completion.bash\n"
	"COMP_LINE=$1 COMP_POINT=${#1}; shift\n"
	"COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1))\n"
	"_cairn cairn\n"
	"for offered in \"${COMPREPLY[@]}\"; do\n"
	"	[[ $offered == *= ]] && taken=$offered || eval \"taken=$offered\"\n"
	"	printf '%s\\n' \"$taken\"\n"
	"done\n",

	/* compadd filters and quotes; what it was given is what counts. */
	"compadd() {\n"
	"	local -a offered; local one is_array=\n"
	"	while [[ $1 == -* ]]; do\n"
	"		case $1 in --) shift; break ;; -S|-d) shift ;; -a) is_array=1 ;; esac; shift\n"
	"	done\n"
	"	if [[ -n $is_array ]]; then offered=(\"${(@P)1}\"); else offered=(\"$@\"); fi\n"
	"	for one in \"${offered[@]}\"; do\n"
	"		[[ $one == \"$last\"* ]] && print -r -- \"$one\"\n"
	"	done\n"
	"}\n"
	"_files() { : }\n"
	"compset() { last=${last#*=} }\n"
	"source ./completion.zsh\n"
	"shift; words=(\"$@\"); CURRENT=$#; last=${(Q)words[CURRENT]}\n"
	"_cairn\n",

	"source ./completion.fish\n"
	"for one in (complete -C \"$argv[1]\")\n"
	"	set -l name (string split -m1 \\t -- $one)[1]\n"
	"	string replace -r -- '^--[a-z-]+=' '' $name\n"
	"end\n"};

static bool is_installed(const char *shell)
{
	char line[64];

	snprintf(line, sizeof(line), "command -v %s >/dev/null", shell);
	FILE *pipe = popen(line, "r");
	return pipe && pclose(pipe) == 0;
}

static void add_quoted(cairn_text *out, const char *word, size_t len)
{
	cairn_text_add(out, " '");
	for (size_t i = 0; i < len; i++)
		cairn_text_printf(out, word[i] == '\'' ? "'\\''" : "%c", word[i]);
	cairn_text_add(out, "'");
}

/* The words of a line; for bash, `:` and `=` are words of their own. */
static void add_words(cairn_text *out, const char *line, bool is_bash)
{
	const char *breaks = is_bash ? " :=" : " ";

	for (const char *at = line;;) {
		size_t len = strcspn(at, breaks);
		if (len || !*at || at[-1] == ' ')
			add_quoted(out, at, len);
		at += len;
		if (!*at)
			break;
		if (*at == ' ') {
			at += strspn(at, " ");
			if (!*at)
				add_quoted(out, at, 0);
			if (!*at)
				break;
		} else {
			add_quoted(out, at, strspn(at, ":="));
			at += strspn(at, ":=");
			if (!*at)
				break;
		}
	}
}

/* What a shell offers for a line: "a\nb\n" in bytewise order. The caller frees. */
static char *offered(size_t shell, const char *line)
{
	cairn_text command = {0}, out = {0};
	char name[32], piece[512];
	FILE *pipe;
	size_t n;

	snprintf(name, sizeof(name), "ask.%s", shells[shell]);
	drive_write(name, harness[shell]);
	cairn_text_printf(&command, "LC_ALL=C PATH=%s:$PATH %s%s %s", CAIRN_BUILD_DIR,
		shells[shell],
		shell == 1   ? " -f"
		: shell == 0 ? " --norc"
			     : " --no-config",
		name);
	add_quoted(&command, line, strlen(line));
	add_words(&command, line, shell == 0);
	cairn_text_add(&command, " 2>complaints | sort -u");
	pipe = popen(command.data, "r");
	assert_non_null(pipe);
	while ((n = fread(piece, 1, sizeof(piece), pipe)) > 0)
		cairn_text_add_bytes(&out, piece, n);
	pclose(pipe);
	cairn_text_free(&command);
	return out.data ? out.data : strdup("");
}

/* Every shell offers exactly these for the line; bash what follows the last : or = of it. */
static void assert_offered(const char *line, const char *expected)
{
	const char *last = strrchr(line, ' ') + 1, *end = strpbrk(last, ":=");

	for (size_t i = 0; i < CAIRN_COUNT(shells); i++) {
		cairn_text want = {0};
		char *got, *complaints;
		size_t cut = 0;
		if (!is_installed(shells[i]))
			continue;
		for (; i == 0 && end; end = strpbrk(end + 1, ":="))
			cut = (size_t)(end - last) + 1;
		if (strncmp(last, "--", 2) == 0)
			cut = 0; /* the value stands alone in all of them */
		for (const char *at = expected; *at; at += strcspn(at, "\n") + 1)
			cairn_text_printf(
				&want, "%.*s\n", (int)(strcspn(at, "\n") - cut), at + cut);
		got = offered(i, line);
		complaints = drive_read("complaints");
		if (strcmp(got, cairn_text_get(&want)) != 0 || complaints[0])
			fail_msg("%s, '%s': offered\n%sinstead of\n%s%s", shells[i], line, got,
				cairn_text_get(&want), complaints);
		free(complaints);
		free(got);
		cairn_text_free(&want);
	}
}

static const char programme[] = "[workflow]\nname = docs\n"
				"[params]\nsteps = 6\nstride = 2\ngroups = x, y\n"
				"[axis group]\nvalues = ${groups}\n"
				"[stage a]\nplugin = counter\nsteps = ${steps}\n"
				"[stage b]\nplugin = counter\nforeach = group\ninput.in = a:out\n";

static int setup(void **state)
{
	if (drive_setup(state) != 0)
		return -1;
	for (size_t i = 0; i < CAIRN_COUNT(shells); i++) {
		char line[64], name[64];
		snprintf(line, sizeof(line), "--complete %s", shells[i]);
		snprintf(name, sizeof(name), "completion.%s", shells[i]);
		drive_write(name, cairn_is(0, line)->out);
	}
	drive_write("w.ini", programme);
	return 0;
}

static void test_cli_completion__verbs_and_options(void **state)
{
	(void)state;
	assert_offered("cairn sta", "status\n");
	assert_offered("cairn -q ver", "version\n");
	assert_offered("cairn -C . expl", "explain\n");
	assert_offered("cairn run --keep", "--keep-going\n");
	assert_offered("cairn resume --keep", "--keep-going\n");
	assert_offered("cairn status --keep", "");
	assert_offered("cairn run w.ini -j 2 --over", "--overcommit\n");
	assert_offered("cairn generate m --max", "--max-new\n");
	assert_offered("cairn help vers", "version\n");
}

static void test_cli_completion__values(void **state)
{
	(void)state;
	assert_offered("cairn cost --by g", "group\n");
	assert_offered("cairn cost --by=g", "group\n");
	assert_offered("cairn run --progress ", "auto\njson\nnone\nplain\ntty\n");
	assert_offered("cairn tokenize x --decode=y", "yes\n");
	assert_offered("cairn lineage d", "down\n");
	/* A number is not guessed, and is no verb. */
	assert_offered("cairn run -j ", "");
}

static void test_cli_completion__names_of_the_workflow(void **state)
{
	(void)state;
	assert_offered("cairn explain ", "a\nb@x\nb@y\n");
	assert_offered("cairn explain b@", "b@x\nb@y\n");
	assert_offered("cairn run -p st", "steps=\nstride=\n");
	assert_offered("cairn run w.ini --param ste", "steps=\n");
	drive_write("v.ini", "[workflow]\nname = v\n[stage other]\nplugin = counter\n");
	assert_offered("cairn explain -f v.ini ", "other\n");
	assert_offered("cairn explain ", ""); /* two files: which? */
	drive_write("v.ini", "[workflow]\nname = v\n[stage broken\n[stage fine]\nplugin = no\n");
	assert_offered("cairn explain -f v.ini ", "broken\nfine\n");
	assert_offered("cairn explain -f missing.ini ", "");
}

static void test_cli_completion__names_of_the_store(void **state)
{
	json_t *runs;
	char run[64], line[128];

	(void)state;
	assert_offered("cairn status ", ""); /* there is no store, and none is made */
	assert_int_equal(access(".cairn", F_OK), -1);
	cairn_is(0, "run -q --progress none w.ini");
	runs = cairn_json("log", "cairn.log/1");
	snprintf(run, sizeof(run), "%s\n",
		cairn_json_string(json_array_get(json_object_get(runs, "runs"), 0), "run", "?"));
	json_decref(runs);
	snprintf(line, sizeof(line), "%sdocs\n", run);
	assert_offered("cairn status ", line);
	assert_offered("cairn status d", "docs\n");
	assert_offered("cairn log docs ", "a\nb@x\nb@y\n");
	assert_offered("cairn log b@", "b@x\nb@y\n");
	assert_offered("cairn cat docs/a", "docs/a:metrics\ndocs/a:out\n");
	assert_offered("cairn cat docs/a:o", "docs/a:out\n");
	assert_offered("cairn cat a:o", "a:out\n");
	assert_offered("cairn lineage up docs/b@x:o", "docs/b@x:out\n");
	assert_offered("cairn cat docs/a:metrics ", "metrics.jsonl\n");
	assert_offered("cairn cat docs/a:out s", "sum\n");
	assert_offered("cairn --store elsewhere cat docs/a", "");
	cairn_is(0, "-C / version");
	assert_offered("cairn -C / status ", "");
}

/* ---- names that somebody hostile made ------------------------------------------------------ */

/* In bytewise order; each would leave the file "pwned" if it were evaluated. */
static const char *const hostile[] = {"!x", "$(touch pwned)", "$IFS", "& touch pwned &",
	"'; touch pwned; '", "* ?", "; touch pwned", "<(touch pwned)", "\\$(touch pwned)",
	"`touch pwned`", "a b", "it's", "say \"hi\"", "x|touch pwned", "{a,b}", "~root",
	"\xc3\xa9t\xc3\xa9"};

static const char *hostile_list(char *out, size_t cap, const char *before)
{
	out[0] = '\0';
	for (size_t i = 0; i < CAIRN_COUNT(hostile); i++) {
		size_t len = strlen(out);
		snprintf(out + len, cap - len, "%s%s\n", before, hostile[i]);
	}
	return out;
}

static void test_cli_completion__hostile_plugins(void **state)
{
	char list[1024];

	(void)state;
	assert_int_equal(mkdir("plugins", 0700), 0);
	for (size_t i = 0; i < CAIRN_COUNT(hostile); i++) {
		char path[128];
		snprintf(path, sizeof(path), "plugins/%s.so", hostile[i]);
		drive_write(path, "");
	}
	drive_write("plugins/two\nlines.so", "");
	drive_write("plugins/\033[2J.so", "");
	drive_env("CAIRN_PLUGIN_PATH", "plugins");
	/* Those of the build tree are there as well: only a first letter of ours. */
	hostile_list(list, sizeof(list), "");
	assert_has(cairn_is(0, "--complete-words plugins ")->out, "$(touch pwned)\n");
	assert_has_not(cairn_is(0, "--complete-words plugins ")->out, "lines");
	assert_has_not(cairn_is(0, "--complete-words plugins ")->out, "\033");
	for (size_t i = 0; i < CAIRN_COUNT(shells); i++) {
		char *got;
		if (!is_installed(shells[i]))
			continue;
		got = offered(i, "cairn plugins ");
		for (size_t k = 0; k < CAIRN_COUNT(hostile); k++)
			assert_has(got, hostile[k]);
		assert_has_not(got, "two");
		free(got);
		assert_int_equal(access("pwned", F_OK), -1);
	}
}

/* An artifact with such entries, and refs of such names. */
static void make_hostile_artifact(void)
{
	cairn_store *store;
	cairn_batch *batch;
	cairn_error err = {0};
	cairn_id id;

	assert_int_equal(cairn_store_open(&store, ".cairn", CAIRN_STORE_CREATE, &err), 0);
	assert_int_equal(cairn_batch_begin(&batch, store, &err), 0);
	assert_int_equal(cairn_batch_artifact_begin(batch, "report", &err), 0);
	for (size_t i = 0; i < CAIRN_COUNT(hostile); i++) {
		cairn_tensor entry = {.name = hostile[i],
			.dtype = CAIRN_U8,
			.n_dims = 1,
			.dims = {1},
			.data = "x",
			.bytes = 1};
		assert_int_equal(cairn_batch_artifact_put(batch, &entry, &err), 0);
	}
	assert_int_equal(cairn_batch_artifact_end(batch, NULL, &id, &err), 0);
	assert_int_equal(cairn_record_put_ref(batch, "w/plain:x", &id, "test", "test", &err), 0);
	for (size_t i = 0; i < CAIRN_COUNT(hostile); i++) {
		char name[64];
		snprintf(name, sizeof(name), "hostile/%s", hostile[i]);
		assert_int_equal(cairn_record_put_ref(batch, name, &id, "test", "test", &err), 0);
	}
	assert_int_equal(cairn_batch_commit(batch, &err), 0);
	cairn_store_close(store);
}

static void test_cli_completion__hostile_store(void **state)
{
	char list[1024];

	(void)state;
	make_hostile_artifact();
	assert_offered("cairn cat w/plain:x ", hostile_list(list, sizeof(list), ""));
	assert_offered("cairn cat hostile/", hostile_list(list, sizeof(list), "hostile/"));
	assert_offered("cairn cat w/plain:x i", "it's\n");
	/* What was typed is not evaluated either. */
	assert_offered("cairn cat $(touch${IFS}pwned) ", "");
	assert_offered("cairn --store `touch${IFS}pwned` cat ", "");
	assert_int_equal(access("pwned", F_OK), -1);
}

/* A TAB that waits is worse than none: the answers come from records, in milliseconds. */
static void test_cli_completion__is_quick(void **state)
{
	struct timespec before, after;
	double seconds;

	(void)state;
	cairn_is(0, "run -q --progress none w.ini");
	clock_gettime(CLOCK_MONOTONIC, &before);
	for (int i = 0; i < 20; i++)
		assert_has(cairn_is(0, "--complete-words artifacts docs cairn cat")->out,
			"docs/a:out");
	clock_gettime(CLOCK_MONOTONIC, &after);
	seconds = (double)(after.tv_sec - before.tv_sec) +
		  (double)(after.tv_nsec - before.tv_nsec) / 1e9;
	/* Ten times what it takes: a busy machine is no failure, a child process per plugin is. */
	assert_true(seconds < 20 * 0.2);
}

static void test_cli_completion__other_shells_are_refused(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "--complete tcsh")->err, "Name bash, zsh or fish.");
	assert_string_equal(cairn_is(0, "--complete-words nonsense x")->out, "");
	assert_string_equal(cairn_is(0, "--complete-words")->out, "");
	assert_string_equal(cairn_is(0, "--complete-words stages x cairn --help")->out, "");
}

#define ASKED(test) cmocka_unit_test_setup_teardown(test, setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ASKED(test_cli_completion__verbs_and_options),
		ASKED(test_cli_completion__values),
		ASKED(test_cli_completion__names_of_the_workflow),
		ASKED(test_cli_completion__names_of_the_store),
		ASKED(test_cli_completion__hostile_plugins),
		ASKED(test_cli_completion__hostile_store),
		ASKED(test_cli_completion__is_quick),
		ASKED(test_cli_completion__other_shells_are_refused),
	};

	for (size_t i = 0; i < CAIRN_COUNT(shells); i++) {
		if (!is_installed(shells[i]))
			printf("# %s is not installed: its script is not tried\n", shells[i]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
