/* SPDX-License-Identifier: Apache-2.0 */
/* quiet.h - a child process that reads what may be damaged: its crash is an answer. */
#ifndef CAIRN_BASE_QUIET_H
#define CAIRN_BASE_QUIET_H

/* From now on nobody catches a crash of this process, keeps a core of it, or reads LMDB's last
 * words on standard error. */
void cairn_die_quietly(void);

#endif
