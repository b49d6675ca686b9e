/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.h - a store for inputs to go into.
 *
 * It lies in memory where there is such a file system, and is emptied by a new one each few
 * thousand inputs: what refused inputs leave stays in it until somebody collects it.
 */
#ifndef CAIRN_TESTS_FUZZ_SCRATCH_H
#define CAIRN_TESTS_FUZZ_SCRATCH_H

#include "cairn/store.h"

/* To be called once for each input. */
cairn_store *fuzz_store(void);

#endif
