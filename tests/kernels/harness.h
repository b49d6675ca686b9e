/* SPDX-License-Identifier: Apache-2.0 */
/*
 * harness.h - runs one case of an operation on every backend and compares.
 *
 * A case is a function of a kernel table: it makes its inputs from counters, calls the
 * operation and emits the outputs. check_case() runs it on the portable reference (sums in
 * double), then on cpu.so for each vector unit this machine has and for 1, 2, 3 and 4
 * threads: near the reference, and the same bits everywhere.
 *
 * Cases also run on the CUDA backend (cuda/table_harness.c), so what a case does holds for any
 * table: memory is read and written through the table only, and activations are made, emitted and
 * addressed as such (cairn_act_at), because they may be half as wide. Tests that take a table of
 * cpu.so may look into its memory.
 */
#ifndef CAIRN_TESTS_KERNELS_HARNESS_H
#define CAIRN_TESTS_KERNELS_HARNESS_H

#include "../test.h"
#include "cairn/kernels.h"

/* What a case gave: tensors one after the other. */
typedef struct outcome {
	float *data;
	size_t n, cap;
	size_t tensor[64]; /* where each one starts */
	double tolerance[64];
	size_t n_tensors;
} outcome;

typedef void op_case(const cairn_kernels *k, const void *shape, outcome *out);

void outcome_free(outcome *o);
/* Adds n floats of dev memory; errors may be `tolerance` times the tensor's largest value. */
void emit(outcome *o, const cairn_kernels *k, const float *dev, int64_t n, double tolerance);
/* Activations; they become floats. */
void emit_acts(
	outcome *o, const cairn_kernels *k, const cairn_act *dev, int64_t n, double tolerance);
void emit_ints(outcome *o, const cairn_kernels *k, const int32_t *dev, int64_t n);
void emit_value(outcome *o, double value, double tolerance);
/* `tolerance` where activations are floats. Where they are narrower, some `roundings` to their type
 * lie on the way to each element, in itself or in the terms of its sum. */
double loosened(const cairn_kernels *k, double tolerance, double roundings);
/* What a product's gelu may be off beside, of the largest value: on a GPU cuBLASLt's own may have
 * the hardware's tanh, whose relative error is 2^-11. */
#ifdef CAIRN_ON_GPU
#define GELU_ERROR 0x1p-11
#else
#define GELU_ERROR 0.0
#endif

void check_case(op_case *run, const void *shape);

/* A table of cpu.so; `unit` NULL: the best one. Kept open until the program ends. NULL where
 * this machine has no such unit. */
const cairn_kernels *cpu_table(const char *unit, int threads);

/* Dev memory. The numbers depend on `seed` and the place only, about N(0, scale). */
float *normal(const cairn_kernels *k, int64_t n, uint64_t seed, double scale);
/* Filled with NaN: for what is to be overwritten. */
float *poisoned(const cairn_kernels *k, int64_t n);
/* The same for activations. The reference gets the numbers that the other backend can hold. */
cairn_act *normal_acts(const cairn_kernels *k, int64_t n, uint64_t seed, double scale);
cairn_act *poisoned_acts(const cairn_kernels *k, int64_t n);
void write_acts(const cairn_kernels *k, cairn_act *dev, const float *host, int64_t n);
/* Floats that stay what they are when they are rounded to bf16: weights of which results follow
 * that have no tolerance. */
float *normal_narrow(const cairn_kernels *k, int64_t n, uint64_t seed, double scale);
/* What is in dev memory. Freed with the tensors; only until then. */
const void *seen(const cairn_kernels *k, const void *dev, size_t bytes);
int32_t *ints(const cairn_kernels *k, const int32_t *host, int64_t n);
/* Uniform in 0..limit-1. */
int32_t *random_ints(const cairn_kernels *k, int64_t n, uint64_t seed, int32_t limit);
uint64_t *row_ids(const cairn_kernels *k, int64_t n, uint64_t first);

/* Tensors of the running case are freed after it; in other tests by this. */
void drop_tensors(void);

#endif
