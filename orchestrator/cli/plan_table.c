/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan_table.c - `cairn plan --table gpt3`: the compute of published models, as cairn counts
 * it, beside what was published.
 *
 * Table D.1 of "Language Models are Few-Shot Learners" (arXiv:2005.14165): 2 FLOP per
 * parameter and token forward and 4 backward, so 6ND; of an encoder-decoder (T5) half the
 * parameters see a token, so 3ND. It shows that the petaflop/s-days of a plan are those of the
 * papers. BERT-Large comes to 5.325E+20, which the paper rounds up and printf() down.
 */
#include <string.h>

#include "cli/cli.h"

typedef struct published {
	const char *model;
	double params, tokens;
	int per_param_token;  /* FLOP */
	double flop, pf_days; /* as printed */
} published;

static const published gpt3[] = {
	{"T5-Small", 60e6, 1000e9, 3, 1.80e20, 2.08},
	{"T5-Base", 220e6, 1000e9, 3, 6.60e20, 7.64},
	{"T5-Large", 770e6, 1000e9, 3, 2.31e21, 26.7},
	{"T5-3B", 3000e6, 1000e9, 3, 9.00e21, 104},
	{"T5-11B", 11000e6, 1000e9, 3, 3.30e22, 382},
	{"BERT-Base", 109e6, 250e9, 6, 1.64e20, 1.89},
	{"BERT-Large", 355e6, 250e9, 6, 5.33e20, 6.16},
	{"RoBERTa-Base", 125e6, 2000e9, 6, 1.50e21, 17.4},
	{"RoBERTa-Large", 355e6, 2000e9, 6, 4.26e21, 49.3},
	{"GPT-3 Small", 125e6, 300e9, 6, 2.25e20, 2.60},
	{"GPT-3 Medium", 356e6, 300e9, 6, 6.41e20, 7.42},
	{"GPT-3 Large", 760e6, 300e9, 6, 1.37e21, 15.8},
	{"GPT-3 XL", 1320e6, 300e9, 6, 2.38e21, 27.5},
	{"GPT-3 2.7B", 2650e6, 300e9, 6, 4.77e21, 55.2},
	{"GPT-3 6.7B", 6660e6, 300e9, 6, 1.20e22, 139},
	{"GPT-3 13B", 12850e6, 300e9, 6, 2.31e22, 268},
	{"GPT-3 175B", 174600e6, 300e9, 6, 3.14e23, 3640},
};

static double flop_of(const published *row)
{
	return row->per_param_token * row->params * row->tokens;
}

static int print_json(void)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < CAIRN_COUNT(gpt3); i++)
		json_array_append_new(rows,
			json_pack("{s:s, s:f, s:f, s:i, s:f, s:f, s:f, s:f}", "model",
				gpt3[i].model, "n_params", gpt3[i].params, "tokens", gpt3[i].tokens,
				"flop_per_param_token", gpt3[i].per_param_token, "flop",
				flop_of(&gpt3[i]), "pf_days", flop_of(&gpt3[i]) / CAIRN_PF_DAY,
				"printed_flop", gpt3[i].flop, "printed_pf_days", gpt3[i].pf_days));
	return cli_print_json(
		json_pack("{s:s, s:o}", "table", "gpt3", "rows", rows), "cairn.plan-table/1");
}

int cli_plan_table(cli *c)
{
	cli_table *table;

	if (c->json)
		return print_json();
	table = cli_table_new(
		c, "MODEL|>PARAMS (M)|>TOKENS (B)|>FLOP|>PF-DAYS|>PRINTED FLOP|>PRINTED PF-DAYS");
	for (size_t i = 0; i < CAIRN_COUNT(gpt3); i++) {
		double flop = flop_of(&gpt3[i]);

		cli_table_row(table);
		cli_table_cell(table, "%s", gpt3[i].model);
		cli_table_cell(table, "%.0f", gpt3[i].params / 1e6);
		cli_table_cell(table, "%.0f", gpt3[i].tokens / 1e9);
		cli_table_cell(table, "%.2E", flop);
		cli_table_cell(table, "%.3g", flop / CAIRN_PF_DAY);
		cli_table_cell(table, "%.2E", gpt3[i].flop);
		cli_table_cell(table, "%.3g", gpt3[i].pf_days);
	}
	cli_table_print(table, stdout, c->color_out);
	return CLI_OK;
}
