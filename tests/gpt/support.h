/* SPDX-License-Identifier: Apache-2.0 */
/* support.h - backends, small models and batches for the tests of gpt. */
#ifndef CAIRN_TESTS_GPT_SUPPORT_H
#define CAIRN_TESTS_GPT_SUPPORT_H

#include <stdbool.h>

#include "gpt/model.h"

/*
 * Runs a test on the portable backend and, in the float build, on the CPU backend where the
 * build has one (said on stderr where not). `self` is passed through.
 */
void on_each_backend(void (*test)(const cairn_kernels *k, void *self), void *self);
/* False where the build has no CPU backend. Close with close_cpu(). */
bool open_cpu(cairn_kernels *out, int threads);
void close_cpu(cairn_kernels *k);

/* A model whose tensors are all far from special values: gains about 1, the rest N(0, 0.3). */
gpt_model *random_model(const cairn_kernels *k, const gpt_config *config, enum gpt_head head,
	unsigned flags, uint64_t key);
/* 2 layers, 2 heads, 8 channels, 11 tokens, 6 positions. */
extern const gpt_config tiny_config;

/* n tokens below n_vocab. */
void random_tokens(int32_t *out, int64_t n, int32_t n_vocab, uint64_t key);

/* The flat parameters or gradients, on the host. Caller frees. */
cairn_real *read_flat(const gpt_model *model, const cairn_real *dev);
/* The gradients after gpt_finish_grads(). */
cairn_real *read_grads(gpt_model *model);
/* |a - b| / |b| over n elements (Euclidean); 0 where both are 0. */
double relative_distance(const cairn_real *a, const double *b, size_t n);

#endif
