/* SPDX-License-Identifier: Apache-2.0 */
/*
 * provenance.h - which code made a result: the state of a git work tree, by libgit2.
 *
 * The user's repository is never written: blobs and trees of uncommitted work go into a
 * bare repository of ours, STORE/code.git. The identity is the tree id, not a commit id.
 * "unavailable", with the reason, is a legal record; a run never fails for it.
 */
#ifndef CAIRN_AUDIT_PROVENANCE_H
#define CAIRN_AUDIT_PROVENANCE_H

#include "base/json.h"
#include "cairn/store.h"

/* Begins, beside what the caller does next, what the first cairn_provenance_take() takes longest
 * for: libgit2 reads the certificates of the whole system, of which we need none. Nothing where no
 * repository is in sight. */
void cairn_provenance_prepare(const char *directory);
/*
 * Describes the repository that contains `directory` (the workflow file's). New reference:
 * {"available": true, "repository": path, "head": sha or null (unborn), "branch": name or null,
 * "remote": url or null (credentials removed), "dirty": bool, "tree": id of the work tree as it is,
 * "head_tree", "diff": artifact id of the patch (kind file, entry "diff.patch") or null when clean,
 * "n_changed", "skipped": [{"path","bytes"}]} or {"available": false, "reason": text, "hint":
 * text}.
 */
json_t *cairn_provenance_take(cairn_store *store, const char *directory);
/* SHA-256 of a file and its path: {"path","sha256","build_id"}; for the binary and the plugins. */
json_t *cairn_provenance_binary(const char *path);

#endif
