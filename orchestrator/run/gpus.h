/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpus.h - which devices of the machine a stage may see.
 *
 * Those of CUDA_VISIBLE_DEVICES, as the user or a batch system has set it, else all that have a
 * device file; nothing here needs CUDA. A stage with `gpus = N` gets N of them that no other stage
 * of the run has, as the CUDA_VISIBLE_DEVICES of its process. That never reaches a key.
 */
#ifndef CAIRN_RUN_GPUS_H
#define CAIRN_RUN_GPUS_H

#include <stdint.h>

#include "base/arena.h"

#define CAIRN_GPUS_ENV "CUDA_VISIBLE_DEVICES"
#define CAIRN_MAX_GPUS 64 /* a bit each */

typedef struct cairn_gpus {
	const char *names[CAIRN_MAX_GPUS]; /* "0", "GPU-8932f937", "MIG-..." */
	int n;
} cairn_gpus;

/* The names live in the arena. */
void cairn_gpus_find(cairn_gpus *out, cairn_arena *arena);
/* How many a claim comes to: more than there are is all of them. */
int cairn_gpus_claim(const cairn_gpus *gpus, int64_t claim);
/* The first n that are not in `used`; 0 where there are not so many. */
uint64_t cairn_gpus_choose(const cairn_gpus *gpus, int n, uint64_t used);
/* For CUDA_VISIBLE_DEVICES. */
char *cairn_gpus_text(const cairn_gpus *gpus, uint64_t some, cairn_arena *arena);

#endif
