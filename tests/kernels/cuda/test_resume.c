/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_resume.c - stages on the CUDA backend, killed and resumed on a device that knows nothing of
 * the first: the artifacts, checkpoints and metrics of a run that nothing disturbed, bit for bit.
 *
 * On a GPU a pass is captured once it has been met a few times, so what one run did call by call
 * the other one replays.
 */
#include "small_stages.h"
#include "table.h"

/* Starts or goes on, on a device of its own. */
static int run_anew(struct fakehost *host, const char *mode)
{
	cairn_error err = {0};
	int code;

	cuda_table_close(mode);
	fakehost_kernels(host, cuda_table(mode));
	code = fakehost_run(host);
	if (cuda_table(mode)->status(cuda_table(mode), &err))
		fail_msg("%s: %s", err.message, err.detail);
	return code;
}

/* Stopped at step `killed`; of its checkpoints those up to step `left` are there. */
static void check_resumed(const stage *at, const char *mode, uint64_t killed, uint64_t left)
{
	struct fakehost *straight = at->make(), *resumed = at->make();
	uint64_t step = 0;

	fakehost_checkpoint_every(straight, 1);
	fakehost_checkpoint_every(resumed, 1);
	if (run_anew(straight, mode) != CAIRN_DONE)
		fail_msg("%s: %s", at->name, fakehost_error(straight)->message);
	fakehost_stop_at(resumed, killed);
	if (run_anew(resumed, mode) != CAIRN_STOPPED)
		fail_msg("%s was not stopped: %s", at->name, fakehost_metrics(resumed));
	fakehost_rewind(resumed, left);
	assert_non_null(fakehost_checkpoint(resumed, &step));
	assert_int_equal(step, left);
	assert_int_equal(run_anew(resumed, mode), CAIRN_DONE);
	assert_same_results(straight, resumed);
	assert_same_checkpoints(straight, resumed);
	fakehost_free(resumed);
	fakehost_free(straight);
}

static void test_cuda_resume__gives_what_a_straight_run_gives(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(stages); i++)
		check_resumed(&stages[i], "bf16", 2, 1);
}

static void test_cuda_resume__in_fp32(void **state)
{
	(void)state;
	check_resumed(&stages[0], "fp32", 4, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_resume__gives_what_a_straight_run_gives),
		cmocka_unit_test(test_cuda_resume__in_fp32),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
