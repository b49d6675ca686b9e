/* SPDX-License-Identifier: Apache-2.0 */
/*
 * staging.h - a copy of a checkpoint's entries, from which it is written while training goes on.
 *
 * One mapping of its own, outside the allocator: it is as large as the state that is trained, it
 * grows without being copied, and it is used again for the next checkpoint.
 */
#ifndef CAIRN_RUN_STAGING_H
#define CAIRN_RUN_STAGING_H

#include <stdbool.h>

#include "cairn/store.h"

typedef struct cairn_staged_entry {
	cairn_tensor tensor; /* without name and data: those move while the mapping grows */
	size_t name_at, data_at;
} cairn_staged_entry;

/* {0} is empty, without a limit. */
typedef struct cairn_staging {
	uint8_t *bytes;
	size_t used, cap;
	cairn_staged_entry *entries;
	size_t n_entries, cap_entries;
	/* Of the process's data (RLIMIT_DATA), 0: none. A part of it is left to those who may have
	 * to grow later and could not go on without. */
	uint64_t limit;
} cairn_staging;

/* Has memory for so many bytes at hand, its pages too: fresh ones cost more than the copying. Where
 * there is none, nothing happens. Only while there are no entries. */
void cairn_staging_prepare(cairn_staging *staging, size_t bytes);
/* Copies an entry. false: no memory for it; what was there stays. */
CAIRN_MUST bool cairn_staging_add(cairn_staging *staging, const cairn_tensor *tensor);
/* Puts all entries into the artifact that the batch is writing. */
CAIRN_MUST int cairn_staging_write(
	const cairn_staging *staging, cairn_batch *batch, cairn_error *err);
/* Forgets the entries and keeps the memory for the next ones. */
void cairn_staging_clear(cairn_staging *staging);
void cairn_staging_free(cairn_staging *staging);

#endif
