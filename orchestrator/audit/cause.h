/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cause.h - through which stages a change came, from its roots.
 *
 * A stage is seen twice: as it was, in a result record, and as it is now, in another record or in a
 * plan. Where an input differs, the stage that made it is compared in the same way, and so on:
 * what is left over are parameters, versions, files and results that are gone.
 */
#ifndef CAIRN_AUDIT_CAUSE_H
#define CAIRN_AUDIT_CAUSE_H

#include "audit/record.h"

#define CAIRN_CAUSES_MAX 50

/*
 * A stage as it is now: a result record, or what a plan knows of one, {"instance", "components":
 * {name: text or null while unknown}, "inputs": {port: [{"id": text or null, "source"}]},
 * "reason": why it must run, where it must}.
 * The function finds the stage `instance` that makes, or is to make, the artifact `id` (NULL where
 * that is not known yet): a new reference, or NULL.
 */
typedef json_t *(*cairn_maker_fn)(void *arg, const char *instance, const char *id);

/*
 * [{"instance", "via": [instances between], "name", "before", "after"}] or with "reason" instead of
 * the last three: why the inputs of a stage are, or will be, others than they were. `before`
 * may be NULL: then the stages that have to run first, with their reasons. A new reference;
 * CAIRN_CAUSES_MAX of them at most.
 */
json_t *cairn_causes(cairn_snapshot *snapshot, const json_t *before, const json_t *now,
	cairn_maker_fn maker_of, void *arg);
/* The maker_of for records; arg is the snapshot. */
json_t *cairn_cause_maker(void *snapshot, const char *instance, const char *id);
/* "sft" of "sft:model"; "" where a source is no stage. Into a buffer of 256 bytes. */
const char *cairn_cause_instance(char out[256], const char *source);

#endif
