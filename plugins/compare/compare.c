/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c - the descriptor of the compare stage: parameters, ports, functions. */
#include "compare.h"

static const cairn_param params[] = {
	{.name = "title",
		.doc = "Stands over table and plot.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(compare_params, title),
		.fallback = ""},
	{.name = "rows",
		.doc = "Fields of the reports that name a row, separated by commas: `tags.model, "
		       "tags.gamma as gamma`. Empty: each of `values` is a row.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(compare_params, rows),
		.fallback = ""},
	{.name = "columns",
		.doc = "A field whose different values stand side by side.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(compare_params, columns),
		.fallback = ""},
	{.name = "values",
		.doc = "Numbers of the reports that are averaged: `model.loss as held-out loss, "
		       "by_labelers.win_rate as win rate %`. What a label ends with % is shown "
		       "times 100.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(compare_params, values)},
	{.name = "cluster",
		.doc = "A field: reports that share its value are averaged first, and the error is "
		       "that of a mean over these averages. Empty: reports are independent.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(compare_params, cluster),
		.fallback = ""},
	{.name = "error",
		.doc = "What stands after +-: the standard error of the mean, the standard "
		       "deviation, or nothing.",
		.type = CAIRN_PARAM_ENUM,
		.offset = offsetof(compare_params, error),
		.fallback = "stderr",
		.choices = "stderr|deviation|none"},
	{.name = "digits",
		.doc = "Digits after the point; two fewer for percentages.",
		.type = CAIRN_PARAM_INT,
		.offset = offsetof(compare_params, digits),
		.fallback = "3",
		.min = 0,
		.max = 12},
	{.name = "x",
		.doc = "The number on the plot's x axis; empty: no plot. Reports without it become "
		       "level lines.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(compare_params, x),
		.fallback = ""},
	{.name = "series",
		.doc = "The field that tells which line of the plot a report belongs to.",
		.type = CAIRN_PARAM_STRING,
		.offset = offsetof(compare_params, series),
		.fallback = ""},
	{.name = "x_scale",
		.doc = "Of the x axis; even: its values side by side at equal distances.",
		.type = CAIRN_PARAM_ENUM,
		.offset = offsetof(compare_params, x_scale),
		.fallback = "linear",
		.choices = "linear|log|even"},
};

static const cairn_port inputs[] = {
	{.name = "reports",
		.kind = "report",
		.flags = CAIRN_PORT_MANY,
		.doc = "Reports with a report.json; rows and lines stand in their order."},
};

static const cairn_port outputs[] = {
	{.name = "report",
		.kind = "report",
		.doc = "highlight.txt and table.txt (the table), table.json, and plot.svg."},
};

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "compare",
	.summary = "a table and a plot of many reports, with errors over replicas",
	.version = "1",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(compare_params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_REPEAT,
	.run = compare_run,
	.check = compare_check,
};
