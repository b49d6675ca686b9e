/* SPDX-License-Identifier: Apache-2.0 */
/* sft.c - unit tests of the sft stage. */
#include <jansson.h>

#include "sft/sft.h"
#include "world.h"

#define DEMO(prompt, completion) "{\"prompt\":\"" prompt "\",\"completion\":\"" completion "\"}\n"

static const char four[] =
	DEMO("2+2=", "four") DEMO("sky: ", "blue") DEMO("hi", " there") DEMO("", "nothing");

static const char *const outputs[] = {"model", "report"};

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
	assert_true(world_metric_at(host, 1, "entropy") > 3);
	assert_true(world_metric_at(host, 1, "mean_token_accuracy") < 0.2);
	/* At 5 % of doubt at most: h(.05) + .05 ln V. */
	assert_true(fakehost_metric(host, "entropy") < 0.5);
	assert_true(fakehost_metric(host, "mean_token_accuracy") == 1);
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
	world_resumes_at(make_full, 1, outputs, 2);
	world_resumes_at(make_full, 4, outputs, 2);
	world_resumes_at(make_full, 6, outputs, 2);
	world_repeats_from(make_full, 3, 5, outputs, 2);
}

static void test_sft__micro_batches_change_nothing(void **state)
{
	(void)state;
	world_any_split(make_full, outputs, 2);
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
	assert_true(fakehost_metric(host, "eval_entropy") > 0);
	assert_true(fakehost_metric(host, "eval_mean_token_accuracy") <= 1);
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

/* ---- selection --------------------------------------------------------------------------- */

#define RANKED(prompt, good, bad)                                         \
	"{\"prompt\":\"" prompt "\",\"completions\":[\"" good "\",\"" bad \
	"\"],\"ranks\":[0,1],\"labeler\":\"ann\",\"group\":\"g\"}\n"

/* Labelers who like exclamation marks. */
static const char loud[] = RANKED("a", "cat!!", "cat.") RANKED("b", "!!!", "dog")
	RANKED("c", "yes!", "no") RANKED("d", "a mat!!", "a hat...") RANKED("e", "!", ".")
		RANKED("f", "ran!!!!", "ran, ran") RANKED("g", "ok!!", "ok") RANKED("h", "o!", "o");

/* A reward model that likes them, too. */
static void add_reward(struct fakehost *host)
{
	struct fakehost *rm = fakehost_new("rm");

	world_model(rm, "init");
	fakehost_rows(rm, "rankings", "dataset/ranking", "loud.jsonl", loud);
	fakehost_param(rm, "epochs=30");
	fakehost_param(rm, "batch=4");
	fakehost_param(rm, "lr=3e-3");
	assert_int_equal(fakehost_run(rm), CAIRN_DONE);
	assert_true(fakehost_summary(rm, "loss") < 0.1);
	fakehost_bind(host, "reward", fakehost_output(rm, "model"));
	fakehost_free(rm);
}

/* Demonstrations shout, held-out ones do not: the longer it learns, the higher the reward and
 * the higher the loss on what is held out. */
static struct fakehost *make_select(void)
{
	struct fakehost *host = fakehost_new("sft");

	world_model(host, "base");
	add_reward(host);
	fakehost_rows(host, "demos", "dataset/demo", "demos.jsonl",
		DEMO("2+2=", "!!!!") DEMO("sky: ", "!!!!") DEMO("hi", "!!!!") DEMO("", "!!!!"));
	fakehost_rows(host, "valid", "dataset/demo", "valid.jsonl",
		DEMO("2+3=", "five") DEMO("sea", "..") DEMO("i", "ya") DEMO("o", "the"));
	fakehost_param(host, "epochs=8");
	fakehost_param(host, "batch=4");
	fakehost_param(host, "lr=4e-2");
	fakehost_param(host, "dropout=0");
	fakehost_param(host, "max_prompt=8");
	fakehost_param(host, "select_max_new=8");
	fakehost_param(host, "select_batch=3");
	fakehost_param(host, "select=reward");
	return host;
}

static double report_number(const struct fakehost *host, const char *name)
{
	json_t *json =
		json_loads(fake_text(fakehost_output(host, "report"), "report.json"), 0, NULL);
	double value;

	assert_non_null(json);
	assert_true(json_is_number(json_object_get(json, name)));
	value = json_number_value(json_object_get(json, name));
	json_decref(json);
	return value;
}

/* The saved weights are those that a run had after the epoch's last step, whose checkpoint is
 * at `unit`. */
static void check_kept(const struct fakehost *kept, uint64_t unit)
{
	struct fakehost *plain = make_select();
	const struct fake_artifact *model = fakehost_output(kept, "model"), *state;
	uint64_t step = 0;

	fakehost_param(plain, "select=last");
	fakehost_checkpoint_every(plain, 1);
	assert_int_equal(fakehost_run(plain), CAIRN_DONE);
	fakehost_rewind(plain, unit);
	state = fakehost_checkpoint(plain, &step);
	assert_int_equal(step, unit);
	for (uint64_t i = 0; i < fake_artifact_entries(model); i++) {
		const cairn_tensor *tensor = fake_entry_at(model, i), *then;
		char name[256];

		if (tensor->dtype != CAIRN_F32)
			continue;
		(void)snprintf(name, sizeof(name), "model/%s", tensor->name);
		then = fake_entry(state, name);
		assert_non_null(then);
		assert_int_equal(then->bytes, tensor->bytes);
		assert_memory_equal(then->data, tensor->data, tensor->bytes);
	}
	fakehost_free(plain);
}

/* METHOD 1.3: the paper's reason to select by reward. */
static void test_sft__loss_and_reward_keep_different_epochs(void **state)
{
	struct fakehost *by_reward = make_select(), *by_loss = make_select();
	double reward_epoch, loss_epoch;

	(void)state;
	fakehost_param(by_loss, "select=loss");
	assert_int_equal(fakehost_run(by_reward), CAIRN_DONE);
	assert_int_equal(fakehost_run(by_loss), CAIRN_DONE);
	reward_epoch = report_number(by_reward, "epoch");
	loss_epoch = report_number(by_loss, "epoch");
	assert_true(loss_epoch < reward_epoch);
	assert_true(fakehost_summary(by_reward, "epoch") == reward_epoch);
	check_kept(by_reward, (uint64_t)reward_epoch);
	check_kept(by_loss, (uint64_t)loss_epoch);
	/* The closing loss is that of the weights that are kept. */
	assert_true(fakehost_summary(by_loss, "valid_loss") == report_number(by_loss, "eval_loss"));
	assert_true(fakehost_summary(by_reward, "valid_loss") >
		    fakehost_summary(by_loss, "valid_loss"));
	assert_non_null(strstr(
		fake_text(fakehost_output(by_reward, "report"), "highlight.txt"), "<- kept"));
	fakehost_free(by_loss);
	fakehost_free(by_reward);
}

/* What selection says of the winner, the eval stage finds in the saved model. */
static void test_sft__eval_agrees_on_the_reward(void **state)
{
	struct fakehost *host = make_select(), *eval = fakehost_new("eval");

	(void)state;
	fakehost_param(host, "select_temperature=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	fakehost_bind(eval, "model", fakehost_output(host, "model"));
	add_reward(eval);
	fakehost_rows(eval, "prompts", "dataset/demo", "valid.jsonl",
		DEMO("2+3=", "five") DEMO("sea", "..") DEMO("i", "ya") DEMO("o", "the"));
	fakehost_param(eval, "temperature=0");
	fakehost_param(eval, "max_prompt=8");
	fakehost_param(eval, "max_new=8");
	assert_int_equal(fakehost_run(eval), CAIRN_DONE);
	assert_true(fabs(fakehost_summary(eval, "reward") - report_number(host, "eval_reward")) <
		    1e-12);
	fakehost_free(eval);
	fakehost_free(host);
}

/* Eight epochs of one optimizer step and four responses, drawn as three and one: step() counts
 * 1, 4, 5, then 6, 9, 10, and so on to 40. */
static void test_sft__resumes_inside_a_selection(void **state)
{
	(void)state;
	world_resumes_at(make_select, 1, outputs, 2);
	world_resumes_at(make_select, 4, outputs, 2);
	world_resumes_at(make_select, 5, outputs, 2);
	world_resumes_at(make_select, 24, outputs, 2);
	world_resumes_at(make_select, 40, outputs, 2);
	world_repeats_from(make_select, 9, 16, outputs, 2);
	world_any_split(make_select, outputs, 2);
}

static void test_sft__select_every_measures_the_last_epoch_too(void **state)
{
	struct fakehost *host = make_select();
	json_t *json, *curve;

	(void)state;
	fakehost_param(host, "select_every=3");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(fakehost_steps(host), 8 + 3 * 2);
	json = json_loads(fake_text(fakehost_output(host, "report"), "report.json"), 0, NULL);
	curve = json_object_get(json, "curve");
	assert_int_equal(json_array_size(curve), 3);
	for (size_t i = 0; i < 3; i++) {
		static const int epochs[] = {3, 6, 8};
		const json_t *point = json_array_get(curve, i);

		assert_int_equal(json_integer_value(json_object_get(point, "epoch")), epochs[i]);
		assert_true(json_is_real(json_object_get(point, "eval_reward")));
	}
	json_decref(json);
	fakehost_free(host);
}

static void test_sft__select_needs_its_inputs(void **state)
{
	struct fakehost *host = make_select();

	(void)state;
	fakehost_unbind(host, "reward");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->hint, "input.reward"));
	fakehost_unbind(host, "valid");
	fakehost_param(host, "select=loss");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->hint, "input.valid"));
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
		cmocka_unit_test(test_sft__micro_batches_change_nothing),
		cmocka_unit_test(test_sft__loss_is_on_the_completion),
		cmocka_unit_test(test_sft__mixes_text_in),
		cmocka_unit_test(test_sft__mix_needs_text),
		cmocka_unit_test(test_sft__drops_long_prompts_and_says_so),
		cmocka_unit_test(test_sft__loss_and_reward_keep_different_epochs),
		cmocka_unit_test(test_sft__eval_agrees_on_the_reward),
		cmocka_unit_test(test_sft__resumes_inside_a_selection),
		cmocka_unit_test(test_sft__select_every_measures_the_last_epoch_too),
		cmocka_unit_test(test_sft__select_needs_its_inputs),
		cmocka_unit_test(test_sft__estimates_the_papers_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
