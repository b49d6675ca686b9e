/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shortage.c - stages on an emulated device that has too little memory: they say what they
 * wanted and what to change, and nothing is lost.
 */
#include "../../plugins/ppo_world.h"
#include "host_device.h"
#include "table.h"

/* As little as there can be, with a checkpoint after each step. */
static struct fakehost *tiny_pretrain(void)
{
	struct fakehost *host = world_pretrain();

	fakehost_param(host, "valid_tokens=32");
	fakehost_param(host, "steps=3");
	fakehost_param(host, "n_layer=1");
	fakehost_param(host, "batch=1");
	fakehost_param(host, "context=8");
	fakehost_checkpoint_every(host, 1);
	return host;
}

/* Runs on a device that knows nothing of others. */
static int run_anew(struct fakehost *host)
{
	int code;

	cuda_table_close("bf16");
	fakehost_kernels(host, cuda_table("bf16"));
	code = fakehost_run(host);
	assert_int_equal(host_device_limited()->n_pinned, 0);
	return code;
}

static void assert_says_what_to_do(const struct fakehost *host, int code)
{
	const cairn_error *err = fakehost_error(host);

	if (code != CAIRN_ENOMEM && code != CAIRN_EDEVICE)
		fail_msg("%d: %s", code, err->message);
	assert_non_null(strstr(err->message, "memory"));
	assert_non_null(strstr(err->detail, "bytes wanted"));
	if (code == CAIRN_ENOMEM) {
		assert_non_null(strstr(err->detail, "emulated"));
		assert_non_null(strstr(err->detail, "were taken at most"));
		assert_true(err->hint[0] != '\0');
	}
}

/* Without the n-th piece of memory, for every n, a stage says so or does without; then, with
 * memory, it goes on from where it was, and nothing shows of it. */
static void test_cuda_shortage__may_end_anywhere(void **state)
{
	host_device_limits *limits = host_device_limited();
	struct fakehost *straight = tiny_pretrain();
	int n_failed = 0, code;

	(void)state;
	assert_int_equal(run_anew(straight), CAIRN_DONE);
	for (int64_t n = 0;; n++) {
		struct fakehost *host = tiny_pretrain();
		bool was_reached;

		limits->refused = n;
		code = run_anew(host);
		was_reached = limits->refused < 0;
		limits->refused = -1;
		if (code != CAIRN_DONE) {
			n_failed++;
			assert_says_what_to_do(host, code);
			assert_int_equal(run_anew(host), CAIRN_DONE);
		}
		fake_assert_equal(
			fakehost_output(straight, "model"), fakehost_output(host, "model"));
		assert_string_equal(fakehost_metrics(straight), fakehost_metrics(host));
		fakehost_free(host);
		if (!was_reached)
			break;
	}
	assert_true(n_failed > 10);
	fakehost_free(straight);
}

static struct fakehost *tiny_ppo(void)
{
	struct fakehost *host = make();

	fakehost_param(host, "iterations=1");
	fakehost_param(host, "inner_epochs=1");
	fakehost_param(host, "batch=8");
	fakehost_param(host, "max_prompt=4");
	fakehost_param(host, "max_new=2");
	fakehost_param(host, "ema=0.9");
	return host;
}

/* Of four networks every fifteenth piece. */
static void test_cuda_shortage__may_end_anywhere_in_ppo(void **state)
{
	host_device_limits *limits = host_device_limited();
	bool was_reached = true;

	(void)state;
	for (int64_t n = 3; was_reached; n += 15) {
		struct fakehost *host = tiny_ppo();
		int code;

		limits->refused = n;
		code = run_anew(host);
		was_reached = limits->refused < 0;
		limits->refused = -1;
		if (code != CAIRN_DONE)
			assert_says_what_to_do(host, code);
		fakehost_free(host);
	}
}

/* Validation takes more than training does: what was trained until then stays. */
static void test_cuda_shortage__nothing_is_lost(void **state)
{
	host_device_limits *limits = host_device_limited();
	struct fakehost *straight = tiny_pretrain(), *host = tiny_pretrain();
	const size_t all = limits->device_bytes;
	uint64_t step = 0;
	size_t trained;

	(void)state;
	fakehost_param(straight, "valid_tokens=8");
	fakehost_param(straight, "eval_every=0");
	fakehost_stop_at(straight, 2);
	assert_int_equal(run_anew(straight), CAIRN_STOPPED);
	trained = cuda_table("bf16")->peak_bytes(cuda_table("bf16"));
	fakehost_param(straight, "valid_tokens=300");
	fakehost_param(host, "valid_tokens=300");
	fakehost_param(straight, "eval_every=3");
	fakehost_forget(straight);
	assert_int_equal(run_anew(straight), CAIRN_DONE);

	limits->device_bytes = trained;
	assert_says_what_to_do(host, run_anew(host));
	assert_non_null(fakehost_checkpoint(host, &step));
	assert_int_equal(step, 2);
	limits->device_bytes = all;
	assert_int_equal(run_anew(host), CAIRN_DONE);
	fake_assert_equal(fakehost_output(straight, "model"), fakehost_output(host, "model"));
	fakehost_free(host);
	fakehost_free(straight);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_shortage__may_end_anywhere),
		cmocka_unit_test(test_cuda_shortage__may_end_anywhere_in_ppo),
		cmocka_unit_test(test_cuda_shortage__nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
