/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_params.c - each parameter at its limits and beyond them.
 *
 * Beyond, the table must refuse it, so that run() never sees it. At the limits, the plugin's
 * check() must answer: accept, or refuse in words. One child process answers for all values; one
 * that dies has failed, and another takes its place.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "run/check/checkup.h"
#include "run/plugin/describe.h"

#define MAX_TRIES 64 /* of one parameter */

typedef struct tries {
	const char *at_limit[MAX_TRIES], *beyond[MAX_TRIES];
	size_t n_at_limit, n_beyond;
} tries;

static const char *number(const cairn_checkup *c, const cairn_param *param, double value)
{
	char text[32];
	bool is_whole = param->type == CAIRN_PARAM_INT || param->type == CAIRN_PARAM_SIZE;

	if (is_whole && fabs(value) < 9.2e18)
		return cairn_arena_printf(c->arena, "%lld", (long long)value);
	cairn_format_double(value, text);
	return cairn_arena_strdup(c->arena, text);
}

static void add_limits(const cairn_checkup *c, const cairn_param *param, tries *out)
{
	double step = param->type == CAIRN_PARAM_INT || param->type == CAIRN_PARAM_SIZE
			      ? 1
			      : fmax(fabs(param->max), 1);

	if (param->min == 0 && param->max == 0) { /* no limits: what could surprise */
		out->at_limit[out->n_at_limit++] = "0";
		out->at_limit[out->n_at_limit++] = "1";
		if (param->type == CAIRN_PARAM_INT) {
			out->at_limit[out->n_at_limit++] = "-1";
			out->at_limit[out->n_at_limit++] = "9223372036854775807";
		}
		if (param->type == CAIRN_PARAM_REAL)
			out->at_limit[out->n_at_limit++] = "-1e308";
		return;
	}
	out->at_limit[out->n_at_limit++] = number(c, param, param->min);
	out->at_limit[out->n_at_limit++] = number(c, param, param->max);
	/* Where the next number cannot be told from the limit, nothing is beyond it. */
	if (param->min - step < param->min)
		out->beyond[out->n_beyond++] = number(c, param, param->min - step);
	if (param->max + step > param->max && param->max < 9e18)
		out->beyond[out->n_beyond++] = number(c, param, param->max + step);
}

static void add_choices(const cairn_checkup *c, const cairn_param *param, tries *out)
{
	for (const char *at = param->choices; at && *at && out->n_at_limit < MAX_TRIES;) {
		size_t len = strcspn(at, "|");
		out->at_limit[out->n_at_limit++] = cairn_arena_strndup(c->arena, at, len);
		at += len + (at[len] == '|');
	}
	out->beyond[out->n_beyond++] = "none-of-these";
}

static void list_tries(const cairn_checkup *c, const cairn_param *param, tries *out)
{
	*out = (tries){0};
	switch ((enum cairn_param_type)param->type) {
	case CAIRN_PARAM_INT:
	case CAIRN_PARAM_REAL:
	case CAIRN_PARAM_SIZE:
	case CAIRN_PARAM_DURATION:
		add_limits(c, param, out);
		out->beyond[out->n_beyond++] = "many";
		if (param->type == CAIRN_PARAM_REAL && (param->min != 0 || param->max != 0))
			out->beyond[out->n_beyond++] = "nan";
		break;
	case CAIRN_PARAM_BOOL:
		out->at_limit[out->n_at_limit++] = "yes";
		out->at_limit[out->n_at_limit++] = "no";
		out->beyond[out->n_beyond++] = "perhaps";
		break;
	case CAIRN_PARAM_STRING:
		out->at_limit[out->n_at_limit++] = "";
		out->at_limit[out->n_at_limit++] = "%s%n \xc3\xa9 \"'\\";
		break;
	case CAIRN_PARAM_ENUM:
		add_choices(c, param, out);
		break;
	}
}

/* ---- what the table refuses --------------------------------------------------------------- */

static void check_ranges(cairn_checkup *c)
{
	size_t n = 0;

	for (uint64_t i = 0; i < c->info.n_params; i++) {
		const cairn_param *param = &c->info.params[i];
		const char *canonical;
		tries all;
		list_tries(c, param, &all);
		for (size_t k = 0; k < all.n_beyond; k++) {
			if (cairn_param_canonical(
				    param, all.beyond[k], c->arena, &canonical, NULL) == 0) {
				cairn_checkup_say(c, "ranges", CAIRN_FAILED,
					"Give the parameter its .min and .max.", "'%s' takes '%s'",
					param->name, all.beyond[k]);
				return;
			}
			n++;
		}
	}
	cairn_checkup_say(c, "ranges", n ? CAIRN_PASSED : CAIRN_SKIPPED, NULL,
		n ? "%zu values that cannot be are refused" : "no parameter has a range", n);
}

/* ---- what check() says -------------------------------------------------------------------- */

typedef struct examination {
	cairn_checkup *c;
	cairn_describer *describer;
	const char **values; /* canonical; one per parameter */
	bool is_invented;    /* some have no default */
	size_t n_accepted, n_refused;
} examination;

/* The values of the stage, else the defaults, else the first that is in range. */
static bool take_base(examination *e, const cairn_value *given)
{
	cairn_checkup *c = e->c;

	e->values = cairn_arena_alloc(c->arena, c->info.n_params + 1, sizeof(*e->values));
	for (uint64_t i = 0; i < c->info.n_params; i++) {
		const cairn_param *param = &c->info.params[i];
		const char *text = given ? given[i].text : param->fallback;
		tries all;
		if (!text) {
			list_tries(c, param, &all);
			text = all.at_limit[0];
			e->is_invented = true;
		}
		if (cairn_param_canonical(param, text, c->arena, &e->values[i], NULL) < 0)
			return false;
	}
	return true;
}

static json_t *request_of(const examination *e)
{
	json_t *values = json_array();

	for (uint64_t i = 0; i < e->c->info.n_params; i++)
		json_array_append_new(values, cairn_record_text(e->values[i]));
	return json_pack("{s:o, s:[]}", "values", values, "inputs");
}

/* Asks one function of the plugin. Takes over `request`. A child that died is replaced. */
static int ask_child(
	examination *e, const char *action, json_t *request, json_t **answer, cairn_error *err)
{
	int rc = 0;

	if (!e->describer)
		rc = cairn_describer_open(&e->describer, e->c->path, err);
	if (rc == 0)
		rc = cairn_describer_ask(e->describer, answer, action, request, err);
	json_decref(request);
	if (rc == CAIRN_ECRASH || rc == CAIRN_ETIMEOUT || rc == CAIRN_EIO) {
		cairn_describer_close(e->describer);
		e->describer = NULL;
	}
	return rc;
}

/* Asks check(); tells what is wrong with the answer. `what` says which values these are. */
static bool ask(examination *e, const char *what)
{
	cairn_checkup *c = e->c;
	json_t *answer = NULL;
	cairn_error err = {0};
	int rc = ask_child(e, "check", request_of(e), &answer, &err);

	json_decref(answer);
	e->n_accepted += rc == 0;
	e->n_refused += rc < 0;
	if (!e->describer) {
		cairn_checkup_say(c, "check", CAIRN_FAILED,
			"check() must answer at once for every value that the table allows.",
			"with %s: %s", what, err.message);
		return false;
	}
	/* describe_main.c says so for a check() that fills no error. */
	if (rc < 0 && strstr(err.message, "without a word")) {
		cairn_checkup_say(c, "check", CAIRN_FAILED,
			"Fill the error that check() is given: a person has to read it.",
			"with %s: %s", what, err.message);
		return false;
	}
	return true;
}

static bool try_all(examination *e)
{
	cairn_checkup *c = e->c;

	for (uint64_t i = 0; i < c->info.n_params; i++) {
		const cairn_param *param = &c->info.params[i];
		const char *before = e->values[i];
		tries all;
		list_tries(c, param, &all);
		for (size_t k = 0; k < all.n_at_limit; k++) {
			const char *what = cairn_arena_printf(
				c->arena, "%s = '%s'", param->name, all.at_limit[k]);
			if (cairn_param_canonical(
				    param, all.at_limit[k], c->arena, &e->values[i], NULL) < 0)
				continue;
			if (!ask(e, what))
				return false;
		}
		e->values[i] = before;
	}
	return true;
}

static void check_check(examination *e, const cairn_value *given)
{
	cairn_checkup *c = e->c;
	const char *whose = given ? "the values of the stage" : "its own defaults";

	if (!c->info.has_check || c->info.n_params == 0) {
		cairn_checkup_say(c, "check", CAIRN_SKIPPED, NULL,
			"it has no check(): every value in range is good on its own");
		return;
	}
	if (!ask(e, whose))
		return;
	if (e->n_refused && !e->is_invented)
		cairn_checkup_say(c, "check", given ? CAIRN_FAILED : CAIRN_WARNED,
			"Defaults should be a set that works.", "it refuses %s", whose);
	else if (try_all(e))
		cairn_checkup_say(c, "check", CAIRN_PASSED, NULL,
			"at their limits %zu values are accepted, %zu refused in words",
			e->n_accepted, e->n_refused);
}

/* Inputs of which nothing is known: as when the whole programme is still to be run. */
static void check_estimate(examination *e)
{
	cairn_checkup *c = e->c;
	json_t *request = request_of(e), *inputs = json_object_get(request, "inputs");
	json_t *answer = NULL;
	cairn_error err = {0};
	int rc;

	for (uint64_t i = 0; i < c->info.n_inputs; i++)
		json_array_append_new(inputs, json_pack("{s:s, s:n, s:i}", "port",
						      c->info.inputs[i].name, "meta", "bytes", 0));
	rc = ask_child(e, "estimate", request, &answer, &err);
	if (rc < 0)
		cairn_checkup_say(c, "foresight", CAIRN_FAILED,
			"With nothing known, estimate() sets .is_partial and returns 0.",
			"estimate(), while no input exists: %s", err.message);
	else
		cairn_checkup_say(c, "foresight", CAIRN_PASSED, NULL,
			"estimate() answers while no input exists");
	json_decref(answer);
}

void cairn_checkup_params(cairn_checkup *c, const cairn_value *given)
{
	examination e = {.c = c};

	check_ranges(c);
	if (!take_base(&e, given)) {
		cairn_checkup_say(
			c, "check", CAIRN_SKIPPED, NULL, "no value is in range to begin with");
		return;
	}
	check_check(&e, given);
	if (c->info.has_estimate)
		check_estimate(&e);
	else
		cairn_checkup_say(c, "foresight", CAIRN_SKIPPED,
			"With an estimate(), `cairn plan` knows the cost before anything exists.",
			"it has no estimate()");
	cairn_describer_close(e.describer);
}
