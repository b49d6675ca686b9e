/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forecast.h - what the rest of a plan will take, by estimates and by what was measured before.
 *
 * FLOP: the plugin's estimate; where it says nothing, what the last result of the stage took. Less
 * what a checkpoint of the same key keeps. Seconds: at the rate of the stage's last result, else of
 * the results of its plugin in this plan. A stage that another of the same key will be
 * cached by counts once.
 */
#ifndef CAIRN_RUN_FORECAST_H
#define CAIRN_RUN_FORECAST_H

#include "run/run.h"

typedef struct cairn_forecast {
	double flop;     /* still to be spent */
	double seconds;  /* < 0: not known */
	bool is_known;   /* flop is more than a guess of nothing */
	bool is_partial; /* flop is too low: something is not known yet */
	bool is_history; /* flop is that of the last result */
	bool is_shared;  /* an earlier stage of the same key will make it: the numbers are 0 */
} cairn_forecast;

typedef struct cairn_forecasts {
	cairn_forecast *of; /* per stage; zeros for those that are cached */
	double flop, seconds;
	bool is_partial, lacks_seconds;   /* some are not known */
	double saved_flop, saved_seconds; /* of cached stages, each key once */
} cairn_forecasts;

/* After cairn_plan_estimate(). */
CAIRN_MUST int cairn_forecast_make(cairn_forecasts *out, const cairn_plan *plan, cairn_error *err);
void cairn_forecast_free(cairn_forecasts *forecasts);
/* The stages that will take most, most first; returns how many, at most cap. */
size_t cairn_forecast_most(
	const cairn_forecasts *forecasts, const cairn_plan *plan, size_t *out, size_t cap);

#endif
