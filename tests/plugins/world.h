/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - a world small enough for unit tests of the training stages: a tokenizer whose ids
 * are the bytes, a text, a language model of two layers that read a little of it.
 */
#ifndef CAIRN_TESTS_WORLD_H
#define CAIRN_TESTS_WORLD_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fakehost.h"

#define WORLD_VOCAB 257 /* the bytes and the end token, id 256 */
#define WORLD_CTX   "32"

/* The code point that stands for a byte in vocab.json: GPT-2's alphabet. */
static inline unsigned world_code_point(unsigned byte)
{
	unsigned others = 0;

	if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)
		return byte;
	for (unsigned b = 0; b < byte; b++)
		others += !((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
	return 256 + others;
}

/* A tokenizer artifact, or a model's tokenizer under another name, on an input port. */
static inline void world_tokenizer(struct fakehost *host, const char *port)
{
	struct fake_artifact *tokenizer = fakehost_input(host, port, "tokenizer", "world");
	static const char merges[] = "#version: 0.2\n";
	char json[8192];
	int n = 0;

	for (unsigned b = 0; b < 256; b++)
		n += snprintf(json + n, sizeof(json) - (size_t)n, "%s\"\\u%04x\":%u", b ? "," : "{",
			world_code_point(b), b);
	n += snprintf(json + n, sizeof(json) - (size_t)n, ",\"<|endoftext|>\":256}");
	fake_add(tokenizer, "vocab.json", CAIRN_U8, 0, NULL, json, (uint64_t)n);
	fake_add(tokenizer, "merges.txt", CAIRN_U8, 0, NULL, merges, sizeof(merges) - 1);
}

/* dataset/text: `text` over and over; 2000 tokens to train on, 300 held out. */
static inline void world_text(struct fakehost *host, const char *port, const char *text)
{
	struct fake_artifact *tokens = fakehost_input(host, port, "dataset/text", "world");
	size_t len = strlen(text);
	int32_t ids[2300];

	for (size_t i = 0; i < CAIRN_COUNT(ids); i++)
		ids[i] = (unsigned char)text[i % len];
	fake_add(tokens, "train", CAIRN_I32, 0, NULL, ids, 2000 * sizeof(ids[0]));
	fake_add(tokens, "valid", CAIRN_I32, 0, NULL, ids + 2000, 300 * sizeof(ids[0]));
}

#define WORLD_TEXT "the cat sat on the mat. a dog ran to the park! "

/* A pretrain stage, ready to run. Free with fakehost_free(). */
static inline struct fakehost *world_pretrain(void)
{
	struct fakehost *host = fakehost_new("pretrain");

	world_tokenizer(host, "tokenizer");
	world_text(host, "tokens", WORLD_TEXT);
	fakehost_param(host, "n_layer=2");
	fakehost_param(host, "n_head=2");
	fakehost_param(host, "n_embd=16");
	fakehost_param(host, "n_ctx=" WORLD_CTX);
	fakehost_param(host, "steps=6");
	fakehost_param(host, "batch=4");
	fakehost_param(host, "lr=1e-2");
	fakehost_param(host, "warmup=2");
	fakehost_param(host, "eval_every=3");
	return host;
}

/* Binds a pretrained model to a port. */
static inline void world_model(struct fakehost *host, const char *port)
{
	struct fakehost *pretrain = world_pretrain();

	assert_int_equal(fakehost_run(pretrain), CAIRN_DONE);
	fakehost_bind(host, port, fakehost_output(pretrain, "model"));
	fakehost_free(pretrain);
}

/* Makes a stage of a fresh kind; see world_resumes(). */
typedef struct fakehost *(*world_maker)(void);

/* The duty of every training stage: stopped after `step` and resumed, the outputs and the metric
 * log are those of a run without a stop. */
static inline void world_resumes_at(
	world_maker make, uint64_t step, const char *const *ports, size_t n_ports)
{
	struct fakehost *straight = make(), *stopped = make();

	assert_int_equal(fakehost_run(straight), CAIRN_DONE);
	fakehost_stop_at(stopped, step);
	assert_int_equal(fakehost_run(stopped), CAIRN_STOPPED);
	assert_int_equal(fakehost_run(stopped), CAIRN_DONE);
	for (size_t i = 0; i < n_ports; i++)
		fake_assert_equal(
			fakehost_output(straight, ports[i]), fakehost_output(stopped, ports[i]));
	assert_string_equal(fakehost_metrics(straight), fakehost_metrics(stopped));
	fakehost_free(stopped);
	fakehost_free(straight);
}

/* Same, for a kill: the last checkpoint is older than the last step, which is done twice. */
static inline void world_repeats_from(world_maker make, uint64_t checkpoint, uint64_t killed,
	const char *const *ports, size_t n_ports)
{
	struct fakehost *straight = make(), *shot = make();

	assert_int_equal(fakehost_run(straight), CAIRN_DONE);
	fakehost_checkpoint_every(shot, 1);
	fakehost_stop_at(shot, killed);
	assert_int_equal(fakehost_run(shot), CAIRN_STOPPED);
	fakehost_rewind(shot, checkpoint);
	assert_int_equal(fakehost_run(shot), CAIRN_DONE);
	for (size_t i = 0; i < n_ports; i++)
		fake_assert_equal(
			fakehost_output(straight, ports[i]), fakehost_output(shot, ports[i]));
	assert_string_equal(fakehost_metrics(straight), fakehost_metrics(shot));
	fakehost_free(shot);
	fakehost_free(straight);
}

/* micro_tokens bounds memory and nothing else: outputs and metrics are the same to the bit. */
static inline void world_any_split(world_maker make, const char *const *ports, size_t n_ports)
{
	static const char *const splits[] = {
		"micro_tokens=1", "micro_tokens=37", "micro_tokens=100", "micro_tokens=1000000"};
	struct fakehost *whole = make();

	assert_int_equal(fakehost_run(whole), CAIRN_DONE);
	for (size_t s = 0; s < CAIRN_COUNT(splits); s++) {
		struct fakehost *split = make();

		fakehost_param(split, splits[s]);
		assert_int_equal(fakehost_run(split), CAIRN_DONE);
		for (size_t i = 0; i < n_ports; i++)
			fake_assert_equal(
				fakehost_output(whole, ports[i]), fakehost_output(split, ports[i]));
		assert_string_equal(fakehost_metrics(whole), fakehost_metrics(split));
		fakehost_free(split);
	}
	fakehost_free(whole);
}

/* Value of a metric in the log's line of one step, or NAN: "3 train loss=1.25 lr=0.01". */
static inline double world_metric_at(const struct fakehost *host, uint64_t step, const char *name)
{
	const char *line = fakehost_metrics(host);
	char wanted[64];

	(void)snprintf(wanted, sizeof(wanted), " %s=", name);
	for (; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *end = strchr(line, '\n'), *found;

		if (strtoull(line, NULL, 10) != step)
			continue;
		found = strstr(line, wanted);
		if (!found || (end && found > end))
			return NAN;
		return strtod(found + strlen(wanted), NULL);
	}
	return NAN;
}

/* The first float of a named tensor. */
static inline float world_first_float(const struct fake_artifact *artifact, const char *name)
{
	const cairn_tensor *tensor = fake_entry(artifact, name);

	assert_non_null(tensor);
	return ((const float *)tensor->data)[0];
}

static inline bool world_equal(
	const struct fake_artifact *a, const struct fake_artifact *b, const char *name)
{
	const cairn_tensor *x = fake_entry(a, name), *y = fake_entry(b, name);

	assert_non_null(x);
	assert_non_null(y);
	return x->bytes == y->bytes && memcmp(x->data, y->data, x->bytes) == 0;
}

#endif
