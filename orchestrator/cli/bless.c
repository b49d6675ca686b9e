/* SPDX-License-Identifier: Apache-2.0 */
/* bless.c - `cairn bless STAGE`: an earlier result is accepted; without a stage, what was. */
#include "run/plan/bless.h"

#include <string.h>

#include "cli/cli.h"

/* A short id instead of 64 digits. */
static const char *value_text(cli *c, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text)
		return "(none)";
	if (strncmp(text, "sha256:", 7) == 0)
		return cairn_arena_printf(c->arena, "%.12s", text + 7);
	return text[0] ? cli_safe(c, text) : "''";
}

static void print_changes(cli *c, const json_t *blessing)
{
	json_t *change;
	size_t i;

	json_array_foreach(json_object_get(blessing, "changes"), i, change)
		printf("  %s  %s -> %s\n", cli_safe(c, cairn_json_string(change, "name", "?")),
			value_text(c, json_object_get(change, "before")),
			value_text(c, json_object_get(change, "after")));
}

static void print_blessing(cli *c, const json_t *blessing)
{
	const char *name = cli_safe(c, cairn_json_string(blessing, "instance", "?"));
	bool is_revoked = strcmp(cairn_json_string(blessing, "action", ""), "revoke") == 0;

	if (is_revoked)
		printf("%s %s blessed any more: it runs again, because of\n", name,
			c->dry_run ? "would not be" : "is not");
	else
		printf("%s: the result of run %s %s accepted for what changed since\n", name,
			cli_safe(c, cairn_json_string(blessing, "run", "?")),
			c->dry_run ? "would be" : "is");
	if (!c->quiet)
		print_changes(c, blessing);
	if (c->dry_run)
		puts("(nothing was written)");
}

static void tell_wait(void *arg, const char *holder)
{
	cli *c = arg;

	if (!c->quiet)
		fprintf(stderr, "waiting for %s\n", cli_safe(c, holder));
}

/* ---- one stage ------------------------------------------------------------------------------ */

static int bless_stage(cli *c, json_t **out)
{
	const cairn_bless_options options = {
		.action = c->revoke ? CAIRN_BLESS_REVOKE : CAIRN_BLESS,
		.reason = c->reason,
		.is_dry = c->dry_run,
		.no_wait = c->no_wait,
		.waits = tell_wait,
		.arg = c,
	};
	const cairn_instance *instance;
	cairn_error err = {0};
	cli_work work;
	int status = cli_work_open(c, &work, NULL, CLI_WORK_STORE | CLI_WORK_PLAN);

	if (status != CLI_OK)
		return status;
	instance = cairn_workflow_find(work.workflow, c->args[0], &err);
	if (!instance) {
		status = cli_error(c, &err);
		status = status == CLI_USAGE ? CLI_NOT_FOUND : status;
	} else if (cairn_bless(out, work.plan, (size_t)(instance - work.workflow->instances),
			   &options, &err) < 0) {
		status = cli_error(c, &err);
	}
	cli_work_close(&work);
	return status;
}

/* ---- the list ------------------------------------------------------------------------------- */

static void print_list(cli *c, const json_t *list)
{
	cli_table *table = cli_table_new(c, "WHEN|BY|STAGE|WHAT|REASON");
	json_t *one;
	char when[32];
	size_t i;

	json_array_foreach(list, i, one)
	{
		cli_table_row(table);
		cli_table_cell(table, "%s", cli_time(when, cairn_json_integer(one, "ms", 0)));
		cli_table_cell(table, "%s", cairn_json_string(one, "by", "?"));
		cli_table_cell(table, "%s/%s", cairn_json_string(one, "workflow", "?"),
			cairn_json_string(one, "instance", "?"));
		cli_table_cell(table, "%s", cairn_json_string(one, "action", "?"));
		cli_table_cell(table, "%s", cairn_json_string(one, "reason", ""));
	}
	cli_table_print(table, stdout, c->color_out);
}

static int list(cli *c, json_t **out)
{
	cli_reader reader = {0};
	cairn_error err = {0};
	int rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = cairn_bless_list(out, reader.snapshot, &err);
	cli_reader_close(&reader);
	return rc < 0 ? cli_error(c, &err) : CLI_OK;
}

int cli_bless(cli *c)
{
	json_t *answer = NULL, *blessings;
	int status;

	if (!c->n_args && (c->reason || c->revoke))
		return cli_fail(c, CAIRN_EUSAGE, "Write `cairn bless STAGE --reason \"...\"`.",
			"which stage is not said");
	if (c->reason && c->revoke)
		return cli_fail(c, CAIRN_EUSAGE, NULL,
			"'--revoke' takes a blessing back: it has no '--reason'");
	status = c->n_args ? bless_stage(c, &answer) : list(c, &answer);
	if (status != CLI_OK)
		return status;
	if (c->json) {
		blessings = c->n_args ? json_pack("[o]", answer) : answer;
		return cli_print_json(
			json_pack("{s:b, s:o}", "dry_run", (int)c->dry_run, "blessings", blessings),
			"cairn.bless/1");
	}
	if (c->n_args)
		print_blessing(c, answer);
	else
		print_list(c, answer);
	json_decref(answer);
	return CLI_OK;
}
