/* SPDX-License-Identifier: Apache-2.0 */
/*
 * surroundings.h - what a run() must leave as it found it, and what if it does not.
 *
 * The host goes on in the same process: it commits outputs, and where the plugin may repeat, it
 * runs the next stage. A rounding mode left behind would change the next stage's bits, a umask
 * would make segments that nobody can read, a working directory would move the store. What can be
 * put back is put back; and a process in which anything was found changed, or where a thread or
 * a child is left, takes no other stage.
 */
#ifndef CAIRN_RUN_SURROUNDINGS_H
#define CAIRN_RUN_SURROUNDINGS_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define CAIRN_SIGNALS 65

typedef struct cairn_surroundings {
	char directory[PATH_MAX];
	char locale[128];
	mode_t umask;
	sigset_t blocked;
	struct sigaction actions[CAIRN_SIGNALS];
	struct rlimit limits[RLIM_NLIMITS];
	uint64_t environment; /* a digest of it */
	uint64_t arithmetic;  /* rounding, and what happens to small numbers */
	uint64_t n_threads;
} cairn_surroundings;

void cairn_surroundings_take(cairn_surroundings *out);
/* Puts back what can be, and answers what was not as before: "the umask", or NULL. */
const char *cairn_surroundings_restore(const cairn_surroundings *before);
/* Is a thread left that is not the store's? Not to be asked while a compute backend has some. */
bool cairn_surroundings_has_thread(const cairn_surroundings *before);

#endif
