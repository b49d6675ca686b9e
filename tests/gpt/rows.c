/* SPDX-License-Identifier: Apache-2.0 */
/* Rows: bad ones are told with their line, written ones read back. */
#include "../test.h"

#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "gpt/jsonl.h"
#include "gpt/rows.h"

/* ---- a host that holds one text --------------------------------------------------------- */

static struct {
	const char *kind;
	cairn_text rows;
	cairn_error err;
	char meta[128];
} fake;

static uint64_t fake_count(cairn_run *run, const char *port)
{
	(void)run, (void)port;
	return 1;
}

static int fake_open(cairn_run *run, const char *port, uint64_t index, cairn_artifact *out)
{
	(void)run, (void)port, (void)index;
	*out = (cairn_artifact){.kind = fake.kind, .source = "demos:train"};
	return 0;
}

static int fake_get(
	cairn_run *run, const cairn_artifact *artifact, const char *name, cairn_tensor *out)
{
	(void)run, (void)artifact;
	assert_string_equal(name, "rows.jsonl");
	*out = (cairn_tensor){.data = cairn_text_get(&fake.rows), .bytes = fake.rows.len};
	return 0;
}

static int fake_begin(cairn_run *run, const char *port, cairn_writer **out)
{
	(void)run;
	assert_string_equal(port, "train");
	*out = NULL;
	return 0;
}

static int fake_put(cairn_writer *writer, const cairn_tensor *tensor)
{
	(void)writer;
	cairn_text_clear(&fake.rows);
	cairn_text_add_bytes(&fake.rows, tensor->data, tensor->bytes);
	return 0;
}

static int fake_meta(cairn_writer *writer, const char *json)
{
	(void)writer;
	snprintf(fake.meta, sizeof(fake.meta), "%s", json);
	return 0;
}

static int fake_commit(cairn_writer *writer)
{
	(void)writer;
	return 0;
}

static int fake_fail_with(cairn_run *run, const cairn_error *err)
{
	(void)run;
	fake.err = *err;
	return err->code;
}

static const cairn_host host = {.input_count = fake_count,
	.input_open = fake_open,
	.entry_get = fake_get,
	.output_begin = fake_begin,
	.put = fake_put,
	.meta = fake_meta,
	.commit = fake_commit,
	.fail_with = fake_fail_with};

static void hold(const char *kind, const char *rows)
{
	cairn_text_clear(&fake.rows);
	cairn_text_add(&fake.rows, rows);
	fake.kind = kind;
	fake.err = (cairn_error){0};
}

/* ---- reading -------------------------------------------------------------------------------- */

static void test_gpt_rows_load__reads_a_ranking(void **state)
{
	gpt_rows rows;

	(void)state;
	hold("dataset/ranking",
		"\xef\xbb\xbf{\"prompt\":\"p\",\"completions\":[\"a\",\"b\",\"\xc3\xa9\"],"
		"\"ranks\":[1,0,1],\"ended\":[true,false,true],\"group\":\"g\",\"labeler\":\"ann\"}\r\n"
		"\n"
		"{\"prompt\":\"\",\"completions\":[\"x\"],\"ranks\":[0],\"user\":null,\"more\":[1]}");
	assert_int_equal(gpt_rows_load(&rows, &host, NULL, "rankings"), 0);
	assert_int_equal(rows.n, 2);
	assert_string_equal(rows.rows[0].prompt, "p");
	assert_null(rows.rows[0].completion);
	assert_int_equal(rows.rows[0].n_completions, 3);
	assert_string_equal(rows.rows[0].completions[2], "\xc3\xa9");
	assert_int_equal(rows.rows[0].ranks[2], 1);
	assert_false(rows.rows[0].ended[1]);
	assert_string_equal(rows.rows[0].labeler, "ann");
	assert_string_equal(rows.rows[0].answer, "");
	assert_null(rows.rows[1].ended);
	assert_string_equal(rows.rows[1].user, "");
	gpt_rows_free(&rows);
}

static void expect_refusal(
	const char *kind, const char *rows, const char *message, const char *place)
{
	gpt_rows out = {.n = 99};

	hold(kind, rows);
	assert_int_equal(gpt_rows_load(&out, &host, NULL, "in"), CAIRN_EINPUT);
	if (!strstr(fake.err.message, message))
		fail_msg("'%s' does not say '%s'", fake.err.message, message);
	if (!strstr(fake.err.place, place))
		fail_msg("'%s' is not at '%s'", fake.err.place, place);
	assert_int_equal(out.n, 99);
}

static void test_gpt_rows_load__tells_bad_rows(void **state)
{
	const char *good = "{\"prompt\":\"p\",\"completion\":\"c\"}\n";
	char text[256];

	(void)state;
	snprintf(text, sizeof(text), "%s\n{\"completion\":\"c\"}\n", good);
	expect_refusal("dataset/demo", text, "'prompt' is missing", "demos:train:3");
	snprintf(text, sizeof(text), "%s{\"prompt\":\"c\"}\n", good);
	expect_refusal("dataset/demo", text, "'completion' is missing", "demos:train:2");
	expect_refusal("dataset/demo", "{\"prompt\":7}", "'prompt' is no string", "demos:train:1");
	expect_refusal("dataset/demo", "{\"prompt\":", "not valid JSON", "demos:train:1");
	expect_refusal("dataset/demo", "[1]", "row is no JSON object", "demos:train:1");
	expect_refusal("dataset/demo", "[\n{}\n]", "'prompt' is missing", "demos:train:2");
	expect_refusal("dataset/demo", "\x1f\x8b\x08", "ends in the middle of its gzip",
		"demos:train, byte 3");
	expect_refusal("dataset/demo", "\xff\xfe{", "UTF-16", "demos:train");
	expect_refusal("dataset/demo", "{\"prompt\":\"\xff\"}", "not UTF-8: byte 0xff at place 12",
		"demos:train:1");
	expect_refusal("dataset/completion", "{\"prompt\":\"p\"}", "'completions' is missing",
		"demos:train:1");
	expect_refusal("dataset/ranking", "{\"prompt\":\"p\",\"completions\":[\"a\"]}",
		"'ranks' is missing", "demos:train:1");
	expect_refusal("dataset/ranking", "{\"prompt\":\"p\",\"completions\":[],\"ranks\":[]}",
		"'completions' is no list of 1 to 64", "demos:train:1");
	expect_refusal("dataset/ranking",
		"{\"prompt\":\"p\",\"completions\":[\"a\",\"b\"],\"ranks\":[0]}",
		"'ranks' has 1 items for 2 completions", "demos:train:1");
	expect_refusal("dataset/ranking",
		"{\"prompt\":\"p\",\"completions\":[\"a\",\"b\"],\"ranks\":[0,-1]}",
		"'ranks' item 1 is no rank", "demos:train:1");
	expect_refusal("dataset/ranking",
		"{\"prompt\":\"p\",\"completions\":[\"a\",3],\"ranks\":[0,1]}",
		"'completions' item 1 is no string", "demos:train:1");
}

/* ---- writing --------------------------------------------------------------------------------- */

static void test_gpt_rows_writer__writes_canonical_lines(void **state)
{
	const char *const texts[] = {"a\n", "b"};
	const int32_t ranks[] = {1, 0};
	const bool ended[] = {true, false};
	const gpt_row demo = {.prompt = "p", .completion = "", .user = "u", .labeler = ""};
	const gpt_row ranking = {.prompt = "q",
		.completions = texts,
		.ranks = ranks,
		.ended = ended,
		.n_completions = 2,
		.group = "g"};
	gpt_rows_writer *writer = gpt_rows_writer_new();
	gpt_rows rows;

	(void)state;
	assert_non_null(writer);
	hold("dataset/prompt", "");
	assert_int_equal(gpt_rows_writer_add(writer, &demo), 0);
	assert_int_equal(gpt_rows_writer_add(writer, &ranking), 0);
	assert_int_equal(gpt_rows_writer_count(writer), 2);
	assert_int_equal(gpt_rows_writer_commit(writer, &host, NULL, "train"), 0);
	assert_string_equal(cairn_text_get(&fake.rows),
		"{\"completion\":\"\",\"prompt\":\"p\",\"user\":\"u\"}\n"
		"{\"completions\":[\"a\\n\",\"b\"],\"ended\":[true,false],\"group\":\"g\","
		"\"prompt\":\"q\",\"ranks\":[1,0]}\n");
	assert_string_equal(fake.meta,
		"{\"completion_bytes\":3,\"completion_bytes_max\":2,\"completions\":3,"
		"\"prompt_bytes\":2,\"prompt_bytes_max\":1,\"rows\":2}");
	assert_int_equal(gpt_rows_load(&rows, &host, NULL, "in"), 0);
	assert_int_equal(rows.n, 2);
	assert_string_equal(rows.rows[1].completions[0], "a\n");
	gpt_rows_free(&rows);
	gpt_rows_writer_free(writer);
}

/* A completion may break off inside a character. */
static void test_gpt_rows_writer__mends_what_is_no_utf8(void **state)
{
	const gpt_row row = {.prompt = "\xc3\xa9\xc3", .completion = "a\xe2\x82z\xff"};
	gpt_rows_writer *writer = gpt_rows_writer_new();

	(void)state;
	assert_non_null(writer);
	hold("dataset/demo", "");
	assert_int_equal(gpt_rows_writer_add(writer, &row), 0);
	assert_int_equal(gpt_rows_writer_commit(writer, &host, NULL, "train"), 0);
	assert_string_equal(cairn_text_get(&fake.rows),
		"{\"completion\":\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\","
		"\"prompt\":\"\xc3\xa9\xef\xbf\xbd\"}\n");
	gpt_rows_writer_free(writer);
}

static int clear(void **state)
{
	(void)state;
	cairn_text_free(&fake.rows);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_rows_load__reads_a_ranking),
		cmocka_unit_test(test_gpt_rows_load__tells_bad_rows),
		cmocka_unit_test(test_gpt_rows_writer__writes_canonical_lines),
		cmocka_unit_test(test_gpt_rows_writer__mends_what_is_no_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, clear);
}
