/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - `cairn explain STAGE`: the components of the last result beside today's.
 *
 * A key is a hash; what a person wants to know is which of the values behind it differs.
 */
#include <string.h>

#include "cli/cli.h"

typedef struct answer {
	const cairn_planned *stage;
	const json_t *result; /* of a stage that is up to date */
	json_t *last;         /* the last result of this instance; NULL: there was none */
	cairn_key last_key;
	json_t *today;   /* components by name; NULL while inputs are unknown */
	json_t *changes; /* cairn_report_changes */
	json_t *waits_for;
	bool is_up_to_date;
} answer;

static json_t *components_json(cli *c, const cairn_plan *plan, size_t i)
{
	const cairn_component *components;
	size_t n = cairn_plan_components(plan, i, &components, c->arena);
	json_t *json = json_object();

	for (size_t k = 0; k < n; k++)
		json_object_set_new(
			json, components[k].name, cairn_record_text(components[k].value));
	return json;
}

static json_t *unknown_inputs(const cairn_plan *plan, size_t i)
{
	const cairn_instance *instance = plan->stages[i].instance;
	json_t *json = json_array();

	for (size_t b = 0; b < instance->n_bindings; b++) {
		if (!cairn_plan_input(plan, i, b))
			json_array_append_new(json, cairn_record_text(instance->bindings[b].text));
	}
	return json;
}

static int find_last(answer *a, const cli_work *work, cairn_error *err)
{
	cairn_snapshot *snapshot = NULL;
	int rc = cairn_snapshot_begin(&snapshot, work->store, err);

	if (rc < 0)
		return rc;
	rc = cairn_report_last_result(&a->last, &a->last_key, snapshot, work->workflow->name,
		a->stage->instance->name, err);
	cairn_snapshot_end(snapshot);
	return rc == CAIRN_ENOTFOUND ? 0 : rc;
}

/* A short id instead of 64 digits; nothing else is cut. */
static const char *value_text(cli *c, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text)
		return "(none)";
	if (strncmp(text, "sha256:", 7) == 0)
		return cairn_arena_printf(c->arena, "%.12s", text + 7);
	return text[0] ? cli_safe(c, text) : "''";
}

static void print_answer(cli *c, const answer *a)
{
	const char *name = a->stage->instance->name;
	json_t *change, *input;
	char text[32];
	size_t i;

	if (a->is_up_to_date)
		printf("%s is up to date: every component is as in the result of run %s (%s)\n",
			name, cli_safe(c, cairn_json_string(a->result, "run", "?")),
			cli_time(text, cairn_json_integer(a->result, "end_ms", 0)));
	else if (!a->today)
		printf("%s runs after its inputs are known\n", name);
	else
		printf("%s runs: %s\n", name, cli_safe(c, a->stage->reason));
	json_array_foreach(a->waits_for, i, input)
		printf("  waits for %s\n", cli_safe(c, json_string_value(input)));
	if (!a->last && !a->is_up_to_date)
		printf("  there is no earlier result of this stage to compare with\n");
	json_array_foreach(a->changes, i, change)
		printf("  %s%s%s  %s -> %s\n", cli_style(c->color_out, CLI_BOLD),
			cli_safe(c, cairn_json_string(change, "name", "?")),
			cli_style(c->color_out, CLI_PLAIN),
			value_text(c, json_object_get(change, "before")),
			value_text(c, json_object_get(change, "after")));
	if (c->verbose && a->today) {
		const char *key;
		json_t *value;
		printf("components of today:\n");
		json_object_foreach(a->today, key, value)
			printf("  %s = %s\n", cli_safe(c, key), value_text(c, value));
	}
}

static json_t *answer_json(const answer *a)
{
	char key[CAIRN_KEY_TEXT], last_key[CAIRN_KEY_TEXT];

	cairn_key_format(&a->stage->key, key);
	cairn_key_format(&a->last_key, last_key);
	return json_pack("{s:s, s:s, s:s, s:o, s:b, s:o, s:O, s:O, s:o, s:o}", "instance",
		a->stage->instance->name, "plugin", a->stage->instance->plugin->name, "state",
		cairn_state_name(a->stage->state), "key",
		a->stage->has_key ? json_string(key) : json_null(), "up_to_date", a->is_up_to_date,
		"reason", cairn_record_text(a->stage->reason), "changes", a->changes, "waits_for",
		a->waits_for, "components", a->today ? json_incref(a->today) : json_null(),
		"last_key", a->last ? json_string(last_key) : json_null());
}

int cli_explain(cli *c)
{
	cli_work work;
	answer a = {0};
	const cairn_instance *instance;
	cairn_error err = {0};
	size_t i;
	int status =
		cli_work_open(c, &work, NULL, CLI_WORK_STORE | CLI_WORK_CREATE | CLI_WORK_PLAN);

	if (status != CLI_OK)
		return status;
	instance = cairn_workflow_find(work.workflow, c->args[0], &err);
	if (!instance) {
		status = cli_error(c, &err);
		cli_work_close(&work);
		/* The word is from the command line, whatever the code of the planner's error. */
		return status == CLI_USAGE ? CLI_NOT_FOUND : status;
	}
	i = (size_t)(instance - work.workflow->instances);
	a.stage = &work.plan->stages[i];
	a.result = cairn_plan_result(work.plan, i);
	a.is_up_to_date = a.stage->state == CAIRN_STATE_CACHED;
	if (find_last(&a, &work, &err) < 0) {
		status = cli_error(c, &err);
	} else {
		json_t *before = json_object_get(a.last, "components");
		a.today = a.stage->has_key ? components_json(c, work.plan, i) : NULL;
		a.waits_for = unknown_inputs(work.plan, i);
		a.changes =
			before && a.today ? cairn_report_changes(before, a.today) : json_array();
		if (c->json)
			status = cli_print_json(answer_json(&a), "cairn.explain/1");
		else
			print_answer(c, &a);
	}
	if (status == CLI_OK && c->exit_code && !a.is_up_to_date)
		status = CLI_FAILED;
	json_decref(a.last);
	json_decref(a.today);
	json_decref(a.waits_for);
	json_decref(a.changes);
	cli_work_close(&work);
	return status;
}
