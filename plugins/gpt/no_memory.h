/* SPDX-License-Identifier: Apache-2.0 */
/* no_memory.h - what is said where the backend has no memory. */
#ifndef CAIRN_GPT_NO_MEMORY_H
#define CAIRN_GPT_NO_MEMORY_H

#include "cairn/kernels.h"

/* ENOMEM: "no memory for WHAT", with what was wanted and, of a device, what was taken and what
 * there is; the hint says what to change. */
CAIRN_MUST int gpt_no_memory_for(
	const cairn_kernels *k, const char *what, size_t bytes, const char *hint, cairn_error *err);

#endif
