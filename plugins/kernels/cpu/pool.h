/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - threads that share out numbered tasks.
 *
 * Results must not depend on who computes a task or when: every task writes places of its
 * own, and no reduction crosses tasks except in the order of their numbers.
 */
#ifndef CAIRN_KERNELS_CPU_POOL_H
#define CAIRN_KERNELS_CPU_POOL_H

#include "cairn/base.h"

typedef struct pool pool;
/* thread: 0 .. threads-1, for scratch of one's own. */
typedef void pool_task(void *context, int64_t task, int thread);

/* A pool of `threads` including the caller; NULL where threads cannot be started. */
pool *pool_new(int threads);
void pool_free(pool *p);
/* Runs task 0 .. n-1 and returns when all are done. One caller at a time; not from a task. */
void pool_for(pool *p, int64_t n, pool_task *task, void *context);
/* CPUs that this process may use. */
int pool_cpus(void);

#endif
