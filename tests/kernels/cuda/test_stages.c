/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stages.c - whole stages on the emulated CUDA backend: checkpoints that are fetched beside
 * training, and what comes of a device that fails.
 *
 * host_device.c copies what is fetched as late as a device may, so a stage that changes its state
 * too early gives other checkpoints, or an error.
 */
#include "host_device.h"
#include "small_stages.h"
#include "table.h"

/* ---- the device ---------------------------------------------------------------------------- */

static void test_cuda_fetch__gives_what_was_there(void **state)
{
	const cairn_kernels *k = cuda_table("bf16");
	float before[64], after[64] = {0}, *dev = k->alloc(k, sizeof(before));
	float *pinned = k->pinned_alloc(k, sizeof(before));
	cairn_error err = {0};

	(void)state;
	for (int i = 0; i < 64; i++)
		before[i] = (float)i;
	k->write(k, dev, before, sizeof(before));
	k->fetch(k, pinned, dev, sizeof(before));
	k->fetch_fence(k);
	k->write(k, dev, after, sizeof(after));
	assert_memory_not_equal(pinned, before, sizeof(before)); /* nobody has waited yet */
	k->fetch_wait(k);
	assert_memory_equal(pinned, before, sizeof(before));
	assert_int_equal(k->status(k, &err), 0);
	k->pinned_free(k, pinned);
	k->pinned_free(k, NULL);
	k->free(k, dev);
	assert_int_equal(host_device_limited()->n_pinned, 0);
}

/* So no test passes by luck. */
static void test_cuda_fetch__a_missing_fence_shows(void **state)
{
	const cairn_kernels *k = cuda_table("bf16");
	float before[4] = {1, 2, 3, 4}, after[4] = {0}, *dev = k->alloc(k, sizeof(before));
	float *pinned = k->pinned_alloc(k, sizeof(before));
	cairn_error err = {0};

	(void)state;
	k->write(k, dev, before, sizeof(before));
	k->fetch(k, pinned, dev, sizeof(before));
	k->write(k, dev, after, sizeof(after));
	k->fetch_fence(k);
	k->fetch_wait(k);
	assert_memory_not_equal(pinned, before, sizeof(before));
	assert_int_equal(k->status(k, &err), CAIRN_EDEVICE);
	k->pinned_free(k, pinned);
	k->free(k, dev);
	cuda_table_close("bf16");
}

/* ---- stages ---------------------------------------------------------------------------------- */

/* A stage on the emulated device. Its models come from the CPU's stages. */
static struct fakehost *on_device(world_maker make_stage)
{
	struct fakehost *host = make_stage();

	fakehost_kernels(host, cuda_table("bf16"));
	return host;
}

static void test_cuda_stages__fetched_checkpoints_are_the_same(void **state)
{
	host_device_limits *limits = host_device_limited();

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(stages); i++) {
		struct fakehost *beside = on_device(stages[i].make);
		struct fakehost *at_once = on_device(stages[i].make);

		fakehost_checkpoint_every(beside, 1);
		fakehost_checkpoint_every(at_once, 1);
		limits->fetched = 0;
		if (fakehost_run(beside))
			fail_msg("%s: %s", stages[i].name, fakehost_error(beside)->message);
		assert_true(limits->fetched > 0);
		assert_int_equal(limits->n_pinned, 0);
		limits->no_pinned = true;
		limits->fetched = 0;
		assert_int_equal(fakehost_run(at_once), CAIRN_DONE);
		assert_int_equal(limits->fetched, 0);
		limits->no_pinned = false;
		assert_same_results(beside, at_once);
		assert_same_checkpoints(beside, at_once);
		fakehost_free(at_once);
		fakehost_free(beside);
	}
}

/* Pinned memory that is there for one copy and not for the next: nothing of it stays. */
static void test_cuda_stages__half_a_fetch_is_none(void **state)
{
	host_device_limits *limits = host_device_limited();
	struct fakehost *half = on_device(make_pretrain), *whole = on_device(make_pretrain);

	(void)state;
	fakehost_checkpoint_every(half, 1);
	fakehost_checkpoint_every(whole, 1);
	limits->pinned_left = 1;
	assert_int_equal(fakehost_run(half), CAIRN_DONE);
	assert_int_equal(limits->n_pinned, 0);
	limits->pinned_left = -1;
	assert_int_equal(fakehost_run(whole), CAIRN_DONE);
	assert_same_results(half, whole);
	assert_same_checkpoints(half, whole);
	fakehost_free(whole);
	fakehost_free(half);
}

/* The device dies between a fetch and its commit: what came of it is not believed, the checkpoint
 * before stands, and from it the stage gives what it would have given. */
static void test_cuda_stages__resume_from_the_checkpoint_before(void **state)
{
	host_device_limits *limits = host_device_limited();
	struct fakehost *straight = on_device(make_pretrain), *died = on_device(make_pretrain);
	uint64_t step = 0;

	(void)state;
	assert_int_equal(fakehost_run(straight), CAIRN_DONE);
	fakehost_checkpoint_every(died, 2);
	limits->dies_after = 1; /* when the checkpoint of step 4 is waited for */
	assert_int_equal(fakehost_run(died), CAIRN_EDEVICE);
	assert_non_null(fakehost_checkpoint(died, &step));
	assert_int_equal(step, 2);
	assert_int_equal(limits->n_pinned, 0);
	limits->dies_after = -1;
	cuda_table_close("bf16");
	fakehost_kernels(died, cuda_table("bf16"));
	assert_int_equal(fakehost_run(died), CAIRN_DONE);
	assert_same_results(straight, died);
	fakehost_free(died);
	fakehost_free(straight);
}

/* A stage that fails while its checkpoint waits has it all the same. */
static void test_cuda_stages__what_waits_is_kept_where_the_next_step_fails(void **state)
{
	struct fakehost *host = on_device(make_pretrain);
	uint64_t step = 0;

	(void)state;
	fakehost_param(host, "lr=1");
	fakehost_param(host, "grad_clip=0");
	fakehost_param(host, "weight_decay=10");
	fakehost_param(host, "warmup=0");
	fakehost_param(host, "schedule=constant");
	fakehost_param(host, "eval_every=0");
	fakehost_param(host, "steps=200");
	fakehost_checkpoint_every(host, 1);
	assert_int_equal(fakehost_run(host), CAIRN_EDIVERGED);
	assert_non_null(fakehost_checkpoint(host, &step));
	assert_int_equal(step, fakehost_steps(host));
	assert_int_equal(host_device_limited()->n_pinned, 0);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_fetch__gives_what_was_there),
		cmocka_unit_test(test_cuda_fetch__a_missing_fence_shows),
		cmocka_unit_test(test_cuda_stages__fetched_checkpoints_are_the_same),
		cmocka_unit_test(test_cuda_stages__half_a_fetch_is_none),
		cmocka_unit_test(test_cuda_stages__resume_from_the_checkpoint_before),
		cmocka_unit_test(test_cuda_stages__what_waits_is_kept_where_the_next_step_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
