/* SPDX-License-Identifier: Apache-2.0 */
/*
 * difference.h - what differs between two artifacts, as people speak of it: rows of a dataset,
 * entries of a model, bytes of a file.
 *
 * Rows are compared as multisets: their order does not matter, their number does. A row of each
 * side with the same "id" is one row that changed. Limits: an entry of 512 MiB and 4,000,000 rows
 * between the first and the last that differ; beyond them entries are only named. Of the rows that
 * differ, the first 20,000 of each side are looked into.
 */
#ifndef CAIRN_AUDIT_DIFFERENCE_H
#define CAIRN_AUDIT_DIFFERENCE_H

#include "base/json.h"
#include "base/text.h"
#include "cairn/store.h"

/*
 * {"kind", "bytes": [before, after], "entries": {"added", "removed", "changed": number,
 *  "names": [the first of them]}, "rows": {"before", "after", "added", "removed", "changed":
 * number, "fields": [of changed rows], "group": [values in rows that differ], "labeler": [..]}}; or
 * {"missing": "before" or "after"} where an artifact is no longer in the store. "rows" is absent
 * where nothing was compared by rows; "too_large": true where that was for its size. Lists are
 * sorted and hold up to 20. New reference. EINTEGRITY, EIO, ENOMEM.
 */
CAIRN_MUST int cairn_difference(json_t **out, cairn_store *store, const cairn_id *before,
	const cairn_id *after, cairn_error *err);
/* "+312 rows, -4 rows, group brief". */
void cairn_difference_text(cairn_text *out, const json_t *difference);

/* ---- rows.c: two texts of lines ----------------------------------------------------------- */

typedef struct cairn_rows_compared {
	uint64_t before, after, added, removed, changed;
	json_t *fields, *groups, *labelers; /* objects: name -> true */
	bool is_too_large;
} cairn_rows_compared;

/* Adds to *into (begun with {0}); both texts may be NULL with a length of 0. ENOMEM. */
CAIRN_MUST int cairn_rows_compare(cairn_rows_compared *into, const char *before, size_t before_len,
	const char *after, size_t after_len, cairn_error *err);
void cairn_rows_compared_free(cairn_rows_compared *compared);

#endif
