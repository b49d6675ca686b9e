/* SPDX-License-Identifier: Apache-2.0 */
/* tool.c - which tools there are. */
#include "run/tool/tool.h"

#include <dirent.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "run/plugin/abi.h"
#include "run/plugin/plugins.h"

#define MAX_DIRS    64
#define MAX_OBJECTS 32
#define MAX_TOOLS   256

struct cairn_toolbox {
	cairn_arena *arena;
	const char *dirs[MAX_DIRS];
	size_t n_dirs;
	const char *objects[MAX_OBJECTS]; /* file names seen: the first of a name counts */
	size_t n_objects;
	cairn_tool_info tools[MAX_TOOLS];
	size_t n_tools;
	cairn_error refused[MAX_OBJECTS];
	size_t n_refused;
};

static const cairn_tool_info *find(const cairn_toolbox *box, const char *name)
{
	for (size_t i = 0; i < box->n_tools; i++) {
		if (strcmp(box->tools[i].tool->name, name) == 0)
			return &box->tools[i];
	}
	return NULL;
}

static void load(cairn_toolbox *box, const char *path)
{
	cairn_error *why = &box->refused[box->n_refused];
	cairn_tools tools;

	if (cairn_abi_tools(&tools, path, box->arena, why) < 0) {
		box->n_refused++;
		return;
	}
	for (uint64_t i = 0; i < tools.n_tools && box->n_tools < MAX_TOOLS; i++) {
		/* Of two tools of one name, the one that was found first. */
		if (find(box, tools.tools[i].name))
			continue;
		box->tools[box->n_tools++] = (cairn_tool_info){
			.tool = &tools.tools[i],
			.version = tools.version ? tools.version : "",
			.build = tools.head.build ? tools.head.build : "",
			.path = path,
		};
	}
}

static bool is_new(cairn_toolbox *box, const char *file)
{
	for (size_t i = 0; i < box->n_objects; i++) {
		if (strcmp(box->objects[i], file) == 0)
			return false;
	}
	box->objects[box->n_objects++] = file;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* In bytewise order: that of a directory would decide who shadows whom. */
static void search(cairn_toolbox *box, const char *path)
{
	const char *files[MAX_OBJECTS];
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t n = 0;

	while (dir && n < MAX_OBJECTS && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);
		if (len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0)
			files[n++] = cairn_arena_strdup(box->arena, entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (n)
		qsort(files, n, sizeof(*files), by_name);
	for (size_t i = 0; i < n && box->n_objects < MAX_OBJECTS; i++) {
		if (is_new(box, files[i]))
			load(box, cairn_arena_printf(box->arena, "%s/%s", path, files[i]));
	}
}

static int by_tool(const void *a, const void *b)
{
	const cairn_tool_info *x = a, *y = b;

	return strcmp(x->tool->name, y->tool->name);
}

int cairn_tools_open(cairn_toolbox **out, cairn_error *err)
{
	cairn_toolbox *box = cairn_alloc(1, sizeof(*box));

	if (!box)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory opening the tools");
	box->arena = cairn_arena_new();
	box->n_dirs = cairn_plugin_dirs(box->dirs, MAX_DIRS, box->arena);
	for (size_t i = 0; i < box->n_dirs; i++)
		search(box, cairn_arena_printf(box->arena, "%s/tools", box->dirs[i]));
	if (box->n_tools)
		qsort(box->tools, box->n_tools, sizeof(*box->tools), by_tool);
	*out = box;
	return 0;
}

void cairn_tools_close(cairn_toolbox *box)
{
	if (!box)
		return;
	cairn_arena_free(box->arena);
	free(box);
}

int cairn_tools_find(
	const cairn_tool_info **out, const cairn_toolbox *box, const char *name, cairn_error *err)
{
	cairn_text where = {0};

	*out = find(box, name);
	if (*out)
		return 0;
	if (box->n_refused) {
		if (err && !err->code)
			*err = box->refused[0];
		return box->refused[0].code;
	}
	for (size_t i = 0; i < box->n_dirs; i++)
		cairn_text_printf(&where, "%s%s/tools", i ? ", " : "", box->dirs[i]);
	cairn_error_set(err, CAIRN_ENOTFOUND, "the tool '%s' is not installed", name);
	cairn_error_detail(err, "looked for *.so in %s", cairn_text_get(&where));
	cairn_error_hint(err,
		"Tools lie in 'tools' below the plugin directories; CAIRN_PLUGIN_PATH "
		"adds directories.");
	cairn_text_free(&where);
	return CAIRN_ENOTFOUND;
}

size_t cairn_tools_list(const cairn_toolbox *box, const cairn_tool_info **out)
{
	*out = box->tools;
	return box->n_tools;
}

size_t cairn_tools_refused(const cairn_toolbox *box, const cairn_error **out)
{
	*out = box->refused;
	return box->n_refused;
}
