/* SPDX-License-Identifier: Apache-2.0 */
/* pretrain.c - unit tests of the pretrain stage. */
#include "world.h"

static const char *const outputs[] = {"model"};

static void test_pretrain__starts_at_ln_v_and_learns(void **state)
{
	struct fakehost *host = world_pretrain();

	(void)state;
	fakehost_param(host, "steps=60");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	/* METHOD 5.4: a network that knows nothing has the loss ln V. */
	assert_true(fabs(world_metric_at(host, 1, "loss") - log(WORLD_VOCAB)) < 0.1);
	assert_true(fakehost_metric(host, "loss") < 2.5);
	assert_true(fakehost_summary(host, "valid_loss") < 2.5);
	assert_true(isnan(world_metric_at(host, 1, "eval_entropy")));
	assert_true(fakehost_metric(host, "eval_entropy") < 2.5);
	assert_true(fakehost_metric(host, "eval_mean_token_accuracy") > 1.0 / WORLD_VOCAB);
	assert_true(fakehost_metric(host, "eval_mean_token_accuracy") < 1);
	assert_int_equal(fakehost_steps(host), 60);
	fakehost_free(host);
}

static void test_pretrain__resumes_exactly(void **state)
{
	(void)state;
	world_resumes_at(world_pretrain, 1, outputs, 1);
	world_resumes_at(world_pretrain, 4, outputs, 1);
	world_resumes_at(world_pretrain, 6, outputs, 1);
	world_repeats_from(world_pretrain, 2, 5, outputs, 1);
}

static struct fakehost *with_dropout(void)
{
	struct fakehost *host = world_pretrain();

	fakehost_param(host, "dropout=0.3");
	return host;
}

static void test_pretrain__resumes_exactly_with_dropout(void **state)
{
	(void)state;
	world_resumes_at(with_dropout, 3, outputs, 1);
}

static void test_pretrain__threads_change_nothing(void **state)
{
	struct fakehost *one = world_pretrain(), *two = world_pretrain();

	(void)state;
	fakehost_threads(two, 2);
	assert_int_equal(fakehost_run(one), CAIRN_DONE);
	assert_int_equal(fakehost_run(two), CAIRN_DONE);
	fake_assert_equal(fakehost_output(one, "model"), fakehost_output(two, "model"));
	fakehost_free(two);
	fakehost_free(one);
}

/* A mean of means would give another loss and another gradient: METHOD 2.8. */
static void test_pretrain__micro_batches_change_nothing(void **state)
{
	(void)state;
	world_any_split(world_pretrain, outputs, 1);
}

static void test_pretrain__tokens_become_whole_steps(void **state)
{
	struct fakehost *host = world_pretrain();

	(void)state;
	fakehost_param(host, "steps=0");
	fakehost_param(host, "tokens=129"); /* a step has 4 * 32 */
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(fakehost_steps(host), 2);
	fakehost_free(host);
}

static void test_pretrain__refuses_what_cannot_be(void **state)
{
	struct fakehost *host = world_pretrain();

	(void)state;
	fakehost_param(host, "steps=0");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_param(host, "steps=1");
	fakehost_param(host, "n_head=3");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_free(host);
}

static void test_pretrain__names_the_last_metrics_when_it_diverges(void **state)
{
	struct fakehost *host = world_pretrain();

	(void)state;
	fakehost_param(host, "lr=1");
	fakehost_param(host, "grad_clip=0");
	fakehost_param(host, "weight_decay=10");
	fakehost_param(host, "warmup=0");
	fakehost_param(host, "schedule=constant");
	fakehost_param(host, "steps=200");
	assert_int_equal(fakehost_run(host), CAIRN_EDIVERGED);
	assert_non_null(strstr(fakehost_error(host)->message, "not finite"));
	assert_non_null(strstr(fakehost_error(host)->detail, "loss="));
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pretrain__starts_at_ln_v_and_learns),
		cmocka_unit_test(test_pretrain__resumes_exactly),
		cmocka_unit_test(test_pretrain__resumes_exactly_with_dropout),
		cmocka_unit_test(test_pretrain__threads_change_nothing),
		cmocka_unit_test(test_pretrain__micro_batches_change_nothing),
		cmocka_unit_test(test_pretrain__tokens_become_whole_steps),
		cmocka_unit_test(test_pretrain__refuses_what_cannot_be),
		cmocka_unit_test(test_pretrain__names_the_last_metrics_when_it_diverges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
