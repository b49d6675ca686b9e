/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_stages.c - whole stages on the emulated CUDA backend: checkpoints that are fetched beside
 * training, and what comes of a device that fails.
 *
 * host_device.c copies what is fetched as late as a device may, so a stage that changes its state
 * too early gives other checkpoints, or an error.
 */
#include "../../plugins/ppo_world.h"
#include "host_device.h"
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

#define RANKING                                                                               \
	"{\"prompt\":\"the \",\"completions\":[\"cat!\",\"cat.\",\"cat\"],\"ranks\":[0,1,2]," \
	"\"labeler\":\"ann\",\"group\":\"g\"}\n"
#define DEMOS                                              \
	"{\"prompt\":\"2+2=\",\"completion\":\"four\"}\n"  \
	"{\"prompt\":\"sky: \",\"completion\":\"blue\"}\n" \
	"{\"prompt\":\"hi\",\"completion\":\" there\"}\n"  \
	"{\"prompt\":\"\",\"completion\":\"nothing\"}\n"

/* As little as there can be: a thread of the device is a fiber of the host. */
static struct fakehost *make_pretrain(void)
{
	struct fakehost *host = world_pretrain();

	fakehost_param(host, "n_layer=1");
	fakehost_param(host, "steps=5");
	fakehost_param(host, "batch=1");
	fakehost_param(host, "context=8");
	fakehost_param(host, "valid_tokens=8");
	return host;
}

static struct fakehost *make_sft(void)
{
	struct fakehost *host = fakehost_new("sft");

	world_model(host, "base");
	fakehost_rows(host, "demos", "dataset/demo", "demos.jsonl", DEMOS);
	fakehost_rows(host, "valid", "dataset/demo", "valid.jsonl", DEMOS);
	fakehost_param(host, "epochs=2");
	fakehost_param(host, "batch=2");
	fakehost_param(host, "lr=1e-2");
	/* The best so far is in the checkpoint, and changes in steps without an update. */
	add_reward(host, "reward");
	fakehost_param(host, "select_max_new=3");
	fakehost_param(host, "select_batch=2");
	fakehost_param(host, "select=reward");
	return host;
}

static struct fakehost *make_rm(void)
{
	struct fakehost *host = fakehost_new("rm");

	world_model(host, "init");
	fakehost_rows(host, "rankings", "dataset/ranking", "rankings.jsonl",
		RANKING RANKING RANKING RANKING);
	fakehost_param(host, "batch=1");
	return host;
}

/* Three networks are saved, one of them a moving average, and the rollout. */
static struct fakehost *make_ppo(void)
{
	struct fakehost *host = make();

	fakehost_param(host, "batch=8");
	fakehost_param(host, "inner_epochs=1");
	fakehost_param(host, "max_prompt=4");
	fakehost_param(host, "max_new=2");
	fakehost_param(host, "ema=0.9");
	return host;
}

typedef struct stage {
	const char *name;
	world_maker make;
} stage;

static const stage stages[] = {
	{"pretrain", make_pretrain}, {"sft", make_sft}, {"rm", make_rm}, {"ppo", make_ppo}};

/* A stage on the emulated device. Its models come from the CPU's stages. */
static struct fakehost *on_device(world_maker make_stage)
{
	struct fakehost *host = make_stage();

	fakehost_kernels(host, cuda_table("bf16"));
	return host;
}

static void assert_same_results(const struct fakehost *a, const struct fakehost *b)
{
	const cairn_stage_plugin *plugin = fakehost_plugin(a);

	for (uint64_t i = 0; i < plugin->n_outputs; i++) {
		const char *port = plugin->outputs[i].name;

		if (fakehost_output(a, port))
			fake_assert_equal(fakehost_output(a, port), fakehost_output(b, port));
	}
	assert_string_equal(fakehost_metrics(a), fakehost_metrics(b));
}

/* All of them, the newest first; forgets them. */
static void assert_same_checkpoints(struct fakehost *a, struct fakehost *b)
{
	uint64_t step = 0, other = 0;
	size_t n = 0;

	for (;; n++) {
		const struct fake_artifact *x = fakehost_checkpoint(a, &step);
		const struct fake_artifact *y = fakehost_checkpoint(b, &other);

		assert_int_equal(x != NULL, y != NULL);
		if (!x)
			break;
		assert_int_equal(step, other);
		fake_assert_equal(x, y);
		fakehost_rewind(a, step - 1);
		fakehost_rewind(b, step - 1);
	}
	assert_true(n > 1);
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
