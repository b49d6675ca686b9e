/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - capturing for a table that has none: calls between capture_begin() and capture_end()
 * are kept with their arguments, and done when they are replayed. What the contract forbids between
 * the two ends the program.
 */
#ifndef CAIRN_TESTS_CUDA_RECORD_H
#define CAIRN_TESTS_CUDA_RECORD_H

#include "cairn/kernels.h"

CAIRN_BEGIN_DECLS

/* A table that does what `inner` does. One at a time. */
cairn_kernels record_table(const cairn_kernels *inner);

CAIRN_END_DECLS

#endif
