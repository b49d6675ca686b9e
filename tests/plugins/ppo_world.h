/* SPDX-License-Identifier: Apache-2.0 */
/* ppo_world.h - a ppo stage in the world of world.h, with a reward that is known: for the tests of
 * the stage as the host runs it. */
#ifndef CAIRN_TESTS_PPO_WORLD_H
#define CAIRN_TESTS_PPO_WORLD_H

#include "world.h"

#define PROMPTS                                                                                    \
	"{\"prompt\":\"the \"}\n{\"prompt\":\"a dog\"}\n{\"prompt\":\"sat\"}\n{\"prompt\":\"\"}\n" \
	"{\"prompt\":\"ran to\"}\n"

/* A reward model that was trained on next to nothing: any function of the tokens. */
static inline struct fakehost *train_reward(uint64_t seed)
{
	struct fakehost *rm = fakehost_new("rm");

	world_model(rm, "init");
	fakehost_rows(rm, "rankings", "dataset/ranking", "rankings.jsonl",
		"{\"prompt\":\"the \",\"completions\":[\"cat!\",\"cat.\",\"cat\"],\"ranks\":[0,1,2],"
		"\"labeler\":\"ann\",\"group\":\"g\"}\n");
	fakehost_seed(rm, seed);
	assert_int_equal(fakehost_run(rm), CAIRN_DONE);
	return rm;
}

#define WIDTH 16 /* n_embd of the world's model */

/* score.weight such that a last token "!" scores 2, and others what its embedding happens to
 * have in common with theirs. */
static inline void taste(const cairn_tensor *wte, float weight[WIDTH])
{
	const float *row = (const float *)wte->data + '!' * WIDTH;
	double mean = 0, variance = 0;

	for (int c = 0; c < WIDTH; c++)
		mean += (double)row[c] / WIDTH;
	for (int c = 0; c < WIDTH; c++)
		variance += (row[c] - mean) * (row[c] - mean) / WIDTH;
	for (int c = 0; c < WIDTH; c++)
		weight[c] = (float)(2 * (row[c] - mean) / sqrt(variance + 1e-5) / WIDTH);
}

/* A reward model whose score is a known function of the last token: nothing but its embedding
 * reaches the head, because positions and what the blocks write are 0. */
static inline void add_reward(struct fakehost *host, const char *port)
{
	struct fakehost *rm = train_reward(1);
	const struct fake_artifact *from = fakehost_output(rm, "model");
	struct fake_artifact *to = fakehost_input(host, port, "model/reward", "taste");
	float weight[WIDTH];

	taste(fake_entry(from, "wte.weight"), weight);
	for (uint64_t i = 0; i < fake_artifact_entries(from); i++) {
		const cairn_tensor *tensor = fake_entry_at(from, i);
		float *data = malloc(tensor->bytes);

		assert_non_null(data);
		memcpy(data, tensor->data, tensor->bytes);
		if (strstr(tensor->name, "c_proj.") || strstr(tensor->name, "wpe.") ||
			strcmp(tensor->name, "ln_f.bias") == 0 ||
			strcmp(tensor->name, "score.bias") == 0)
			memset(data, 0, tensor->bytes);
		if (strcmp(tensor->name, "ln_f.weight") == 0)
			for (int c = 0; c < WIDTH; c++)
				data[c] = 1;
		if (strcmp(tensor->name, "score.weight") == 0)
			memcpy(data, weight, sizeof(weight));
		fake_add(to, tensor->name, tensor->dtype, tensor->n_dims, tensor->dims, data,
			tensor->bytes);
		free(data);
	}
	fake_meta(to, fake_artifact_meta(from));
	fakehost_free(rm);
}

static inline struct fakehost *make(void)
{
	struct fakehost *host = fakehost_new("ppo");

	world_model(host, "policy");
	add_reward(host, "reward");
	fakehost_rows(host, "prompts", "dataset/prompt", "prompts.jsonl", PROMPTS);
	fakehost_param(host, "iterations=3");
	fakehost_param(host, "batch=16");
	fakehost_param(host, "minibatch=8");
	fakehost_param(host, "max_prompt=8");
	fakehost_param(host, "max_new=6");
	fakehost_param(host, "gamma_ptx=0");
	fakehost_param(host, "lr=1e-3");
	fakehost_param(host, "value_lr=1e-3");
	fakehost_param(host, "warmup=2");
	return host;
}

#endif
