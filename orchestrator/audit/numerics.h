/* SPDX-License-Identifier: Apache-2.0 */
/*
 * numerics.h - what a change of the numeric class means, in words.
 *
 * Classes are names that backends give themselves; those of our own are "fp32-..." of the CPU and
 * "cuda-TYPE-vVERSION-smCAPABILITYxMULTIPROCESSORS-ltVERSION" of CUDA (plugins/kernels).
 */
#ifndef CAIRN_AUDIT_NUMERICS_H
#define CAIRN_AUDIT_NUMERICS_H

#include "base/text.h"

/* Adds "CPU to CUDA", "bf16 to fp32, another GPU"; nothing where there is nothing to say. */
void cairn_numerics_change(cairn_text *out, const char *before, const char *after);

#endif
