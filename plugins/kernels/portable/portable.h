/* SPDX-License-Identifier: Apache-2.0 */
/*
 * portable.h - the whole kernel table in plain loops: the reference of the tests.
 *
 * Built twice: cairn-kernels-portable (float) and cairn-kernels-portable-double
 * (CAIRN_DOUBLE, for gradient checks by central differences; sources that use it must be
 * compiled with CAIRN_DOUBLE too, which the target passes on). Every sum runs in double and
 * ascending order. One thread; `threads` is ignored.
 */
#ifndef CAIRN_KERNELS_PORTABLE_H
#define CAIRN_KERNELS_PORTABLE_H

#include "cairn/kernels.h"

CAIRN_BEGIN_DECLS

CAIRN_MUST int cairn_kernels_portable_open(cairn_kernels *out, int threads, cairn_error *err);
void cairn_kernels_portable_close(cairn_kernels *k);

CAIRN_END_DECLS

#endif
