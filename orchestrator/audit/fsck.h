/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.h - a check of the store and of what the records name, told as JSON; and what damage means.
 *
 * It runs in a child process (run/check/fsck.h): each part tells what it finds at once, so that
 * what was found survives a crash of the part. Lines, each an object of one member:
 *
 *   {"part": name}                            a part begins
 *   {"progress": {"part", "done", "total"}}
 *   {"damage": {"what", "table", "key" (hexadecimal), "name" (where the key is text), "artifact",
 *     "part", "entry", "chunk", "chunks", "segment", "offset", "message", "detail"}}
 *   {"gone": {"by", "id"}}                    a record names an artifact that is not there any more
 *   {"hurt": {"artifact", "kind", "names": [..], "remedy", "how", "producers": [..],
 *     "artifacts": n, "stages": [..], "checkpoints": [..]}}
 *   {"done": {"action", "table", "key", "name"}}   a repair
 *   {"error": {..}}, {"end": true}
 */
#ifndef CAIRN_AUDIT_FSCK_H
#define CAIRN_AUDIT_FSCK_H

#include "base/json.h"
#include "cairn/store.h"

enum cairn_audit_part {
	CAIRN_AUDIT_INDEX,
	CAIRN_AUDIT_SEGMENTS,
	CAIRN_AUDIT_ARTIFACTS,
	CAIRN_AUDIT_NAMES,   /* what records name is there */
	CAIRN_AUDIT_MEANING, /* what depends on what is damaged, and what would make it again */
	CAIRN_AUDIT_PARTS,
};

/* Takes over the line. */
typedef void (*cairn_audit_tell_fn)(void *arg, json_t *line);

typedef struct cairn_audit_fsck {
	cairn_store *store;
	bool is_quick;
	/* The "damage" objects of earlier processes; those of this one are added. */
	json_t *damages;
	cairn_audit_tell_fn tell;
	void *arg;
} cairn_audit_fsck;

/* "index", "segments", ... */
const char *cairn_audit_part_name(enum cairn_audit_part part);
/* Is the index itself among the damages of a report? Then nothing is repaired value by value. */
bool cairn_audit_is_index_damaged(const json_t *report);
/* All parts from this one on. < 0 only where the check itself fails. */
CAIRN_MUST int cairn_audit_check(
	const cairn_audit_fsck *fsck, enum cairn_audit_part from, cairn_error *err);
/* Drops what is damaged, and the names and checkpoints that stand for what is gone. */
CAIRN_MUST int cairn_audit_repair(const cairn_audit_fsck *fsck, cairn_error *err);

/* remedy.c: a "hurt" line for each artifact that the damages hurt. */
CAIRN_MUST int cairn_audit_meaning(const cairn_audit_fsck *fsck, cairn_error *err);

#endif
