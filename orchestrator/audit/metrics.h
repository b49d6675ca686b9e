/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - the metric rows of a stage, wherever they are kept. */
#ifndef CAIRN_AUDIT_METRICS_H
#define CAIRN_AUDIT_METRICS_H

#include "audit/record.h"

/*
 * One line of JSON per row, {"step":N,"name":value,...}: of a finished stage its output
 * "metrics", else the log inside its newest checkpoint. `rows` is borrowed from *out, which the
 * caller closes. ENOTFOUND where nothing was committed yet.
 */
CAIRN_MUST int cairn_metrics_open(cairn_object **out, cairn_tensor *rows, cairn_store *store,
	cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err);
/* When they were recorded: the end of the stage, or the begin of its newest attempt; 0: unknown. */
int64_t cairn_metrics_time_ms(cairn_snapshot *snapshot, const cairn_key *key);

#endif
