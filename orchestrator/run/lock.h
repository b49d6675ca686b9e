/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock.h - one run at a time per store: flock on STORE/run.lock.
 *
 * The kernel drops the lock with the process, however it ends: there is no stale lock and
 * no command to remove one. The file holds the holder's pid, for people only. Readers
 * (status, log, ...) take no lock.
 */
#ifndef CAIRN_RUN_LOCK_H
#define CAIRN_RUN_LOCK_H

#include "cairn/error.h"

/* 0: *fd holds the lock until it is closed; 1: somebody has it, named in `holder`. */
CAIRN_MUST int cairn_lock_try(
	int *fd, const char *store_path, char *holder, size_t cap, cairn_error *err);

#endif
