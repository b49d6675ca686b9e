/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - why a stage ran, or would: the parts that need records only.
 *
 * run/plan/explain.h asks about today's plan, this about a run that is over.
 */
#ifndef CAIRN_AUDIT_EXPLAIN_H
#define CAIRN_AUDIT_EXPLAIN_H

#include "audit/record.h"

/*
 * [{"name", "before", "after", "source", "difference"}]: the components of `now` (a result record,
 * or a stage as cause.h describes it) that are not those of `before`, a result record. Of an input
 * also where it comes from and, where both artifacts are known, their difference
 * (difference.h). Parameters before inputs, each by name. New reference.
 */
CAIRN_MUST int cairn_explain_changes(json_t **out, cairn_store *store, const json_t *before,
	const json_t *now, cairn_error *err);
/* Adds "difference" to those of an array of such changes, or of causes (cause.h), that are of
 * inputs and whose artifacts are both known. */
CAIRN_MUST int cairn_explain_differences(json_t *changes, cairn_store *store, cairn_error *err);
/* {"run", "end_ms"} of a result record; null of NULL. New reference. */
json_t *cairn_explain_origin(const json_t *result);
/* {"attempt", "run", "state", "end_ms", "error"} of the last try of a key that has no result, or
 * null. New reference. */
json_t *cairn_explain_attempt(cairn_snapshot *snapshot, const cairn_key *key);

/*
 * Why a stage ran, or did not, in a run: the components of its result beside those of the result
 * before it, the one that the newest earlier run of the workflow had. The document is that of
 * run/plan/explain.h, with "run". ENOTFOUND where the run has no such stage, with what it may be.
 */
CAIRN_MUST int cairn_explain_past(json_t **out, cairn_store *store, cairn_snapshot *snapshot,
	const cairn_run_id *run, const char *instance, cairn_error *err);

#endif
