/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - who a process is, so that a record can be told to belong to a dead one.
 *
 * A pid alone may have been given to somebody else, after a reboot or a long time. The
 * boot id and the start time (clock ticks since boot) make it unique on one machine.
 */
#ifndef CAIRN_RUN_PROCESS_H
#define CAIRN_RUN_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/json.h"

/* Puts "pid", "boot_id" and "pid_start" into a record. */
void cairn_process_describe(json_t *record, pid_t pid);
/* Does the process that this record describes still run (zombies do not)? */
bool cairn_process_is_alive(const json_t *record);

#endif
