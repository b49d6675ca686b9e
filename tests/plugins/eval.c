/* SPDX-License-Identifier: Apache-2.0 */
/* eval.c - unit tests of the eval stage: numbers against cases made by hand. */
#include <jansson.h>

#include "world.h"

static const char *const outputs[] = {"report"};

#define PROMPTS                                                            \
	"{\"prompt\":\"the \",\"answer\":\"c\"}\n{\"prompt\":\"a dog\"}\n" \
	"{\"prompt\":\"sat\"}\n{\"prompt\":\"ran \"}\n"

#define RANKINGS                                                                                \
	"{\"prompt\":\"p\",\"completions\":[\"aa\",\"bbbb\",\"cc\"],\"ranks\":[0,1,1],"         \
	"\"labeler\":\"ann\",\"group\":\"g\"}\n"                                                \
	"{\"prompt\":\"q\",\"completions\":[\"yes\",\"no\",\"\"],\"ranks\":[2,1,0],\"labeler\"" \
	":\"ann\",\"group\":\"g\"}\n"

/* A model of another taste than the world's: trained for more steps. */
static void add_other_model(struct fakehost *host, const char *port)
{
	struct fakehost *pretrain = world_pretrain();

	fakehost_param(pretrain, "steps=40");
	assert_int_equal(fakehost_run(pretrain), CAIRN_DONE);
	fakehost_bind(host, port, fakehost_output(pretrain, "model"));
	fakehost_free(pretrain);
}

static struct fakehost *make_plain(void)
{
	struct fakehost *host = fakehost_new("eval");

	world_model(host, "model");
	fakehost_rows(host, "prompts", "dataset/prompt", "prompts.jsonl", PROMPTS);
	fakehost_param(host, "max_prompt=8");
	fakehost_param(host, "max_new=10");
	fakehost_param(host, "batch=3");
	return host;
}

static struct fakehost *make(void)
{
	struct fakehost *host = make_plain(), *rm = fakehost_new("rm");

	add_other_model(host, "baseline");
	world_model(rm, "init");
	fakehost_rows(rm, "rankings", "dataset/ranking", "rankings.jsonl", RANKINGS);
	fakehost_rows(rm, "valid", "dataset/ranking", "rankings.jsonl", RANKINGS);
	assert_int_equal(fakehost_run(rm), CAIRN_DONE);
	fakehost_bind(host, "reward", fakehost_output(rm, "model"));
	fakehost_rows(host, "rankings", "dataset/ranking", "rankings.jsonl", RANKINGS);
	world_text(host, "pretrain", WORLD_TEXT);
	fakehost_param(host, "judge=brief");
	fakehost_param(host, "utility=characters:-1 answer:5");
	fakehost_param(host, "members=ann, bob cem");
	fakehost_param(host, "K=2");
	fakehost_free(rm);
	return host;
}

static json_t *sample(const struct fakehost *host, size_t i)
{
	const char *line = fake_text(fakehost_output(host, "report"), "samples.jsonl");
	json_t *json;

	for (; i > 0; i--) {
		line = strchr(line, '\n');
		assert_non_null(line);
		line++;
	}
	json = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
	assert_non_null(json);
	return json;
}

static double number(const json_t *json, const char *side, const char *name)
{
	return json_number_value(json_object_get(side ? json_object_get(json, side) : json, name));
}

/* Without noise a labeler prefers the higher utility: the rate follows from the samples. */
static void test_eval__counts_wins_and_ties(void **state)
{
	struct fakehost *host = make();
	double won = 0, rm_won = 0, center, half, n = 4, z = 1.959963984540054;

	(void)state;
	fakehost_param(host, "noise=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	for (size_t i = 0; i < 8; i++) {
		json_t *json = sample(host, i);
		double u = number(json, "model", "utility"),
		       v = number(json, "baseline", "utility");
		double r = number(json, "model", "reward"), s = number(json, "baseline", "reward");
		double share = u > v ? 1 : u < v ? 0 : 0.5;

		assert_true(number(json, NULL, "won_by_labelers") == share);
		won += share / 2; /* K = 2 answers make one prompt */
		rm_won += (r > s ? 1 : r < s ? 0 : 0.5) / 2;
		json_decref(json);
	}
	assert_true(fabs(fakehost_summary(host, "win_rate") - won / n) < 1e-12);
	assert_true(fabs(fakehost_summary(host, "rm_win_rate") - rm_won / n) < 1e-12);
	/* Wilson, with a prompt as the unit. */
	center = (won + z * z / 2) / (n + z * z);
	half = z / (n + z * z) * sqrt(won * (n - won) / n + z * z / 4);
	assert_true(fabs(fakehost_summary(host, "win_rate_low") - (center - half)) < 1e-6);
	assert_true(fabs(fakehost_summary(host, "win_rate_high") - (center + half)) < 1e-6);
	fakehost_free(host);
}

static void test_eval__equal_models_tie(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_unbind(host, "baseline");
	world_model(host, "baseline");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fakehost_summary(host, "win_rate") == 0.5);
	assert_true(fakehost_summary(host, "rm_win_rate") == 0.5);
	assert_true(
		fakehost_summary(host, "valid_loss") == fakehost_summary(host, "baseline_loss"));
	fakehost_free(host);
}

static void test_eval__noise_makes_labelers_differ(void **state)
{
	struct fakehost *host = make();
	int split = 0;

	(void)state;
	fakehost_param(host, "noise=1000");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	for (size_t i = 0; i < 8; i++) {
		json_t *json = sample(host, i);
		double share = number(json, NULL, "won_by_labelers");

		split += share > 0 && share < 1;
		json_decref(json);
	}
	assert_true(split > 0);
	fakehost_free(host);
}

/* The loss on held-out text is pretraining's own, to the bit: the same windows, the same sum. */
static void test_eval__loss_is_that_of_pretraining(void **state)
{
	struct fakehost *host = make(), *pretrain = world_pretrain();

	(void)state;
	assert_int_equal(fakehost_run(pretrain), CAIRN_DONE);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(
		fakehost_summary(host, "valid_loss") == fakehost_summary(pretrain, "valid_loss"));
	assert_true(fakehost_summary(host, "baseline_loss") < fakehost_summary(host, "valid_loss"));
	fakehost_free(pretrain);
	fakehost_free(host);
}

static void test_eval__accuracy_is_that_of_the_reward_model(void **state)
{
	struct fakehost *host = make(), *rm = fakehost_new("rm");

	(void)state;
	world_model(rm, "init");
	fakehost_rows(rm, "rankings", "dataset/ranking", "rankings.jsonl", RANKINGS);
	fakehost_rows(rm, "valid", "dataset/ranking", "rankings.jsonl", RANKINGS);
	assert_int_equal(fakehost_run(rm), CAIRN_DONE);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fakehost_summary(host, "rm_accuracy") == fakehost_summary(rm, "accuracy"));
	fakehost_free(rm);
	fakehost_free(host);
}

static void test_eval__resumes_exactly(void **state)
{
	(void)state;
	world_resumes_at(make, 3, outputs, 1);
	world_resumes_at(make, 8, outputs, 1); /* between the two models */
	world_resumes_at(make, 16, outputs, 1);
	world_repeats_from(make, 6, 14, outputs, 1);
}

static void test_eval__writes_a_block_to_read(void **state)
{
	struct fakehost *host = make();
	const char *text;

	(void)state;
	fakehost_param(host, "n_samples_shown=2");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = fake_text(fakehost_output(host, "report"), "highlight.txt");
	assert_ptr_equal(strstr(text, "judge: brief\n"), text);
	assert_non_null(strstr(text, "preferred to the baseline by 3 labelers: "));
	assert_non_null(strstr(text, "alignment tax"));
	assert_non_null(strstr(text, "prompt  the\n"));
	assert_non_null(strstr(text, "\nafter   "));
	assert_null(strstr(text, "prompt  sat"));
	fakehost_free(host);
}

static void test_eval__needs_no_more_than_a_model(void **state)
{
	struct fakehost *host = make_plain();
	json_t *json;

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(isnan(fakehost_summary(host, "win_rate")));
	assert_true(isnan(fakehost_summary(host, "valid_loss")));
	json = json_loads(fake_text(fakehost_output(host, "report"), "report.json"), 0, NULL);
	assert_true(json_is_null(json_object_get(json, "baseline")));
	assert_true(json_is_null(json_object_get(json, "rm_accuracy")));
	json_decref(json);
	fakehost_free(host);
}

static void test_eval__refuses_an_unknown_feature(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "utility=wrods:1");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_free(host);
}

/* With the policy's own answers the KL is never negative in the mean, and 0 from itself. */
static void test_eval__measures_the_kl(void **state)
{
	struct fakehost *host = make();
	json_t *json;

	(void)state;
	world_model(host, "reference");
	fakehost_param(host, "tags=model:PPO-ptx gamma:27.8");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fakehost_summary(host, "kl") == 0);

	fakehost_forget(host);
	fakehost_unbind(host, "reference");
	add_other_model(host, "reference");
	fakehost_param(host, "K=16");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	json = json_loads(fake_text(fakehost_output(host, "report"), "report.json"), 0, NULL);
	assert_true(number(json, NULL, "kl") == fakehost_summary(host, "kl"));
	assert_true(number(json, NULL, "kl") > 3 * number(json, NULL, "kl_stderr"));
	assert_true(number(json, "tags", "gamma") == 27.8);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(json, "tags"), "model")),
		"PPO-ptx");
	json_decref(json);

	/* Always the most likely token: that is no sample of what the KL is a mean over. */
	fakehost_forget(host);
	fakehost_param(host, "temperature=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(isnan(fakehost_summary(host, "kl")));
	fakehost_free(host);
}

static void test_eval__micro_batches_change_nothing(void **state)
{
	(void)state;
	world_any_split(make, outputs, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eval__counts_wins_and_ties),
		cmocka_unit_test(test_eval__equal_models_tie),
		cmocka_unit_test(test_eval__noise_makes_labelers_differ),
		cmocka_unit_test(test_eval__loss_is_that_of_pretraining),
		cmocka_unit_test(test_eval__accuracy_is_that_of_the_reward_model),
		cmocka_unit_test(test_eval__resumes_exactly),
		cmocka_unit_test(test_eval__writes_a_block_to_read),
		cmocka_unit_test(test_eval__needs_no_more_than_a_model),
		cmocka_unit_test(test_eval__refuses_an_unknown_feature),
		cmocka_unit_test(test_eval__measures_the_kl),
		cmocka_unit_test(test_eval__micro_batches_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
