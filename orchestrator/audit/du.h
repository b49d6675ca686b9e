/* SPDX-License-Identifier: Apache-2.0 */
/* du.h - which runs and names take how many bytes. */
#ifndef CAIRN_AUDIT_DU_H
#define CAIRN_AUDIT_DU_H

#include "audit/record.h"
#include "cairn/gc.h"

/*
 * {"rows": [{"what": "run" | "name" | "tool" | "artifact", "name", "workflow" (of a run),
 *   "artifacts", "bytes", "exclusive": that no other row needs}],
 *  "index": {"bytes", "used_bytes"}, "segments": {"n", "bytes", "live_bytes"},
 *  "artifacts", "blobs", "chunks": how many}
 * Without texts, a row for each run that keeps something, and for what only a name or a tool
 * holds. With texts, a row for each: a run, a name or an artifact as a person types it.
 */
CAIRN_MUST int cairn_du_report(
	json_t **out, cairn_store *store, const char *const *texts, size_t n, cairn_error *err);

#endif
