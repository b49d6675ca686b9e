/* SPDX-License-Identifier: Apache-2.0 */
#include "run/plugin/abi.h"

#include <dlfcn.h>
#include <string.h>

#include "base/text.h"
#include "workflow/plugin_info.h"

#define MAX_PARAMS      1000
#define MAX_PORTS       100
#define MAX_PARAMS_SIZE (1u << 20)
#define MAX_TOOLS       100

int cairn_abi_symbol(const void **out, const char *path, const char *symbol, cairn_error *err)
{
	/* NODELETE: sanitizers and thread-local destructors outlive a dlclose badly. */
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const void *found;

	if (!library) {
		cairn_error_set(err, CAIRN_EABI, "cannot load '%s'", path);
		cairn_error_detail(err, "%s", dlerror());
		cairn_error_hint(err,
			"See with `ldd -r` which library or symbol it misses; a plugin resolves "
			"every symbol itself.");
		return CAIRN_EABI;
	}
	found = dlsym(library, symbol);
	if (!found) {
		cairn_error_set(err, CAIRN_EABI, "'%s' does not export '%s'", path, symbol);
		cairn_error_detail(err, "%s", dlerror());
		cairn_error_hint(
			err, "A plugin marks its descriptor CAIRN_EXPORT; see cairn/stage.h.");
		return CAIRN_EABI;
	}
	*out = found;
	return 0;
}

/* The fields that differ, as "major: 2, not 1; struct_size: ...". Empty: none does. */
static void list_differences(
	cairn_text *out, const cairn_abi_head *head, const cairn_abi_expected *want)
{
	if (head->major != want->major)
		cairn_text_printf(out, "major is %u, cairn has %u; ", head->major, want->major);
	if (head->major == want->major && head->minor > want->minor)
		cairn_text_printf(
			out, "minor is %u, newer than cairn's %u; ", head->minor, want->minor);
	if (head->struct_size < want->size_min)
		cairn_text_printf(out, "struct_size is %u bytes, at least %u are required; ",
			head->struct_size, want->size_min);
	if (out->len >= 2) /* the last "; " */
		out->data[out->len - 2] = '\0';
}

int cairn_abi_copy(void *out, const void *symbol, const char *path, const cairn_abi_expected *want,
	cairn_error *err)
{
	cairn_abi_head head;
	cairn_text differences = {0};

	memcpy(&head, symbol, sizeof(head));
	if (head.magic != want->magic) {
		cairn_error_set(err, CAIRN_EABI, "'%s' is no cairn %s", path, want->what);
		cairn_error_detail(err, "magic is 0x%08x, not 0x%08x", head.magic, want->magic);
		cairn_error_hint(err, "Its descriptor must begin with %s.", want->begin);
		return CAIRN_EABI;
	}
	list_differences(&differences, &head, want);
	if (differences.len) {
		cairn_error_set(err, CAIRN_EABI,
			"'%s' is a %s for contract %u.%u, this cairn speaks %u.%u", path,
			want->what, head.major, head.minor, want->major, want->minor);
		cairn_error_detail(err, "%s; built by %.200s", cairn_text_get(&differences),
			head.build ? head.build : "an unknown compiler");
		cairn_error_hint(err,
			"Rebuild it against the headers of this cairn (%s), or use the cairn it "
			"was built for.",
			CAIRN_VERSION);
		cairn_text_free(&differences);
		return CAIRN_EABI;
	}
	memset(out, 0, want->size);
	memcpy(out, symbol, head.struct_size < want->size ? head.struct_size : want->size);
	return 0;
}

/* ---- sanity of a descriptor --------------------------------------------------------- */

static bool is_plugin_name(const char *name)
{
	return name && name[0] >= 'a' && name[0] <= 'z' && strlen(name) <= 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

/* Of a parameter or port: also capitals, dots and dashes. */
static bool is_name(const char *name)
{
	return name && name[0] && strlen(name) <= 64 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		       strlen(name);
}

static int insane(cairn_error *err, const char *path, const char *what)
{
	cairn_error_set(err, CAIRN_EABI, "the descriptor of '%s' is faulty: %s", path, what);
	cairn_error_hint(err, "This is a bug of the plugin; cairn/stage.h says what it must hold.");
	return CAIRN_EABI;
}

/* Size (and alignment) of the field that a parameter type names; 0 for an unknown type. */
static uint64_t field_size(uint32_t type)
{
	switch (type) {
	case CAIRN_PARAM_INT:
	case CAIRN_PARAM_SIZE:
		return sizeof(int64_t);
	case CAIRN_PARAM_REAL:
	case CAIRN_PARAM_DURATION:
		return sizeof(double);
	case CAIRN_PARAM_BOOL:
	case CAIRN_PARAM_ENUM:
		return sizeof(int32_t);
	case CAIRN_PARAM_STRING:
		return sizeof(const char *);
	}
	return 0;
}

/* A table of parameters and the struct that it fills. */
struct param_table {
	const cairn_param *params;
	uint64_t n, bytes;
};

static int check_param(const struct param_table *table, const cairn_param *param, const char *path,
	cairn_arena *arena, cairn_error *err)
{
	uint64_t size = field_size(param->type);
	const char *canonical;

	if (!is_name(param->name))
		return insane(err, path, "a parameter has no proper name");
	if (!size)
		return insane(err, path,
			cairn_arena_printf(arena, "parameter '%s' is of unknown type %u",
				param->name, param->type));
	if (param->offset % size || size > table->bytes || param->offset > table->bytes - size)
		return insane(err, path,
			cairn_arena_printf(arena,
				"parameter '%s' at offset %llu does not lie inside a struct of "
				"%llu bytes",
				param->name, (unsigned long long)param->offset,
				(unsigned long long)table->bytes));
	if (param->type == CAIRN_PARAM_ENUM && (!param->choices || !param->choices[0]))
		return insane(err, path,
			cairn_arena_printf(arena, "parameter '%s' lists no choices", param->name));
	if (param->fallback &&
		cairn_param_canonical(param, param->fallback, arena, &canonical, NULL) < 0)
		return insane(err, path,
			cairn_arena_printf(arena, "parameter '%s' refuses its own default '%.40s'",
				param->name, param->fallback));
	for (const cairn_param *other = table->params; other < param; other++) {
		if (strcmp(other->name, param->name) == 0)
			return insane(err, path,
				cairn_arena_printf(
					arena, "parameter '%s' appears twice", param->name));
	}
	return 0;
}

static int check_params(
	const struct param_table *table, const char *path, cairn_arena *arena, cairn_error *err)
{
	int rc = 0;

	if (table->n > MAX_PARAMS || table->bytes > MAX_PARAMS_SIZE || (table->n && !table->params))
		return insane(err, path, "its parameter table");
	for (uint64_t i = 0; rc == 0 && i < table->n; i++)
		rc = check_param(table, &table->params[i], path, arena, err);
	return rc;
}

static int check_ports(const cairn_port *ports, uint64_t n, const char *what, const char *path,
	cairn_arena *arena, cairn_error *err)
{
	if (n > MAX_PORTS || (n && !ports))
		return insane(err, path, cairn_arena_printf(arena, "its %s table", what));
	for (uint64_t i = 0; i < n; i++) {
		if (!is_name(ports[i].name) || !ports[i].kind || !ports[i].kind[0])
			return insane(err, path,
				cairn_arena_printf(arena, "%s %llu has no proper name or kind",
					what, (unsigned long long)i));
		for (uint64_t j = 0; j < i; j++) {
			if (strcmp(ports[i].name, ports[j].name) == 0)
				return insane(err, path,
					cairn_arena_printf(arena, "%s '%s' appears twice", what,
						ports[i].name));
		}
	}
	return 0;
}

static int check_descriptor(
	const cairn_stage_plugin *plugin, const char *path, cairn_arena *arena, cairn_error *err)
{
	struct param_table table = {plugin->params, plugin->n_params, plugin->params_size};
	int rc;

	if (!is_plugin_name(plugin->name))
		return insane(err, path, "its name is not of the form [a-z][a-z0-9_]*");
	if (!plugin->version || !plugin->version[0])
		return insane(err, path, "it has no version");
	if (!plugin->run)
		return insane(err, path, "it has no run()");
	rc = check_params(&table, path, arena, err);
	if (rc == 0)
		rc = check_ports(plugin->inputs, plugin->n_inputs, "input", path, arena, err);
	if (rc == 0)
		rc = check_ports(plugin->outputs, plugin->n_outputs, "output", path, arena, err);
	return rc;
}

int cairn_abi_stage(cairn_stage_plugin *out, const char *path, cairn_arena *arena, cairn_error *err)
{
	static const cairn_abi_expected expected = {
		.what = "stage plugin",
		.begin = "CAIRN_STAGE_HEAD",
		.magic = CAIRN_STAGE_MAGIC,
		.major = CAIRN_STAGE_MAJOR,
		.minor = CAIRN_STAGE_MINOR,
		.size = sizeof(cairn_stage_plugin),
		/* `run` is the last member that every plugin has. */
		.size_min = offsetof(cairn_stage_plugin, check),
	};
	cairn_stage_plugin plugin;
	const void *symbol;
	int rc = cairn_abi_symbol(&symbol, path, CAIRN_STAGE_SYMBOL, err);

	if (rc == 0)
		rc = cairn_abi_copy(&plugin, symbol, path, &expected, err);
	if (rc == 0)
		rc = check_descriptor(&plugin, path, arena, err);
	if (rc < 0)
		return rc;
	if (!plugin.summary)
		plugin.summary = "";
	if (!plugin.license)
		plugin.license = "unknown";
	*out = plugin;
	return 0;
}

/* ---- tools -------------------------------------------------------------------------- */

/* The command line has nobody to ask for a value: every parameter must have one. */
static int check_tool(
	const cairn_tool *tool, const char *path, cairn_arena *arena, cairn_error *err)
{
	struct param_table table = {tool->params, tool->n_params, tool->params_size};
	int rc;

	if (!is_plugin_name(tool->name))
		return insane(err, path, "a tool's name is not of the form [a-z][a-z0-9_]*");
	if (!tool->run)
		return insane(
			err, path, cairn_arena_printf(arena, "tool '%s' has no run()", tool->name));
	rc = check_params(&table, path, arena, err);
	for (uint64_t i = 0; rc == 0 && i < tool->n_params; i++) {
		if (!tool->params[i].fallback)
			rc = insane(err, path,
				cairn_arena_printf(arena, "parameter '%s' of '%s' has no default",
					tool->params[i].name, tool->name));
	}
	if (rc == 0)
		rc = check_ports(tool->inputs, tool->n_inputs, "input", path, arena, err);
	if (rc == 0)
		rc = check_ports(tool->outputs, tool->n_outputs, "output", path, arena, err);
	return rc;
}

int cairn_abi_tools(cairn_tools *out, const char *path, cairn_arena *arena, cairn_error *err)
{
	static const cairn_abi_expected expected = {
		.what = "set of tools",
		.begin = "CAIRN_TOOL_HEAD",
		.magic = CAIRN_TOOL_MAGIC,
		.major = CAIRN_TOOL_MAJOR,
		.minor = CAIRN_TOOL_MINOR,
		.size = sizeof(cairn_tools),
		/* `n_tools` is the last member that every one has. */
		.size_min = offsetof(cairn_tools, version),
	};
	cairn_tools tools;
	const void *symbol;
	int rc = cairn_abi_symbol(&symbol, path, CAIRN_TOOL_SYMBOL, err);

	if (rc == 0)
		rc = cairn_abi_copy(&tools, symbol, path, &expected, err);
	if (rc == 0 && (tools.n_tools > MAX_TOOLS || (tools.n_tools && !tools.tools)))
		rc = insane(err, path, "its table of tools");
	for (uint64_t i = 0; rc == 0 && i < tools.n_tools; i++)
		rc = check_tool(&tools.tools[i], path, arena, err);
	if (rc == 0)
		*out = tools;
	return rc;
}
