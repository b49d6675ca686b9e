/* SPDX-License-Identifier: Apache-2.0 */
/*
 * small_stages.h - the stages that train, as small as can be, for tests of the CUDA backend; and
 * what must be equal of two runs.
 */
#ifndef CAIRN_TESTS_CUDA_SMALL_STAGES_H
#define CAIRN_TESTS_CUDA_SMALL_STAGES_H

#include "../../plugins/ppo_world.h"

#define RANKING                                                                               \
	"{\"prompt\":\"the \",\"completions\":[\"cat!\",\"cat.\",\"cat\"],\"ranks\":[0,1,2]," \
	"\"labeler\":\"ann\",\"group\":\"g\"}\n"
#define DEMOS                                              \
	"{\"prompt\":\"2+2=\",\"completion\":\"four\"}\n"  \
	"{\"prompt\":\"sky: \",\"completion\":\"blue\"}\n" \
	"{\"prompt\":\"hi\",\"completion\":\" there\"}\n"  \
	"{\"prompt\":\"\",\"completion\":\"nothing\"}\n"

/* As little as there can be: a thread of the device is a fiber of the host. */
static inline struct fakehost *make_pretrain(void)
{
	struct fakehost *host = world_pretrain();

	fakehost_param(host, "n_layer=1");
	fakehost_param(host, "steps=5");
	fakehost_param(host, "batch=1");
	fakehost_param(host, "context=8");
	fakehost_param(host, "valid_tokens=8");
	return host;
}

static inline struct fakehost *make_sft(void)
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

static inline struct fakehost *make_rm(void)
{
	struct fakehost *host = fakehost_new("rm");

	world_model(host, "init");
	fakehost_rows(host, "rankings", "dataset/ranking", "rankings.jsonl",
		RANKING RANKING RANKING RANKING);
	fakehost_param(host, "batch=1");
	return host;
}

/* Three networks are saved, one of them a moving average, and the rollout. */
static inline struct fakehost *make_ppo(void)
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

static inline void assert_same_results(const struct fakehost *a, const struct fakehost *b)
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
static inline void assert_same_checkpoints(struct fakehost *a, struct fakehost *b)
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

#endif
