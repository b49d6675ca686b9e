/* SPDX-License-Identifier: Apache-2.0 */
/* sample.c - unit tests of the sample stage. */
#include "world.h"

static const char prompts[] = "{\"prompt\":\"the \",\"user\":\"ann\",\"answer\":\"cat\"}\n"
			      "{\"prompt\":\"a dog\"}\n"
			      "{\"prompt\":\"a prompt that is too long for it\"}\n"
			      "{\"prompt\":\"\"}\n";

static const char *const outputs[] = {"completions"};

static struct fakehost *make(void)
{
	struct fakehost *host = fakehost_new("sample");

	world_model(host, "policy");
	fakehost_rows(host, "prompts", "dataset/prompt", "prompts.jsonl", prompts);
	fakehost_param(host, "max_prompt=8");
	fakehost_param(host, "max_new=12");
	fakehost_param(host, "batch=5");
	return host;
}

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (text = strstr(text, what); text; text = strstr(text + 1, what))
		n++;
	return n;
}

static void test_sample__draws_k_of_each_prompt(void **state)
{
	struct fakehost *host = make();
	const char *rows;

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	rows = fake_text(fakehost_output(host, "completions"), "rows.jsonl");
	assert_int_equal(count(rows, "\n"), 3);
	assert_non_null(strstr(rows, "\"user\":\"ann\""));
	assert_non_null(strstr(rows, "\"answer\":\"cat\""));
	assert_int_equal(count(rows, "true") + count(rows, "false"), 12);
	assert_true(fakehost_summary(host, "completions") == 12);
	assert_int_equal(fakehost_steps(host), 3);
	assert_non_null(strstr(fakehost_log(host), "1 of 4 rows dropped"));
	fakehost_free(host);
}

static void test_sample__batch_changes_nothing(void **state)
{
	struct fakehost *one = make(), *all = make();

	(void)state;
	fakehost_param(one, "batch=1");
	fakehost_param(all, "batch=64");
	assert_int_equal(fakehost_run(one), CAIRN_DONE);
	assert_int_equal(fakehost_run(all), CAIRN_DONE);
	fake_assert_equal(fakehost_output(one, "completions"), fakehost_output(all, "completions"));
	/* Nor does another batch after a stop. */
	fakehost_forget(one);
	fakehost_stop_at(one, 4);
	assert_int_equal(fakehost_run(one), CAIRN_STOPPED);
	fakehost_param(one, "batch=7");
	assert_int_equal(fakehost_run(one), CAIRN_DONE);
	assert_int_equal(fakehost_steps(one), 2);
	fake_assert_equal(fakehost_output(one, "completions"), fakehost_output(all, "completions"));
	fakehost_free(all);
	fakehost_free(one);
}

static void test_sample__seed_changes_it(void **state)
{
	struct fakehost *one = make(), *two = make();

	(void)state;
	fakehost_seed(two, 2);
	assert_int_equal(fakehost_run(one), CAIRN_DONE);
	assert_int_equal(fakehost_run(two), CAIRN_DONE);
	assert_string_not_equal(fake_text(fakehost_output(one, "completions"), "rows.jsonl"),
		fake_text(fakehost_output(two, "completions"), "rows.jsonl"));
	fakehost_free(two);
	fakehost_free(one);
}

static void test_sample__resumes_exactly(void **state)
{
	(void)state;
	world_resumes_at(make, 5, outputs, 1);
	world_resumes_at(make, 10, outputs, 1);
	world_resumes_at(make, 12, outputs, 1);
	world_repeats_from(make, 5, 10, outputs, 1);
}

static void test_sample__takes_demonstrations_and_the_first_prompts(void **state)
{
	struct fakehost *host = make();
	const char *rows;

	(void)state;
	fakehost_unbind(host, "prompts");
	fakehost_rows(host, "prompts", "dataset/demo", "demos.jsonl",
		"{\"prompt\":\"one\",\"completion\":\"1\"}\n"
		"{\"prompt\":\"two\",\"completion\":\"2\"}\n");
	fakehost_param(host, "max_prompts=1");
	fakehost_param(host, "temperature=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	rows = fake_text(fakehost_output(host, "completions"), "rows.jsonl");
	assert_int_equal(count(rows, "\n"), 1);
	assert_non_null(strstr(rows, "\"prompt\":\"one\""));
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample__draws_k_of_each_prompt),
		cmocka_unit_test(test_sample__batch_changes_nothing),
		cmocka_unit_test(test_sample__seed_changes_it),
		cmocka_unit_test(test_sample__resumes_exactly),
		cmocka_unit_test(test_sample__takes_demonstrations_and_the_first_prompts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
