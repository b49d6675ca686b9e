/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - `cairn explain STAGE`: today's components beside those of the last result;
 * `cairn explain RUN STAGE`: those of a past run beside those of the result before it.
 *
 * A key is a hash; what a person wants to know is which of the values behind it differs, and in
 * which stage the difference began.
 */
#include "audit/explain.h"

#include <string.h>

#include "audit/difference.h"
#include "audit/numerics.h"
#include "cli/cli.h"
#include "run/plan/explain.h"

#define CAUSES_SHOWN 12

/* A short id instead of 64 digits; nothing else is cut. */
static const char *value_text(cli *c, const json_t *value, const char *none)
{
	const char *text = json_string_value(value);

	if (!text)
		return none;
	if (strncmp(text, "sha256:", 7) == 0)
		return cairn_arena_printf(c->arena, "%.12s", text + 7);
	return text[0] ? cli_safe(c, text) : "''";
}

/* "input.demos.0" is "input.demos" to a person, unless the port takes several. */
static const char *name_text(cli *c, const json_t *components, const char *name)
{
	size_t len = strlen(name);
	char *second = cairn_arena_strdup(c->arena, name);

	if (strncmp(name, "input.", 6) != 0 || len < 3 || strcmp(name + len - 2, ".0") != 0)
		return cli_safe(c, name);
	second[len - 1] = '1';
	if (json_object_get(components, second))
		return cli_safe(c, name);
	second[len - 2] = '\0';
	return cli_safe(c, second);
}

/* ---- for people --------------------------------------------------------------------------- */

static void print_head(cli *c, const json_t *a)
{
	const char *name = cli_safe(c, cairn_json_string(a, "instance", "?"));
	const char *state = cairn_json_string(a, "state", "?");
	const json_t *last = json_object_get(a, "last"), *blessed = json_object_get(a, "blessed");
	bool is_past = cairn_json_string(a, "run", NULL) != NULL;
	char when[32];

	if (json_is_true(json_object_get(a, "up_to_date")) && json_is_object(blessed))
		printf("%s %s: the result of run %s was accepted for it by %s on %s: %s\n", name,
			is_past ? "did not run" : "is up to date",
			cli_safe(c, cairn_json_string(last, "run", "?")),
			cli_safe(c, cairn_json_string(blessed, "by", "?")),
			cli_time(when, cairn_json_integer(blessed, "ms", 0)),
			cli_safe(c, cairn_json_string(blessed, "reason", "?")));
	else if (json_is_true(json_object_get(a, "up_to_date")))
		printf("%s %s: every component is as in the result of run %s (%s)\n", name,
			is_past ? "did not run" : "is up to date",
			cli_safe(c, cairn_json_string(last, "run", "?")),
			cli_time(when, cairn_json_integer(last, "end_ms", 0)));
	else if (is_past)
		printf("%s, %s in run %s: %s\n", name, cli_safe(c, state),
			cli_safe(c, cairn_json_string(a, "run", "?")),
			cli_safe(c, cairn_json_string(a, "reason", "?")));
	else if (strcmp(state, "skipped") == 0 || strcmp(state, "blocked") == 0)
		printf("%s is %s: %s\n", name, state,
			cli_safe(c, cairn_json_string(a, "reason", "?")));
	else if (json_is_null(json_object_get(a, "key")) &&
		 !json_array_size(json_object_get(a, "waits_for"))) /* for a condition */
		printf("%s %s\n", name, cli_safe(c, cairn_json_string(a, "reason", "?")));
	else if (json_is_null(json_object_get(a, "key")))
		printf("%s runs after its inputs are known\n", name);
	else if (json_array_size(json_object_get(a, "changes")))
		printf("%s runs: changed since run %s (%s)\n", name,
			cli_safe(c, cairn_json_string(last, "run", "?")),
			cli_time(when, cairn_json_integer(last, "end_ms", 0)));
	else
		printf("%s runs: %s\n", name, cli_safe(c, cairn_json_string(a, "reason", "?")));
}

/* The names of numeric classes tell a person little. */
static void print_numerics(cli *c, const json_t *change)
{
	cairn_text text = {0};

	if (strcmp(cairn_json_string(change, "name", ""), "numerics") != 0)
		return;
	cairn_numerics_change(&text, cairn_json_string(change, "before", NULL),
		cairn_json_string(change, "after", NULL));
	if (text.len)
		printf(" (%s: other arithmetic, so no result of the one stands for the other)",
			cli_safe(c, cairn_text_get(&text)));
	cairn_text_free(&text);
}

static void print_difference(cli *c, const json_t *change)
{
	const json_t *difference = json_object_get(change, "difference");
	cairn_text text = {0};

	print_numerics(c, change);
	if (!difference)
		return;
	cairn_difference_text(&text, difference);
	printf(" (%s)", cli_safe(c, cairn_text_get(&text)));
	cairn_text_free(&text);
}

static void print_changes(cli *c, const json_t *a)
{
	json_t *change;
	size_t i;

	json_array_foreach(json_object_get(a, "changes"), i, change)
	{
		const char *source = cairn_json_string(change, "source", "");
		printf("  %s%s%s  %s -> %s", cli_style(c->color_out, CLI_BOLD),
			name_text(c, json_object_get(a, "components"),
				cairn_json_string(change, "name", "?")),
			cli_style(c->color_out, CLI_PLAIN),
			value_text(c, json_object_get(change, "before"), "(none)"),
			value_text(c, json_object_get(change, "after"),
				source[0] && json_array_size(json_object_get(a, "waits_for"))
					? "(not known yet)"
					: "(none)"));
		print_difference(c, change);
		if (source[0])
			printf(", %s", cli_safe(c, source));
		putchar('\n');
	}
}

static void print_via(cli *c, const json_t *cause)
{
	json_t *via = json_object_get(cause, "via"), *name;
	size_t i;

	json_array_foreach(via, i, name)
		printf("%s%s", i ? ", " : "; through ", cli_safe(c, json_string_value(name)));
}

static void print_causes(cli *c, const json_t *a)
{
	json_t *causes = json_object_get(a, "causes"), *cause;
	size_t i;

	json_array_foreach(causes, i, cause)
	{
		const char *reason = cairn_json_string(cause, "reason", NULL);
		if (i == CAUSES_SHOWN) {
			printf("  and %zu more causes: --json has them\n",
				json_array_size(causes) - i);
			break;
		}
		printf("  because %s%s%s: ", cli_style(c->color_out, CLI_BLUE),
			cli_safe(c, cairn_json_string(cause, "instance", "?")),
			cli_style(c->color_out, CLI_PLAIN));
		if (reason)
			printf("%s", cli_safe(c, reason));
		else
			printf("%s  %s -> %s",
				name_text(c, NULL, cairn_json_string(cause, "name", "?")),
				value_text(c, json_object_get(cause, "before"), "(none)"),
				value_text(c, json_object_get(cause, "after"), "(none)"));
		print_difference(c, cause);
		print_via(c, cause);
		putchar('\n');
	}
}

static void print_attempt(cli *c, const json_t *attempt)
{
	const char *message = cairn_json_string(json_object_get(attempt, "error"), "message", NULL);
	char when[32];

	if (!json_is_object(attempt))
		return;
	printf("  its attempt %lld %s (%s)%s%s\n",
		(long long)cairn_json_integer(attempt, "attempt", 0),
		cli_safe(c, cairn_json_string(attempt, "state", "?")),
		cli_time(when, cairn_json_integer(attempt, "end_ms", 0)), message ? ": " : "",
		message ? cli_safe(c, message) : "");
}

static void print_answer(cli *c, const json_t *a)
{
	const json_t *components = json_object_get(a, "components");
	bool is_up_to_date = json_is_true(json_object_get(a, "up_to_date"));
	const char *name;
	json_t *value, *waits_for = NULL;
	size_t i;

	print_head(c, a);
	print_changes(c, a);
	/* With an earlier result they are among the changes. */
	if (json_is_null(json_object_get(a, "last")))
		waits_for = json_object_get(a, "waits_for");
	json_array_foreach(waits_for, i, value)
		printf("  waits for %s\n", cli_safe(c, json_string_value(value)));
	print_causes(c, a);
	print_attempt(c, json_object_get(a, "last_attempt"));
	if (!is_up_to_date && json_is_null(json_object_get(a, "last")))
		puts("  there is no earlier result of this stage to compare with");
	if (c->verbose && json_is_object(components)) {
		printf("components %s:\n", cairn_json_string(a, "run", NULL) ? "then" : "of today");
		json_object_foreach((json_t *)components, name, value) printf("  %s = %s\n",
			name_text(c, components, name), value_text(c, value, "(none)"));
	}
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int explain_past(cli *c, json_t **out)
{
	cli_reader reader = {0};
	cairn_run_id run;
	cairn_error err = {0};
	int rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = cairn_resolve_run(&run, reader.snapshot, c->args[0], &err);
	if (rc == 0)
		rc = cairn_explain_past(out, reader.store, reader.snapshot, &run, c->args[1], &err);
	cli_reader_close(&reader);
	return rc < 0 ? cli_error(c, &err) : CLI_OK;
}

static int explain_today(cli *c, json_t **out)
{
	const cairn_instance *instance;
	cairn_error err = {0};
	cli_work work;
	int status =
		cli_work_open(c, &work, NULL, CLI_WORK_STORE | CLI_WORK_CREATE | CLI_WORK_PLAN);

	if (status != CLI_OK)
		return status;
	instance = cairn_workflow_find(work.workflow, c->args[0], &err);
	if (!instance) {
		status = cli_error(c, &err);
		/* The word is from the command line, whatever the code of the planner's error. */
		status = status == CLI_USAGE ? CLI_NOT_FOUND : status;
	} else if (cairn_plan_explain(out, work.plan, (size_t)(instance - work.workflow->instances),
			   &err) < 0) {
		status = cli_error(c, &err);
	}
	cli_work_close(&work);
	return status;
}

int cli_explain(cli *c)
{
	json_t *answer = NULL;
	int status = c->n_args == 2 ? explain_past(c, &answer) : explain_today(c, &answer);
	bool is_up_to_date = json_is_true(json_object_get(answer, "up_to_date"));

	if (status != CLI_OK)
		return status;
	if (c->json)
		status = cli_print_json(json_incref(answer), "cairn.explain/1");
	else
		print_answer(c, answer);
	json_decref(answer);
	return status == CLI_OK && c->exit_code && !is_up_to_date ? CLI_FAILED : status;
}
