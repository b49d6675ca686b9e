/* SPDX-License-Identifier: Apache-2.0 */
/* common.h - what the benchmarks on a backend share: shapes, the backend, a clock. */
#ifndef CAIRN_BENCH_COMMON_H
#define CAIRN_BENCH_COMMON_H

#include "gpt/model.h"
#include "kernels/meter.h"

/* The network called `name`, for n_ctx positions; ends the program where there is none. */
gpt_config bench_shape(const char *name, int64_t n_ctx);
/* The backend of a shared object, wrapped by the meter. Stays open until the program ends. */
void bench_open(cairn_kernels *out, cairn_meter *meter, const char *library, int threads);
/* Waits until all that was called is done; ends the program where the backend failed. */
void bench_wait(const cairn_kernels *k);
double bench_seconds(void);
/* Sorts. */
double bench_median(double *values, int n);
CAIRN_NORETURN void bench_die(const char *what, const cairn_error *err);

#endif
