/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - inside run/: files that a workflow names become artifacts of kind "file". */
#ifndef CAIRN_RUN_FILES_H
#define CAIRN_RUN_FILES_H

#include "base/arena.h"
#include "cairn/store.h"
#include "workflow/workflow.h"

typedef struct cairn_file_input {
	const cairn_binding *binding; /* of type CAIRN_FROM_FILE */
	const cairn_id **id;          /* out */
} cairn_file_input;

/*
 * Fills in the ids. Each file is read only if filecache.h does not know it unchanged; all new
 * ones are stored in one batch. Errors carry the place in the INI file: ENOTFOUND, EINPUT (a
 * directory), EIO (unreadable, or changed while it was read).
 */
CAIRN_MUST int cairn_files_take(cairn_file_input *files, size_t n, cairn_store *store,
	cairn_arena *arena, cairn_error *err);

#endif
