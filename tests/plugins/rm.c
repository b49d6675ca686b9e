/* SPDX-License-Identifier: Apache-2.0 */
/* rm.c - unit tests of the rm stage. */
#include "world.h"

static const char *const outputs[] = {"model", "report"};

/* Rankings of three answers; the group likes those with more exclamation marks (`loud`), or the
 * other way round. Words vary with i, so that there are rows to hold out. */
static void add_rankings(
	struct fakehost *host, const char *port, int from, int n, const char *group, bool loud)
{
	static const char *const words[] = {"cat", "dog", "mat", "park", "sat", "ran", "the", "to"};
	char rows[16384];
	int len = 0;

	for (int i = from; i < from + n; i++)
		len += snprintf(rows + len, sizeof(rows) - (size_t)len,
			"{\"prompt\":\"say %s\",\"completions\":[\"%s %d.\",\"%s %d!\","
			"\"%s!!\"],\"ranks\":[%d,1,%d],\"labeler\":\"ann\",\"group\":\"%s\"}\n",
			words[i % 8], words[(i + 3) % 8], i % 10, words[(i / 8) % 8], i % 7,
			words[(i / 5) % 8], loud ? 2 : 0, loud ? 0 : 2, group);
	fakehost_rows(host, port, "dataset/ranking", "rankings.jsonl", rows);
}

#define DEMOS                                                  \
	"{\"prompt\":\"say cat\",\"completion\":\"cat.\"}\n"   \
	"{\"prompt\":\"say dog\",\"completion\":\"a dog!\"}\n" \
	"{\"prompt\":\"say mat\",\"completion\":\"the mat\"}\n"

static struct fakehost *make(void)
{
	struct fakehost *host = fakehost_new("rm");

	world_model(host, "init");
	add_rankings(host, "rankings", 0, 10, "loud", true);
	add_rankings(host, "valid", 40, 4, "loud", true);
	fakehost_rows(host, "demos", "dataset/demo", "demos.jsonl", DEMOS);
	fakehost_param(host, "batch=4"); /* three steps, the last one short */
	fakehost_param(host, "lr=3e-3");
	return host;
}

static struct fakehost *make_dropout(void)
{
	struct fakehost *host = make();

	fakehost_param(host, "dropout=0.2");
	fakehost_param(host, "epochs=2");
	return host;
}

/* METHOD 5.4: a head that knows nothing has the loss ln 2. */
static void test_rm__starts_near_ln_2(void **state)
{
	struct fakehost *host = make();

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(world_metric_at(host, 1, "loss") - log(2)) < 0.25);
	assert_non_null(strstr(fakehost_log(host), "ln 2"));
	assert_int_equal(fakehost_steps(host), 3);
	fakehost_free(host);
}

static void test_rm__learns_a_preference(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_unbind(host, "rankings");
	add_rankings(host, "rankings", 0, 40, "loud", true);
	fakehost_param(host, "epochs=8");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fakehost_summary(host, "accuracy") > 0.9);
	assert_true(fakehost_summary(host, "valid_loss") < 0.3);
	assert_true(fakehost_summary(host, "n_pairs") == 4 * 3);
	fakehost_free(host);
}

static void test_rm__resumes_exactly(void **state)
{
	(void)state;
	world_resumes_at(make, 1, outputs, 2);
	world_resumes_at(make, 3, outputs, 2);
	world_resumes_at(make_dropout, 4, outputs, 2);
	world_repeats_from(make_dropout, 2, 5, outputs, 2);
}

/* Completions of a prompt stay together even where they exceed the limit. */
static void test_rm__micro_batches_change_rounding_only(void **state)
{
	struct fakehost *whole = make(), *split = make();

	(void)state;
	fakehost_param(split, "micro_tokens=1");
	assert_int_equal(fakehost_run(whole), CAIRN_DONE);
	assert_int_equal(fakehost_run(split), CAIRN_DONE);
	assert_true(world_metric_at(whole, 1, "loss") == world_metric_at(split, 1, "loss"));
	assert_true(
		fabs(world_metric_at(whole, 3, "loss") - world_metric_at(split, 3, "loss")) < 1e-4);
	fakehost_free(split);
	fakehost_free(whole);
}

static double json_number(const struct fakehost *host, const char *name)
{
	const char *json = fake_text(fakehost_output(host, "report"), "report.json");
	char wanted[64];
	const char *at;

	(void)snprintf(wanted, sizeof(wanted), "\"%s\":", name);
	at = strstr(json, wanted);
	assert_non_null(at);
	return strtod(at + strlen(wanted), NULL);
}

static void test_rm__demonstrations_score_zero(void **state)
{
	struct fakehost *host = make();

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(json_number(host, "demo_mean")) < 1e-6);
	assert_true(json_number(host, "reward_gain") == 1);
	assert_true(json_number(host, "reward_bias") != 0);
	assert_non_null(strstr(fake_artifact_meta(fakehost_output(host, "model")), "reward_bias"));

	fakehost_forget(host);
	fakehost_param(host, "normalize=gain");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(json_number(host, "demo_mean")) < 1e-6);
	assert_true(
		fabs(json_number(host, "reward_gain") * json_number(host, "demo_std") - 1) < 1e-12);

	fakehost_forget(host);
	fakehost_param(host, "normalize=none");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(json_number(host, "reward_bias") == 0);
	fakehost_free(host);
}

/* One ranking with a tie and K = 3: two pairs are kept of three. */
#define TIED                                                                            \
	"{\"prompt\":\"p\",\"completions\":[\"aa\",\"bbbb\",\"cc\"],\"ranks\":[0,1,1]," \
	"\"labeler\":\"ann\",\"group\":\"g\"}\n"
#define ALL_TIED                                                           \
	"{\"prompt\":\"p\",\"completions\":[\"a\",\"b\"],\"ranks\":[0,0]," \
	"\"labeler\":\"ann\",\"group\":\"g\"}\n"

static void test_rm__divides_by_kept_or_by_all_pairs(void **state)
{
	struct fakehost *kept = make(), *all = make();

	(void)state;
	fakehost_unbind(kept, "rankings");
	fakehost_rows(kept, "rankings", "dataset/ranking", "tied.jsonl", TIED ALL_TIED);
	fakehost_unbind(all, "rankings");
	fakehost_rows(all, "rankings", "dataset/ranking", "tied.jsonl", TIED ALL_TIED);
	fakehost_param(all, "divide=all");
	assert_int_equal(fakehost_run(kept), CAIRN_DONE);
	assert_int_equal(fakehost_run(all), CAIRN_DONE);
	assert_true(fabs(world_metric_at(all, 1, "loss") / world_metric_at(kept, 1, "loss") -
			    2.0 / 3) < 1e-12);
	/* The row without any preference is left out: it would halve the mean. */
	assert_non_null(strstr(fakehost_log(kept), "1 rankings without any preference"));
	fakehost_free(all);
	fakehost_free(kept);
}

/* Lengths 2, 4, 2 of ranks 0, 1, 1: the longer never wins a pair with a difference; aa and cc
 * are equally long, which counts half. */
static void test_rm__longer_wins_is_a_baseline(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_unbind(host, "valid");
	fakehost_rows(host, "valid", "dataset/ranking", "tied.jsonl", TIED);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fakehost_summary(host, "longer_wins") == 0.25);
	assert_true(fakehost_summary(host, "n_pairs") == 2);
	fakehost_free(host);
}

static void test_rm__branches_by_group(void **state)
{
	struct fakehost *loud = make(), *quiet = make();

	(void)state;
	add_rankings(loud, "rankings", 0, 40, "loud", true);
	add_rankings(loud, "rankings", 0, 40, "quiet", false);
	add_rankings(loud, "valid", 40, 4, "quiet", false);
	fakehost_param(loud, "epochs=8");
	fakehost_param(loud, "group=loud");
	assert_int_equal(fakehost_run(loud), CAIRN_DONE);
	assert_true(fakehost_summary(loud, "accuracy") > 0.9);
	assert_true(fakehost_summary(loud, "accuracy_others") < 0.1);
	fakehost_param(quiet, "group=nobody");
	assert_int_equal(fakehost_run(quiet), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(quiet)->message, "'nobody'"));
	fakehost_free(quiet);
	fakehost_free(loud);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rm__starts_near_ln_2),
		cmocka_unit_test(test_rm__learns_a_preference),
		cmocka_unit_test(test_rm__resumes_exactly),
		cmocka_unit_test(test_rm__micro_batches_change_rounding_only),
		cmocka_unit_test(test_rm__demonstrations_score_zero),
		cmocka_unit_test(test_rm__divides_by_kept_or_by_all_pairs),
		cmocka_unit_test(test_rm__longer_wins_is_a_baseline),
		cmocka_unit_test(test_rm__branches_by_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
