/* SPDX-License-Identifier: Apache-2.0 */
/* Stage `ranking`: simulated groups differ as stated, imported ones are what people judged. */
#include "fakehost.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "gpt/jsonl.h"
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

static double reported(const struct fakehost *host, const char *name)
{
	const char *text = fake_text(fakehost_output(host, "report"), "report.json");
	cairn_error err = {0};
	json_t *json = NULL;
	double number;

	assert_int_equal(cairn_json_parse(&json, text, strlen(text), "report", &err), 0);
	number = cairn_json_number(json, name, NAN);
	json_decref(json);
	return number;
}

static void expect_error(
	struct fakehost *host, const char *message, const char *place, const char *hint)
{
	const cairn_error *err = fakehost_error(host);

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

/* ---- simulated labelers -----------------------------------------------------------------------
 */

/* n prompts with a terse, a plain and a courteous completion. */
static struct fakehost *simulated(int n, const char *group, const char *utility)
{
	struct fakehost *host = fakehost_new("ranking");
	cairn_text text = {0};
	char param[200];

	for (int i = 0; i < n; i++)
		cairn_text_printf(&text,
			"{\"prompt\":\"p%d\",\"completions\":[\"Paris.\",\"It is Paris.\","
			"\"Thank you for asking. It is Paris.\"],\"ended\":[true,true,true],"
			"\"user\":\"u%d\",\"answer\":\"Paris\"}\n",
			i, i % 20);
	fakehost_rows(host, "completions", "dataset/completion", "samples:completions", text.data);
	cairn_text_free(&text);
	snprintf(param, sizeof(param), "group=%s", group);
	fakehost_param(host, param);
	snprintf(param, sizeof(param), "utility=%s", utility);
	fakehost_param(host, param);
	return host;
}

static void test_plugin_ranking__simulates_what_a_group_likes(void **state)
{
	struct fakehost *brief = simulated(40, "brief", "words:-1 answer:2");
	struct fakehost *kind = simulated(40, "kind", "courtesy:1 words:-0.1");

	(void)state;
	fakehost_param(brief, "noise=0");
	fakehost_param(kind, "noise=0");
	fakehost_param(brief, "members=ann, bob cem");
	assert_int_equal(fakehost_run(brief), CAIRN_DONE);
	assert_int_equal(fakehost_run(kind), CAIRN_DONE);
	assert_int_equal(count(rows(brief, "train"), "\"ranks\":[0,1,2]"), 36);
	assert_int_equal(count(rows(brief, "valid"), "\"ranks\":[0,1,2]"), 4);
	assert_int_equal(count(rows(kind, "train"), "\"ranks\":[1,2,0]"), 36);
	assert_int_equal(count(rows(brief, "train"), "\"group\":\"brief\""), 36);
	/* All members take part; a group without members is one labeler. */
	assert_int_equal(reported(brief, "labelers"), 3);
	assert_int_equal(count(rows(kind, "train"), "\"labeler\":\"kind\""), 36);
	/* The longer one always loses, or wins 2 of 3 pairs. */
	assert_float_equal(fakehost_summary(brief, "longer_wins"), 0, 0);
	assert_float_equal(fakehost_summary(kind, "longer_wins"), 2.0 / 3, 1e-12);
	/* Nobody ranked anything twice. */
	assert_true(isnan(fakehost_summary(brief, "agreement")));
	fakehost_free(brief);
	fakehost_free(kind);
}

/* Which users are held out depends neither on the group nor on the stage's random numbers. */
static void test_plugin_ranking__holds_out_the_same_users(void **state)
{
	struct fakehost *a = simulated(60, "a", "words:-1"), *b = simulated(60, "b", "words:1");

	(void)state;
	fakehost_seed(b, 77);
	fakehost_param(a, "valid_fraction=0.3");
	fakehost_param(b, "valid_fraction=0.3");
	assert_int_equal(fakehost_run(a), CAIRN_DONE);
	assert_int_equal(fakehost_run(b), CAIRN_DONE);
	for (int u = 0; u < 20; u++) {
		char user[16];

		snprintf(user, sizeof(user), "\"u%d\"", u);
		assert_int_equal(count(rows(a, "valid"), user), count(rows(b, "valid"), user));
		assert_true(!strstr(rows(a, "valid"), user) || !strstr(rows(a, "train"), user));
	}
	assert_int_equal(count(rows(a, "valid"), "\n"), 6 * 3);
	fakehost_param(b, "split_seed=5");
	assert_int_equal(fakehost_run(b), CAIRN_DONE);
	assert_int_equal(count(rows(b, "valid"), "\n"), 6 * 3);
	assert_string_not_equal(rows(a, "valid"), rows(b, "valid"));
	fakehost_free(a);
	fakehost_free(b);
}

static void test_plugin_ranking__measures_agreement(void **state)
{
	struct fakehost *host = simulated(400, "g", "words:-0.3");

	(void)state;
	fakehost_param(host, "members=ann,bob");
	fakehost_param(host, "overlap=1");
	fakehost_param(host, "noise=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_float_equal(fakehost_summary(host, "agreement"), 1, 0);
	assert_int_equal(reported(host, "train") + reported(host, "valid"), 800);
	/* Much noise: each pair is a coin, and so is the agreement. 1200 comparisons in 400 items.
	 */
	fakehost_param(host, "noise=1000");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_float_equal(fakehost_summary(host, "agreement"), 0.5, 0.08);
	/* No noise, but members who differ so much that some weights turn their sign. */
	fakehost_param(host, "noise=0");
	fakehost_param(host, "members=a,b,c,d,e,f,g,h,i,j,k,l");
	fakehost_param(host, "disagreement=3");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_in_range(fakehost_summary(host, "agreement") * 100, 20, 95);
	assert_non_null(
		strstr(fake_text(fakehost_output(host, "report"), "highlight.txt"), "agreement"));
	fakehost_free(host);
}

static void test_plugin_ranking__gives_the_same_twice(void **state)
{
	struct fakehost *a = simulated(50, "g", "words:-1"), *b = simulated(50, "g", "words:-1");

	(void)state;
	fakehost_param(a, "members=ann,bob");
	fakehost_param(b, "members=ann,bob");
	assert_int_equal(fakehost_run(a), CAIRN_DONE);
	assert_int_equal(fakehost_run(b), CAIRN_DONE);
	fake_assert_equal(fakehost_output(a, "train"), fakehost_output(b, "train"));
	fakehost_seed(b, 2);
	assert_int_equal(fakehost_run(b), CAIRN_DONE);
	assert_string_not_equal(rows(a, "train"), rows(b, "train"));
	fakehost_free(a);
	fakehost_free(b);
}

/* ---- people's rankings -------------------------------------------------------------------------
 */

#define RANKING(prompt, ranks, labeler, group)                                               \
	"{\"prompt\":\"" prompt "\",\"completions\":[\"a\",\"bb\",\"ccc\"],\"ranks\":" ranks \
	",\"labeler\":\"" labeler "\",\"group\":\"" group "\"}\n"

static struct fakehost *imported(const char *text)
{
	struct fakehost *host = fakehost_new("ranking");

	fakehost_file(host, "rankings", "data/r.jsonl", text);
	return host;
}

static void test_plugin_ranking__imports_a_group(void **state)
{
	struct fakehost *host = imported(
		RANKING("p", "[0,1,2]", "ann", "x") RANKING("p", "[0,2,1]", "bob", "x")
			RANKING("p", "[2,1,0]", "eve", "y") RANKING("q", "[0,0,1]", "ann", "x"));

	(void)state;
	fakehost_param(host, "group=x");
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\n"), 3);
	assert_int_equal(reported(host, "other_group"), 1);
	/* ann and bob agree on two pairs of three. */
	assert_float_equal(fakehost_summary(host, "agreement"), 2.0 / 3, 1e-12);
	fakehost_param(host, "group=");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\n"), 4);
	/* ann-bob 2, ann-eve 0, bob-eve 1 of three each. */
	assert_float_equal(fakehost_summary(host, "agreement"), 3.0 / 9, 1e-12);
	fakehost_param(host, "max_rows=2");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\n"), 2);
	fakehost_free(host);
}

static void test_plugin_ranking__tells_bad_rankings(void **state)
{
	struct fakehost *host;

	(void)state;
	expect_error(imported(RANKING("p", "[0,1,2]", "ann", "x") "{\"prompt\":\"p\"}\n"),
		"'completions' is missing", "data/r.jsonl:2", "max_bad");
	expect_error(imported(RANKING("p", "[0,1]", "ann", "x")),
		"'ranks' has 2 items for 3 completions", "data/r.jsonl:1", "max_bad");
	expect_error(imported("{\"prompt\":\"p\",\"completions\":[\"a\"],\"ranks\":[0]}\n"),
		"a ranking needs 2", "data/r.jsonl:1", "max_bad");
	expect_error(imported(""), "no ranking of group '' in 0 rows", "", "");
	host = imported(RANKING("p", "[0,1,2]", "ann", "x"));
	fakehost_param(host, "group=z");
	expect_error(host, "no ranking of group 'z' in 1 rows", "", "");
	expect_error(fakehost_new("ranking"), "neither 'completions' nor 'rankings'", "", "Bind");
	host = simulated(3, "g", "");
	expect_error(host, "without a utility", "", "utility = ");
	host = simulated(3, "g", "wrods:1");
	expect_error(host, "unknown feature 'wrods'", "", "Did you mean 'words'?");
	host = simulated(3, "g", "words:1");
	fakehost_file(host, "rankings", "data/r.jsonl", "");
	expect_error(host, "both 'completions' and 'rankings'", "", "Bind");
	host = imported("");
	fakehost_param(host, "format=pairs");
	expect_error(host, "'items' is not bound", "", "input.items");
}

/* ---- judgments of pairs ------------------------------------------------------------------------
 */

static const char items[] =
	"{\"id\":\"x\",\"prompt\":\"p\",\"completion\":\"short\",\"user\":\"t\"}\n"
	"{\"id\":\"y\",\"prompt\":\"p\",\"completion\":\"longer text\","
	"\"user\":\"t\"}\n"
	"{\"id\":\"z\",\"prompt\":\"p\",\"completion\":\"mid text\",\"user\":\"t\"}\n"
	"{\"id\":\"q\",\"prompt\":\"other\",\"completion\":\"c\",\"user\":\"s\"}\n";
#define HEADER "a\tb\tlabeler\tvalue\tgroup\n"

static struct fakehost *pairs(const char *judgments)
{
	struct fakehost *host = fakehost_new("ranking");

	fakehost_param(host, "format=pairs");
	fakehost_param(host, "valid_fraction=0");
	fakehost_file(host, "rankings", "data/j.tsv", judgments);
	fakehost_file(host, "items", "data/items.jsonl", items);
	return host;
}

static void test_plugin_ranking__takes_the_majority(void **state)
{
	/* x:y is 2:1 for y (once written y:x); y:z is a tie of votes; g2 finds x better. */
	struct fakehost *host = pairs(HEADER "x\ty\tann\tb\tg1\n"
					     "y\tx\tbob\ta\tg1\n"
					     "x\ty\tcem\ta\tg1\n"
					     "y\tz\tann\ta\tg1\n"
					     "y\tz\tbob\tb\tg1\n"
					     "y\tz\tcem\tequal\tg1\n"
					     "x\ty\teve\ta\tg2\n"
					     "x\tz\tann\ta\t\n");

	(void)state;
	fakehost_param(host, "group=g1");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_string_equal(rows(host, "train"),
		"{\"completions\":[\"short\",\"longer text\"],\"group\":\"g1\","
		"\"labeler\":\"ann,bob,cem\",\"prompt\":\"p\",\"ranks\":[1,0],\"user\":\"t\"}\n"
		"{\"completions\":[\"longer text\",\"mid text\"],\"group\":\"g1\","
		"\"labeler\":\"ann,bob,cem\",\"prompt\":\"p\",\"ranks\":[0,0],\"user\":\"t\"}\n");
	/* x:y: one of three pairs of labelers agrees; y:z: two halves. */
	assert_float_equal(fakehost_summary(host, "agreement"), 2.0 / 6, 1e-12);
	assert_int_equal(reported(host, "other_group"), 2);
	assert_int_equal(reported(host, "labelers"), 3);
	fakehost_param(host, "keep_ties=no");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\n"), 1);
	assert_int_equal(reported(host, "ties_dropped"), 1);
	fakehost_param(host, "aggregate=each");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\n"), 5);
	assert_int_equal(count(rows(host, "train"), "\"labeler\":\"bob\""), 2);
	fakehost_free(host);
}

static void test_plugin_ranking__takes_json_judgments(void **state)
{
	struct fakehost *host =
		pairs("{\"left\":\"x\",\"right\":\"y\",\"by\":7,\"winner\":\"r\"}\n");

	(void)state;
	fakehost_param(host, "column_a=left");
	fakehost_param(host, "column_b=right");
	fakehost_param(host, "column_labeler=by");
	fakehost_param(host, "column_value=winner");
	fakehost_param(host, "value_b=r");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_non_null(strstr(rows(host, "train"), "\"labeler\":\"7\""));
	assert_non_null(strstr(rows(host, "train"), "\"ranks\":[1,0]"));
	fakehost_free(host);
}

static void test_plugin_ranking__tells_bad_judgments(void **state)
{
	struct fakehost *host;

	(void)state;
	expect_error(pairs(HEADER "x\ty\tann\ta\tg\nx\tn\tann\ta\tg\n"),
		"item 'n' is not among the items", "data/j.tsv:3", "item_id");
	expect_error(pairs(HEADER "x\tx\tann\ta\tg\n"), "compared with itself", "data/j.tsv:2", "");
	expect_error(pairs(HEADER "x\ty\tann\ta1\tg\n"), "value 'a1' is none of 'a', 'b', 'equal'",
		"data/j.tsv:2", "value_a");
	expect_error(
		pairs(HEADER "x\tq\tann\ta\tg\n"), "have different prompts", "data/j.tsv:2", "");
	expect_error(pairs(HEADER "x\ty\tann\ta\n"), "row has 4 fields, the header 5",
		"data/j.tsv:2", "tab");
	expect_error(pairs("a\tc\tlabeler\tvalue\tgroup\n"), "no column 'b'", "data/j.tsv:1",
		"column_b");
	expect_error(pairs("a\tb\tlabeler\tvalues\tgroup\n"), "no column 'value'", "data/j.tsv:1",
		"Did you mean 'values'?");
	expect_error(pairs("{\"a\":\"x\",\"b\":\"y\"}\n"), "'value' is missing", "data/j.tsv:1",
		"max_bad");
	expect_error(pairs(""), "no ranking of group ''", "", "");
	host = pairs("a\tb\tlabeler\tvalue\nx\ty\tann\ta\n");
	fakehost_param(host, "group=g");
	expect_error(host, "no column 'group' for group 'g'", "data/j.tsv:1", "");
	host = pairs(HEADER);
	fakehost_param(host, "item_prompt={title}");
	expect_error(host, "'title' is missing", "data/items.jsonl:1", "");
	host = pairs(HEADER);
	fakehost_param(host, "item_id={user}");
	expect_error(host, "item 't' is listed twice", "data/items.jsonl:2", "");
}

/* ---- real judgments
 * ------------------------------------------------------------------------------ */

static struct fakehost *arguments(const char *group)
{
	static const char *const settings[] = {"format=pairs", "column_a=arg1", "column_b=arg2",
		"column_labeler=worker", "column_group=worker_stance", "value_a=a1", "value_b=a2",
		"item_prompt={title}\\n{stance}\\n\\n", "item_completion={text}",
		"item_user={topic}"};
	struct fakehost *host = fakehost_new("ranking");
	char param[64];

	for (size_t i = 0; i < CAIRN_COUNT(settings); i++)
		fakehost_param(host, settings[i]);
	snprintf(param, sizeof(param), "group=%s", group);
	fakehost_param(host, param);
	realdata_bind(host, "rankings", "ukpconvarg1/judgments.tsv");
	realdata_bind(host, "items", "ukpconvarg1/arguments.jsonl");
	return host;
}

/* UKPConvArg1: 69,073 judgments; groups of labelers by their own stance. */
static void test_plugin_ranking__imports_ukpconvarg1(void **state)
{
	struct fakehost *same = arguments("same"), *opposite = arguments("opposite");
	gpt_jsonl reader;
	cairn_error err = {0};
	json_t *row, *held_out = json_object();

	(void)state;
	assert_int_equal(fakehost_run(same), CAIRN_DONE);
	assert_int_equal(fakehost_run(opposite), CAIRN_DONE);
	assert_int_equal(reported(same, "read"), 69073);
	assert_int_equal(reported(same, "bad"), 0);
	assert_true(reported(same, "train") > 5 * reported(same, "valid"));
	/* People agree more than chance, and length explains a good part. */
	assert_in_range(fakehost_summary(same, "agreement") * 100, 60, 95);
	assert_in_range(fakehost_summary(same, "longer_wins") * 100, 60, 85);
	/* A topic that is held out for one group is not trained on by the other. */
	assert_int_equal(gpt_jsonl_open(&reader, "valid", rows(same, "valid"),
				 strlen(rows(same, "valid")), &err),
		0);
	while (gpt_jsonl_next(&reader, &row, &err) > 0) {
		json_object_set(held_out, cairn_json_string(row, "user", ""), json_true());
		json_decref(row);
	}
	assert_int_equal(json_object_size(held_out), 3); /* a tenth of 26 to 32 topics */
	assert_int_equal(gpt_jsonl_open(&reader, "train", rows(opposite, "train"),
				 strlen(rows(opposite, "train")), &err),
		0);
	while (gpt_jsonl_next(&reader, &row, &err) > 0) {
		assert_null(json_object_get(held_out, cairn_json_string(row, "user", "")));
		json_decref(row);
	}
	print_message("same: %s\nopposite: %s",
		fake_text(fakehost_output(same, "report"), "highlight.txt"),
		fake_text(fakehost_output(opposite, "report"), "highlight.txt"));
	json_decref(held_out);
	fakehost_free(same);
	fakehost_free(opposite);
}

/* The first 8,000 judgments, by 1562 labelers. */
static struct fakehost *some_arguments(const char *aggregate)
{
	struct fakehost *host = arguments("");
	size_t len;
	char *bytes = realdata_read("ukpconvarg1/judgments.tsv", &len), *end = bytes;
	char param[64];

	for (int line = 0; line < 8001; line++)
		end = strchr(end, '\n') + 1;
	fakehost_unbind(host, "rankings");
	fake_add(fakehost_input(host, "rankings", "file", "judgments.tsv"), "data", CAIRN_U8, 0,
		NULL, bytes, (uint64_t)(end - bytes));
	free(bytes);
	snprintf(param, sizeof(param), "aggregate=%s", aggregate);
	fakehost_param(host, param);
	fakehost_param(host, "folds=5");
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	return host;
}

/* Every labeler is in one fold, all folds together are all judgments; the majorities of a fold do
 * not change when the others are left out. */
static void test_plugin_ranking__deals_labelers_to_folds(void **state)
{
	struct fakehost *all = some_arguments("each"), *one;
	gpt_jsonl reader;
	cairn_error err = {0};
	json_t *row, *fold_of = json_object();
	size_t in_fold[6] = {0}, labelers[6] = {0}, majorities;

	(void)state;
	assert_int_equal(gpt_jsonl_open(&reader, "train", rows(all, "train"),
				 strlen(rows(all, "train")), &err),
		0);
	while (gpt_jsonl_next(&reader, &row, &err) > 0) {
		const char *labeler = cairn_json_string(row, "labeler", "");
		const char *group = cairn_json_string(row, "group", "");
		int64_t fold = group[4] - '0';

		assert_int_equal(strncmp(group, "fold", 4), 0);
		assert_in_range(fold, 1, 5);
		in_fold[fold]++;
		if (!json_object_get(fold_of, labeler)) {
			labelers[fold]++;
			json_object_set_new(fold_of, labeler, json_integer(fold));
		}
		assert_int_equal(json_integer_value(json_object_get(fold_of, labeler)), fold);
		json_decref(row);
	}
	assert_int_equal(json_object_size(fold_of), 1562);
	for (int f = 1; f <= 5; f++)
		assert_in_range(labelers[f], 312, 313);
	assert_int_equal(in_fold[1] + in_fold[2] + in_fold[3] + in_fold[4] + in_fold[5], 8000);
	fakehost_free(all);
	one = some_arguments("majority");
	majorities = count(rows(one, "train"), "\"fold3\"");
	fakehost_param(one, "fold=3");
	assert_int_equal(fakehost_run(one), CAIRN_DONE);
	assert_int_equal(count(rows(one, "train"), "\n"), majorities);
	assert_int_equal(count(rows(one, "train"), "\"fold3\""), majorities);
	assert_int_equal(reported(one, "other_fold"), 8000 - in_fold[3]);
	assert_int_equal(reported(one, "labelers"), labelers[3]);
	json_decref(fold_of);
	fakehost_free(one);
}

static void test_plugin_ranking__folds_need_labelers(void **state)
{
	struct fakehost *host = imported(RANKING("p", "[0,1,2]", "ann", "x")
			RANKING("p", "[1,0,2]", "bob", "x") RANKING("p", "[0,1,2]", "", "y"));

	(void)state;
	fakehost_param(host, "folds=2");
	expect_error(host, "a row does not name its labeler", "", "set labeler");
	host = imported(RANKING("p", "[0,1,2]", "ann", "x"));
	fakehost_param(host, "folds=2");
	expect_error(host, "1 labelers for 2 folds", "", "set labeler");
	host = imported(RANKING("p", "[0,1,2]", "ann", "x"));
	fakehost_param(host, "fold=1");
	expect_error(host, "fold 1 of 0 folds", "", "counted from 1");
	/* Simulated labelers and people's rankings alike; the data's own group goes by before. */
	host = simulated(60, "g", "words:-1");
	fakehost_param(host, "members=a,b,c,d");
	fakehost_param(host, "folds=2");
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(
		count(rows(host, "train"), "\"fold1\"") + count(rows(host, "train"), "\"fold2\""),
		60);
	fakehost_param(host, "fold=2");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "labelers"), 2);
	assert_int_equal(reported(host, "other_fold"), 60 - count(rows(host, "train"), "\n"));
	fakehost_free(host);
	host = imported(RANKING("p", "[0,1,2]", "ann", "x") RANKING("p", "[1,0,2]", "bob", "x")
			RANKING("p", "[0,1,2]", "eve", "y") RANKING("q", "[0,1,2]", "ann", "x"));
	fakehost_param(host, "group=x");
	fakehost_param(host, "folds=3");
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "max_rows=2");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(count(rows(host, "train"), "\"fold"), 2);
	assert_int_equal(reported(host, "other_group"), 1);
	fakehost_free(host);
}

/* Anthropic's data as it is published: packed, five rows bad. */
static void test_plugin_ranking__imports_hh_rlhf(void **state)
{
	struct fakehost *host = fakehost_new("ranking");
	const char *text;

	(void)state;
	realdata_bind(host, "rankings", "hh-rlhf/harmless-base-1500.jsonl.gz");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_string_equal(fakehost_error(host)->message, "completion 1 is empty");
	assert_string_equal(fakehost_error(host)->place, "hh-rlhf/harmless-base-1500.jsonl.gz:87");
	assert_non_null(strstr(fakehost_error(host)->hint, "max_bad"));
	fakehost_param(host, "max_bad=0.01");
	fakehost_param(host, "valid_fraction=0.5");
	fakehost_param(host, "group_of=crowd");
	fakehost_param(host, "group=crowd");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_non_null(strstr(fakehost_log(host), "is read as shape hh, gzip"));
	assert_non_null(strstr(fakehost_log(host),
		"bad row at hh-rlhf/harmless-base-1500.jsonl.gz:1255: the dialogs differ"));
	assert_int_equal(reported(host, "read"), 1500);
	assert_int_equal(reported(host, "bad"), 5);
	assert_int_equal(reported(host, "train") + reported(host, "valid"), 1495);
	/* Counted by another program: mean 480.8, sd 475.3, median 355 characters of prompt. */
	text = fake_text(fakehost_output(host, "report"), "highlight.txt");
	assert_non_null(strstr(text, "file 1: shape hh, 1500 records, 1495 rows, 5 bad\n"));
	assert_non_null(strstr(text, "4  empty text; the first in file 1, line 87\n"));
	assert_non_null(strstr(text, "1  prompts differ; the first in file 1, line 1255\n"));
	assert_non_null(strstr(text, "prompts         481     475      29"));
	assert_non_null(strstr(text, "355"));
	/* The shorter answer is the harmless one somewhat more often. */
	assert_in_range(fakehost_summary(host, "longer_wins") * 1000, 400, 490);
	print_message("%s", text);
	fakehost_free(host);
}

/* Trees of replies: 142 rankings of 2 to 9 with 491 pairs, as another program counted. */
static void test_plugin_ranking__imports_oasst(void **state)
{
	struct fakehost *host = fakehost_new("ranking");

	(void)state;
	realdata_bind(host, "rankings", "oasst/trees.jsonl");
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "read"), 70);
	assert_int_equal(reported(host, "bad"), 0);
	assert_int_equal(reported(host, "train"), 142);
	assert_int_equal(count(rows(host, "train"), "\"ranks\":[0,1,2,3,4,5,6,7,8]"), 1);
	assert_non_null(
		strstr(fake_text(fakehost_output(host, "report"), "report.json"), "\"n\": 422"));
	/* A tree is a user: none is on both sides. */
	fakehost_param(host, "valid_fraction=0.3");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(reported(host, "train") + reported(host, "valid"), 142);
	assert_true(reported(host, "valid") > 20);
	fakehost_free(host);
}

/* Records of other shapes come through the whole stage; the worker is the labeler. */
static void test_plugin_ranking__imports_comparisons_by_workers(void **state)
{
	cairn_text text = {0};
	struct fakehost *host;

	(void)state;
	for (int i = 0; i < 40; i++)
		cairn_text_printf(&text,
			"%c{\"info\":{\"post\":\"P%d\",\"title\":\"T\",\"subreddit\":\"s\"},"
			"\"summaries\":[{\"text\":\" a\"},{\"text\":\" b\"}],\"choice\":%d,"
			"\"worker\":\"w%d\"}",
			i ? ',' : '[', i / 2, i % 2, i % 8);
	cairn_text_add(&text, "]");
	host = imported(text.data);
	fakehost_param(host, "folds=4");
	fakehost_param(host, "fold=1");
	fakehost_param(host, "valid_fraction=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_non_null(strstr(fakehost_log(host), "shape summarize, one array"));
	assert_int_equal(count(rows(host, "train"), "\"labeler\":\"w"), 10);
	assert_int_equal(reported(host, "labelers"), 2);
	assert_non_null(strstr(rows(host, "train"), "POST: P"));
	cairn_text_free(&text);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plugin_ranking__simulates_what_a_group_likes),
		cmocka_unit_test(test_plugin_ranking__holds_out_the_same_users),
		cmocka_unit_test(test_plugin_ranking__measures_agreement),
		cmocka_unit_test(test_plugin_ranking__gives_the_same_twice),
		cmocka_unit_test(test_plugin_ranking__imports_a_group),
		cmocka_unit_test(test_plugin_ranking__tells_bad_rankings),
		cmocka_unit_test(test_plugin_ranking__takes_the_majority),
		cmocka_unit_test(test_plugin_ranking__takes_json_judgments),
		cmocka_unit_test(test_plugin_ranking__tells_bad_judgments),
		cmocka_unit_test(test_plugin_ranking__imports_ukpconvarg1),
		cmocka_unit_test(test_plugin_ranking__deals_labelers_to_folds),
		cmocka_unit_test(test_plugin_ranking__folds_need_labelers),
		cmocka_unit_test(test_plugin_ranking__imports_hh_rlhf),
		cmocka_unit_test(test_plugin_ranking__imports_oasst),
		cmocka_unit_test(test_plugin_ranking__imports_comparisons_by_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
