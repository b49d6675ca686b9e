/* SPDX-License-Identifier: Apache-2.0 */
/* sft.c - unit tests of the sft stage. */
#include "sft/sft.h"
#include "world.h"

#define DEMO(prompt, completion) "{\"prompt\":\"" prompt "\",\"completion\":\"" completion "\"}\n"

static const char four[] =
	DEMO("2+2=", "four") DEMO("sky: ", "blue") DEMO("hi", " there") DEMO("", "nothing");

static const char *const outputs[] = {"model"};

static struct fakehost *make(void)
{
	struct fakehost *host = fakehost_new("sft");

	world_model(host, "base");
	fakehost_rows(host, "demos", "dataset/demo", "demos.jsonl", four);
	fakehost_param(host, "epochs=3");
	fakehost_param(host, "batch=3"); /* two steps an epoch, the second one short */
	fakehost_param(host, "lr=1e-2");
	return host;
}

static struct fakehost *make_full(void)
{
	struct fakehost *host = make();

	fakehost_rows(host, "valid", "dataset/demo", "valid.jsonl", DEMO("2+3=", "five"));
	world_text(host, "pretrain", WORLD_TEXT);
	fakehost_param(host, "pretrain_mix=0.3");
	fakehost_param(host, "pretrain_length=10");
	return host;
}

static void test_sft__memorises_one_batch(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "batch=4");
	fakehost_param(host, "epochs=120");
	fakehost_param(host, "dropout=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(world_metric_at(host, 1, "loss") > 3);
	assert_true(fakehost_summary(host, "loss") < 0.05);
	fakehost_free(host);
}

static void test_sft__steps_are_epochs_times_batches(void **state)
{
	struct fakehost *host = make();

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(fakehost_steps(host), 6);
	assert_true(world_metric_at(host, 3, "epoch") == 1.5);
	fakehost_free(host);
}

/* Cosine to a tenth of the rate: METHOD 1.3. */
static void test_sft__rate_falls_to_a_tenth(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "epochs=50");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(world_metric_at(host, 1, "learning_rate") == 1e-2);
	assert_true(world_metric_at(host, 100, "learning_rate") < 1.01e-3);
	assert_true(world_metric_at(host, 100, "learning_rate") >= 1e-3);
	fakehost_free(host);
}

static void test_sft__resumes_exactly(void **state)
{
	(void)state;
	world_resumes_at(make_full, 1, outputs, 1);
	world_resumes_at(make_full, 4, outputs, 1);
	world_resumes_at(make_full, 6, outputs, 1);
	world_repeats_from(make_full, 3, 5, outputs, 1);
}

static void test_sft__micro_batches_change_rounding_only(void **state)
{
	struct fakehost *whole = make_full(), *split = make_full();

	(void)state;
	fakehost_param(split, "micro_tokens=1");
	assert_int_equal(fakehost_run(whole), CAIRN_DONE);
	assert_int_equal(fakehost_run(split), CAIRN_DONE);
	/* Also with dropout: a coin belongs to its sample, not to its place in the batch. */
	assert_true(world_metric_at(whole, 1, "loss") == world_metric_at(split, 1, "loss"));
	assert_true(
		fabs(world_metric_at(whole, 6, "loss") - world_metric_at(split, 6, "loss")) < 1e-3);
	fakehost_free(split);
	fakehost_free(whole);
}

static void test_sft__loss_is_on_the_completion(void **state)
{
	struct fakehost *host = make(), *all = make();

	(void)state;
	fakehost_param(host, "epochs=1");
	fakehost_param(host, "batch=4");
	fakehost_param(host, "lr=0");
	fakehost_param(host, "dropout=0");
	fakehost_param(all, "epochs=1");
	fakehost_param(all, "batch=4");
	fakehost_param(all, "lr=0");
	fakehost_param(all, "dropout=0");
	fakehost_param(all, "loss_on=all");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(fakehost_run(all), CAIRN_DONE);
	assert_true(fakehost_metric(host, "loss") != fakehost_metric(all, "loss"));
	/* Inputs are the same; 4+5 4+5+1 2+7 1+8 tokens, the last of each is only predicted. */
	assert_true(fakehost_metric(host, "num_tokens") == 8 + 9 + 8 + 8);
	assert_true(fakehost_metric(all, "num_tokens") == 8 + 9 + 8 + 8);
	fakehost_free(all);
	fakehost_free(host);
}

/* batch 3 with a mix of 0.3: round(0.3/0.7 * 3) = 1 window of 10 tokens; the short batch of one
 * demonstration gets round(0.43) = 0. */
static void test_sft__mixes_text_in(void **state)
{
	struct fakehost *host = make_full();

	(void)state;
	fakehost_param(host, "epochs=1");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(world_metric_at(host, 1, "pretrain_loss") > 1);
	assert_true(isnan(world_metric_at(host, 2, "pretrain_loss")));
	assert_true(fakehost_metric(host, "num_tokens") == 8 + 9 + 8 + 8 + 10);
	assert_true(isfinite(fakehost_summary(host, "valid_loss")));
	fakehost_free(host);
}

static void test_sft__mix_needs_text(void **state)
{
	struct fakehost *host = make_full();

	(void)state;
	fakehost_unbind(host, "pretrain");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->hint, "input.pretrain"));
	fakehost_free(host);
}

static void test_sft__drops_long_prompts_and_says_so(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_unbind(host, "demos");
	fakehost_rows(host, "demos", "dataset/demo", "demos.jsonl",
		DEMO("a prompt of more than ten tokens", "x") DEMO("hi", "a long long answer"));
	fakehost_param(host, "max_prompt=10");
	fakehost_param(host, "max_response=5");
	fakehost_param(host, "epochs=1");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_non_null(strstr(fakehost_log(host), "1 of 2 rows dropped"));
	assert_non_null(strstr(fakehost_log(host), "1 completions cut to 5 tokens"));
	assert_true(fakehost_metric(host, "num_tokens") == 2 + 5 - 1);
	fakehost_param(host, "max_prompt=1");
	fakehost_forget(host);
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->message, "no row"));
	fakehost_free(host);
}

/* METHOD 1.9: the paper's 4.9 petaflop/s-days for the SFT of 175B. */
static void test_sft__estimates_the_papers_cost(void **state)
{
	struct fakehost *host = fakehost_new("sft");
	const cairn_estimate_input sizes[] = {
		{.port = "base", .meta = "{\"n_params\":174600000000}"},
		{.port = "demos", .meta = "{\"rows\":11295}"},
		{.port = "demos", .meta = "{\"rows\":1430}"},
	};
	const sft_params params = {.epochs = 16, .max_prompt = 1000, .max_response = 1000};
	cairn_estimate estimate;

	(void)state;
	assert_int_equal(
		fakehost_plugin(host)->estimate(&params, sizes, CAIRN_COUNT(sizes), &estimate), 0);
	assert_true(fabs(estimate.flop / 8.64e19 - 4.94) < 0.005);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sft__memorises_one_batch),
		cmocka_unit_test(test_sft__steps_are_epochs_times_batches),
		cmocka_unit_test(test_sft__rate_falls_to_a_tenth),
		cmocka_unit_test(test_sft__resumes_exactly),
		cmocka_unit_test(test_sft__micro_batches_change_rounding_only),
		cmocka_unit_test(test_sft__loss_is_on_the_completion),
		cmocka_unit_test(test_sft__mixes_text_in),
		cmocka_unit_test(test_sft__mix_needs_text),
		cmocka_unit_test(test_sft__drops_long_prompts_and_says_so),
		cmocka_unit_test(test_sft__estimates_the_papers_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
