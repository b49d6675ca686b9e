/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.h - finding tools (cairn/tool.h) and running one, in this process.
 *
 * Tools lie in "tools" below the plugin directories. All shared objects there are loaded when
 * the command line needs one; one that is refused disturbs only those who want a tool that no
 * other object has. The host table of a tool is that of a stage (host.h) without steps,
 * checkpoints, wire and key; what it commits to the store goes there in one transaction with its
 * names and its origin (tool_commit.c).
 */
#ifndef CAIRN_RUN_TOOL_H
#define CAIRN_RUN_TOOL_H

#include "base/arena.h"
#include "base/json.h"
#include "cairn/store.h"
#include "cairn/tool.h"

/* ---- tool.c ------------------------------------------------------------------------------ */

typedef struct cairn_tool_info {
	const cairn_tool *tool;
	const char *version, *build; /* of the shared object; never NULL */
	const char *path;
} cairn_tool_info;

typedef struct cairn_toolbox cairn_toolbox;

/* Never fails for a bad object: cairn_tools_find() tells of it. */
CAIRN_MUST int cairn_tools_open(cairn_toolbox **out, cairn_error *err);
void cairn_tools_close(cairn_toolbox *box);
/* Borrowed. ENOTFOUND; or why an object that may have held it was refused. */
CAIRN_MUST int cairn_tools_find(
	const cairn_tool_info **out, const cairn_toolbox *box, const char *name, cairn_error *err);
/* All of them, by name. */
size_t cairn_tools_list(const cairn_toolbox *box, const cairn_tool_info **out);
/* What each refused object was refused for. */
size_t cairn_tools_refused(const cairn_toolbox *box, const cairn_error **out);

/* ---- tool_run.c -------------------------------------------------------------------------- */

typedef struct cairn_tool_input {
	const char *port;
	const char *id;     /* "sha256:..."; "" for a directory */
	const char *source; /* as somebody named it; of a directory, its path */
} cairn_tool_input;

typedef struct cairn_tool_job {
	const cairn_tool_info *info;
	cairn_store *store;        /* NULL where nothing of it is read or written */
	const char *const *values; /* canonical texts, in the order of the tool's table */
	const cairn_tool_input *inputs;
	size_t n_inputs;
	const char *directory; /* that the output port of kind "directory" writes; or NULL */
	bool force;            /* also where something is in it */
	const char *ref;       /* outputs in the store get the names REF:PORT */
	int threads;           /* of the kernels; 0: all cpus */
	const char *text;      /* for run() */
	const cairn_tool_io *io;
	void (*log)(void *arg, int level, const char *text);
	void *log_arg;
} cairn_tool_job;

/*
 * 0 and *out = {"outputs": {port: {"id", "kind", "bytes", "name"}}, "directory": {"path",
 * "bytes", "files": [name]} or null}, a new reference. CAIRN_STOPPED where the tool stopped, as
 * asked; nothing it wrote remains then, nor after an error.
 */
CAIRN_MUST int cairn_tool_run(json_t **out, const cairn_tool_job *job, cairn_error *err);

#endif
