/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.h - an artifact or a run with its lineage as one file, which tar and sha256sum verify.
 *
 * A tar file (tar.h) whose members come in bytewise order of their names:
 *
 *   SHA256SUMS                    a line "<hex>  <name>" for each of the others, in their order
 *   artifacts/<hex>               manifests; the name is the digest, here and in the next two
 *   bundle.json                   {"schema": "cairn.bundle/1", "cairn": version, "root": {"run"} or
 * {"artifact"}, "artifacts": [ids], "refs": {name: id}} chunks/<aa>/<hex>             aa: the first
 * two digits of hex nodes/<aa>/<hex> records/attempts/<key>.jsonl  {"n", "record"}
 *   records/events/<run>.jsonl    {"seq", "record"}
 *   records/results/<key>.json
 *   records/runs/<run>.json
 *   records/stages/<run>.jsonl    {"index", "record"}
 *
 * All JSON is canonical, a line each. The same content of a store gives the same bytes. A run
 * brings its outputs; an artifact itself and what its stage wrote beside it; both the records of
 * all that they were made from, and the text of the workflows. The bytes of what they were made
 * from come on demand.
 */
#ifndef CAIRN_AUDIT_BUNDLE_H
#define CAIRN_AUDIT_BUNDLE_H

#include "audit/record.h"

/* ---- export ------------------------------------------------------------------------------- */

/* One of both is not NULL. */
typedef struct cairn_bundle_root {
	const cairn_id *artifact;
	const cairn_run_id *run;
	bool with_inputs;
} cairn_bundle_root;

/* Takes the next bytes of the file; < 0 ends the export with this code. */
typedef int (*cairn_bundle_write_fn)(void *arg, const void *bytes, size_t len, cairn_error *err);
/* *out: {"bytes", "members", "artifacts", "records"}; new reference. */
CAIRN_MUST int cairn_bundle_export(json_t **out, cairn_store *store, const cairn_bundle_root *root,
	cairn_bundle_write_fn write, void *arg, cairn_error *err);

/* bundle_collect.c: what belongs to a bundle. */
typedef struct cairn_bundle_content {
	/* {hexadecimal key or run id: record}; of attempts, stages and events: [lines] */
	json_t *results, *attempts, *runs, *stages, *events;
	json_t *artifacts; /* {id: true}: with their bytes */
	json_t *refs;      /* {name: id} */
} cairn_bundle_content;
CAIRN_MUST int cairn_bundle_collect(cairn_bundle_content *out, cairn_snapshot *snapshot,
	const cairn_bundle_root *root, cairn_error *err);
void cairn_bundle_content_free(cairn_bundle_content *content);

/* ---- import ------------------------------------------------------------------------------- */

/* Reads up to len bytes: how many, 0 at the end, < 0 a code. */
typedef int64_t (*cairn_bundle_read_fn)(void *arg, void *bytes, size_t len, cairn_error *err);
/*
 * Everything becomes visible in one transaction, or nothing. A record that is there and differs
 * stays as it is. prefix (may be NULL) comes with a '/' before every name. *out: {"root",
 * "artifacts": [ids], "names": {name: id}, "records": {"new", "same", "kept"}, "kept": [..]}; new
 * reference. EINPUT (no bundle, damaged, a name taken), EINTEGRITY (bytes that do not match their
 * digest, a part missing): they name the member.
 */
CAIRN_MUST int cairn_bundle_import(json_t **out, cairn_store *store, cairn_bundle_read_fn read,
	void *arg, const char *prefix, cairn_error *err);

/* bundle_merge.c: inside the commit. Counts into *report. */
CAIRN_MUST int cairn_bundle_merge(const cairn_bundle_content *content, const char *prefix,
	cairn_snapshot *now, cairn_batch *batch, json_t *report, cairn_error *err);

#endif
