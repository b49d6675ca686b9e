/* SPDX-License-Identifier: Apache-2.0 */
/* forecast.c - estimates and history, as one account of what is to come. */
#include "run/plan/forecast.h"

#include <string.h>

#include "audit/report.h"
#include "base/alloc.h"

/* What was measured of a plugin: FLOP and the seconds they took. */
struct rate {
	const cairn_plugin_info *plugin;
	double flop, seconds;
};

typedef struct forecasting {
	const cairn_plan *plan;
	cairn_snapshot *snapshot;
	cairn_forecasts *out;
	json_t **last; /* per stage that is not cached: its last result, or NULL */
	struct rate *rates;
	size_t n_rates;
} forecasting;

static double flop_of(const json_t *record)
{
	const json_t *array = json_object_get(record, "flop");
	double sum = 0;

	for (size_t a = 0; a < json_array_size(array); a++)
		sum += json_number_value(json_array_get(array, a));
	return sum;
}

/* At most one per plugin, and few plugins: the list is short. */
static struct rate *rate_of(forecasting *f, const cairn_plugin_info *plugin)
{
	for (size_t r = 0; r < f->n_rates; r++) {
		if (strcmp(f->rates[r].plugin->name, plugin->name) == 0)
			return &f->rates[r];
	}
	f->rates[f->n_rates] = (struct rate){.plugin = plugin};
	return &f->rates[f->n_rates++];
}

static void learn(forecasting *f, size_t i, double flop, double seconds)
{
	struct rate *rate = rate_of(f, f->plan->stages[i].instance->plugin);

	if (flop > 0 && seconds > 0) {
		rate->flop += flop;
		rate->seconds += seconds;
	}
}

/* ---- keys that several stages have ------------------------------------------------------------
 */

struct keyed {
	const cairn_key *key;
	size_t stage;
};

static int by_key(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	int order = memcmp(x->key, y->key, sizeof(*x->key));

	return order ? order : (x->stage > y->stage) - (x->stage < y->stage);
}

/* Marks all but the first stage of each key. */
static int mark_shared(forecasting *f, cairn_error *err)
{
	const cairn_plan *plan = f->plan;
	struct keyed *list = cairn_alloc(plan->n_stages + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a forecast");
	for (size_t i = 0; i < plan->n_stages; i++) {
		if (plan->stages[i].has_key)
			list[n++] = (struct keyed){&plan->stages[i].key, i};
	}
	qsort(list, n, sizeof(*list), by_key);
	for (size_t k = 1; k < n; k++) {
		if (memcmp(list[k].key, list[k - 1].key, sizeof(*list[k].key)) == 0)
			f->out->of[list[k].stage].is_shared = true;
	}
	free(list);
	return 0;
}

/* ---- one stage --------------------------------------------------------------------------------
 */

static void add_cached(forecasting *f, size_t i)
{
	const cairn_planned *planned = &f->plan->stages[i];

	learn(f, i, planned->flop, planned->seconds);
	if (f->out->of[i].is_shared)
		return;
	f->out->saved_flop += planned->flop;
	f->out->saved_seconds += planned->seconds;
}

static int find_last(forecasting *f, size_t i, cairn_error *err)
{
	cairn_key key;
	int rc = cairn_report_last_result(&f->last[i], &key, f->snapshot, f->plan->workflow->name,
		f->plan->stages[i].instance->name, err);

	/* That of another plugin says nothing about this one. */
	if (rc == 0 && strcmp(cairn_json_string(f->last[i], "plugin", ""),
			       f->plan->stages[i].instance->plugin->name) != 0) {
		json_decref(f->last[i]);
		f->last[i] = NULL;
	}
	if (f->last[i])
		learn(f, i, flop_of(f->last[i]), cairn_json_number(f->last[i], "seconds", 0));
	return rc == CAIRN_ENOTFOUND ? 0 : rc;
}

/* What a checkpoint keeps need not be done again. */
static double kept_flop(forecasting *f, size_t i)
{
	json_t *checkpoint = NULL;
	double flop = 0;

	if (f->plan->stages[i].has_key && cairn_record_newest_checkpoint(&checkpoint, f->snapshot,
						  &f->plan->stages[i].key, NULL) == 0)
		flop = flop_of(checkpoint);
	json_decref(checkpoint);
	return flop;
}

static void add_open(forecasting *f, size_t i)
{
	const cairn_planned_cost *cost = f->plan->stages[i].cost;
	const struct rate *rate = rate_of(f, f->plan->stages[i].instance->plugin);
	const json_t *last = f->last[i];
	double past = flop_of(last), seconds = cairn_json_number(last, "seconds", 0), all;
	cairn_forecast *of = &f->out->of[i];

	of->seconds = -1;
	if (cost) {
		all = cost->flop;
		of->is_partial = cost->is_partial;
	} else {
		all = past;
		of->is_history = last != NULL;
		of->is_partial = !last && f->plan->stages[i].instance->plugin->has_estimate;
	}
	of->is_known = cost ? !(cost->is_partial && cost->flop <= 0) : last != NULL;
	if (of->is_shared)
		return;
	of->flop = all - kept_flop(f, i);
	of->flop = of->flop > 0 ? of->flop : 0;
	if (all > 0 && past > 0 && seconds > 0)
		of->seconds = of->flop * (seconds / past);
	else if (all > 0 && rate->flop > 0)
		of->seconds = of->flop * (rate->seconds / rate->flop);
	else if (all <= 0 && last)
		of->seconds = seconds;
}

static int forecast_all(forecasting *f, cairn_error *err)
{
	const cairn_plan *plan = f->plan;
	int rc = mark_shared(f, err);

	for (size_t i = 0; i < plan->n_stages && rc == 0; i++) {
		if (plan->stages[i].state == CAIRN_STATE_CACHED)
			add_cached(f, i);
		else
			rc = find_last(f, i, err);
	}
	for (size_t i = 0; i < plan->n_stages && rc == 0; i++) {
		cairn_forecast *of = &f->out->of[i];
		if (plan->stages[i].state == CAIRN_STATE_CACHED ||
			plan->stages[i].state == CAIRN_STATE_SKIPPED)
			continue;
		add_open(f, i);
		f->out->flop += of->flop;
		f->out->seconds += of->seconds > 0 ? of->seconds : 0;
		f->out->is_partial |= of->is_partial && !of->is_shared;
		f->out->lacks_seconds |= of->seconds < 0 && !of->is_shared;
	}
	return rc;
}

int cairn_forecast_make(cairn_forecasts *out, const cairn_plan *plan, cairn_error *err)
{
	forecasting f = {.plan = plan, .out = out};
	size_t n = plan->n_stages + 1;
	int rc;

	*out = (cairn_forecasts){.of = cairn_alloc(n, sizeof(*out->of))};
	f.last = cairn_alloc(n, sizeof(*f.last));
	f.rates = cairn_alloc(n, sizeof(*f.rates));
	rc = out->of && f.last && f.rates
		     ? cairn_snapshot_begin(&f.snapshot, plan->store, err)
		     : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a forecast");
	if (rc == 0) {
		rc = forecast_all(&f, err);
		cairn_snapshot_end(f.snapshot);
	}
	for (size_t i = 0; f.last && i < plan->n_stages; i++)
		json_decref(f.last[i]);
	free(f.last);
	free(f.rates);
	if (rc < 0)
		cairn_forecast_free(out);
	return rc;
}

void cairn_forecast_free(cairn_forecasts *forecasts)
{
	free(forecasts->of);
	*forecasts = (cairn_forecasts){0};
}

size_t cairn_forecast_most(
	const cairn_forecasts *forecasts, const cairn_plan *plan, size_t *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_stages; i++) {
		size_t at = n;
		if (forecasts->of[i].flop <= 0)
			continue;
		while (at > 0 && forecasts->of[out[at - 1]].flop < forecasts->of[i].flop)
			at--;
		if (at == cap)
			continue;
		n += n < cap;
		memmove(out + at + 1, out + at, (n - 1 - at) * sizeof(*out));
		out[at] = i;
	}
	return n;
}
