/* SPDX-License-Identifier: Apache-2.0 */
/*
 * documents.c - every member that `--json` prints stands in the verb's page, under JSON.
 *
 * A page names members as paths: "stages[].outputs.PORT". Words in capitals stand for any name,
 * ".*" for all below. Documents are made by a small programme with axes, failures and files.
 */
#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "drive.h"
#include "page.h"

/* ---- what a page promises ------------------------------------------------------------------ */

typedef struct promises {
	char paths[400][96];
	size_t n;
} promises;

/* Items such as "total.flop, total.pf_days" of the page's section JSON. */
static void take_page(promises *out, const char *verb)
{
	char name[64], line[512], *page, *section;
	const char *at;

	snprintf(name, sizeof(name), "cairn-%s.1", verb);
	page = page_read(name);
	assert_non_null(page);
	section = page_section(page, "JSON");
	if (!section[0])
		fail_msg("%s has no section JSON", name);
	for (at = section; page_next(&at, '=', line, sizeof(line));) {
		const char *path = line;
		while (*path) {
			size_t len = strcspn(path, ", ");
			assert_true(
				out->n < CAIRN_COUNT(out->paths) && len < sizeof(out->paths[0]));
			snprintf(out->paths[out->n++], sizeof(out->paths[0]), "%.*s", (int)len,
				path);
			path += len + strspn(path + len, ", ");
		}
	}
	free(section);
	free(page);
}

static bool is_wild(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!isupper((unsigned char)name[i]) && name[i] != '_')
			return false;
	}
	return len > 0;
}

/* Does the promise cover this path? `is_empty`: there is nothing below it: a null, {} or []. */
static bool covers(const char *promise, const char *path, bool is_empty)
{
	while (*promise && *path) {
		size_t n = strcspn(promise, ".["), m = strcspn(path, ".[");
		if (strncmp(promise, "*", 2) == 0)
			return true;
		if (is_wild(promise, n)) {
			if (!promise[n]) /* the last: a name may have dots in it */
				return true;
		} else if (n != m || strncmp(promise, path, n) != 0) {
			return false;
		}
		promise += n;
		path += m;
		while (*promise && *promise == *path && strchr("[].", *promise))
			promise++, path++;
		if (*promise && *path && strchr("[].", *promise))
			return false;
	}
	return !*path && (!*promise || is_empty || strcmp(promise, ".*") == 0);
}

static int n_unexplained;

/* ---- what a document holds ----------------------------------------------------------------- */

static void check_value(
	const promises *page, const json_t *value, const char *path, const char *line)
{
	const char *name;
	json_t *child;
	size_t i;
	bool is_empty = json_is_null(value) ||
			(json_is_object(value) && json_object_size(value) == 0) ||
			(json_is_array(value) && json_array_size(value) == 0);

	if (json_is_object(value) && !is_empty) {
		json_object_foreach((json_t *)value, name, child)
		{
			char below[256];
			snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", name);
			check_value(page, child, below, line);
		}
		return;
	}
	if (json_is_array(value) && !is_empty) {
		char below[256];
		snprintf(below, sizeof(below), "%s[]", path);
		json_array_foreach(value, i, child) check_value(page, child, below, line);
		return;
	}
	for (i = 0; i < page->n; i++) {
		if (covers(page->paths[i], path, is_empty))
			return;
	}
	print_error("`cairn %s --json` prints '%s', which the page does not explain\n", line, path);
	n_unexplained++;
}

/* The document of `cairn LINE --json` is explained in the pages of `verb` and of `other`. */
static void check_document(const char *line, const char *verb, const char *other)
{
	promises *page = calloc(1, sizeof(*page));
	char args[256];
	json_t *document = NULL;
	cairn_error err = {0};
	const char *schema;
	char *text;
	const outcome *got;

	assert_non_null(page);
	take_page(page, verb);
	if (other)
		take_page(page, other);
	snprintf(args, sizeof(args), "%s --json", line);
	got = cairn(args);
	if (cairn_json_parse(&document, got->out, strlen(got->out), "stdout", &err) < 0)
		fail_msg("cairn %s: %s\n%s", args, err.message, got->err);
	schema = cairn_json_string(document, "schema", "none");
	snprintf(args, sizeof(args), "cairn-%s.1", verb);
	text = page_read(args);
	assert_has(text, schema);
	free(text);
	json_object_del(document, "schema");
	check_value(page, document, "", line);
	json_decref(document);
	free(page);
}

/* ---- the programme ------------------------------------------------------------------------- */

static const char programme[] = "[workflow]\nname = docs\n"
				"[params]\nsteps = 6\n"
				"[axis group]\nvalues = x, y\n"
				"[stage a]\nplugin = counter\nsteps = ${steps}\n"
				"[stage b]\nplugin = counter\nforeach = group\ninput.in = a:out\n"
				"text = ${group}\nsteps = 5\n"
				"[stage f]\nplugin = counter\ninput.in = file:data.txt\n"
				"[stage m]\nplugin = matmul\n"
				"[stage bad]\nplugin = nan\n"
				"[stage after]\nplugin = counter\ninput.in = bad:out\n"
				"[stage never]\nplugin = counter\nwhen = a:best < -1\n";

static void test_cli_documents__are_explained(void **state)
{
	static const struct {
		const char *line, *verb, *other;
	} lines[] = {
		{"check", "check", NULL},
		{"plan", "plan", NULL},
		{"explain a", "explain", NULL},
		{"explain b@x", "explain", NULL},
		{"run -k --progress none", "run", "status"},
		{"plan", "plan", NULL},
		{"plan -p steps=7", "plan", NULL},
		{"plan --table gpt3", "plan", NULL},
		{"status", "status", NULL},
		{"log", "log", NULL},
		{"log a", "log", NULL},
		{"log bad", "log", NULL},
		{"log a --metrics", "log", NULL},
		{"explain a", "explain", NULL},
		{"explain b@x -p steps=7", "explain", NULL},
		{"graph", "graph", NULL},
		{"lineage up b@x:out", "lineage", NULL},
		{"lineage up f:out", "lineage", NULL},
		{"lineage down a:out", "lineage", NULL},
		{"cost", "cost", NULL},
		{"cost m:out", "cost", NULL},
		{"plugins", "plugins", NULL},
		{"plugins counter", "plugins", NULL},
		{"plugins check " CAIRN_TEST_PLUGIN_DIR "/liar.so", "plugins", NULL},
		{"ls", "ls", NULL},
		{"ls m:out", "ls", NULL},
		{"du", "du", NULL},
		{"du m:out", "du", NULL},
		{"gc", "gc", NULL},
		{"gc --checkpoints", "gc", NULL},
		{"gc --older-than 1s --keep-runs 1", "gc", NULL},
		{"run -p steps=7 -k --progress none", "run", "status"},
		{"gc --keep-runs 1 --delete", "gc", NULL},
		{"log", "log", NULL},
		{"fsck --backup", "fsck", NULL},
		{"fsck --index", "fsck", NULL},
		{"compact", "compact", NULL},
		{"doctor", "doctor", NULL},
		{"export docs rows --format jsonl", "export", NULL},
		{"help", "help", NULL},
		{"help export", "help", NULL},
		{"version", "version", NULL},
	};

	(void)state;
	drive_write("w.ini", programme);
	drive_write("data.txt", "one line\n");
	for (size_t i = 0; i < CAIRN_COUNT(lines); i++)
		check_document(lines[i].line, lines[i].verb, lines[i].other);
	assert_int_equal(n_unexplained, 0);
}

/* What a check says of damage, of its repair, and of an index made anew. */
static void test_cli_documents__of_damage(void **state)
{
	static char data[200 << 10];
	FILE *segment;
	glob_t found;

	(void)state;
	memset(data, 'x', sizeof(data) - 1);
	drive_write("data.txt", data);
	drive_write("w.ini", "[workflow]\nname = docs\n[stage a]\nplugin = counter\n"
			     "input.in = file:data.txt\n");
	cairn_is(0, "run -q");
	assert_int_equal(glob(".cairn/seg/*.seg", 0, NULL, &found), 0);
	segment = fopen(found.gl_pathv[0], "r+");
	assert_non_null(segment);
	assert_int_equal(fseek(segment, 10000, SEEK_SET), 0);
	assert_int_equal(fputc('#', segment), '#');
	assert_int_equal(fclose(segment), 0);
	globfree(&found);
	check_document("fsck", "fsck", NULL);
	assert_int_equal(cairn_status(), 4);
	check_document("fsck --repair", "fsck", NULL);
	assert_int_equal(cairn_status(), 4);
	check_document("fsck --rebuild", "fsck", NULL);
	assert_int_equal(n_unexplained, 0);
}

/* The test of the test: what is not promised is found. */
static void test_cli_documents__paths(void **state)
{
	(void)state;
	assert_true(covers("a", "a", false));
	assert_false(covers("a", "b", false));
	assert_false(covers("a", "ab", false));
	assert_false(covers("a", "a.b", false));
	assert_false(covers("a.b", "a", false));
	assert_true(covers("a.b", "a", true));
	assert_true(covers("a[].b", "a[].b", false));
	assert_false(covers("a[].b", "a.b", false));
	assert_false(covers("a[].b", "a[].c", false));
	assert_true(covers("a.NAME", "a.x.y", false));
	assert_true(covers("a.NAME.flop", "a.x.flop", false));
	assert_false(covers("a.NAME.flop", "a.x.real", false));
	assert_true(covers("a.PORT[]", "a.in[]", false));
	assert_true(covers("a.*", "a.b[].c", false));
	assert_false(covers("a.*", "b.c", false));
	assert_true(covers("a[].*", "a[]", true));
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cli_documents__paths),
		DRIVEN(test_cli_documents__are_explained),
		DRIVEN(test_cli_documents__of_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
