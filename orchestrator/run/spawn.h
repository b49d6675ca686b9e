/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spawn.h - starting ourselves again as a child: to describe a plugin, to run a stage.
 *
 * posix_spawn and exec, never a bare fork: an LMDB environment must not cross one, and
 * CUDA must not be initialised before one.
 */
#ifndef CAIRN_RUN_SPAWN_H
#define CAIRN_RUN_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "cairn/error.h"

typedef struct cairn_spawn {
	const char *const *argv; /* ends with NULL; argv[0] is for `ps` only */
	int fds[4];              /* what the child has as 0, 1, 2 and 3; -1: nothing at 3 */
	bool own_group;          /* a process group of its own: Ctrl-C does not reach it */
} cairn_spawn;

/* The child has no signal blocked and default handlers. Our descriptors stay open. */
CAIRN_MUST int cairn_spawn_self(pid_t *out, const cairn_spawn *how, cairn_error *err);
/* "stage process died of signal 11 (Segmentation fault)", with a hint where one helps. */
void cairn_spawn_death(cairn_error *err, const char *who, int signal);

#endif
