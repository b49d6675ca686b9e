/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_memory.c - the memory of a device that estimates promise against what stages take of one.
 *
 * The context of CUDA and products' workspace are no part of this: they are there before a stage
 * begins, and larger than these stages.
 */
#include "../../plugins/ppo_world.h"
#include "gpt/train_workspace.h"
#include "table.h"

/* Every sequence is as long as the limits allow, so that they say how long it is. */
#define DEMO "{\"prompt\":\"eight by\",\"completion\":\"tes are\"}\n"
#define RANKS                                                                             \
	"{\"prompt\":\"eight by\",\"completions\":[\"tes are\",\"bits of\",\"a word.\"]," \
	"\"ranks\":[0,1,2],\"labeler\":\"ann\",\"group\":\"g\"}\n"
#define PROMPT "{\"prompt\":\"eight by\"}\n"

static struct fakehost *limited(struct fakehost *host)
{
	fakehost_param(host, "max_prompt=8");
	return host;
}

static struct fakehost *plain_pretrain(void)
{
	struct fakehost *host = world_pretrain();

	fake_meta(fakehost_input_artifact(host, "tokenizer"), "{\"n_vocab\":257}");
	fakehost_param(host, "steps=2");
	fakehost_param(host, "n_embd=32");
	fakehost_param(host, "context=16");
	fakehost_param(host, "valid_tokens=32");
	fakehost_param(host, "eval_every=0");
	return host;
}

static struct fakehost *small_passes(void)
{
	struct fakehost *host = plain_pretrain();

	fakehost_param(host, "micro_tokens=64");
	return host;
}

static struct fakehost *long_and_narrow(void)
{
	struct fakehost *host = plain_pretrain();

	fakehost_param(host, "n_layer=3");
	fakehost_param(host, "n_embd=16");
	fakehost_param(host, "batch=6");
	return host;
}

static struct fakehost *recomputed(void)
{
	struct fakehost *host = long_and_narrow();

	fakehost_param(host, "recompute=yes");
	return host;
}

static struct fakehost *sft(void)
{
	struct fakehost *host = limited(fakehost_new("sft"));

	world_model(host, "base");
	fakehost_rows(host, "demos", "dataset/demo", "demos.jsonl", DEMO DEMO DEMO DEMO);
	fakehost_rows(host, "valid", "dataset/demo", "valid.jsonl", DEMO DEMO);
	fake_meta(fakehost_input_artifact(host, "demos"), "{\"rows\":4}");
	fake_meta(fakehost_input_artifact(host, "valid"), "{\"rows\":2}");
	fakehost_param(host, "max_response=8");
	fakehost_param(host, "epochs=1");
	fakehost_param(host, "batch=4");
	return host;
}

static struct fakehost *rm(void)
{
	struct fakehost *host = limited(fakehost_new("rm"));

	world_model(host, "init");
	fakehost_rows(host, "rankings", "dataset/ranking", "rankings.jsonl", RANKS RANKS);
	fake_meta(fakehost_input_artifact(host, "rankings"), "{\"rows\":2,\"completions\":6}");
	fakehost_param(host, "max_response=8");
	fakehost_param(host, "batch=2");
	return host;
}

static struct fakehost *ppo(void)
{
	struct fakehost *host = limited(make());

	fakehost_unbind(host, "prompts");
	fakehost_rows(host, "prompts", "dataset/prompt", "prompts.jsonl", PROMPT PROMPT);
	fakehost_param(host, "iterations=1");
	fakehost_param(host, "inner_epochs=1");
	fakehost_param(host, "batch=8");
	fakehost_param(host, "max_new=8");
	fakehost_param(host, "ema=0.9");
	return host;
}

static struct fakehost *ppo_ptx(void)
{
	struct fakehost *host = ppo();

	world_text(host, "pretrain", WORLD_TEXT);
	fakehost_param(host, "gamma_ptx=1");
	fakehost_param(host, "ptx_ratio=1");
	fakehost_param(host, "ptx_length=16");
	return host;
}

static struct fakehost *sample(void)
{
	struct fakehost *host = limited(fakehost_new("sample"));

	world_model(host, "policy");
	fakehost_rows(host, "prompts", "dataset/prompt", "prompts.jsonl", PROMPT PROMPT);
	fake_meta(fakehost_input_artifact(host, "prompts"), "{\"rows\":2}");
	fakehost_param(host, "K=4");
	fakehost_param(host, "max_new=8");
	fakehost_param(host, "batch=8");
	return host;
}

typedef struct stage {
	const char *name, *mode;
	world_maker make;
} stage;

static const stage stages[] = {
	{"pretrain", "bf16", plain_pretrain},
	{"pretrain", "fp32", plain_pretrain},
	{"pretrain, small passes", "bf16", small_passes},
	{"pretrain, long and narrow", "bf16", long_and_narrow},
	{"pretrain, computed again", "bf16", recomputed},
	{"sft", "bf16", sft},
	{"rm", "bf16", rm},
	{"ppo", "bf16", ppo},
	{"ppo with text", "bf16", ppo_ptx},
	{"sample", "bf16", sample},
};

static cairn_estimate estimate_for(struct fakehost *host, const cairn_kernels *k)
{
	cairn_estimate estimate = {.compute = {.in_host_memory = k->in_host_memory,
					   .act_bytes = k->act_bytes,
					   .batch_invariant = k->batch_invariant,
					   .wants_packed = k->wants_packed,
					   .enough_rows = k->enough_rows}};

	fakehost_estimate(host, &estimate);
	return estimate;
}

/* Without what is there before. */
static double planned_bytes(struct fakehost *host, const cairn_kernels *k)
{
	return (double)estimate_for(host, k).device_bytes - GPT_DEVICE_CONTEXT -
	       GPT_DEVICE_PRODUCTS;
}

static void test_cuda_memory__is_what_the_estimate_said(void **state)
{
	int n_off = 0;

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(stages); i++) {
		const stage *at = &stages[i];
		const char *mode = at->mode;
		struct fakehost *host = at->make();
		const cairn_kernels *k;
		double planned, peak, before;

		cuda_table_close(mode);
		k = cuda_table(mode);
		before = (double)k->peak_bytes(k);
		fakehost_kernels(host, k);
		planned = planned_bytes(host, k);
		if (fakehost_run(host))
			fail_msg("%s: %s", at->name, fakehost_error(host)->message);
		peak = (double)k->peak_bytes(k) - before;
		print_message("%-26s %s planned %8.0f, took %8.0f: %.3f\n", at->name, mode, planned,
			peak, planned / peak);
		n_off += !(fabs(planned - peak) <= 0.1 * peak);
		fakehost_free(host);
	}
	assert_int_equal(n_off, 0);
}

/* The policy reads what it has drawn once more where rows depend on their batch; what is computed
 * again is backward's. */
static void test_cuda_memory__flop_follow_from_the_backend(void **state)
{
	const cairn_estimate_compute cpu = {1, 4, 1, 0, 1024}, gpu = {0, 2, 0, 1, INT64_MAX};
	struct fakehost *host = ppo_ptx();
	cairn_estimate there = {.compute = gpu}, here = {.compute = cpu}, again = {.compute = gpu};

	(void)state;
	fakehost_estimate(host, &there);
	fakehost_estimate(host, &here);
	fakehost_param(host, "recompute=yes");
	fakehost_estimate(host, &again);
	assert_true(here.flop_of[CAIRN_ACCOUNT_ROLLOUT] > 0);
	assert_true(
		there.flop_of[CAIRN_ACCOUNT_ROLLOUT] == 2 * here.flop_of[CAIRN_ACCOUNT_ROLLOUT]);
	assert_true(there.flop_of[CAIRN_ACCOUNT_BACKWARD] == here.flop_of[CAIRN_ACCOUNT_BACKWARD]);
	assert_true(again.flop_of[CAIRN_ACCOUNT_BACKWARD] > there.flop_of[CAIRN_ACCOUNT_BACKWARD]);
	assert_true(again.flop_of[CAIRN_ACCOUNT_PTX] > there.flop_of[CAIRN_ACCOUNT_PTX]);
	assert_true(again.flop_of[CAIRN_ACCOUNT_VALUE] > there.flop_of[CAIRN_ACCOUNT_VALUE]);
	assert_true(again.device_bytes < there.device_bytes);
	fakehost_free(host);
}

/* What has memory of its own takes the tensors; the host keeps what is fetched for a checkpoint. */
static void test_cuda_memory__host_and_device_share(void **state)
{
	const cairn_estimate_compute gpu = {0, 2, 0, 1, INT64_MAX};
	struct fakehost *host = plain_pretrain();
	cairn_estimate there = {.compute = gpu}, here = {0};

	(void)state;
	fakehost_estimate(host, &there);
	fakehost_estimate(host, &here);
	assert_int_equal(here.device_bytes, 0);
	assert_true(there.device_bytes > there.checkpoint_bytes);
	assert_true(there.memory_bytes > there.checkpoint_bytes);
	assert_int_equal(there.checkpoint_bytes, here.checkpoint_bytes);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_memory__is_what_the_estimate_said),
		cmocka_unit_test(test_cuda_memory__flop_follow_from_the_backend),
		cmocka_unit_test(test_cuda_memory__host_and_device_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
