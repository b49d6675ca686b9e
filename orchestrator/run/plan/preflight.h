/* SPDX-License-Identifier: Apache-2.0 */
/* preflight.h - what can be known to go wrong, said before anything is computed. */
#ifndef CAIRN_RUN_PREFLIGHT_H
#define CAIRN_RUN_PREFLIGHT_H

#include "run/run.h"

/* Bytes that the stages of a run may use: the machine's memory, or less where this process is
 * in a control group with a limit, or what CAIRN_MEMORY says. 0: not known. */
uint64_t cairn_memory_limit(void);
/* What a stage claims of it: its `memory`, else its estimate; 0: not known. */
uint64_t cairn_memory_claim(const cairn_planned *planned);

/* Refuses a plan with a stage that reads data which are only planned (EWORKFLOW), or, unless
 * `overcommit`, one whose estimate does not fit (ELIMIT). Estimates all that is not cached. */
CAIRN_MUST int cairn_preflight(cairn_plan *plan, bool overcommit, cairn_error *err);

#endif
