/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.h - a check of the store in a process of its own.
 *
 * A damaged page of the index can kill whoever reads it. So a child reads, and tells what it finds
 * over a pipe (audit/fsck.h has the lines); where it dies, that is a finding, and another child
 * goes on with the next part.
 */
#ifndef CAIRN_RUN_FSCK_H
#define CAIRN_RUN_FSCK_H

#include <stdbool.h>

#include "base/json.h"

typedef struct cairn_fsck_options {
	const char *store; /* its directory; this process must not have it open */
	bool is_quick;     /* no data is read */
	bool repairs;      /* drops what is damaged */
	bool rebuilds;     /* makes a new index first; then repairs, too */
} cairn_fsck_options;

/* done of total: bytes, artifacts or tables, as the part goes. */
typedef void (*cairn_fsck_progress_fn)(void *arg, const char *part, uint64_t done, uint64_t total);

/*
 * *out: {"store", "is_clean", "damages": [..], "hurt": [..], "gone": [..], "done": [..],
 * "bytes": n that were read, "rebuilt": {..} where it was}; new reference. 0 also where damage
 * was found. EBUSY: a repair wants the lock that a run holds.
 */
CAIRN_MUST int cairn_fsck_run(json_t **out, const cairn_fsck_options *options,
	cairn_fsck_progress_fn progress, void *arg, cairn_error *err);

#endif
