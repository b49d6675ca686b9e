/* SPDX-License-Identifier: Apache-2.0 */
/* cost.c - `cairn cost`: the ledger as a table. */
#include <string.h>

#include "audit/ledger.h"
#include "cli/cli.h"

/* "-" where nothing was computed, or where nobody knows what could have been. */
static void rate_cells(cli_table *table, const json_t *cost)
{
	double rate = cairn_json_number(cost, "flop_per_second", 0);
	const json_t *mfu = json_object_get(cost, "mfu");
	char text[32];

	if (rate > 0)
		cli_table_cell(table, "%s/s", cli_flop(text, rate));
	else
		cli_table_cell(table, "-");
	if (json_is_number(mfu))
		cli_table_cell(table, "%.3g%%", 100 * json_number_value(mfu));
	else
		cli_table_cell(table, "-");
}

static void cost_cells(cli_table *table, const json_t *cost)
{
	double flop = cairn_json_number(cost, "flop", 0);
	double wasted = cairn_json_number(cost, "wasted_flop", 0);
	char text[32];

	cli_table_cell(table, "%lld", (long long)cairn_json_integer(cost, "attempts", 0));
	cli_table_cell(table, "%s", cli_duration(text, cairn_json_number(cost, "seconds", 0)));
	cli_table_cell(table, "%s", cli_peak(text, cost));
	cli_table_cell(table, "%s", cli_flop(text, cairn_json_number(cost, "real_flop", 0)));
	cli_table_cell(table, "%s", cli_flop(text, flop));
	cli_table_cell(table, "%s", cli_flop(text, cairn_json_number(cost, "kept_flop", 0)));
	cli_table_cell(table, "%s", cli_flop(text, wasted));
	if (wasted > 0)
		cli_table_style(table, CLI_YELLOW);
	cli_table_cell(table, "%s", cli_pf_days(text, flop));
	rate_cells(table, cost);
}

#define COST_COLUMNS "|>TRIES|>TIME|>MEMORY|>REAL|>SPENT|>KEPT|>WASTED|>PF-DAYS|>FLOP/S|>MFU"

/* What stands in place of numbers where nothing was spent; NULL: the numbers. */
static const char *unspent(const json_t *stage)
{
	const char *state = cairn_json_string(stage, "state", "");

	if (cairn_json_integer(stage, "attempts", 0) > 0)
		return NULL;
	if (json_object_get(stage, "blessed"))
		return "blessed";
	return strcmp(state, "skipped") == 0 || strcmp(state, "blocked") == 0 ? state : NULL;
}

static cli_table *by_stage(cli *c, const json_t *cost)
{
	cli_table *table = cli_table_new(c, "STAGE|PLUGIN" COST_COLUMNS);
	json_t *stage;
	size_t i;

	json_array_foreach(json_object_get(cost, "stages"), i, stage)
	{
		const char *same = cairn_json_string(stage, "same_as", NULL);
		const char *word = unspent(stage);

		cli_table_row(table);
		cli_table_cell(table, "%s", cairn_json_string(stage, "instance", "?"));
		cli_table_cell(table, "%s", cairn_json_string(stage, "plugin", "?"));
		if (same)
			cli_table_cell(table, "as %s", same);
		else if (word)
			cli_table_cell(table, "%s", word);
		else
			cost_cells(table, stage);
	}
	cli_table_row(table);
	cli_table_cell(table, "total");
	cli_table_style(table, CLI_BOLD);
	cli_table_cell(table, "%s", "");
	cost_cells(table, json_object_get(cost, "total"));
	return table;
}

static cli_table *by_group(cli *c, const json_t *cost)
{
	cli_table *table = cli_table_new(c, "GROUP" COST_COLUMNS);
	json_t *group;
	size_t i;

	json_array_foreach(json_object_get(cost, "groups"), i, group)
	{
		const char *axis = cairn_json_string(group, "axis", "");
		cli_table_row(table);
		cli_table_cell(table, "%s%s%s", axis, axis[0] ? " = " : "",
			cairn_json_string(group, "value", "?"));
		cost_cells(table, group);
	}
	return table;
}

static cli_table *by_account(cli *c, const json_t *cost)
{
	cli_table *table = cli_table_new(c, "ACCOUNT|>REAL|>SPENT|>PADDING|>PF-DAYS|>SHARE");
	double total = cairn_json_number(json_object_get(cost, "total"), "flop", 0);
	json_t *accounts = json_object_get(cost, "accounts");
	char text[32];

	for (int i = 0; i < CAIRN_ACCOUNTS; i++) {
		json_t *account = json_object_get(accounts, cairn_account_name(i));
		double flop = cairn_json_number(account, "flop", 0);
		double real = cairn_json_number(account, "real_flop", 0);
		if (!account)
			continue;
		cli_table_row(table);
		cli_table_cell(table, "%s", cairn_account_name(i));
		cli_table_cell(table, "%s", cli_flop(text, real));
		cli_table_cell(table, "%s", cli_flop(text, flop));
		cli_table_cell(table, "%.1f%%", flop > 0 ? 100 * (flop - real) / flop : 0);
		cli_table_cell(table, "%s", cli_pf_days(text, flop));
		cli_table_cell(table, "%.1f%%", total > 0 ? 100 * flop / total : 0);
	}
	return table;
}

static void print_cost(cli *c, const json_t *cost, bool is_run)
{
	json_t *pretrain = json_object_get(cost, "pretrain");
	json_t *total = json_object_get(cost, "total");
	cli_table *table = strcmp(c->by, "group") == 0     ? by_group(c, cost)
			   : strcmp(c->by, "account") == 0 ? by_account(c, cost)
							   : by_stage(c, cost);
	char text[32];

	cli_table_print(table, stdout, c->color_out);
	printf("\n%s petaflop/s-days%s", cli_pf_days(text, cairn_json_number(total, "flop", 0)),
		is_run ? "" : ", all ancestors counted once");
	if (is_run)
		printf(", %s of them in this run",
			cli_pf_days(text,
				cairn_json_number(json_object_get(cost, "this_run"), "flop", 0)));
	putchar('\n');
	/* PAPER 2203.02155 section 5.1: 4.9 + 60 petaflop/s-days against 3,640. */
	if (cairn_json_number(pretrain, "after_flop", 0) > 0)
		printf("what follows pretraining cost %.3g%% of it (in the paper: less than 2%%)\n",
			100 * cairn_json_number(pretrain, "ratio", 0));
}

int cli_cost(cli *c)
{
	const char *what = c->n_args ? c->args[0] : NULL;
	cli_reader reader = {0};
	json_t *cost = NULL;
	cairn_run_id run;
	cairn_id id;
	cairn_error err = {0}, other = {0};
	char text[CAIRN_ID_TEXT];
	bool is_run = true;
	int rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = cairn_resolve_run(&run, reader.snapshot, what, &err);
	if (rc == CAIRN_ENOTFOUND && what && reader.snapshot &&
		cairn_resolve_artifact(&id, reader.store, reader.snapshot, what, &other) == 0) {
		is_run = false;
		rc = 0;
	}
	if (rc == 0)
		rc = is_run ? cairn_ledger_run(&cost, reader.snapshot, &run, &err)
			    : cairn_ledger_artifact(&cost, reader.snapshot, &id, &err);
	cli_reader_close(&reader);
	if (rc < 0) {
		if (what && rc == CAIRN_ENOTFOUND && other.code)
			return cli_fail(c, rc, "`cairn log` lists the runs, `cairn ls` the names.",
				"'%.200s' is neither a run nor an artifact", what);
		return cli_error(c, &err);
	}
	if (c->json) {
		if (is_run)
			cairn_run_id_format(&run, text);
		else
			cairn_id_format(&id, text);
		json_object_set_new(cost, is_run ? "run" : "artifact", json_string(text));
		return cli_print_json(cost, "cairn.cost/1");
	}
	print_cost(c, cost, is_run);
	json_decref(cost);
	return CLI_OK;
}
