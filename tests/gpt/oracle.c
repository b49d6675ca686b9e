/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle.c - a tiny GPT-2 whose logits, loss and gradients PyTorch computed in double.
 *
 * Data: gpt2-oracle/, see oracle_file.h for where; skipped where it is missing. The weights
 * are float32, so what differs is our float32 arithmetic only.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/oracle_file.h"
#include "gpt/rlhf.h"
#include "gpt/support.h"
#include "test.h"

static const gpt_config oracle_config = {
	.n_layer = 2,
	.n_head = 2,
	.n_embd = 16,
	.n_ctx = 12,
	.n_vocab = 31,
	.n_inner = 64,
};

typedef struct oracle {
	oracle_file *model, *results;
} oracle;

static oracle_file *open_or_skip(const char *name)
{
	char path[1024];
	oracle_file *file;

	data_path(path, sizeof(path), name);
	file = oracle_open(path);
	if (!file) {
		print_message("no %s: skipped\n", path);
		skip();
	}
	return file;
}

static void put(gpt_model *model, const gpt_tensor *tensor, const double *from)
{
	cairn_real *data = cairn_alloc(tensor->size, sizeof(*data));

	assert_non_null(data);
	for (size_t i = 0; i < tensor->size; i++)
		data[i] = (cairn_real)from[i];
	model->k->write(model->k, gpt_params_change(model) + tensor->offset, data,
		tensor->size * sizeof(*data));
	free(data);
}

/* The oracle's weights; its scalar head has no bias. */
static gpt_model *load(const cairn_kernels *k, const oracle *from, enum gpt_head head)
{
	gpt_model *model = random_model(k, &oracle_config, head, GPT_TRAINABLE, 1);

	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		size_t n = 1;
		double *data;

		if (strcmp(tensor->name, "score.bias") == 0)
			data = cairn_alloc(1, sizeof(*data));
		else if (strcmp(tensor->name, "score.weight") == 0)
			data = oracle_get(from->results, "head", &n);
		else
			data = oracle_get(from->model, tensor->name, &n);
		assert_int_equal(n, tensor->size);
		put(model, tensor, data);
		free(data);
	}
	gpt_zero_grads(model);
	return model;
}

static double norm_of(const double *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += x[i] * x[i];
	return sqrt(sum);
}

/* Relative error of one tensor's gradient. A gradient that is zero by symmetry (all scores of a
 * ranking shifted alike: ln_f.bias) has rounding only, here and there; it must be small against
 * gradients of order 1, which the others are. */
static double gradient_error(const cairn_real *ours, const double *want, size_t n)
{
	double sum = 0;

	if (norm_of(want, n) > 1e-12)
		return relative_distance(ours, want, n);
	for (size_t i = 0; i < n; i++)
		sum += (double)ours[i] * (double)ours[i];
	return sqrt(sum);
}

static void check_gradients(gpt_model *model, const oracle_file *results)
{
	cairn_real *flat = read_grads(model);

	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		char name[100];
		double *want, error;
		size_t n;

		if (strcmp(tensor->name, "score.bias") == 0)
			continue;
		(void)snprintf(name, sizeof(name), "grad.%s",
			strcmp(tensor->name, "score.weight") == 0 ? "head" : tensor->name);
		want = oracle_get(results, name, &n);
		assert_int_equal(n, tensor->size);
		error = gradient_error(flat + tensor->offset, want, n);
		if (!(error < 1e-5))
			fail_msg("%s: relative error %g", name, error);
		free(want);
	}
	free(flat);
}

static void to_i32(int32_t *out, const oracle_file *file, const char *name, size_t wanted)
{
	size_t n;
	double *data = oracle_get(file, name, &n);

	assert_int_equal(n, wanted);
	for (size_t i = 0; i < n; i++)
		out[i] = (int32_t)data[i];
	free(data);
}

/* Log-softmax over the vocabulary, read column by column through the public function. */
static void check_logits(gpt_model *model, const oracle_file *results)
{
	enum {
		ROWS = 36,
		V = 31
	};
	int32_t target[ROWS];
	cairn_real logprob[ROWS];
	double *logits, worst = 0;
	cairn_error err = {0};
	size_t n;

	logits = oracle_get(results, "logits", &n);
	assert_int_equal(n, ROWS * V);
	for (int v = 0; v < V; v++) {
		for (int r = 0; r < ROWS; r++)
			target[r] = v;
		assert_int_equal(gpt_logprobs(model, target, 1, logprob, NULL, &err), 0);
		for (int r = 0; r < ROWS; r++) {
			double sum = 0, difference;

			for (int u = 0; u < V; u++)
				sum += exp(logits[r * V + u]);
			difference = fabs((double)logprob[r] - (logits[r * V + v] - log(sum)));
			worst = difference > worst ? difference : worst;
		}
	}
	free(logits);
	assert_true(worst < 1e-5);
}

static void language_model(const cairn_kernels *k, void *self)
{
	enum {
		B = 3,
		T = 12
	};
	const oracle *from = self;
	gpt_model *model = load(k, from, GPT_HEAD_LM);
	int32_t tokens[B * T], mask[B * (T - 1)], target[B * T];
	cairn_real weight[B * T] = {0}, logprob[B * T];
	gpt_batch batch = {.B = B, .T = T, .tokens = tokens};
	double *want, loss = 0, counted = 0;
	cairn_error err = {0};
	size_t n;

	to_i32(tokens, from->results, "tokens", B * T);
	to_i32(mask, from->results, "loss_mask", B * (T - 1));
	for (int i = 0; i < B * (T - 1); i++)
		counted += mask[i];
	for (int r = 0; r < B * T; r++) {
		int b = r / T, t = r % T;
		bool counts = t < T - 1 && mask[b * (T - 1) + t];

		target[r] = counts ? tokens[r + 1] : -1;
		weight[r] = (cairn_real)(-1 / counted);
	}
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	check_logits(model, from->results);
	assert_int_equal(gpt_logprobs_backward(model, target, 1, weight, logprob, NULL, &err), 0);
	for (int r = 0; r < B * T; r++)
		loss -= (double)logprob[r] / counted;
	want = oracle_get(from->results, "loss", &n);
	assert_true(fabs(loss / want[0] - 1) < 1e-6);
	free(want);
	check_gradients(model, from->results);
	gpt_model_free(model);
}

static void test_gpt_oracle__language_model(void **state)
{
	oracle from = {.model = open_or_skip("gpt2-oracle/model.safetensors")};

	(void)state;
	from.results = open_or_skip("gpt2-oracle/sft.safetensors");
	on_each_backend(language_model, &from);
	oracle_close(from.model);
	oracle_close(from.results);
}

/* Two prompts of four completions, best first; the loss is the mean over prompts. */
static void reward_model(const cairn_kernels *k, void *self)
{
	enum {
		B = 8,
		T = 12,
		K = 4
	};
	static const int32_t rank[K] = {0, 1, 2, 3};
	const oracle *from = self;
	gpt_model *model = load(k, from, GPT_HEAD_SCALAR);
	int32_t tokens[B * T], lengths[B];
	cairn_real value[B * T], dvalue[B * T] = {0};
	gpt_batch batch = {.B = B, .T = T, .tokens = tokens, .lengths = lengths};
	double score[B], dscore[B], *want, *rewards, loss = 0;
	cairn_error err = {0};
	size_t n;

	to_i32(tokens, from->results, "tokens", B * T);
	to_i32(lengths, from->results, "lengths", B);
	rewards = oracle_get(from->results, "rewards", &n);
	want = oracle_get(from->results, "loss", &n);
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	assert_int_equal(gpt_values(model, value, &err), 0);
	for (int b = 0; b < B; b++) {
		score[b] = (double)value[b * T + lengths[b] - 1];
		assert_true(fabs(score[b] - rewards[b]) < 1e-6);
	}
	for (int p = 0; p < B; p += K)
		loss += rlhf_ranking_loss(score + p, rank, K, true, dscore + p, NULL, NULL) / 2;
	assert_true(fabs(loss / want[0] - 1) < 1e-6);
	for (int b = 0; b < B; b++)
		dvalue[b * T + lengths[b] - 1] = (cairn_real)(dscore[b] / 2);
	assert_int_equal(gpt_values_backward(model, dvalue, &err), 0);
	check_gradients(model, from->results);
	free(rewards);
	free(want);
	gpt_model_free(model);
}

static void test_gpt_oracle__reward_model(void **state)
{
	oracle from = {.model = open_or_skip("gpt2-oracle/model.safetensors")};

	(void)state;
	from.results = open_or_skip("gpt2-oracle/rm.safetensors");
	on_each_backend(reward_model, &from);
	oracle_close(from.model);
	oracle_close(from.results);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_oracle__language_model),
		cmocka_unit_test(test_gpt_oracle__reward_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
