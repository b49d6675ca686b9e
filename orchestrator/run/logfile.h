/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfile.h - an attempt's log does not fill the disk.
 *
 * The log is the stage's own stdout and stderr, so nobody can stop what goes in. Once it is larger
 * than CAIRN_LOG_MAX_BYTES its middle is taken out: how it began and what was said last stay, and a
 * line says how much was left out. Lines that come at that very moment may be lost, too.
 */
#ifndef CAIRN_RUN_LOGFILE_H
#define CAIRN_RUN_LOGFILE_H

#include <stdint.h>

#define CAIRN_LOG_MAX_BYTES  (64 << 20)
#define CAIRN_LOG_HEAD_BYTES (16 << 20)
#define CAIRN_LOG_TAIL_BYTES (16 << 20)

/* *n_cut: bytes left out so far, 0 at first. Whatever goes wrong leaves the log as it is. */
void cairn_log_trim(const char *path, uint64_t *n_cut);

#endif
