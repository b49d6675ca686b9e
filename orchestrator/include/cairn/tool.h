/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.h - the contract between cairn and its tools: commands that compute on artifacts and
 * are no stages. `cairn generate`, `score`, `tokenize`, `import` and `export` are tools.
 *
 * A tool has no key, no checkpoint and no place in the lineage beyond what it reads and
 * commits; so it may read stdin, write to a person and be stopped at any time. It lives in a
 * shared object of its own (plugins/tools/), because the command line must not know what a
 * model is, and sees the runner through the host table of stage.h, of which these work:
 *
 *   input_count, input_open, entry_list, entry_get
 *   output_begin, put, meta, commit
 *   kernels, account (a no-op), rng_key (from the parameter `seed`, where the tool has one)
 *   fail, fail_with, hint, log
 *
 * An input may be an artifact or a directory. A directory is an artifact of kind "directory"
 * whose entries are its regular files (CAIRN_U8, not its subdirectories), whose id is "" and
 * whose source is the path. An output port of kind "directory" is written to a directory: each
 * entry becomes a file; nothing is visible there before commit(). Files that cannot be entries
 * (a name of more than 200 bytes or with control characters) are left out.
 *
 * On the command line:
 *
 *   required inputs  arguments, in order: an artifact, or where the port's kind lists
 *                    "directory", a directory
 *   optional inputs  options of the port's name: `--tokenizer gpt2`
 *   parameters       options: `--top-k 40`; a bool may stand alone: `--decode`. A parameter
 *                    `json` makes `--json` the tool's own; `--threads` is the runner's, for
 *                    tools that need kernels; `-n` is short for `--samples`
 *   what is left     `text`, or the directory of an output port of kind "directory"
 *
 * Outputs of other kinds go to the store, all in one transaction after run() returned 0, with
 * a name each; the lineage says which tool made them, from which artifacts or, of a directory,
 * from which files, by the digests of those that entry_get() read.
 */
#ifndef CAIRN_TOOL_H
#define CAIRN_TOOL_H

#include "cairn/stage.h"

CAIRN_BEGIN_DECLS

#define CAIRN_TOOL_MAGIC  0x54524143u /* "CART" */
#define CAIRN_TOOL_MAJOR  1
#define CAIRN_TOOL_MINOR  0
#define CAIRN_TOOL_SYMBOL "cairn_tools_table"

#define CAIRN_TOOL_HEAD(type)                                                                      \
	{                                                                                          \
		CAIRN_TOOL_MAGIC, CAIRN_TOOL_MAJOR, CAIRN_TOOL_MINOR, sizeof(type), 0, CAIRN_BUILD \
	}

/* What a tool reads from and says to a person or a pipe. */
typedef struct cairn_tool_io {
	void *self;
	/* The next line of stdin without its end; the bytes stay until the next call, a NUL follows
	 * them. 1: a line; 0: there is no more, or somebody pressed Ctrl-C; < 0: an error already
	 * reported (a line over 64 MiB, a read that failed): return it. */
	int (*read_line)(void *self, const char **line, size_t *len);
	/* Bytes to stdout, buffered until flush(); < 0: an error already reported. A reader that
	 * has gone (a closed pipe) is CAIRN_STOPPED: return it. */
	int (*write)(void *self, const void *data, size_t len);
	int (*flush)(void *self);
	/* Whether somebody pressed Ctrl-C, or nobody reads any more: then finish the line and
	 * return CAIRN_STOPPED. */
	int (*stopping)(void *self);
} cairn_tool_io;

/* Tables are arrays of it, so it grows with CAIRN_TOOL_MAJOR only. */
typedef struct cairn_tool {
	const char *name; /* the verb: "generate" */
	const char *summary;
	/* Set by the command line's long options of the same names ('_' is '-' there); all have
	 * a default. */
	const cairn_param *params;
	uint64_t n_params;
	uint64_t params_size;
	const cairn_port *inputs;
	uint64_t n_inputs;
	const cairn_port *outputs;
	uint64_t n_outputs;
	uint64_t capabilities; /* CAIRN_NEEDS_KERNELS or 0 */
	/* `text` is what stands on the command line behind the inputs ("the prompt"), or NULL.
	 * Returns 0, CAIRN_STOPPED, or a failure told to the host. */
	int (*run)(const cairn_host *host, cairn_run *run, const cairn_tool_io *io,
		const void *params, const char *text);
} cairn_tool;

typedef struct cairn_tools {
	cairn_abi_head head;
	const cairn_tool *tools;
	uint64_t n_tools;
	const char *version; /* of these tools, for the lineage of what they make; may be NULL */
} cairn_tools;

/* A shared object of tools defines this, a constant. */
extern CAIRN_EXPORT const cairn_tools cairn_tools_table;

CAIRN_END_DECLS

#endif
