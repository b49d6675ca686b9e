/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outline.h - the names in a workflow file, without its plugins.
 *
 * For completion on a command line: no description is asked for and no mistake is told, what
 * cannot be read is left out. Everything else loads the workflow (workflow.h).
 */
#ifndef CAIRN_WORKFLOW_OUTLINE_H
#define CAIRN_WORKFLOW_OUTLINE_H

#include "base/arena.h"

typedef struct cairn_outline {
	const char *const *instances; /* "rm", "ppo@brief": in the order of the file */
	size_t n_instances;
	const char *const *params, *const *values; /* of [params]; a value is NULL if not known */
	size_t n_params;
} cairn_outline;

/* At most `limit` instances. Everything lives in the arena; nothing is found in a file that cannot
 * be read. */
void cairn_outline_read(cairn_outline *out, const char *file, size_t limit, cairn_arena *arena);

#endif
