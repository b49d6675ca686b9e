/* SPDX-License-Identifier: Apache-2.0 */
/* Stage `demo`: duplicates, cap, split by user, people's data, and what is wrong with a file. */
#include "fakehost.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "realdata.h"

static const char *rows(const struct fakehost *host, const char *port)
{
	return fake_text(fakehost_output(host, port), "rows.jsonl");
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static int64_t reported(const struct fakehost *host, const char *set, const char *name)
{
	const char *text = fake_text(fakehost_output(host, "report"), "report.json");
	cairn_error err = {0};
	json_t *json = NULL;
	int64_t n;

	assert_int_equal(cairn_json_parse(&json, text, strlen(text), "report", &err), 0);
	n = cairn_json_integer(json_object_get(json, set), name, -1);
	json_decref(json);
	return n;
}

static struct fakehost *demo(const char *text)
{
	struct fakehost *host = fakehost_new("demo");

	fakehost_file(host, "demos", "data/demos.jsonl", text);
	return host;
}

/* n rows of `users` users in turn. */
static void add_rows(cairn_text *text, const char *what, int n, int users)
{
	for (int i = 0; i < n; i++)
		cairn_text_printf(text,
			"{\"prompt\":\"%s %d\",\"completion\":\"c%d\",\"user\":\"u%d\"}\n", what, i,
			i, i % users);
}

static void test_plugin_demo__drops_duplicates(void **state)
{
	struct fakehost *host = demo("{\"prompt\":\"long one\",\"completion\":\"a\"}\n"
				     "{\"prompt\":\"long two\",\"completion\":\"b\"}\n"
				     "{\"prompt\":\"lon\",\"completion\":\"c\"}\n"
				     "{\"prompt\":\"lon\",\"completion\":\"d\"}\n");

	(void)state;
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "demos", "duplicates"), 1);
	/* A common beginning of 5 characters is enough now; shorter texts must be equal. */
	fakehost_param(host, "dedupe_prefix=5");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(rows(host, "train"), "{\"completion\":\"a\",\"prompt\":\"long one\"}\n"
						 "{\"completion\":\"c\",\"prompt\":\"lon\"}\n");
	assert_int_equal(reported(host, "demos", "duplicates"), 2);
	/* The completion counts, too. */
	fakehost_param(host, "dedupe_on=row");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "demos", "duplicates"), 0);
	assert_int_equal(count(rows(host, "prompts_train"), "\n"), 2);
	fakehost_free(host);
}

/* A prefix is cut in characters, not in bytes. */
static void test_plugin_demo__counts_characters(void **state)
{
	struct fakehost *host = demo("{\"prompt\":\"\xc3\xa9\xc3\xa9 1\",\"completion\":\"a\"}\n"
				     "{\"prompt\":\"\xc3\xa9\xc3\xa9 2\",\"completion\":\"b\"}\n"
				     "{\"prompt\":\"\xc3\xa9\xc3\xaa 2\",\"completion\":\"b\"}\n");

	(void)state;
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "dedupe_prefix=2");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "demos", "duplicates"), 1);
	fakehost_free(host);
}

static void test_plugin_demo__caps_a_user(void **state)
{
	cairn_text text = {0};
	struct fakehost *host;

	(void)state;
	add_rows(&text, "p", 30, 3);
	cairn_text_add(&text, "{\"prompt\":\"x\",\"completion\":\"y\"}\n"
			      "{\"prompt\":\"z\",\"completion\":\"y\"}\n");
	host = demo(text.data);
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "cap_per_user=4");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "demos", "over_cap"), 30 - 3 * 4);
	/* The first ones stay, and rows without a user are nobody's. */
	assert_non_null(strstr(rows(host, "train"), "\"p 11\""));
	assert_null(strstr(rows(host, "train"), "\"p 12\""));
	assert_int_equal(reported(host, "demos", "train"), 3 * 4 + 2);
	cairn_text_free(&text);
	fakehost_free(host);
}

static void test_plugin_demo__splits_by_user(void **state)
{
	cairn_text demos = {0}, prompts = {0};
	struct fakehost *host;
	int held_out = 0;

	(void)state;
	add_rows(&demos, "d", 200, 20);
	add_rows(&prompts, "p", 300, 20);
	host = demo(demos.data);
	fakehost_file(host, "prompts", "data/prompts.jsonl", prompts.data);
	fakehost_param(host, "valid_fraction=0.25");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	for (int u = 0; u < 20; u++) {
		char user[16];
		size_t n[4];
		static const char *const ports[] = {
			"train", "prompts_train", "valid", "prompts_valid"};

		snprintf(user, sizeof(user), "\"u%d\"", u);
		for (int i = 0; i < 4; i++)
			n[i] = count(rows(host, ports[i]), user);
		/* On one side, in demonstrations and prompts alike. */
		assert_int_equal(n[0] + n[2], 10);
		assert_int_equal(n[1] + n[3], 15);
		assert_true((n[0] == 10 && n[1] == 15) || (n[2] == 10 && n[3] == 15));
		held_out += n[2] == 10;
	}
	assert_int_equal(held_out, 5);
	assert_null(strstr(rows(host, "prompts_train"), "completion"));
	cairn_text_free(&demos);
	cairn_text_free(&prompts);
	fakehost_free(host);
}

/* Prompts of other users are held out in the same share. */
static void test_plugin_demo__splits_prompts_of_others(void **state)
{
	cairn_text demos = {0}, prompts = {0};
	struct fakehost *host;

	(void)state;
	add_rows(&demos, "d", 40, 20);
	for (int i = 0; i < 200; i++)
		cairn_text_printf(
			&prompts, "{\"prompt\":\"p%d\",\"user\":\"other %d\"}\n", i, i % 40);
	host = demo(demos.data);
	fakehost_file(host, "prompts", "data/prompts.jsonl", prompts.data);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "valid"), "\n"), 2 * 2);
	assert_int_equal(count(rows(host, "prompts_valid"), "\n"), 4 * 5);
	assert_int_equal(count(rows(host, "prompts_train"), "\n"), 36 * 5);
	cairn_text_free(&demos);
	cairn_text_free(&prompts);
	fakehost_free(host);
}

static void test_plugin_demo__holds_out_nobody_of_one(void **state)
{
	struct fakehost *host = demo("{\"prompt\":\"p\",\"completion\":\"c\",\"user\":\"u\"}\n"
				     "{\"prompt\":\"q\",\"completion\":\"c\",\"user\":\"u\"}\n");

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(rows(host, "valid"), "");
	assert_int_equal(count(rows(host, "train"), "\n"), 2);
	assert_non_null(strstr(fakehost_log(host), "too few users"));
	fakehost_free(host);
}

static const char private_rows[] =
	"{\"prompt\":\"I am joe.b+x@mail.example.org.\",\"completion\":\"a\"}\n"
	"{\"prompt\":\"Call +44 20 7946 0123 or (212) 555-0123\",\"completion\":\"b\"}\n"
	"{\"prompt\":\"At 192.168.0.1 or fe80::1\",\"completion\":\"c\"}\n"
	"{\"prompt\":\"Pay with 4111 1111 1111 1111\",\"completion\":\"d\"}\n"
	"{\"prompt\":\"not: 4111 1111 1111 1112, 1.2.3, 12:30:45, 2024-01-15, a@b, 1234567\","
	"\"completion\":\"version 300.1.1.1 of std::add\"}\n";

static void test_plugin_demo__masks_what_identifies_people(void **state)
{
	struct fakehost *host = demo(private_rows);

	(void)state;
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "pii=mask");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_non_null(strstr(rows(host, "train"), "\"I am [email].\""));
	assert_non_null(strstr(rows(host, "train"), "\"Call [phone] or [phone]\""));
	assert_non_null(strstr(rows(host, "train"), "\"At [ip] or [ip]\""));
	assert_non_null(strstr(rows(host, "train"), "\"Pay with [card]\""));
	assert_int_equal(count(rows(host, "train"), "["), 6);
	assert_int_equal(reported(host, "demos", "pii_rows"), 4);
	assert_null(strstr(rows(host, "prompts_train"), "joe"));
	fakehost_param(host, "pii=drop");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\n"), 1);
	fakehost_param(host, "pii=none");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\n"), 5);
	assert_int_equal(reported(host, "demos", "pii_rows"), 4);
	fakehost_free(host);
}

/* The paper filtered the training split only. */
static void test_plugin_demo__leaves_held_out_rows_as_they_are(void **state)
{
	cairn_text text = {0};
	struct fakehost *host;

	(void)state;
	for (int u = 0; u < 10; u++)
		cairn_text_printf(&text,
			"{\"prompt\":\"%d: me@example.com\",\"completion\":\"c\",\"user\":\"u%d\"}\n",
			u, u);
	cairn_text_add(&text, "{\"prompt\":\"p\",\"completion\":\"c\",\"user\":\"v\"}\n"
			      "{\"prompt\":\"q\",\"completion\":\"c\",\"user\":\"w\"}\n");
	host = demo(text.data);
	fakehost_param(host, "pii=drop");
	fakehost_param(host, "valid_fraction=0.5");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "@"), 0);
	assert_true(count(rows(host, "valid"), "@") >= 4);
	cairn_text_free(&text);
	fakehost_free(host);
}

static void test_plugin_demo__takes_other_schemas(void **state)
{
	struct fakehost *host = demo("{\"title\":\"T\",\"info\":{\"stance\":[\"x\",\"S\"]},"
				     "\"text\":\"long\",\"year\":2016,\"by\":null}\n");

	(void)state;
	fakehost_param(host, "prompt={title}\\n{info.stance.1} {{{year}}}\\n");
	fakehost_param(host, "completion={text}{by?}");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(
		rows(host, "train"), "{\"completion\":\"long\",\"prompt\":\"T\\nS {2016}\\n\"}\n");
	fakehost_free(host);
}

static void test_plugin_demo__keeps_the_order_and_all_fields(void **state)
{
	const char *text = "{\"answer\":\"a\",\"completion\":\"c\",\"labeler\":\"l\","
			   "\"prompt\":\"z\",\"user\":\"u\"}\n"
			   "{\"completion\":\"d\",\"prompt\":\"a\"}\n";
	struct fakehost *host = demo(text);

	(void)state;
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(rows(host, "train"), text);
	assert_string_equal(rows(host, "prompts_train"),
		"{\"answer\":\"a\",\"prompt\":\"z\",\"user\":\"u\"}\n{\"prompt\":\"a\"}\n");
	assert_non_null(strstr(fake_text(fakehost_output(host, "report"), "highlight.txt"),
		"train              2"));
	fakehost_free(host);
}

/* ---- what is wrong ------------------------------------------------------------------------ */

static void expect_error(const char *text, const char *param, const char *message,
	const char *place, const char *hint)
{
	struct fakehost *host = demo(text);
	const cairn_error *err = fakehost_error(host);

	if (param)
		fakehost_param(host, param);
	if (fakehost_run(host) >= 0)
		fail_msg("'%s' was not refused", message);
	if (!strstr(err->message, message))
		fail_msg("'%s' does not say '%s'", err->message, message);
	if (!strstr(err->place, place))
		fail_msg("'%s' is not at '%s'", err->place, place);
	if (!strstr(err->hint, hint))
		fail_msg("hint '%s' does not say '%s'", err->hint, hint);
	fakehost_free(host);
}

static void test_plugin_demo__tells_bad_rows(void **state)
{
	const char *good = "{\"prompt\":\"p\",\"completion\":\"c\"}\n";
	char text[512];

	(void)state;
	snprintf(text, sizeof(text), "%s\n%s{\"completion\":\"c\"}\n", good, good);
	expect_error(text, NULL, "'prompt' is missing", "data/demos.jsonl:4", "max_bad");
	expect_error("{\"prompt\":\"p\"}\n", NULL, "'completion' is missing", "data/demos.jsonl:1",
		"max_bad");
	expect_error("{\"prompt\":{},\"completion\":\"c\"}\n", NULL, "'prompt' is no text",
		"data/demos.jsonl:1", "max_bad");
	snprintf(text, sizeof(text), "%s{\"prompt\":\n", good);
	expect_error(
		text, NULL, "not valid JSON", "data/demos.jsonl:2", "one complete JSON object");
	expect_error("[{\"prompt\":\n", NULL, "ends in the middle of a row", "data/demos.jsonl:1",
		"jq -c");
	expect_error("[\"prompt\"]\n", NULL, "no JSON object", "data/demos.jsonl:1", "an object");
	expect_error("{\"prompt\":\"a\",\"prompt\":\"b\"}\n", NULL, "duplicate",
		"data/demos.jsonl:1", "one complete");
	expect_error("\x1f\x8b\x09 zip", NULL, "is damaged gzip", "data/demos.jsonl", "gzip -t");
	expect_error("\xff\xfe{", NULL, "UTF-16", "data/demos.jsonl", "iconv");
	expect_error("{\"prompt\":\"caf\xe9\",\"completion\":\"c\"}\n", NULL,
		"not UTF-8: byte 0xe9 at place 15", "data/demos.jsonl:1", "iconv");
	expect_error(good, "prompt={title}", "'title' is missing", "data/demos.jsonl:1", "max_bad");
	expect_error(good, "prompt={prompt", "unclosed '{' at character 1", "", "{field?}");
	expect_error(good, "answer=x}", "'}' without '{' at character 2", "", "{field?}");
	expect_error(good, "completion={}", "without a name", "", "{field?}");
	expect_error(good, "user=\\q", "unknown escape at character 1", "", "{field?}");
	expect_error("", NULL, "no demonstration is left of 0", "", "");
	expect_error("{\"prompt\":\"me@example.com\",\"completion\":\"c\"}\n", "pii=drop",
		"no demonstration is left of 1", "", "");
}

static void test_plugin_demo__tolerates_bad_rows(void **state)
{
	struct fakehost *host = demo("{\"prompt\":\"p\",\"completion\":\"c\"}\n"
				     "{\"prompt\":\"q\"}\n"
				     "{\"prompt\":\"r\",\"completion\":\"c\"}\n"
				     "oops\n");

	(void)state;
	fakehost_param(host, "max_bad=0.4");
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_string_equal(fakehost_error(host)->place, "data/demos.jsonl:2");
	assert_non_null(strstr(fakehost_error(host)->detail,
		"2 of 4 rows are bad (1 no valid JSON, 1 field missing); max_bad is 0.4"));
	fakehost_param(host, "max_bad=0.5");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "demos", "bad"), 2);
	assert_int_equal(reported(host, "demos", "read"), 4);
	assert_int_equal(reported(host, "demos", "train"), 2);
	assert_non_null(strstr(fakehost_log(host), "data/demos.jsonl:2"));
	fakehost_free(host);
}

/* ---- other shapes ---------------------------------------------------------------------------- */

static void test_plugin_demo__takes_every_shape(void **state)
{
	static const char *const files[] = {"{\"prompt\":\"own\",\"completion\":\"c\"}\n",
		"[{\"prompt\":\"trl\",\"chosen\":\"c\",\"rejected\":\"d\"}]",
		"{\"messages\":[{\"role\":\"user\",\"content\":\"messages\"},"
		"{\"role\":\"assistant\",\"content\":\"c\"}]}",
		"{\"chosen\":\"\\n\\nHuman: hh\\n\\nAssistant: c\","
		"\"rejected\":\"\\n\\nHuman: hh\\n\\nAssistant: d\"}",
		"{\"input\":\"openrlhf\",\"output\":\"c\"}"};
	static const char *const shapes[] = {"own", "trl", "messages", "hh", "openrlhf"};
	struct fakehost *host = fakehost_new("demo");
	char name[64];

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(files); i++) {
		snprintf(name, sizeof(name), "data/%zu.jsonl", i);
		fakehost_file(host, "demos", name, files[i]);
		fakehost_file(host, "prompts", name, files[i]);
	}
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(rows(host, "train"),
		"{\"completion\":\"c\",\"prompt\":\"own\"}\n"
		"{\"completion\":\"c\",\"prompt\":\"trl\"}\n"
		"{\"completion\":\" c\",\"prompt\":\"\\n\\nHuman: messages\\n\\nAssistant:\"}\n"
		"{\"completion\":\" c\",\"prompt\":\"\\n\\nHuman: hh\\n\\nAssistant:\"}\n"
		"{\"completion\":\"c\",\"prompt\":\"openrlhf\"}\n");
	assert_int_equal(count(rows(host, "prompts_train"), "\n"), 5);
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++) {
		snprintf(name, sizeof(name), "'data/%zu.jsonl' is read as shape %s", i, shapes[i]);
		assert_non_null(strstr(fakehost_log(host), name));
	}
	fakehost_free(host);
}

/* A parameter that says the shape is believed, and a template wraps what the shape has. */
static void test_plugin_demo__believes_the_parameters(void **state)
{
	struct fakehost *host = demo("{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"d\"}\n");

	(void)state;
	fakehost_param(host, "shape=trl");
	fakehost_param(host, "prompt=Q: {prompt}\\nA:");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(
		rows(host, "train"), "{\"completion\":\"c\",\"prompt\":\"Q: p\\nA:\"}\n");
	fakehost_param(host, "shape=messages");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->message, "'messages' is no list"));
	fakehost_free(host);
	expect_error("{\"text\":\"t\"}\n", NULL, "none of the shapes that are known",
		"data/demos.jsonl:1", "Set shape");
	expect_error("{\"prompt\":\"p\",\"completion\":\"c\"}\n", "user_turn=x",
		"'user_turn' has no {content}", "", "{content}");
	expect_error("{\"prompt\":\"p\",\"completion\":\"\"}\n", NULL, "completion 1 is empty",
		"data/demos.jsonl:1", "max_bad = 1");
}

/* 175 instructions that people wrote, by templates; prompts and answers of a packed file. */
static void test_plugin_demo__reads_published_data(void **state)
{
	struct fakehost *host = fakehost_new("demo");

	(void)state;
	realdata_bind(host, "demos", "self-instruct/seed_tasks.jsonl");
	realdata_bind(host, "prompts", "hh-rlhf/harmless-base-1500.jsonl.gz");
	realdata_bind(host, "prompts", "oasst/trees.jsonl");
	fakehost_param(host, "prompt={instruction}\\n\\n{instances.0.input}");
	fakehost_param(host, "completion={instances.0.output}");
	fakehost_param(host, "max_bad=0.01");
	/* The templates are for all files of the stage. */
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_string_equal(fakehost_error(host)->message, "'instruction' is missing");
	fakehost_unbind(host, "prompts");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "demos", "train") + reported(host, "demos", "valid"), 175);
	fakehost_free(host);
	host = fakehost_new("demo");
	realdata_bind(host, "demos", "oasst/trees.jsonl");
	realdata_bind(host, "prompts", "hh-rlhf/harmless-base-1500.jsonl.gz");
	realdata_bind(host, "prompts", "oasst/trees.jsonl");
	fakehost_param(host, "max_bad=0.01");
	fakehost_param(host, "dedupe_prefix=0");
	fakehost_param(host, "cap_per_user=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "demos", "train") + reported(host, "demos", "valid") +
				 reported(host, "demos", "duplicates"),
		178);
	assert_int_equal(reported(host, "prompts", "train") + reported(host, "prompts", "valid") +
				 reported(host, "prompts", "duplicates"),
		1495 + 322);
	assert_int_equal(reported(host, "prompts", "bad"), 5);
	print_message("%s", fake_text(fakehost_output(host, "report"), "highlight.txt"));
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plugin_demo__drops_duplicates),
		cmocka_unit_test(test_plugin_demo__counts_characters),
		cmocka_unit_test(test_plugin_demo__caps_a_user),
		cmocka_unit_test(test_plugin_demo__splits_by_user),
		cmocka_unit_test(test_plugin_demo__splits_prompts_of_others),
		cmocka_unit_test(test_plugin_demo__holds_out_nobody_of_one),
		cmocka_unit_test(test_plugin_demo__masks_what_identifies_people),
		cmocka_unit_test(test_plugin_demo__leaves_held_out_rows_as_they_are),
		cmocka_unit_test(test_plugin_demo__takes_other_schemas),
		cmocka_unit_test(test_plugin_demo__keeps_the_order_and_all_fields),
		cmocka_unit_test(test_plugin_demo__tells_bad_rows),
		cmocka_unit_test(test_plugin_demo__tolerates_bad_rows),
		cmocka_unit_test(test_plugin_demo__takes_every_shape),
		cmocka_unit_test(test_plugin_demo__believes_the_parameters),
		cmocka_unit_test(test_plugin_demo__reads_published_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
