/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - paths that a workflow names: relative to the file that they are written in. */
#ifndef CAIRN_WORKFLOW_PATH_H
#define CAIRN_WORKFLOW_PATH_H

#include "base/arena.h"

/* "a/b" of "a/b/c.ini"; "." of "c.ini". */
const char *cairn_path__directory(cairn_arena *arena, const char *file);
/* path[0..len) as seen from the directory; absolute ones stay. */
const char *cairn_path__join(
	cairn_arena *arena, const char *directory, const char *path, size_t len);

#endif
