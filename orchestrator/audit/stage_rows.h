/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage_rows.h - the stages of a run in a few words each: what a table of them shows.
 *
 * The document (report.h) has everything, and takes forty microseconds a stage; of this there may
 * be 100,000. Both say the same.
 */
#ifndef CAIRN_AUDIT_STAGE_ROWS_H
#define CAIRN_AUDIT_STAGE_ROWS_H

#include "audit/record.h"
#include "base/arena.h"

typedef struct cairn_row_output {
	const char *port, *id;
} cairn_row_output;

typedef struct cairn_stage_row {
	const char *instance, *plugin, *state, *reason;
	int64_t attempt;
	bool is_blessed;
	const json_t *summary; /* NULL: there is none, or nothing in it */
	cairn_row_output *outputs;
	size_t n_outputs;
	/* Of all attempts at its key. */
	double seconds;
	uint64_t peak_bytes;
} cairn_stage_row;

typedef struct cairn_stage_rows {
	cairn_stage_row *rows;
	size_t n, cap;
	cairn_arena *arena; /* of the texts */
} cairn_stage_rows;

CAIRN_MUST int cairn_stage_rows_read(
	cairn_stage_rows *out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err);
void cairn_stage_rows_free(cairn_stage_rows *rows);

#endif
