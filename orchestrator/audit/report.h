/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - answers to a person's questions, as JSON documents; and what a name means.
 *
 * The command line prints these documents as they are (--json) or as tables. Times are those
 * of the records; nothing here looks at the clock.
 */
#ifndef CAIRN_AUDIT_REPORT_H
#define CAIRN_AUDIT_REPORT_H

#include "audit/record.h"

/*
 * An artifact by what a person types: an id or its first digits (4 or more); a ref
 * ("instructgpt/sft:model"); "sft:model", where refs of that ending name one artifact, else as
 * an output of the newest run, or with "RUN/" before it of that one. ENOTFOUND with the candidates
 * in the hint.
 */
CAIRN_MUST int cairn_resolve_artifact(cairn_id *out, cairn_store *store, cairn_snapshot *snapshot,
	const char *text, cairn_error *err);
/* A run by its id, the first or last characters of it (4 or more), or the name of a workflow:
 * its newest. NULL: the newest of all. ENOTFOUND is filled. */
CAIRN_MUST int cairn_resolve_run(
	cairn_run_id *out, cairn_snapshot *snapshot, const char *text, cairn_error *err);

/* {"run", "workflow", "file", "state", "start_ms", "end_ms", "record": the run's record,
 *  "stages": [{"instance", "plugin", "state", "key", "reason", "attempt", "outputs": {port: id},
 *  "summary": {}, "seconds", "flop", "kept_flop"}]} */
CAIRN_MUST int cairn_report_status(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err);
/* The record of one stage of a run; ENOTFOUND with a filled error, and what was meant perhaps. */
CAIRN_MUST int cairn_report_stage(json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run,
	const char *instance, cairn_error *err);
/* {"runs": [record...]}, newest first. */
CAIRN_MUST int cairn_report_runs(
	json_t **out, cairn_snapshot *snapshot, size_t limit, cairn_error *err);
/* {"refs": [{"name", "id"}]} in bytewise order. */
CAIRN_MUST int cairn_report_refs(json_t **out, cairn_snapshot *snapshot, cairn_error *err);
/* {"id", "kind", "bytes", "meta", "entries": [{"name", "dtype", "dims", "bytes"}]} */
CAIRN_MUST int cairn_report_artifact(
	json_t **out, cairn_store *store, const cairn_id *id, cairn_error *err);
/* [{"name", "before": text or null, "after": text or null}] where two sets of components
 * differ, in the order of the names. */
json_t *cairn_report_changes(const json_t *before, const json_t *after);
/* The newest result of an instance of a workflow, over all runs: *out is a new reference to
 * its record and *key its key. ENOTFOUND leaves *err untouched. */
CAIRN_MUST int cairn_report_last_result(json_t **out, cairn_key *key, cairn_snapshot *snapshot,
	const char *workflow, const char *instance, cairn_error *err);
/* "u8", "f32", ... */
const char *cairn_dtype_name(uint32_t dtype);

#endif
