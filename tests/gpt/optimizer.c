/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW, clipping, schedules and the moving average. */
#include <math.h>
#include <string.h>

#include "gpt/optimizer.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"
#include "test.h"

static const gpt_adam_options plain = {.beta1 = .9, .beta2 = .95, .eps = 1e-5};

/* A model with weights 0 and every gradient g, gaps between tensors excepted. */
static gpt_model *constant_model(const cairn_kernels *k, double w, double g)
{
	gpt_model *model = random_model(k, &tiny_config, GPT_HEAD_SCALAR, GPT_TRAINABLE, 1);
	cairn_real *flat = read_flat(model, model->params);

	for (int pass = 0; pass < 2; pass++) {
		memset(flat, 0, model->n_params * sizeof(*flat));
		for (size_t i = 0; i < model->n_tensors; i++)
			for (size_t j = 0; j < model->tensors[i].size; j++)
				flat[model->tensors[i].offset + j] = (cairn_real)(pass ? g : w);
		k->write(k, pass ? model->grads : gpt_params_change(model), flat,
			model->n_params * sizeof(*flat));
	}
	free(flat);
	return model;
}

static gpt_adam *new_adam(const gpt_model *model, const gpt_adam_options *options)
{
	gpt_adam *adam = NULL;
	cairn_error err = {0};

	if (gpt_adam_new(&adam, model, options, &err))
		fail_msg("%s", err.message);
	return adam;
}

static double first_of(const gpt_model *model, const char *name)
{
	cairn_real w;

	model->k->read(
		model->k, &w, model->params + gpt_model_tensor(model, name)->offset, sizeof(w));
	return (double)w;
}

/* METHOD 5.1: constant gradient 1e-6, eps 1e-5, lr 1e-3: three steps in both forms. */
static void adam_golden(const cairn_kernels *k, void *self)
{
	static const double torch[] = {-9.090909e-5, -9.090909e-5, -9.090909e-5};
	static const double tf[] = {-2.187162e-5, -3.027951e-5, -3.639138e-5};
	cairn_error err = {0};

	(void)self;
	for (int form = 0; form < 2; form++) {
		gpt_model *model = constant_model(k, 0, 1e-6);
		gpt_adam_options options = plain;
		gpt_adam *adam;
		double sum = 0;

		options.tf_form = form == 1;
		adam = new_adam(model, &options);
		for (int t = 0; t < 3; t++) {
			assert_int_equal(gpt_adam_step(adam, model, 1e-3, NULL, &err), 0);
			sum += form ? tf[t] : torch[t];
			assert_true(fabs(first_of(model, "wte.weight") / sum - 1) < 2e-6);
			assert_true(fabs(first_of(model, "score.bias") / sum - 1) < 2e-6);
		}
		assert_int_equal(adam->t, 3);
		gpt_adam_free(adam);
		gpt_model_free(model);
	}
}

static void test_gpt_optimizer__adam_golden(void **state)
{
	(void)state;
	on_each_backend(adam_golden, NULL);
}

/* Without gradient only decay moves a weight, and only a matrix's. */
static void weight_decay(const cairn_kernels *k, void *self)
{
	gpt_model *model = constant_model(k, 2, 0);
	gpt_adam_options options = plain;
	gpt_adam *adam;
	cairn_error err = {0};
	cairn_real *flat;

	(void)self;
	options.weight_decay = .1;
	adam = new_adam(model, &options);
	assert_int_equal(gpt_adam_step(adam, model, .5, NULL, &err), 0);
	flat = read_flat(model, model->params);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		double want = tensor->n_dims == 2 ? 2 - .5 * .1 * 2 : 2;

		assert_int_equal(tensor->decays, tensor->n_dims == 2);
		for (size_t j = 0; j < tensor->size; j++)
			assert_true(fabs((double)flat[tensor->offset + j] - want) < 1e-6);
	}
	free(flat);
	gpt_adam_free(adam);
	gpt_model_free(model);
}

static void test_gpt_optimizer__decay_touches_matrices_only(void **state)
{
	(void)state;
	on_each_backend(weight_decay, NULL);
}

/* Clipping: the step is the one of the gradient scaled to the norm; the norm told is the first. */
static void clipping(const cairn_kernels *k, void *self)
{
	double n = (double)gpt_param_count(&tiny_config, GPT_HEAD_SCALAR);
	gpt_adam_options options = {.beta1 = 0, .beta2 = 0, .eps = 1, .clip = .25};
	gpt_model *model = constant_model(k, 0, 2);
	gpt_adam *adam = new_adam(model, &options);
	double norm, g = .25 / sqrt(n);
	cairn_error err = {0};

	(void)self;
	assert_int_equal(gpt_adam_step(adam, model, 1, &norm, &err), 0);
	assert_true(fabs(norm / (2 * sqrt(n)) - 1) < 1e-12);
	/* betas 0: the step is -g/(|g| + eps). */
	assert_true(fabs(first_of(model, "wpe.weight") / (-g / (g + 1)) - 1) < 1e-5);
	gpt_adam_free(adam);
	gpt_model_free(model);
}

static void test_gpt_optimizer__clips_the_global_norm(void **state)
{
	(void)state;
	on_each_backend(clipping, NULL);
}

static void divergence(const cairn_kernels *k, void *self)
{
	cairn_real bad[] = {(cairn_real)NAN, (cairn_real)INFINITY};

	(void)self;
	for (int i = 0; i < 2; i++) {
		gpt_model *model = constant_model(k, 1, 1);
		gpt_adam *adam = new_adam(model, &plain);
		cairn_real *before = read_flat(model, model->params), *after, *moments;
		cairn_error err = {0};

		k->write(k, model->grads + 40, &bad[i], sizeof(bad[i]));
		assert_int_equal(gpt_adam_step(adam, model, 1, NULL, &err), CAIRN_EDIVERGED);
		assert_int_equal(err.code, CAIRN_EDIVERGED);
		after = read_flat(model, model->params);
		moments = read_flat(model, adam->m);
		assert_memory_equal(before, after, model->n_params * sizeof(*before));
		for (size_t j = 0; j < model->n_params; j++)
			assert_true(moments[j] == 0);
		assert_int_equal(adam->t, 0);
		free(before);
		free(after);
		free(moments);
		gpt_adam_free(adam);
		gpt_model_free(model);
	}
}

static void test_gpt_optimizer__refuses_a_gradient_that_is_not_finite(void **state)
{
	(void)state;
	on_each_backend(divergence, NULL);
}

static void test_gpt_optimizer__refuses_bad_options(void **state)
{
	gpt_adam_options bad[] = {plain, plain, plain, plain};
	cairn_kernels k;
	gpt_model *model;
	gpt_adam *adam = NULL;
	cairn_error err = {0};

	(void)state;
	bad[0].beta1 = 1;
	bad[1].eps = 0;
	bad[2].weight_decay = -1;
	bad[3].clip = NAN;
	assert_int_equal(cairn_kernels_portable_open(&k, 1, &err), 0);
	model = constant_model(&k, 0, 0);
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		cairn_error_clear(&err);
		assert_int_equal(gpt_adam_new(&adam, model, &bad[i], &err), CAIRN_EPARAM);
	}
	gpt_model_free(model);
	cairn_kernels_portable_close(&k);
}

#define assert_rate(rate, want) assert_true(fabs((rate) / (want)-1) < 1e-6)

static void test_gpt_optimizer__cosine_golden(void **state)
{
	static const double want[] = {9.65e-6, 8.378111e-6, 5.3075e-6, 2.236889e-6, 9.65e-7};

	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		assert_rate(gpt_learning_rate(GPT_SCHEDULE_COSINE, 9.65e-6, .1, 25 * i, 100, 0, 0),
			want[i]);
	assert_rate(gpt_learning_rate(GPT_SCHEDULE_COSINE, 9.65e-6, .1, 1000, 100, 0, 0), 9.65e-7);
}

/* PAPER 2203.02155 C.4: constant, warmed up over 10 iterations from a tenth of the peak. */
static void test_gpt_optimizer__warmup_golden(void **state)
{
	(void)state;
	for (uint64_t i = 0; i <= 500; i++) {
		double want = i < 10 ? .1 + .09 * (double)i : 1;

		assert_rate(gpt_learning_rate(GPT_SCHEDULE_CONSTANT, 3e-6, .1, i, 500, 10, .1),
			3e-6 * want);
	}
	/* A warm-up longer than the run never reaches the schedule. */
	assert_rate(gpt_learning_rate(GPT_SCHEDULE_COSINE, 1, .1, 4, 5, 10, 0), .4);
}

static void test_gpt_optimizer__linear(void **state)
{
	(void)state;
	assert_rate(gpt_learning_rate(GPT_SCHEDULE_LINEAR, 2, .1, 10, 110, 10, 0), 2);
	assert_rate(gpt_learning_rate(GPT_SCHEDULE_LINEAR, 2, .1, 60, 110, 10, 0), 1.1);
	assert_rate(gpt_learning_rate(GPT_SCHEDULE_LINEAR, 2, .1, 110, 110, 10, 0), .2);
	assert_true(gpt_learning_rate(GPT_SCHEDULE_LINEAR, 2, 0, 7, 7, 0, 0) == 0);
}

/* EMA 0.992 (PAPER 2203.02155 C.4) has forgotten half after 86.3 steps. */
static void half_life(const cairn_kernels *k, void *self)
{
	static const struct {
		int step;
		double average;
	} golden[] = {{1, .008}, {86, .498808}, {500, .981977}};
	cairn_real average = 0, one = 1, *dev = k->alloc(k, 2 * sizeof(*dev));

	(void)self;
	k->write(k, dev + 1, &one, sizeof(one));
	for (int step = 1; step <= 500; step++) {
		k->ema(k, dev, dev + 1, .992, 1);
		k->read(k, &average, dev, sizeof(average));
		assert_true(((double)average >= .5) == (step > 86.3));
		assert_true(fabs((double)average - (1 - pow(.992, step))) < 1e-5);
		for (size_t i = 0; i < CAIRN_COUNT(golden); i++)
			if (step == golden[i].step)
				assert_true(fabs((double)average - golden[i].average) < 1e-5);
	}
	k->free(k, dev);
}

static void test_gpt_optimizer__ema_half_life(void **state)
{
	(void)state;
	on_each_backend(half_life, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_optimizer__adam_golden),
		cmocka_unit_test(test_gpt_optimizer__decay_touches_matrices_only),
		cmocka_unit_test(test_gpt_optimizer__clips_the_global_norm),
		cmocka_unit_test(test_gpt_optimizer__refuses_a_gradient_that_is_not_finite),
		cmocka_unit_test(test_gpt_optimizer__refuses_bad_options),
		cmocka_unit_test(test_gpt_optimizer__cosine_golden),
		cmocka_unit_test(test_gpt_optimizer__warmup_golden),
		cmocka_unit_test(test_gpt_optimizer__linear),
		cmocka_unit_test(test_gpt_optimizer__ema_half_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
