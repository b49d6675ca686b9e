/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - the memory that a plan promises against the memory that the stages then took.
 *
 * All six stages that compute, in small: a few megabytes of weights, so that the process itself
 * and the scratch of the kernels count as much as the tensors do. Each is planned with what it
 * reads at hand, then the largest size of its process must be within a tenth of that. Those that
 * train write a checkpoint after every step, so that its copy counts.
 */
#include <math.h>
#include <string.h>

#include "drive.h"

#define DATA CAIRN_SOURCE_DIR "/workflows/data/"

/* "%s": the seed of one stage, by which it must run again while those before it need not. */
static const char workflow[] =
	"[workflow]\nname = w\n"
	"[stage text]\nplugin = text\ninput.text = file:" DATA "text.txt\n"
	"n_vocab = 1024\ndocument = paragraph\nmax_bytes = 100K\n"
	"[stage demos]\nplugin = demo\ninput.demos = file:" DATA "demos.jsonl\n"
	"input.prompts = file:" DATA "prompts.jsonl\n"
	"[stage pretrain]\nplugin = pretrain\ninput.tokens = text:tokens\n"
	"input.tokenizer = text:tokenizer\nn_layer = 4\nn_head = 4\nn_embd = 256\nn_ctx = 128\n"
	"steps = 1\nbatch = 8\nvalid_tokens = 1024\ncheckpoint_every = 1\n%s"
	"[stage sft]\nplugin = sft\ninput.base = pretrain:model\ninput.demos = demos:valid\n"
	"epochs = 1\ncheckpoint_every = 1\n%s"
	"[stage sample]\nplugin = sample\ninput.policy = pretrain:model\n"
	"input.prompts = demos:prompts_valid\nmax_prompts = 16\nK = 4\nmax_new = 16\n%s"
	"[stage rankings]\nplugin = ranking\ninput.completions = sample:completions\n"
	"members = ann, bob\nutility = words:-1\nvalid_fraction = 0.25\n"
	"[stage rm]\nplugin = rm\ninput.init = pretrain:model\ninput.rankings = rankings:train\n"
	"input.demos = demos:valid\nbatch = 8\ncheckpoint_every = 1\n%s"
	"[stage ppo]\nplugin = ppo\ninput.policy = pretrain:model\ninput.reward = rm:model\n"
	"input.prompts = demos:prompts_valid\ninput.pretrain = text:tokens\ngamma_ptx = 1\n"
	"ptx_ratio = 1\nepisodes = 32\nbatch = 16\nminibatch = 16\nmax_new = 16\n"
	"checkpoint_every = 1\n%s"
	"[stage eval]\nplugin = eval\ninput.model = ppo:model\ninput.baseline = pretrain:model\n"
	"input.prompts = demos:prompts_valid\ninput.reward = rm:model\n"
	"input.pretrain = text:tokens\nmax_prompts = 32\nK = 4\nmax_new = 16\nvalid_tokens = 1024\n%s";

static const char *const stages[] = {"pretrain", "sft", "sample", "rm", "ppo", "eval"};

/* The workflow with another seed for stage i; none for SIZE_MAX. */
static void write_workflow(size_t i)
{
	const char *seed[CAIRN_COUNT(stages)];
	char text[sizeof(workflow) + 128];

	for (size_t s = 0; s < CAIRN_COUNT(stages); s++)
		seed[s] = s == i ? "seed = 2\n" : "";
	snprintf(
		text, sizeof(text), workflow, seed[0], seed[1], seed[2], seed[3], seed[4], seed[5]);
	drive_write("w.ini", text);
}

static double number_of(const json_t *report, const char *instance, const char *name)
{
	const json_t *list = json_object_get(report, "stages"), *stage;

	for (size_t i = 0; i < json_array_size(list); i++) {
		stage = json_array_get(list, i);
		if (strcmp(cairn_json_string(stage, "instance", ""), instance) == 0)
			return cairn_json_number(stage, name, 0);
	}
	fail_msg("no stage '%s'", instance);
	return 0;
}

static void test_cli_memory__is_what_the_plan_said(void **state)
{
	json_t *status;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* whose shadows are no part of a plan */
#endif
	write_workflow(SIZE_MAX);
	cairn_is(0, "run -q --threads 2"); /* each has scratch of its own */
	status = cairn_json("status", "cairn.status/1");
	for (size_t i = 0; i < CAIRN_COUNT(stages); i++) {
		double peak = number_of(status, stages[i], "peak_bytes"), planned;
		json_t *plan;

		write_workflow(i);
		plan = cairn_json("plan", "cairn.plan/1");
		planned = number_of(plan, stages[i], "memory_bytes");
		print_message("%-8s planned %6.1f MiB, took %6.1f MiB: %.3f\n", stages[i],
			planned / 1048576, peak / 1048576, planned / peak);
		assert_true(number_of(status, stages[i], "kernel_peak_bytes") < peak);
		if (!(fabs(planned - peak) <= 0.1 * peak))
			fail_msg("'%s' was planned with %g bytes and took %g", stages[i], planned,
				peak);
		json_decref(plan);
	}
	json_decref(status);
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_memory__is_what_the_plan_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
