/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec.h - what the files of the plugin share.
 *
 *   exec.c        the descriptor, and the stage from start to end
 *   tree.c        files below a directory: written, listed, taken, removed
 *   inputs.c      the command's directory; artifacts become files
 *   outputs.c     files become artifacts
 *   checkpoint.c  a directory that the command wrote becomes a checkpoint, and back
 *   events.c      what the command tells and what it is asked (README.md: the protocol)
 *   command.c     its process
 *
 * Functions return 0, or the code of a failure already reported to the host.
 */
#ifndef CAIRN_EXEC_H
#define CAIRN_EXEC_H

#include <stdbool.h>

#include "base/text.h"
#include "cairn/stage.h"

enum exec_signal {
	EXEC_SIGNAL_TERM = 0,
	EXEC_SIGNAL_INT = 1,
	EXEC_SIGNAL_NONE = 2,
};

/* Laid out by the parameter table in exec.c. */
struct exec_params {
	const char *command, *outputs, *model, *reward, *set, *env;
	int32_t stop_signal; /* enum exec_signal */
	double grace;        /* seconds */
};

#define EXEC_MAX_LINE 65536 /* bytes of an event */

struct exec_work {
	const cairn_host *host;
	cairn_run *run;
	const struct exec_params *params;
	char *directory; /* where the command works, its own */

	/* The checkpoint that lies in resume/. */
	bool has_resume;
	uint64_t resumed;

	/* events.c */
	int events;       /* our end of the pipe; -1 */
	cairn_text line;  /* an event as far as it came */
	bool is_too_long; /* the rest of it is passed over */
	uint64_t n_lines, n_bad;
	uint64_t step, total, tokens;
	char phase[32];
	bool is_stopping, wants_checkpoint, is_waiting;
};

/* ---- tree.c ------------------------------------------------------------------------------- */

/* Paths of the regular files below a directory, relative to it, in bytewise order. */
struct exec_tree {
	char **paths; /* n of them, then NULL */
	size_t n, cap;
};

/* A path below a directory: no empty, "." or ".." part, not absolute, at most 200 bytes. */
bool exec_is_safe(const char *path);
/* Splits at blanks; sorted. NULL: no memory. Freed with exec_free_names(). */
char **exec_split_names(const char *text, size_t *n);
void exec_free_names(char **names);
/* "PATH/FORMAT.." into text, replacing it. */
CAIRN_MUST int exec_path(const struct exec_work *work, cairn_text *out, const char *format, ...)
	CAIRN_PRINTF(3, 4);
CAIRN_MUST int exec_fail_errno(const struct exec_work *work, const char *what, const char *path);
/* A new file with these bytes; directories on the way from DIRECTORY on are made. */
CAIRN_MUST int exec_write_file(const struct exec_work *work, const char *path, unsigned mode,
	const void *bytes, uint64_t len);
/* EINPUT where something in it is neither a file nor a directory. Links are not followed. */
CAIRN_MUST int exec_tree_list(
	struct exec_tree *out, const struct exec_work *work, const char *directory);
void exec_tree_free(struct exec_tree *tree);
/* Puts DIRECTORY/PATH into the artifact that is being written, as an entry of that name. */
CAIRN_MUST int exec_put_file(const struct exec_work *work, cairn_writer *writer,
	const char *directory, const char *path, const char *name);
/* Removes a file or directory; what cannot be removed is left. */
void exec_remove(const char *path);

/* ---- inputs.c, outputs.c, checkpoint.c ------------------------------------------------------ */

CAIRN_MUST int exec_make_directory(struct exec_work *work);
CAIRN_MUST int exec_put_inputs(const struct exec_work *work);
/* All entries of an artifact as files below a directory; tensors as one safetensors file. */
CAIRN_MUST int exec_put_artifact(
	const struct exec_work *work, const cairn_artifact *artifact, const char *directory);
CAIRN_MUST int exec_take_outputs(const struct exec_work *work);
/* The newest checkpoint, if there is one, into resume/. */
CAIRN_MUST int exec_put_resume(struct exec_work *work);
/* Commits what lies at `path`, in the command's directory, and removes it there. 1: it cannot be
 * taken, which was logged; < 0: the store failed. */
CAIRN_MUST int exec_take_checkpoint(struct exec_work *work, uint64_t step, const char *path);

/* ---- events.c -------------------------------------------------------------------------------- */

CAIRN_MUST int exec_events_open(struct exec_work *work);
void exec_events_close(struct exec_work *work);
/* Takes what has come. */
CAIRN_MUST int exec_events_read(struct exec_work *work);
/* A heartbeat: also how we hear that a checkpoint or an end is wanted. */
CAIRN_MUST int exec_beat(struct exec_work *work);

/* ---- command.c --------------------------------------------------------------------------------
 */

/* 0 when the command ended well, CAIRN_STOPPED when it ended after it was told to. */
CAIRN_MUST int exec_run_command(struct exec_work *work);

#endif
