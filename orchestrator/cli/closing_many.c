/* SPDX-License-Identifier: Apache-2.0 */
/*
 * closing_many.c - the closing table of a run of many stages: rows for what belongs together.
 *
 * The stages of a section (all points of its axes) and a state are a row. Where that are too
 * many rows for a screen, those of a plugin are. Time and compute are what this run spent.
 */
#include <string.h>

#include "cli/cli.h"

#define MOST_ROWS 40

struct group {
	const char *name;
	enum cairn_state state;
	size_t n;
	cli_spent spent;
};

struct groups {
	struct group items[MOST_ROWS];
	size_t n;
};

static struct group *find(struct groups *groups, const char *name, enum cairn_state state)
{
	struct group *group;

	for (size_t i = 0; i < groups->n; i++) {
		group = &groups->items[i];
		if (group->state == state && strcmp(group->name, name) == 0)
			return group;
	}
	if (groups->n == MOST_ROWS)
		return NULL;
	group = &groups->items[groups->n++];
	*group = (struct group){.name = name, .state = state};
	return group;
}

/* False where they are too many. */
static bool collect(
	struct groups *groups, const cairn_plan *plan, const cli_progress *progress, bool by_plugin)
{
	groups->n = 0;
	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_planned *stage = &plan->stages[i];
		const cli_spent *spent = cli_progress_spent(progress, i);
		struct group *group = find(groups,
			by_plugin ? stage->instance->plugin->name : stage->instance->stage,
			stage->state);

		if (!group)
			return false;
		group->n++;
		group->spent.seconds += spent->seconds;
		group->spent.flop += spent->flop;
	}
	return true;
}

void cli_closing_many(cli *c, const cairn_plan *plan, const cli_progress *progress)
{
	struct groups groups;
	bool by_plugin = !collect(&groups, plan, progress, false), is_all = true;
	cli_table *table;
	char a[32];

	if (by_plugin)
		is_all = collect(&groups, plan, progress, true);
	table = cli_table_new(c, by_plugin ? "PLUGIN|STATE|>STAGES|>TIME|>PF-DAYS"
					   : "STAGE|STATE|>STAGES|>TIME|>PF-DAYS");
	for (size_t i = 0; i < groups.n; i++) {
		const struct group *group = &groups.items[i];
		const char *state = cairn_state_name(group->state);

		cli_table_row(table);
		cli_table_cell(table, "%s", group->name);
		cli_table_cell(table, "%s", state);
		cli_table_style(table, cli_state_style(state));
		cli_table_cell(table, "%zu", group->n);
		cli_table_cell(table, "%s", cli_duration(a, group->spent.seconds));
		cli_table_cell(table, "%s", cli_pf_days(a, group->spent.flop));
	}
	cli_table_print(table, stdout, c->color_out);
	printf("%s`cairn status` has every stage.\n", is_all ? "" : "There is more: ");
}
