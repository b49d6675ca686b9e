/* SPDX-License-Identifier: Apache-2.0 */
/* fsck.h - what the three parts of a check share. Callers see cairn/fsck.h. */
#ifndef CAIRN_STORE_FSCK_H
#define CAIRN_STORE_FSCK_H

#include "cairn/fsck.h"
#include "store/internal.h"

enum {
	CAIRN_FSCK_FIRST_BYTES = 256 /* of a digest: a table is read in so many transactions */
};

/* A part of artifacts that was found damaged. */
typedef struct cairn_fsck_bad {
	enum cairn_table table;
	cairn_id id;
	bool has_place;
	cairn_place place;
} cairn_fsck_bad;

struct cairn_fsck {
	cairn_store *store;
	cairn_fsck_observer observer;
	bool is_quick;
	cairn_fsck_bad *bads;
	size_t n_bads, cap_bads;
	bool is_sorted;
	uint64_t done, total;
};

void cairn_fsck__progress(const cairn_fsck *fsck, const char *part);
/* Tells of a value of a table; place may be NULL. */
void cairn_fsck__tell(cairn_fsck *fsck, const char *what, enum cairn_table table, const void *key,
	size_t key_len, const cairn_place *place, const cairn_error *why);
CAIRN_MUST int cairn_fsck__remember(cairn_fsck *fsck, enum cairn_table table, const cairn_id *id,
	const cairn_place *place, cairn_error *err);
/* NULL: nothing is known against it. */
const cairn_fsck_bad *cairn_fsck__find(
	cairn_fsck *fsck, enum cairn_table table, const cairn_id *id);
/* One artifact, in this view of the index. */
CAIRN_MUST int cairn_fsck__artifact(
	cairn_fsck *fsck, cairn_txn *txn, const cairn_id *id, cairn_error *err);

#endif
