/* SPDX-License-Identifier: Apache-2.0 */
/* support.c - see support.h. */
#include "gpt/support.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/rng.h"
#include "kernels/portable/portable.h"
#include "test.h"

const gpt_config tiny_config = {
	.n_layer = 2,
	.n_head = 2,
	.n_embd = 8,
	.n_ctx = 6,
	.n_vocab = 11,
	.n_inner = 32,
};

static const cairn_kernels_backend *cpu_backend(void)
{
	void *library = dlopen(CAIRN_PLUGIN_DIR "/kernels/cpu.so", RTLD_NOW | RTLD_LOCAL);
	const cairn_kernels_backend *backend;

	if (!library)
		return NULL;
	backend = dlsym(library, CAIRN_KERNELS_SYMBOL);
	assert_non_null(backend);
	return backend;
}

bool open_cpu(cairn_kernels *out, int threads)
{
	const cairn_kernels_backend *backend = sizeof(cairn_real) == 4 ? cpu_backend() : NULL;
	cairn_error err = {0};

	if (!backend)
		return false;
	if (backend->open(out, threads, &err))
		fail_msg("%s", err.message);
	return true;
}

void close_cpu(cairn_kernels *k)
{
	cpu_backend()->close(k);
}

void on_each_backend(void (*test)(const cairn_kernels *k, void *self), void *self)
{
	cairn_kernels k;
	cairn_error err = {0};

	assert_int_equal(cairn_kernels_portable_open(&k, 1, &err), 0);
	test(&k, self);
	cairn_kernels_portable_close(&k);
	if (open_cpu(&k, 2)) {
		test(&k, self);
		close_cpu(&k);
	} else if (sizeof(cairn_real) == 4) {
		print_message("the build has no CPU backend: portable only\n");
	}
}

gpt_model *random_model(const cairn_kernels *k, const gpt_config *config, enum gpt_head head,
	unsigned flags, uint64_t key)
{
	gpt_model *model = NULL;
	cairn_error err = {0};

	if (gpt_model_new(&model, k, config, head, flags, &err))
		fail_msg("%s", err.message);
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		bool gain = strstr(tensor->name, "ln_") && strstr(tensor->name, "weight");
		cairn_real *data = cairn_alloc(tensor->size, sizeof(*data));

		for (size_t j = 0; j < tensor->size; j++)
			data[j] = (cairn_real)(0.3 * gpt_random_normal(key, i, j) + (gain ? 1 : 0));
		k->write(k, gpt_params_change(model) + tensor->offset, data,
			tensor->size * sizeof(*data));
		free(data);
	}
	return model;
}

void random_tokens(int32_t *out, int64_t n, int32_t n_vocab, uint64_t key)
{
	for (int64_t i = 0; i < n; i++)
		out[i] = (int32_t)gpt_random_below(key, 0, (uint64_t)i, (uint64_t)n_vocab);
}

cairn_real *read_flat(const gpt_model *model, const cairn_real *dev)
{
	cairn_real *flat = cairn_alloc(model->n_params, sizeof(*flat));

	assert_non_null(flat);
	model->k->read(model->k, flat, dev, model->n_params * sizeof(*flat));
	return flat;
}

cairn_real *read_grads(gpt_model *model)
{
	gpt_finish_grads(model);
	return read_flat(model, model->grads);
}

double relative_distance(const cairn_real *a, const double *b, size_t n)
{
	double difference = 0, size = 0;

	for (size_t i = 0; i < n; i++) {
		difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
		size += b[i] * b[i];
	}
	return difference == 0 ? 0 : sqrt(difference / size);
}
