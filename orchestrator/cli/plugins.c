/* SPDX-License-Identifier: Apache-2.0 */
/* plugins.c - `cairn plugins`: what is there, and what each takes and gives. */
#include <string.h>

#include "cli/cli.h"

static const char *type_name(uint32_t type)
{
	static const char *const names[] = {
		"?", "int", "real", "bool", "string", "enum", "size", "duration"};

	return names[type < CAIRN_COUNT(names) ? type : 0];
}

static void print_ports(cli *c, const char *title, const cairn_port *ports, uint64_t n)
{
	cli_table *table = cli_table_new(c, "  NAME|KIND|HOW MANY|MEANING");

	if (n == 0)
		return;
	printf("\n%s\n", title);
	for (uint64_t i = 0; i < n; i++) {
		bool many = ports[i].flags & CAIRN_PORT_MANY;
		bool optional = ports[i].flags & CAIRN_PORT_OPTIONAL;
		cli_table_row(table);
		cli_table_cell(table, "  %s", ports[i].name);
		cli_table_cell(table, "%s", ports[i].kind);
		cli_table_cell(table, "%s",
			many       ? optional ? "any number" : "one or more"
			: optional ? "optional"
				   : "one");
		cli_table_cell(table, "%s", ports[i].doc ? ports[i].doc : "");
	}
	cli_table_print(table, stdout, c->color_out);
}

static const char *range_of(cli *c, const cairn_param *param)
{
	char least[32], most[32];

	if (param->type == CAIRN_PARAM_ENUM)
		return param->choices ? param->choices : "";
	if (param->min == 0 && param->max == 0)
		return "";
	cairn_format_double(param->min, least);
	cairn_format_double(param->max, most);
	return cairn_arena_printf(c->arena, "%s..%s", least, most);
}

static void print_params(cli *c, const cairn_plugin_info *info)
{
	cli_table *table = cli_table_new(c, "  NAME|TYPE|DEFAULT|RANGE|UNIT|MEANING");

	if (info->n_params == 0)
		return;
	printf("\nparameters (* does not affect the result)\n");
	for (uint64_t i = 0; i < info->n_params; i++) {
		const cairn_param *param = &info->params[i];
		cli_table_row(table);
		cli_table_cell(table, "  %s%s", param->name,
			param->flags & CAIRN_PARAM_NEUTRAL ? "*" : "");
		cli_table_cell(table, "%s", type_name(param->type));
		cli_table_cell(table, "%s", param->fallback ? param->fallback : "(required)");
		cli_table_cell(table, "%s", range_of(c, param));
		cli_table_cell(table, "%s", param->unit ? param->unit : "");
		cli_table_cell(table, "%s", param->doc ? param->doc : "");
	}
	cli_table_print(table, stdout, c->color_out);
}

static void print_info(cli *c, const cairn_plugin_info *info)
{
	printf("%s%s%s %s - %s\n", cli_style(c->color_out, CLI_BOLD), cli_safe(c, info->name),
		cli_style(c->color_out, CLI_PLAIN), cli_safe(c, info->version),
		cli_safe(c, info->summary));
	printf("%s\nsha256 %s\ncontract %u.%u, licence %s, built by %s\n", cli_safe(c, info->path),
		cli_safe(c, info->digest), info->major, info->minor, cli_safe(c, info->license),
		cli_safe(c, info->build));
	printf("%s, %s%s\n",
		info->capabilities & CAIRN_CAN_CHECKPOINT ? "resumes from checkpoints"
							  : "starts again when interrupted",
		info->capabilities & CAIRN_NOT_DETERMINISTIC ? "never taken from the store"
							     : "same key, same result",
		info->capabilities & CAIRN_NEEDS_KERNELS ? ", computes with kernels" : "");
	print_ports(c, "inputs", info->inputs, info->n_inputs);
	print_ports(c, "outputs", info->outputs, info->n_outputs);
	print_params(c, info);
}

static int show(cli *c, const cairn_plugin_info *info)
{
	if (c->json)
		return cli_print_json(
			json_pack("{s:o, s:s}", "plugin", cairn_plugin_info_to_json(info), "path",
				cli_safe(c, info->path)),
			"cairn.plugins/1");
	print_info(c, info);
	return CLI_OK;
}

/* A tool is a verb: its options are in `cairn help VERB`. */
static int list_tools(cli *c, json_t *list)
{
	cli_table *table = cli_table_new(c, "TOOL|VERSION|SUMMARY");
	cairn_toolbox *box = NULL;
	const cairn_tool_info *tools;
	const cairn_error *refused;
	cairn_error err = {0};
	size_t n, n_refused;

	if (cairn_tools_open(&box, &err) < 0)
		return cli_error(c, &err);
	n = cairn_tools_list(box, &tools);
	for (size_t i = 0; i < n; i++) {
		const char *summary = tools[i].tool->summary ? tools[i].tool->summary : "";
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", tools[i].tool->name,
				"version", tools[i].version, "summary", cairn_record_text(summary),
				"path", cairn_record_text(tools[i].path), "build",
				cairn_record_text(tools[i].build)));
		cli_table_row(table);
		cli_table_cell(table, "%s", tools[i].tool->name);
		cli_table_cell(table, "%s", tools[i].version[0] ? tools[i].version : "-");
		cli_table_cell(table, "%s", summary);
	}
	if (n && !c->json) {
		putchar('\n');
		cli_table_print(table, stdout, c->color_out);
	}
	n_refused = cairn_tools_refused(box, &refused);
	for (size_t i = 0; i < n_refused; i++)
		cli_error(c, &refused[i]);
	cairn_tools_close(box);
	return n_refused ? CLI_FAILED : CLI_OK;
}

static int list(cli *c, cairn_registry *registry)
{
	const char *const *names;
	size_t n = registry->names(registry, &names);
	cli_table *table = cli_table_new(c, "NAME|VERSION|SUMMARY");
	json_t *plugins = json_array(), *tools = json_array();
	int status = CLI_OK;

	for (size_t i = 0; i < n; i++) {
		cairn_error err = {0};
		const cairn_plugin_info *info = registry->find(registry, names[i], &err);
		if (!info) {
			/* One that cannot be loaded does not hide the others. */
			cli_error(c, &err);
			status = CLI_FAILED;
			continue;
		}
		json_array_append_new(plugins, cairn_plugin_info_to_json(info));
		cli_table_row(table);
		cli_table_cell(table, "%s", info->name);
		cli_table_cell(table, "%s", info->version);
		cli_table_cell(table, "%s", info->summary);
	}
	if (!c->json)
		cli_table_print(table, stdout, c->color_out);
	if (list_tools(c, tools) != CLI_OK)
		status = CLI_FAILED;
	if (c->json) {
		cli_print_json(json_pack("{s:o, s:o}", "plugins", plugins, "tools", tools),
			"cairn.plugins/1");
		return status;
	}
	json_decref(plugins);
	json_decref(tools);
	return status;
}

int cli_plugins(cli *c)
{
	cairn_store *store = NULL;
	cairn_registry *registry = NULL;
	cairn_plugin_info described;
	const cairn_plugin_info *info;
	cairn_error err = {0};
	bool describe = c->n_args > 0 && strcmp(c->args[0], "describe") == 0;
	bool check = c->n_args > 0 && strcmp(c->args[0], "check") == 0;
	int status;

	if ((describe || check) != (c->n_args == 2))
		return cli_fail(c, CAIRN_EUSAGE, "`cairn help plugins` says more.",
			"'cairn plugins' takes a name, or 'describe' or 'check' and a file");
	if (check)
		return cli_plugins_check(c);
	if (describe) {
		if (cairn_plugin_describe(&described, c->args[1], c->arena, &err) < 0)
			return cli_error(c, &err);
		return show(c, &described);
	}
	/* The store remembers descriptions by the files' digests; there need not be one. */
	if (cairn_store_open(&store, c->store_dir, 0, NULL) < 0)
		store = NULL;
	if (cairn_plugins_open(&registry, store, &err) < 0) {
		status = cli_error(c, &err);
	} else if (c->n_args == 0) {
		status = list(c, registry);
	} else {
		info = registry->find(registry, c->args[0], &err);
		status = info ? show(c, info) : cli_error(c, &err);
	}
	if (registry)
		cairn_plugins_close(registry);
	if (store)
		cairn_store_close(store);
	return status;
}
