/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget.h - `--max-cost`: what a run may spend, in FLOP.
 *
 * Refused before anything begins where the forecast is above it. What a forecast does not know,
 * the run finds out: a stage is not started when it would pass the limit with what was spent
 * and what is running, and when the meters pass it, running stages are asked for a
 * checkpoint. Either way a later run goes on from there.
 */
#ifndef CAIRN_RUN_BUDGET_H
#define CAIRN_RUN_BUDGET_H

#include "run/runner.h"

/* EUSAGE where the plan would take more than `limit`; names what takes most. After
 * cairn_plan_estimate(). */
CAIRN_MUST int cairn_budget_check(const cairn_plan *plan, double limit, cairn_error *err);
/* May stage i start? If not, it is stopped, and what needs it blocked. A run without a limit may
 * all. */
bool cairn_budget_allows(cairn_runner *runner, size_t i);
/* Asks the running stages for a checkpoint once more was spent than allowed. */
void cairn_budget_watch(cairn_runner *runner);

#endif
