/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_options.c - a tool's parameters and optional inputs as options of the command line.
 *
 * The tool declares them as a stage does (cairn/tool.h); names, ranges, defaults and meanings in
 * help and messages are its own, so nothing here can fall behind it.
 */
#include <string.h>

#include "cli/cli.h"

bool cli_verb_has_tool(const char *verb)
{
	static const char *const verbs[] = {"generate", "score", "tokenize", "import", "export"};

	for (size_t i = 0; i < CAIRN_COUNT(verbs); i++) {
		if (strcmp(verbs[i], verb) == 0)
			return true;
	}
	return false;
}

/* ---- finding ---------------------------------------------------------------------------- */

static int set_defaults(cli *c)
{
	const cairn_tool *tool = c->tool.info->tool;
	int rc = 0;

	c->tool.values = cairn_arena_alloc(c->arena, tool->n_params + 1, sizeof(char *));
	c->tool.bound = cairn_arena_alloc(c->arena, tool->n_inputs + 1, sizeof(char *));
	for (uint64_t i = 0; rc == 0 && i < tool->n_params; i++)
		rc = cairn_param_canonical(&tool->params[i], tool->params[i].fallback, c->arena,
			&c->tool.values[i], &c->tool.error);
	return rc;
}

void cli_tool_load(cli *c, const char *verb)
{
	if (c->tool.info || c->tool.error.code)
		return;
	if (cairn_tools_open(&c->tool.box, &c->tool.error) < 0 ||
		cairn_tools_find(&c->tool.info, c->tool.box, verb, &c->tool.error) < 0)
		return;
	if (set_defaults(c) < 0)
		c->tool.info = NULL;
}

void cli_tool_close(cli *c)
{
	cairn_tools_close(c->tool.box);
	c->tool = (cli_tool){0};
}

/* ---- as options --------------------------------------------------------------------------- */

/* "top_k" is typed --top-k. */
static const char *option_name(cli *c, const char *name)
{
	char *out = cairn_arena_strdup(c->arena, name);

	for (char *at = out; *at; at++) {
		if (*at == '_')
			*at = '-';
	}
	return out;
}

static const char *value_name(const cairn_param *param)
{
	switch ((enum cairn_param_type)param->type) {
	case CAIRN_PARAM_INT:
		return "N";
	case CAIRN_PARAM_REAL:
		return "X";
	case CAIRN_PARAM_BOOL:
		return "[=yes|no]";
	case CAIRN_PARAM_STRING:
		return "TEXT";
	case CAIRN_PARAM_ENUM:
		return param->choices;
	case CAIRN_PARAM_SIZE:
		return "SIZE";
	case CAIRN_PARAM_DURATION:
		return "TIME";
	}
	return "VALUE";
}

static cli_option option_of_param(cli *c, const cairn_param *param)
{
	const char *doc = cli_safe(c, param->doc ? param->doc : "");
	bool has_default = param->fallback[0] && param->type != CAIRN_PARAM_BOOL;

	return (cli_option){
		.name = option_name(c, param->name),
		/* -n is what samplers call it; nobody else gets a letter. */
		.letter = strcmp(param->name, "samples") == 0 ? 'n' : 0,
		.value = value_name(param),
		.summary = has_default ? cairn_arena_printf(c->arena, "%s (default: %s)", doc,
						 cli_safe(c, param->fallback))
				       : doc,
	};
}

static cli_option option_of_port(cli *c, const cairn_port *port)
{
	return (cli_option){
		.name = option_name(c, port->name),
		.value = "ARTIFACT",
		.summary = cli_safe(c, port->doc ? port->doc : ""),
	};
}

size_t cli_tool_options(cli *c, const char *verb, cli_option *out, size_t cap,
	bool (*is_taken)(const char *verb, const char *name))
{
	const cairn_tool *tool = c->tool.info ? c->tool.info->tool : NULL;
	size_t n = 0;

	for (uint64_t i = 0; tool && i < tool->n_params && n < cap; i++) {
		out[n] = option_of_param(c, &tool->params[i]);
		n += !is_taken(verb, out[n].name);
	}
	for (uint64_t i = 0; tool && i < tool->n_inputs && n < cap; i++) {
		if (!(tool->inputs[i].flags & CAIRN_PORT_OPTIONAL))
			continue;
		out[n] = option_of_port(c, &tool->inputs[i]);
		n += !is_taken(verb, out[n].name);
	}
	return n;
}

/* ---- values ------------------------------------------------------------------------------- */

static bool is_named(const char *option, const char *name)
{
	while (*option && (*option == *name || (*option == '-' && *name == '_')))
		option++, name++;
	return !*option && !*name;
}

static int set_param(cli *c, uint64_t i, const char *text)
{
	const cairn_param *param = &c->tool.info->tool->params[i];
	cairn_error err = {0};

	if (cairn_param_canonical(param, text, c->arena, &c->tool.values[i], &err) == 0)
		return CLI_OK;
	cairn_error_at(&err, "--%s", option_name(c, param->name));
	return cli_error(c, &err);
}

int cli_tool_take(cli *c, const cli_option *option, const char *text)
{
	const cairn_tool *tool = c->tool.info->tool;

	for (uint64_t i = 0; i < tool->n_params; i++) {
		if (is_named(option->name, tool->params[i].name))
			return set_param(c, i, text ? text : "yes");
	}
	for (uint64_t i = 0; i < tool->n_inputs; i++) {
		if (is_named(option->name, tool->inputs[i].name))
			c->tool.bound[i] = text;
	}
	return CLI_OK;
}

bool cli_tool_has(const cli *c, const char *param)
{
	const cairn_tool *tool = c->tool.info ? c->tool.info->tool : NULL;

	for (uint64_t i = 0; tool && i < tool->n_params; i++) {
		if (strcmp(tool->params[i].name, param) == 0)
			return true;
	}
	return false;
}

int cli_tool_set(cli *c, const char *param, const char *text)
{
	const cairn_tool *tool = c->tool.info->tool;
	int status = CLI_OK;

	for (uint64_t i = 0; i < tool->n_params; i++) {
		if (strcmp(tool->params[i].name, param) == 0)
			status = set_param(c, i, text);
	}
	return status;
}
